from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from hitherto.offline.content_hash import ContentHash, hash_batches, hash_table

TEXT = ["", "a", None, "longer than the twelve bytes of a view", "\0", "é"]
COLUMNS: dict[str, pa.Array] = {
    "int8": pa.array([1, None, -1, 0], pa.int8()),
    "uint64": pa.array([2**64 - 1, None, 0], pa.uint64()),
    "int64": pa.array([2**53 + 1, None, -(2**63)]),
    "float16": pa.array([1.5, None, math.nan], pa.float16()),
    "float32": pa.array([1.5, None, math.inf], pa.float32()),
    "float64": pa.array([0.0, -0.0, None, math.nan, 5e-324]),
    "bool": pa.array([True, None, False]),
    "string": pa.array(TEXT),
    "binary": pa.array([b"", None, b"\0"]),
    "fixed binary": pa.array([b"ab", None], pa.binary(2)),
    "date": pa.array([dt.date(1, 1, 1), None]),
    "date64": pa.array([dt.date(2020, 1, 1), None], pa.date64()),
    "time32": pa.array([dt.time(1, 2), None], pa.time32("s")),
    "time64": pa.array([dt.time(1, 2), None], pa.time64("ns")),
    "duration": pa.array([1, None], pa.duration("s")),
    "timestamp[s]": pa.array([1, None], pa.timestamp("s")),
    "timestamp[ns, zone]": pa.array([1, None], pa.timestamp("ns", "America/New_York")),
    "decimal": pa.array([Decimal("1.10"), None], pa.decimal128(5, 2)),
    "decimal256": pa.array([Decimal("1.10"), None], pa.decimal256(50, 2)),
    "null": pa.nulls(3),
    "list": pa.array([[1, None], [], None, [2**53 + 1]]),
    "list of lists": pa.array([[["a"], None], None, [[]]]),
    "fixed list": pa.array([[1, 2], None, [3, None]], pa.list_(pa.int64(), 2)),
    "list view": pa.array([[1], None, []], pa.list_view(pa.int64())),
    "struct": pa.array([{"x": 1, "y": ["a"]}, None, {"x": None, "y": None}]),
    "map": pa.array([[("a", 1)], None, [("b", 2), ("c", None)]], pa.map_(pa.string(), pa.int64())),
    "interval": pa.array([pa.MonthDayNano([1, 2, 3]), None]),
    "string view": pa.array(TEXT, pa.string_view()),
    "binary view": pa.array([b"a", None, b"longer than the twelve bytes"], pa.binary_view()),
    "dictionary": pa.array(["a", None, "b", "a"]).dictionary_encode(),
    "dictionary of texts": pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0]), pa.array(["a", "b"], pa.large_string())),
    "run-end encoded": pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"]),
}  # fmt: skip


def of(array: pa.Array) -> str:
    return hash_table(pa.table({"x": array}))


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_type_has_a_hash_that_no_cutting_into_batches_changes(name: str) -> None:
    array = COLUMNS[name]
    single = hash_batches([pa.table({"x": array.slice(row, 1)}) for row in range(len(array))])
    assert single == (of(array), len(array))


@pytest.mark.parametrize("name", [one for one in COLUMNS if one not in ("interval", "run-end encoded")])
def test_a_slice_hashes_as_the_same_values_made_anew(name: str) -> None:
    array = COLUMNS[name]
    anew = pa.array(array.slice(1).to_pylist(), array.type)
    assert of(array.slice(1)) == of(anew)
    assert of(array.slice(1)) != of(array)


@pytest.mark.parametrize("name", [one for one in COLUMNS if one not in ("null", "interval", "run-end encoded")])
def test_a_null_is_not_the_value_that_stands_under_it(name: str) -> None:
    array = COLUMNS[name]
    first = array.slice(0, 1)
    assert of(first) != of(pa.array([None], array.type))
    assert of(array) != of(pa.array(array.to_pylist()[::-1], array.type))


