"""Columns by places: the same as Arrow's take, for every declared type, and nothing shows through under a null."""

from __future__ import annotations

import datetime
import decimal
import tracemalloc
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hitherto.offline.duckdb import gathering
from hitherto.offline.duckdb.gathering import Places, gather

COLUMNS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "bool": (pa.bool_(), [True, False, None]),
    "int8": (pa.int8(), [-128, 127, None]),
    "int16": (pa.int16(), [-5, 5, None]),
    "int32": (pa.int32(), [1, 2, 3]),
    "int64": (pa.int64(), [2**53 + 1, -1, None]),
    "float": (pa.float32(), [0.5, -0.0, None]),
    "double": (pa.float64(), [float("inf"), -0.0, 5e-324]),
    "date": (pa.date32(), [datetime.date(1, 1, 1), None, datetime.date(2020, 1, 1)]),
    "timestamp": (pa.timestamp("us"), [datetime.datetime(1700, 1, 1), None, datetime.datetime(2020, 1, 1)]),
    "decimal": (pa.decimal128(20, 2), [decimal.Decimal("1.10"), None, decimal.Decimal("-3.00")]),
    "string": (pa.string(), ["", "a\0b", None]),
    "binary": (pa.binary(), [b"", b"\xff", None]),
    "list": (pa.list_(pa.int64()), [[], [1, None], None]),
    "nested": (
        pa.list_(pa.struct([("a", pa.list_(pa.string())), ("b", pa.bool_())])),
        [[{"a": ["x", None, "yz"], "b": True}, None], None, [{"a": None, "b": None}]],
    ),
    "struct": (pa.struct([("a", pa.int64())]), [{"a": 1}, None, {"a": None}]),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_taken_as_arrow_takes_them(name: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "TASK", 3)
    monkeypatch.setattr(gathering, "SAMPLE", 2)
    kind, values = COLUMNS[name]
    # Chunks that are empty, or begin inside of their buffers.
    chunks = [pa.array(values, kind), pa.array([], kind), pa.array([*values, *values], kind).slice(2, 3)]
    column = pa.chunked_array(chunks, kind)
    for places in ([0, 5, -1, 3, 3, 2, 1, 4], [2, 2, 0, 1], [-1, -1], []):
        (taken,) = gather([column], Places(np.array(places, dtype=np.int64)), threads=threads)
        taken.validate(full=True)
        wanted = column.take(pa.array([None if one < 0 else one for one in places], pa.int64()))
        assert taken.type == kind
        assert taken.combine_chunks().equals(wanted.combine_chunks())


@pytest.mark.parametrize("different", [5, 5_000])
def test_text_of_few_and_of_many_different_values(different: int) -> None:
    rng = np.random.default_rng(different)
    column = pa.chunked_array([[None if one == 3 else f"{one}é" for one in rng.integers(0, different, 20_000)]])
    places = rng.integers(-1, 20_000, 50_000)
    (taken,) = gather([column], Places(places), threads=2)
    assert taken.combine_chunks().equals(column.take(pa.array(places, mask=places < 0)).combine_chunks())


def test_nothing_to_take_from_gives_nulls_with_nothing_under_them() -> None:
    empty = pa.chunked_array([], pa.int64())
    (taken,) = gather([empty], Places(np.array([-1, -1])), threads=1)
    assert taken.to_pylist() == [None, None]
    (hidden,) = gather([pa.chunked_array([[7, 8]])], Places(np.array([0, 1])).only(np.array([True, False])), threads=1)
    assert np.frombuffer(hidden.chunk(0).buffers()[1], np.int64).tolist() == [7, 0]


@pytest.mark.parametrize("name", ["string", "binary", "list", "nested"])
def test_no_array_gets_more_than_its_offsets_can_count(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What 2 GB would be: as if offsets counted to five only.
    monkeypatch.setattr(gathering, "MOST", 5)
    kind, values = {
        "string": (pa.string(), ["four", "", None, "x", "nineteen bytes long"]),
        "binary": (pa.binary(), [b"four", b"", None, b"x"]),
        "list": (pa.list_(pa.int8()), [[1, 2, 3], [], None, [None]]),
        "nested": (pa.list_(pa.struct([("a", pa.string())])), [[{"a": "abc"}], None, [{"a": "d"}, {"a": "e"}]]),
    }[name]
    for column in (pa.chunked_array([values], kind), pa.chunked_array([values * 2_000], kind)):
        places = np.array([*range(len(values))] * 4 + [-1])
        (taken,) = gather([column], Places(places), threads=2)
        assert taken.type == kind
        assert taken.to_pylist() == [*values * 4, None]
        assert all(len(chunk) == 1 or sizes(chunk) <= 5 for chunk in taken.chunks)
        assert taken.num_chunks > 1


def sizes(array: pa.Array) -> int:
    """The bytes or elements that an array's offsets count, in the deepest that it has."""
    if pa.types.is_list(array.type):
        return max(len(array.values), sizes(array.values))
    if pa.types.is_struct(array.type):
        return sizes(array.field(0))
    return sum(map(len, filter(None, array.to_pylist()))) if not pa.types.is_integer(array.type) else 0


def test_chunks_are_put_together_with_offsets_that_count_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[pa.DataType] = []
    concat = pa.concat_arrays

    def watched(arrays: list[pa.Array]) -> pa.Array:
        joined.append(arrays[0].type)
        return concat(arrays)

    monkeypatch.setattr(gathering, "MOST", 5)
    monkeypatch.setattr(gathering.pa, "concat_arrays", watched)
    text, lists = pa.chunked_array([["a"], ["b"]]), pa.chunked_array([[["a"]], [["b"]]], pa.list_(pa.string()))
    for taken in gather([text, lists], Places(np.array([1, 0])), threads=1):
        taken.validate(full=True)
    assert joined == [pa.large_string(), pa.large_list(pa.large_string())]


def test_columns_are_copied_a_few_at_a_time() -> None:
    columns = [pa.chunked_array([np.arange(20_000.0)])] * 16
    places = Places(np.zeros(1, dtype=np.int64))
    tracemalloc.start()
    try:
        gather(columns, places, threads=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * columns[0].nbytes
