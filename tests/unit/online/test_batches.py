"""Batches on their way into a store: what wins in bulk is what `decide` says, row by row."""

from __future__ import annotations

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import given

from hitherto.encoding.row_codec import encode_value
from hitherto.online.batches import ascending, chosen, distinct_keys, pieces, texts, winners
from hitherto.online.store import decide

INSTANTS = st.sampled_from([0, 1, 0xA, 0xAA, -1, 9 << 48])
VALUES = st.builds(
    encode_value,
    st.one_of(st.binary(max_size=4), st.integers(0, 9).map(lambda size: b"abcdefgh\x80"[:size])),
    event=INSTANTS,
    created=st.one_of(st.none(), INSTANTS),
    available=INSTANTS,
    sequence=st.integers(0, 3),
)
MAYBE = st.one_of(st.none(), VALUES)


@given(st.lists(st.tuples(MAYBE, MAYBE)), st.one_of(st.none(), st.integers(0, 3)))
def test_what_wins_in_bulk_is_what_the_rule_says_row_by_row(
    pairs: list[tuple[bytes | None, bytes | None]], number: int | None
) -> None:
    sequence = None if number is None else b"%016x" % number
    stored, values = [held for held, _ in pairs], pa.array([value for _, value in pairs], pa.large_binary())
    setting, removing = winners(values, stored, sequence=sequence)
    told = [decide(held, value, sequence=sequence) for held, value in pairs]
    assert setting.to_pylist() == [wins and value is not None for wins, (_, value) in zip(told, pairs, strict=True)]
    assert removing.to_pylist() == [wins and value is None for wins, (_, value) in zip(told, pairs, strict=True)]


def test_slices_of_columns_are_compared_as_they_are() -> None:
    rows = [encode_value(b"%d" % number, event=number, available=number, sequence=1) for number in range(9)]
    setting, _ = winners(pa.array(rows, pa.large_binary()).slice(3, 3), rows[2:4] + rows[7:8], sequence=None)
    assert setting.to_pylist() == [True, True, False]


@pytest.mark.parametrize(
    ("keys", "distinct", "sorted_"),
    [([], True, True), ([b"a"], True, True), ([b"a", b"\xff"], True, True), ([b"b", b"a"], True, False), ([b"a", b"b", b"a"], False, False), ([b"a", b"a"], False, False)],
)  # fmt: skip
def test_keys_that_come_twice_are_seen(keys: list[bytes], distinct: bool, sorted_: bool) -> None:
    batch = pa.record_batch({"key": pa.array(keys, pa.binary())})
    assert distinct_keys(batch) is distinct
    assert ascending(pa.array(keys, pa.large_binary())) is sorted_


@pytest.mark.parametrize("mask", [[True, True, True], [False, False, False], [False, True, False]])
def test_chosen_values_are_those_of_the_mask(mask: list[bool]) -> None:
    array = pa.array([b"x", b"1", b"2", b"3"], pa.large_binary()).slice(1)
    assert texts(chosen(array, pa.array(mask))) == [
        one for one, wanted in zip([b"1", b"2", b"3"], mask, strict=True) if wanted
    ]


def test_pieces_are_bounded_binary_and_keep_what_else_there_is() -> None:
    batch = pa.record_batch({"key": ["a", "b", "c"], "value": ["1", None, "3"], "bucket": [7, 8, 9]})
    found = list(pieces([batch, batch.slice(0, 0)], rows=2))
    assert [piece.to_pylist() for piece in found] == [
        [{"key": b"a", "value": b"1", "bucket": 7}, {"key": b"b", "value": None, "bucket": 8}],
        [{"key": b"c", "value": b"3", "bucket": 9}],
    ]


def test_pieces_of_large_values_hold_fewer_rows() -> None:
    batch = pa.record_batch({"key": [b"%d" % number for number in range(10)], "value": [b"x" * (1 << 20)] * 10})
    assert [piece.num_rows for piece in pieces([batch], rows=2_000)] == [3, 3, 3, 1]
    assert [piece.num_rows for piece in pieces([batch], rows=2)] == [2, 2, 2, 2, 2]
    whole = pa.record_batch({"key": [b"1"], "value": [b"x" * (5 << 20)]})
    assert [piece.num_rows for piece in pieces([whole], rows=2_000)] == [1]