@pytest.mark.parametrize(
    ("plain", "other"),
    [
        (pa.array(TEXT), pa.array(TEXT, pa.large_string())),
        (pa.array(TEXT), pa.array(TEXT, pa.string_view())),
        (pa.array(TEXT), pa.array(TEXT).dictionary_encode()),
        (pa.array(TEXT), pa.array(TEXT, pa.dictionary(pa.uint8(), pa.large_string()))),
        (pa.array(["a", None]), pa.DictionaryArray.from_arrays(pa.array([0, None]), pa.array(["a"], pa.string_view()))),
        (pa.array(["a", "a", "b"]), COLUMNS["run-end encoded"]),
        (pa.array([b"a", None]), pa.array([b"a", None], pa.large_binary())),
        (pa.array([["a"], None]), pa.array([["a"], None], pa.large_list(pa.large_string()))),
        (pa.array([["a"], None]), pa.array([["a"], None], pa.list_(pa.field("element", pa.string(), nullable=False)))),
        (pa.array([["a"], None]), pa.array([["a"], None], pa.list_view(pa.string()))),
        (
            pa.array([{"x": "a"}, None]),
            pa.StructArray.from_arrays([pa.array(["a", "z"]).dictionary_encode()], ["x"], mask=pa.array([False, True])),
        ),
    ],
    ids=lambda array: str(array.type),
)
def test_how_values_are_laid_out_in_memory_is_no_part_of_them(plain: pa.Array, other: pa.Array) -> None:
    assert of(plain) == of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([1], pa.int64()), pa.array([1], pa.int32())),
        (pa.array([1], pa.int64()), pa.array([1.0])),
        (pa.array([0.0]), pa.array([-0.0])),
        (pa.array([math.nan]), pa.array([None], pa.float64())),
        (pa.array(["ab", "c"]), pa.array(["a", "bc"])),
        (pa.array(["", None]), pa.array([None, ""])),
        (pa.array([["a", "b"], []]), pa.array([["a"], ["b"]])),
        (pa.array([[]], pa.list_(pa.int64())), pa.array([None], pa.list_(pa.int64()))),
        (pa.array([{"x": 1}]), pa.array([{"y": 1}])),
        (pa.array([Decimal("1.10")]), pa.array([Decimal("1.1")])),
        (pa.array([1], pa.timestamp("us")), pa.array([1], pa.timestamp("us", "UTC"))),
    ],
    ids=lambda array: f"{array.type} {array.to_pylist()}",
)
def test_different_values_or_types_have_different_hashes(one: pa.Array, other: pa.Array) -> None:
    assert of(one) != of(other)


def test_nan_is_one_value_whatever_its_bits() -> None:
    quiet, odd = 0x7FF8000000000000, 0xFFF8000000000001
    bits = [
        pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(one.to_bytes(8, "little"))]) for one in (quiet, odd)
    ]
    assert of(bits[0]) == of(bits[1])


def test_what_stands_under_a_null_does_not_count() -> None:
    values = pa.array([7, 8], mask=pa.array([False, True]).to_numpy(zero_copy_only=False))
    assert of(values) == of(pa.array([7, None]))


def test_names_and_their_order_count() -> None:
    a, b = pa.array([1]), pa.array([2])
    tables = [
        pa.table({"a": a, "b": b}),
        pa.table({"b": b, "a": a}),
        pa.table({"a": a, "c": b}),
        pa.table({"a": b, "b": a}),
    ]
    assert len({hash_table(table) for table in tables}) == 4


def test_a_table_without_columns_still_has_its_rows() -> None:
    def empty(rows: int) -> str:
        return hash_table(pa.table({"x": pa.nulls(rows)}).select([]))

    assert empty(1) != empty(2)


def test_rows_in_another_order_are_other_rows() -> None:
    table = pa.table({"x": [1, 2], "y": ["a", "b"]})
    assert hash_table(table) != hash_table(table.take([1, 0]))


def test_an_empty_stream_has_the_hash_of_no_row() -> None:
    def digest(*batches: Any) -> str:
        content = ContentHash()
        for batch in batches:
            content.update(batch)
        return content.hexdigest()

    none = pa.table({"x": pa.array([], pa.int64())})
    assert digest(none) == digest(none, none)
    assert digest(none) != digest(pa.table({"y": pa.array([], pa.int64())}))
