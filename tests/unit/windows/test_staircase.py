"""Stored values of windowed views: what is read of them at any instant is what a function makes of the rows of its window."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from hitherto.definitions.aggregation import COUNTING_FUNCTIONS, Aggregation, WindowedFeature
from hitherto.encoding.row_codec import SEPARATOR, encode_fragment, encode_value
from hitherto.encoding.staircase import StaircaseReader
from hitherto.testing.aggregates import WindowRow, aggregate, rows_of_window
from hitherto.timeline import rfc3339
from hitherto.types import DataType, Float64
from hitherto.windows.staircase import KeyRows, tracks_of, values

Row = tuple[int, float | None]
"""Event time and value."""
ENDLESS = [Aggregation("x", "sum"), Aggregation("x", "last", n=2)]
FINITE = [
    Aggregation("x", "count", windows=["3us", "8us"]),
    Aggregation("x", "sum", windows=["3us", "8us"]),
    Aggregation("x", "max", windows=["5us"]),
    Aggregation("x", "last", windows=["8us"]),
    Aggregation("x", "last", n=2, windows=["3us", "8us"]),
]
END = 10
DAMAGED = (ValueError, TypeError, struct.error)


def features_of(aggregations: Sequence[Aggregation]) -> list[WindowedFeature]:
    return [feature for one in aggregations for feature in one.features(Float64)]


def encode(columns: Sequence[tuple[pa.Array, DataType]]) -> list[pa.Array]:
    """What the engine does in a run."""
    return [
        pa.array([encode_fragment(kind, value) for value in column.to_pylist()], pa.large_binary())
        for column, kind in columns
    ]


def stored(keys: Sequence[Sequence[Row]], features: Sequence[WindowedFeature], *, end: int = END) -> list[bytes]:
    """The value of each key, whose rows are sorted."""
    rows = [row for key in keys for row in key]
    bounds = np.cumsum([0, *map(len, keys)])
    heads = [encode_value(b"", event=key[-1][0], available=key[-1][0], sequence=1) for key in keys]
    windows = [one.window for one in features if one.window is not None]
    made = KeyRows(
        bounds,
        np.array([event for event, _ in rows], dtype=np.int64),
        {"x": pa.array([value for _, value in rows], pa.float64())},
        end=end,
        longest=max(windows, default=None),
    )
    found: list[bytes] = values(made, pa.array(heads, pa.large_binary()), features, encode=encode).to_pylist()
    return found


def reader(features: Sequence[WindowedFeature], wanted: Sequence[WindowedFeature] | None = None) -> StaircaseReader:
    tracks = list(dict.fromkeys(one.track for one in features))
    return StaircaseReader(
        len(tracks),
        [
            (tracks.index(one.track), one.window, b"0" if one.function in COUNTING_FUNCTIONS else b"null")
            for one in wanted or features
        ],
    )


def by_hand(rows: Sequence[Row], features: Sequence[WindowedFeature], now: int) -> bytes:
    """The row of a lookup, by brute force."""
    events = [WindowRow(event, event, None, value) for event, value in rows]
    parts = [f'"{rfc3339(rows[-1][0])}"'.encode()]
    for one in features:
        found = [row.value for row in rows_of_window(events, now, one.window)]
        parts.append(encode_fragment(one.dtype, aggregate(one.function, found, Float64, n=one.n, p=one.p)))
    return SEPARATOR.join(parts)


VALUES = st.sampled_from([None, 0.0, -0.0, 1.0, 0.1, math.nan, 2.5])
KEYS = st.lists(st.tuples(st.integers(0, END - 1), VALUES), min_size=1, max_size=12).map(
    lambda rows: sorted(rows, key=lambda row: row[0])
)


@given(st.lists(KEYS, min_size=1, max_size=4), st.sampled_from([FINITE, ENDLESS, [*FINITE, *ENDLESS], FINITE[:1]]))
def test_a_value_is_read_at_any_instant_as_windows_say(keys: list[list[Row]], aggregations: list[Aggregation]) -> None:
    features = features_of(aggregations)
    read = reader(features)
    for key, value in zip(keys, stored(keys, features), strict=True):
        for now in range(END, END + 12):
            assert read.row(value, now) == by_hand(key, features, now)


@given(KEYS, st.permutations(range(len(features_of(FINITE)))))
def test_only_wanted_features_are_read_in_the_order_asked(key: list[Row], order: list[int]) -> None:
    features = features_of([*ENDLESS, *FINITE])
    wanted = [features[number] for number in order[:3]]
    (value,) = stored([key], features)
    assert reader(features, wanted).row(value, END + 1) == by_hand(key, wanted, END + 1)


@given(st.lists(KEYS, min_size=2, max_size=4))
def test_a_key_has_the_same_bytes_whatever_keys_come_with_it(keys: list[list[Row]]) -> None:
    features = features_of(FINITE)
    assert stored(keys, features) == [stored([key], features)[0] for key in keys]


def test_equal_neighbours_are_held_once_where_that_is_shorter() -> None:
    thousand = [(event, 1.0) for event in range(1_000)]
    sizes = {}
    for name, aggregation in {
        "last": Aggregation("x", "last", windows=["1s"]),
        "last five": Aggregation("x", "last", n=5, windows=["1s"]),
        "max": Aggregation("x", "max", windows=["1s"]),
        "count": Aggregation("x", "count", windows=["1s"]),
    }.items():
        features = features_of([aggregation])
        (value,) = stored([thousand], features, end=1_000)
        sizes[name] = len(value) - 8 * len(thousand)
        for now in (1_000, 1_000_000, 1_000_500, 1_000_998, 1_000_999):
            assert reader(features).row(value, now) == by_hand(thousand, features, now), name
    # Times are 8 bytes each; then a handful of steps, or one for each row: 4 bytes for where it is, and its digits.
    assert max(sizes["last"], sizes["last five"], sizes["max"]) < 300
    assert 6_000 < sizes["count"] < 8_000


def test_rows_that_left_before_the_run_are_no_steps_of_windows() -> None:
    features = features_of(FINITE)
    (value,) = stored([[(0, 1.0), (1, 2.0), (2, 3.0), (9, 4.0)]], features)
    (shorter,) = stored([[(9, 4.0)]], features)
    assert len(value) == len(shorter)


def test_lists_of_last_values_are_not_made_for_each_of_many_rows() -> None:
    made: list[int] = []

    def counted(columns: Sequence[tuple[pa.Array, DataType]]) -> list[pa.Array]:
        made.extend(len(column) for column, _ in columns)
        return encode(columns)

    rows = [(event, float(event)) for event in range(5_000)]
    features = features_of([Aggregation("x", "last", n=100, windows=["1s"])])
    held = KeyRows(
        np.array([0, 5_000]),
        np.arange(5_000),
        {"x": pa.array([value for _, value in rows])},
        end=5_000,
        longest=10**6,
    )
    head = pa.array([encode_value(b"", event=4_999, available=4_999, sequence=1)], pa.large_binary())
    (value,) = values(held, head, features, encode=counted).to_pylist()
    assert made == [100]
    for now in (5_000, 1_004_899, 1_004_900, 1_004_998):
        assert reader(features).row(value, now) == by_hand(rows, features, now)


def test_tracks_are_shared_by_windows_and_apart_without() -> None:
    features = features_of([*FINITE, *ENDLESS])
    assert [(one.feature.function, one.feature.n, one.window) for one in tracks_of(features)] == [
        ("count", None, 8),
        ("sum", None, 8),
        ("max", None, 5),
        ("last", None, 8),
        ("last", 2, 8),
        ("sum", None, None),
        ("last", 2, None),
    ]


@given(KEYS, st.data())
def test_a_damaged_value_is_refused_or_still_one_row(key: list[Row], data: st.DataObject) -> None:
    features = features_of([*FINITE, *ENDLESS])
    read = reader(features)
    (value,) = stored([key], features)
    cut = data.draw(st.integers(0, len(value) - 1))
    with pytest.raises(DAMAGED):
        read.row(value[:cut], END)
    place, byte = data.draw(st.integers(66, len(value) - 1)), data.draw(st.integers(0, 255))
    changed = value[:place] + bytes([byte]) + value[place + 1 :]
    try:
        row = read.row(changed, END)
    except DAMAGED:
        return
    assert isinstance(row, bytes)
