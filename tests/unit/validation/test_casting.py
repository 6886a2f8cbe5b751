from __future__ import annotations

import math
from datetime import date, datetime
from decimal import Decimal as Number
from typing import Any

import duckdb
import pytest

from hitherto.types import (
    Bool,
    Bytes,
    DataType,
    Date,
    Decimal,
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    List,
    String,
    Struct,
    Timestamp,
)  # fmt: skip
from hitherto.validation.casting import cast

KINDS: tuple[DataType, ...] = (
    Bool, Int8, Int64, Float32, Float64, String, Bytes, Date, Timestamp, Decimal(10, 2), Decimal(38, 10),
)  # fmt: skip
# One row per type of a source's column; f: free, c: checked value by value, -: never.
TABLE = {
    "BOOLEAN":       "f----------",
    "TINYINT":       "-ffff----ff",
    "BIGINT":        "-cfcc----cf",
    "UBIGINT":       "-cccc----cf",
    "HUGEINT":       "-cccc----cc",
    "FLOAT":         "-ccff----cc",
    "DOUBLE":        "-cc-f----cc",
    "DECIMAL(10,2)": "-cc-f----ff",
    "DECIMAL(38,0)": "-cc-c----cc",
    "VARCHAR":       "-----f-----",
    "UUID":          "-----f-----",
    "JSON":          "-----f-----",
    "BLOB":          "------f----",
    "DATE":          "-------cc--",
    "TIMESTAMP":     "--------c--",
    "TIME":          "-----------",
    "INTERVAL":      "-----------",
    '"NULL"':        "fffffffffff",
    "ENUM('1')":     "cccccf-cccc",
}  # fmt: skip


@pytest.mark.parametrize("source", TABLE)
def test_each_pair_of_types_is_free_checked_or_never(source: str) -> None:
    assert (
        "".join({"never": "-"}.get(verdict := cast(source, kind).verdict, verdict[0]) for kind in KINDS)
        == TABLE[source]
    )


def typed(source: str, value: str, kind: DataType) -> Any:
    sql = cast(source, kind).typed("x")
    return duckdb.execute(
        f"SELECT y, y IS NULL FROM (SELECT {sql} AS y FROM (SELECT {value}::{source} AS x))"
    ).fetchall()[0][0]


@pytest.mark.parametrize(
    ("source", "value", "kind", "expected"),
    [
        ("DOUBLE", "1.0", Int64, 1),
        ("DOUBLE", "1.5", Int64, None),
        ("DOUBLE", "'nan'", Int64, None),
        ("DOUBLE", "9223372036854775807", Int64, None),
        ("DOUBLE", "-9223372036854775808", Int64, -(2**63)),
        ("DOUBLE", "300", Int8, None),
        ("BIGINT", "9007199254740993", Float64, None),
        ("BIGINT", "9007199254740992", Float64, 2.0**53),
        ("BIGINT", "16777217", Float32, None),
        ("BIGINT", "32768", Int16, None),
        ("UBIGINT", "18446744073709551615", Int64, None),
        ("HUGEINT", "5", Int64, 5),
        ("DOUBLE", "0.1", Decimal(10, 2), Number("0.10")),
        ("DOUBLE", "0.125", Decimal(10, 2), None),
        ("DOUBLE", "1e30", Decimal(10, 2), None),
        ("DECIMAL(10,2)", "7.00", Int64, 7),
        ("DECIMAL(10,2)", "7.01", Int64, None),
        ("DECIMAL(10,2)", "99999999.99", Decimal(6, 2), None),
        ("DECIMAL(38,0)", "9007199254740993", Float64, None),
        ("BIGINT", "99999999999", Decimal(10, 2), None),
        ("DATE", "'2020-02-29'", Timestamp, datetime(2020, 2, 29)),
        ("DATE", "'infinity'", Date, None),
        ("DATE", "'10000-01-01'", Date, None),
        ("DATE", "'10000-01-01'", Timestamp, None),
        ("DATE", "'9999-12-31'", Date, date(9999, 12, 31)),
        ("TIMESTAMP", "'infinity'", Timestamp, None),
        ("TIMESTAMP", "'10000-01-01'", Timestamp, None),
        ("TIMESTAMP", "'0001-01-01'", Timestamp, datetime(1, 1, 1)),
        ("TIMESTAMP_NS", "'2020-01-01'", Timestamp, datetime(2020, 1, 1)),
        ("ENUM('01', 'x')", "'01'", Int32, 1),
        ("ENUM('01', 'x')", "'x'", Int32, None),
        ("ENUM('1.5')", "'1.5'", Int64, None),
        ("ENUM('1.5')", "'1.5'", Decimal(5, 1), Number("1.5")),
        ("ENUM('1.55')", "'1.55'", Decimal(5, 1), None),
        ("ENUM('2020-01-01')", "'2020-01-01'", Date, date(2020, 1, 1)),
        ("ENUM('x')", "'x'", String, "x"),
        ("INTEGER[]", "[1, NULL]", List(Int64), [1, None]),
        ("INTEGER[]", "[1, 300]", List(Int8), None),
        ("BIGINT[][]", "[[1], [2]]", List(List(Int32)), [[1], [2]]),
        ("BIGINT[][]", "[[1], [99999999999]]", List(List(Int32)), None),
        ("TIMESTAMP[]", "['infinity'::TIMESTAMP]", List(Timestamp), None),
        ("DOUBLE[2]", "[1, 2]", List(Float64), [1.0, 2.0]),
        ("STRUCT(b BIGINT, a INTEGER)", "{'b': 1, 'a': 2}", Struct({"a": Int64, "b": Int8}), {"a": 2, "b": 1}),
        ("STRUCT(b BIGINT)", "{'b': 300}", Struct({"b": Int8}), None),
        ("STRUCT(b BIGINT)", "{'b': NULL}", Struct({"b": Int8}), {"b": None}),
    ],
)  # fmt: skip
def test_a_value_survives_unchanged_or_becomes_null(source: str, value: str, kind: DataType, expected: Any) -> None:
    assert typed(source, value, kind) == expected


def test_floats_keep_every_bit() -> None:
    assert math.isnan(typed("DOUBLE", "'nan'", Float64))
    assert math.copysign(1, typed("DOUBLE", "'-0.0'", Float64)) == -1
    assert typed("FLOAT", "'inf'", Float64) == math.inf
    assert typed("DOUBLE", "5e-324", Float64) == 5e-324


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("DOUBLE", Float32, "declare Float64"),
        ("DECIMAL(10,4)", Decimal(10, 2), "2 digit(s) after the point"),
        ("STRUCT(a INTEGER)", Struct({"b": Int64}), "no field 'b'"),
        ("STRUCT(a INTEGER, c INTEGER)", Struct({"a": Int64}), "field 'c' would be lost"),
        ("STRUCT(a VARCHAR)", Struct({"a": Int64}), "field 'a' is VARCHAR, not Int64"),
        ("VARCHAR[]", List(Int64), ""),
        ("INTEGER", List(Int64), ""),
        ("INTEGER", Struct({"a": Int64}), ""),
    ],
)
def test_a_cast_that_would_lose_something_says_what(source: str, kind: DataType, said: str) -> None:
    found = cast(source, kind)
    assert found.verdict == "never"
    assert said in found.problem
