"""Values of functions as those of the declared types: every vector, what is lossless, what is refused; Python and Arrow alike."""

from __future__ import annotations

import decimal
import math
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitherto.encoding.row_codec import decode_column, encode_fragment
from hitherto.on_demand.samples import orders, sample_columns
from hitherto.on_demand.values import can_be, conform, conform_array, conformer, from_json, python_values
from hitherto.types import (
    Bool,
    Bytes,
    DataType,
    Date,
    Decimal,
    Float32,
    Float64,
    Int8,
    Int32,
    Int64,
    List,
    String,
    Struct,
    Timestamp,
)
from vectors import VECTORS

AT = datetime(2013, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize("kind", VECTORS, ids=repr)
def test_every_vector_is_itself_from_python_arrow_polars_and_json(kind: DataType) -> None:
    values = list(VECTORS[kind])
    assert repr(conform(kind, values)) == repr((values, []))
    assert repr(conformer(kind)(values)) == repr((values, []))
    array = pa.array(values, kind.arrow)
    same, refused = conform_array(kind, array)
    assert (same.type, refused) == (kind.arrow, [])
    assert repr(python_values(kind, same)) == repr(values)
    assert repr(python_values(kind, conform_array(kind, pa.chunked_array([array]))[0])) == repr(values)
    through = conform_array(kind, pl.Series(values=array).to_arrow())
    assert repr(python_values(kind, through[0])) == repr(values)
    import msgspec

    sent = [msgspec.json.decode(encode_fragment(kind, value)) for value in values]
    assert repr(from_json(kind, sent)) == repr((values, []))
    assert repr(conformer(kind, json=True)(sent)) == repr((values, []))


@pytest.mark.parametrize(
    ("kind", "value", "taken"),
    [
        (Int64, 3.0, 3),
        (Int64, -0.0, 0),
        (Int64, decimal.Decimal("4.00"), 4),
        (Int8, np.int64(7), 7),
        (Float64, 3, 3.0),
        (Float64, np.float32(0.5), 0.5),
        (Float64, decimal.Decimal("0.5"), 0.5),
        (Float32, 0.1, 0.10000000149011612),
        (Float32, math.inf, math.inf),
        (Bool, np.bool_(True), True),
        (Decimal(10, 2), 3, decimal.Decimal("3.00")),
        (Decimal(10, 2), 0.5, decimal.Decimal("0.50")),
        (Decimal(10, 2), decimal.Decimal("1.5"), decimal.Decimal("1.50")),
        (Timestamp, AT.astimezone(timezone(timedelta(hours=5))), AT),
        (Timestamp, AT.replace(tzinfo=None), AT),
        (List(Int64), (1, 2), [1, 2]),
        (Struct({"a": Int64, "b": Int64}), {"a": 1}, {"a": 1, "b": None}),
    ],
)
def test_what_loses_nothing_is_taken(kind: DataType, value: Any, taken: Any) -> None:
    for conforming in (lambda values: conform(kind, values), conformer(kind)):
        assert repr(conforming([value, None])) == repr(([taken, None], []))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Int64, 2.5),
        (Int64, math.nan),
        (Int64, math.inf),
        (Int64, 2**63),
        (Int8, 128),
        (Int64, True),
        (Int64, "3"),
        (Float64, 2**53 + 1),
        (Float64, decimal.Decimal("0.1")),
        (Float64, True),
        (Float64, "1"),
        (Float32, 1e300),
        (Bool, 1),
        (Bool, "true"),
        (String, b"x"),
        (String, "\ud800"),
        (String, 1),
        (Bytes, "x"),
        (Date, AT),
        (Date, "2013-01-01"),
        (Timestamp, date(2013, 1, 1)),
        (Timestamp, "2013-01-01T00:00:00Z"),
        (Timestamp, datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))),
        (Decimal(4, 2), decimal.Decimal("100.00")),
        (Decimal(4, 2), decimal.Decimal("0.001")),
        (Decimal(4, 2), 0.1),
        (Decimal(4, 2), decimal.Decimal("NaN")),
        (List(Int64), [1.5]),
        (List(Int64), "12"),
        (Struct({"a": Int64}), {"b": 1}),
        (Struct({"a": Int64}), [1]),
        (String, object()),
    ],
)
def test_what_would_change_a_value_is_refused_alone(kind: DataType, value: Any) -> None:
    good = VECTORS[kind][0] if kind in VECTORS else None
    for conforming in (lambda values: conform(kind, values), conformer(kind)):
        assert repr(conforming([good, value])) == repr(([good, None], [1]))
        assert repr(conforming([value])) == repr(([None], [0]))


