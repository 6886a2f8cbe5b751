"""Columns by places: the same as Arrow's take, for every declared type, and nothing shows through under a null."""

from __future__ import annotations

import datetime
import decimal
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
