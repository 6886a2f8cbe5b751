"""Requests of windowed features: which key, which rows, in which order the answers come."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from hitherto.definitions.aggregation import WindowedFeature
from hitherto.types import Float64, Int64, List, String
from hitherto.windows import requests
from hitherto.windows.requests import NEVER, Rows, answer

COUNT = WindowedFeature("count_10", "value", "count", 10, None, None, Int64)
SUM = WindowedFeature("sum", "value", "sum", None, None, None, Float64)
LAST = WindowedFeature("last", "name", "last", 10, None, None, String)
LAST_TWO = WindowedFeature("last_2", "name", "last", None, 2, None, List(String))
MAX = WindowedFeature("max", "name", "max", 300, None, None, String)
ALL = [COUNT, SUM, LAST, LAST_TWO]
EVERY = [
    WindowedFeature(f"{column}_{function}_{n}_{window}", column, function, window, n, p, dtype)
    for window in (600, 900, None)
    for column, function, n, p, dtype in (
        ("value", "mean", None, None, Float64),
        ("value", "variance", None, None, Float64),
        ("value", "min", None, None, Float64),
        ("name", "max", None, None, String),
        ("value", "first", None, None, Float64),
        ("name", "last", None, None, String),
        ("name", "last", 3, None, List(String)),
        ("value", "percentile", None, 0.9, Float64),
        ("value", "percentile", None, 0.0, Float64),
        ("name", "count_distinct", None, None, Int64),
        ("value", "approx_count_distinct", None, None, Int64),
    )
]


def integers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def rows(keys: list[int], events: list[int], **times: np.ndarray | None) -> Rows:
    values, names = [float(one) for one in range(len(keys))], [f"row {one}" for one in range(len(keys))]
    columns = {"value": pa.array(values, pa.float64()), "name": pa.array(names, pa.string())}
    return Rows(integers(*keys), integers(*events), columns, **times)


def asked(given: Rows, *questions: tuple[int, int], longest: int | None = None) -> list[tuple[object, ...]]:
    keys, times = (integers(*one) for one in zip(*questions, strict=True))
    found = answer(given, keys, times, ALL, longest=longest)
    return list(zip(*(column.to_pylist() for column in found.features), strict=True))


def test_answers_come_in_the_order_of_the_requests_for_known_and_unknown_keys() -> None:
    given = rows([-5, -5, 7], [0, 5, 3])
    assert asked(given, (7, 3), (-5, 9), (6, 9), (-5, 10), (99, 9), (-99, 9)) == [
        (1, 2.0, "row 2", ["row 2"]),
        (2, 1.0, "row 1", ["row 0", "row 1"]),
        (0, None, None, None),
        (1, 1.0, "row 1", ["row 0", "row 1"]),
        (0, None, None, None),
        (0, None, None, None),
    ]


def test_no_rows_at_all_and_no_requests() -> None:
    assert asked(rows([], []), (1, 1), (2, 2)) == [(0, None, None, None)] * 2
    found = answer(rows([1], [1]), integers(), integers(), ALL, longest=None)
    assert [len(column) for column in found.features] == [0, 0, 0, 0]
    assert [column.type for column in found.features] == [one.dtype.arrow for one in ALL]
    assert len(found.found) == 0


def test_found_goes_by_the_longest_window_and_names_the_newest_row() -> None:
    given = rows([1, 1], [0, 100])
    for longest, wanted in ((50, [False, True, False]), (None, [True, True, True])):
        found = answer(given, integers(1, 1, 1), integers(99, 149, 150), [COUNT], longest=longest)
        assert found.found.tolist() == wanted
    assert found.events.tolist() == [0, 100, 100]


def test_the_longest_window_that_can_be_written_reaches_everything() -> None:
    longest = 86_400_000_000 * 999_999_999
    one = WindowedFeature("count", "value", "count", longest, None, None, Int64)
    least, most = -62_135_596_800_000_000, 253_402_300_799_999_999
    found = answer(rows([1, 1], [least, most]), integers(1, 1), integers(least, most), [one], longest=longest)
    assert found.features[0].to_pylist() == [1, 2]


def test_late_masked_and_corrected_rows() -> None:
    late = rows([1, 1, 1], [0, 1, 2], starts=integers(0, 9, 2))
    assert asked(late, (1, 2), (1, 8), (1, 9)) == [
        (2, 2.0, "row 2", ["row 0", "row 2"]),
        (2, 2.0, "row 2", ["row 0", "row 2"]),
        (3, 3.0, "row 2", ["row 1", "row 2"]),
    ]
    masked = rows([1, 1], [0, 1], ends=integers(NEVER, 5))
    assert asked(masked, (1, 4), (1, 5)) == [(2, 1.0, "row 1", ["row 0", "row 1"]), (1, 0.0, "row 0", ["row 0"])]
    corrected = rows([1, 1, 1], [0, 0, 5], starts=integers(0, 7, 5), versions=True)
    assert asked(corrected, (1, 6), (1, 7)) == [
        (2, 2.0, "row 2", ["row 0", "row 2"]),
        (2, 3.0, "row 2", ["row 1", "row 2"]),
    ]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("patience", [0, 1_000_000])
def test_answers_do_not_depend_on_chunks_batches_and_threads(
    patience: int, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    keys = np.sort(np.where(rng.random(5_000) < 0.5, 3, rng.integers(0, 400, 5_000)))
    events = rng.integers(0, 1_000, 5_000)
    order = np.lexsort((events, keys))
    events = events[order]
    starts = events + rng.integers(0, 50, 5_000)
    ends = np.where(rng.random(5_000) < 0.1, starts + 100, NEVER)
    columns = {"value": pa.array(rng.normal(size=5_000)), "name": pa.array(rng.integers(0, 9, 5_000).astype(str))}
    given = Rows(keys, events, columns, starts, ends if masked else None)
    asked_keys, times = rng.integers(-5, 405, 3_000), rng.integers(0, 1_000, 3_000)
    features = [*ALL, MAX]
    at_once = answer(given, asked_keys, times, features, longest=None)
    monkeypatch.setattr(requests, "PATIENCE", patience)
    monkeypatch.setattr(requests, "CHUNK", 101)
    monkeypatch.setattr(requests, "SPELLED", 77)
    by_parts = answer(given, asked_keys, times, features, longest=None, threads=3)
    for one, other in zip(at_once.features, by_parts.features, strict=True):
        assert one.combine_chunks().equals(other.combine_chunks())
    assert (at_once.found == by_parts.found).all()
    assert (at_once.events == by_parts.events)[at_once.found].all()


@pytest.mark.parametrize(("masked", "versions"), [(False, False), (True, False), (False, True)])
def test_a_key_with_thousands_of_late_rows_is_answered_without_spelling_them_out(
    masked: bool, versions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(6)
    count = 9_000
    keys = np.repeat([1, 2, 3], [count - 200, 100, 100])
    events = np.concatenate([np.sort(rng.integers(0, 1_000, len_)) for len_ in (count - 200, 100, 100)])
    starts = events + np.where(rng.random(count) < 0.3, rng.integers(0, 500, count), 0)
    ends = np.where(rng.random(count) < 0.2, starts + rng.integers(0, 300, count), NEVER)
    columns = {
        "value": pa.array(rng.normal(size=count), mask=rng.random(count) < 0.1),
        "name": pa.array(rng.integers(0, 300, count).astype(str)),
    }
    given = Rows(keys, events, columns, starts, ends if masked else None, versions)
    # Not so late that most requests have windows of which all rows are there.
    asked_keys, times = rng.choice([1, 1, 1, 2, 3], 600), rng.integers(100, 900, 600)
    spell = requests._batches
    monkeypatch.setattr(requests, "_batches", None)
    found = answer(given, asked_keys, times, EVERY, longest=None)
    monkeypatch.setattr(requests, "_batches", spell)
    monkeypatch.setattr(requests, "PATIENCE", 1_000_000)
    spelled = answer(given, asked_keys, times, EVERY, longest=None)
    for feature, one, other in zip(EVERY, found.features, spelled.features, strict=True):
        assert one.combine_chunks().equals(other.combine_chunks()), feature
    assert (found.found == spelled.found).all()
    assert (found.events == spelled.events)[found.found].all()
    estimates = found.features[-1].to_numpy()
    assert versions or estimates.max() > 2_048, "some are estimated from more than one halving"