@pytest.mark.parametrize(
    ("kind", "array", "values", "refused"),
    [
        (Int64, pa.array([1.0, 2.5, None]), [1, None, None], [1]),
        (Int8, pa.array([1, 300], pa.int64()), [1, None], [1]),
        (Int64, pa.array([1, 2**63], pa.uint64()), [1, None], [1]),
        (Float64, pa.array([1, 2**53 + 1], pa.int64()), [1.0, None], [1]),
        (Float64, pa.array([2**60], pa.int64()), [2.0**60], []),
        (Float32, pa.array([0.1, 1e300]), [0.10000000149011612, None], [1]),
        (Float32, pa.array([0.5, math.inf]), [0.5, math.inf], []),
        (Float64, pa.array([decimal.Decimal("0.5"), decimal.Decimal("0.1")]), [0.5, None], [1]),
        (Decimal(4, 2), pa.array([0.5, 0.1]), [decimal.Decimal("0.50"), None], [1]),
        (
            Decimal(4, 2),
            pa.array([decimal.Decimal("1.5"), decimal.Decimal("0.125")]),
            [decimal.Decimal("1.50"), None],
            [1],
        ),
        (Decimal(4, 2), pa.array([3, 1000], pa.int64()), [decimal.Decimal("3.00"), None], [1]),
        (String, pa.array(["a", None], pa.large_string()), ["a", None], []),
        (String, pa.array(["a", "a"]).dictionary_encode(), ["a", "a"], []),
        (String, pa.array([1, None]), [None, None], [0]),
        (Bool, pa.array([1, 0]), [None, None], [0, 1]),
        (Timestamp, pa.array([AT.replace(tzinfo=None)], pa.timestamp("us")), [AT], []),
        (Timestamp, pa.array([AT], pa.timestamp("ms", "Europe/Paris"), safe=False), [AT.replace(microsecond=0)], []),
        (
            Timestamp,
            pa.array([-1], pa.int64()).cast(pa.timestamp("ns", "UTC")),
            [datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)],
            [],
        ),
        (Date, pa.array([date(2013, 1, 1)], pa.date64()), [date(2013, 1, 1)], []),
        (List(Float64), pa.array([[1], None], pa.large_list(pa.int32())), [[1.0], None], []),
        (Int64, pa.nulls(2), [None, None], []),
        (Int64, pa.chunked_array([], pa.int32()), [], []),
    ],
)
def test_columns_of_arrow_follow_the_same_rules(
    kind: DataType, array: pa.Array, values: list[Any], refused: list[int]
) -> None:
    taken, wrong = conform_array(kind, array)
    assert taken.type == kind.arrow
    assert repr(python_values(kind, taken)) == repr(values)
    assert wrong == refused


@given(
    st.sampled_from([Int8, Int64, Float64, Float32, Decimal(10, 2)]),
    st.one_of(
        st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)),
        st.lists(st.none() | st.floats()),
        st.lists(st.none() | st.decimals(min_value=-1000, max_value=1000, places=3)),
    ),
)
def test_python_and_arrow_agree_on_numbers(kind: DataType, values: list[Any]) -> None:
    taken, refused = conform(kind, values)
    array, wrong = conform_array(kind, pa.array(values))
    assert repr(python_values(kind, array)) == repr(taken)
    assert wrong == refused
    assert repr(conformer(kind)(values)) == repr((taken, refused))
    assert repr(decode_column(kind, [encode_fragment(kind, one) for one in taken])) == repr(taken)


def test_families_of_types() -> None:
    assert can_be(pa.int32(), Float64)
    assert not can_be(pa.string(), Int64)
    assert can_be(pa.struct([("a", pa.int32())]), Struct({"a": Int64, "b": String}))
    assert not can_be(pa.struct([("c", pa.int32())]), Struct({"a": Int64}))
    assert not can_be(pa.list_(pa.string()), List(Int32))


def test_made_up_rows_have_equal_and_different_values_and_nulls_between_them() -> None:
    columns, count = sample_columns({repr(kind): kind for kind in VECTORS})
    for kind in VECTORS:
        values = columns[repr(kind)].to_pylist()
        assert len(values) == count
        assert 0 < values.count(None) < count / 2
        assert None in values[next(row for row, value in enumerate(values) if value is not None) : -1]
        assert (3 if kind == Bool else 5) <= len(set(map(repr, values))) < count / 2


def test_digits_are_counted_before_they_are_made() -> None:
    # A lookup that wrote them out would fill the memory, or freeze the server for hours.
    huge = ["1e999999999", "1e-999999999", "-1e8000000", "0e999999999", "12e3"]
    assert from_json(Decimal(10, 2), huge) == (
        [None, None, None, decimal.Decimal("0.00"), decimal.Decimal("12000.00")],
        [0, 1, 2],
    )
    exact = [decimal.Decimal(text) for text in huge]
    assert conform(Int64, exact) == ([None, None, None, 0, 12000], [0, 1, 2])
    assert conform(Decimal(10, 2), exact)[1] == [0, 1, 2]
    assert conform(Float64, exact) == ([None, None, None, 0.0, 12000.0], [0, 1, 2])
    assert conform(Decimal(3, 2), [10**400, 9, 10]) == ([None, decimal.Decimal("9.00"), None], [0, 2])


@pytest.mark.parametrize("kind", [Decimal(10, 2), Float32, Float64, Int64, Timestamp, Date, Bytes, String], ids=repr)
def test_true_in_json_is_no_value_of_another_type(kind: DataType) -> None:
    assert from_json(kind, [True, None]) == ([None, None], [0])
    assert from_json(List(kind), [[True], [None]]) == ([None, [None]], [0])
    assert from_json(Struct({"a": kind}), [{"a": False}, {"a": None}, {"b": None}]) == (
        [None, {"a": None}, None],
        [0, 2],
    )


def test_a_decimal_in_json_is_a_text_or_a_number() -> None:
    assert from_json(Decimal(10, 2), [[0, [1], 0], {}, 1.5]) == ([None, None, decimal.Decimal("1.50")], [0, 1])


def test_orders_hold_each_row_once_and_differ() -> None:
    found = orders(24)
    assert all(sorted(one) == list(range(24)) for one in found)
    assert len(set(map(tuple, found))) == len(found) == 4
