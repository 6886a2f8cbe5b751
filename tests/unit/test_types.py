"""The table of types: each row agrees with DuckDB and Arrow, and every type comes back from its text."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitherto import types
from hitherto.sql import quote
from hitherto.types import (
    KEY_TYPES,
    SIMPLE_TYPES,
    Bool,
    Bytes,
    DataType,
    Date,
    Decimal,
    Float32,
    Float64,
    Int16,
    Int32,
    Int64,
    List,
    String,
    Struct,
    Timestamp,
    from_arrow,
    is_name,
    parse,
)

NESTED = [
    List(Float64),
    List(List(String)),
    Struct({"x": Int64, 'odd "name"': List(Date)}),
    Decimal(38, 0),
    Decimal(10, 2),
]
EVERY = [*SIMPLE_TYPES.values(), *NESTED]
any_type = st.recursive(
    st.sampled_from(list(SIMPLE_TYPES.values()))
    | st.integers(1, 38).flatmap(lambda p: st.integers(0, p).map(lambda s: Decimal(p, s))),
    lambda inner: inner.map(List) | st.dictionaries(st.text(min_size=1), inner, min_size=1, max_size=3).map(Struct),
    max_leaves=5,
)


@given(any_type)
def test_a_type_comes_back_from_its_text(kind: DataType):
    assert parse(repr(kind)) == kind
    assert hash(parse(repr(kind))) == hash(kind)


@pytest.mark.parametrize(
    "text",
    [
        "Int",
        "int64",
        "List",
        "List()",
        "List(Nope)",
        "Decimal(1)",
        "Decimal(39, 0)",
        "Decimal(2, 3)",
        "Struct({})",
        "Struct(3)",
        "",
        "(",
        "__import__('os')",
        "List(Int64)(1)",
    ],
)
def test_a_text_that_is_no_type_is_refused_and_nothing_is_run(text: str):
    with pytest.raises(ValueError, match=r"is not a type\. Types: |the precision is 1 to 38|at least one field"):
        parse(text)


@pytest.mark.parametrize("kind", EVERY, ids=repr)
def test_the_duckdb_type_arrives_as_the_arrow_type(kind: DataType):
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        table = con.sql(f"select null::{kind.sql} as {quote('value')}").to_arrow_table()
    found = table.schema.field(0).type
    # DuckDB keeps instants without a zone inside; leaving the store they are UTC.
    expected = pa.timestamp("us") if kind == Timestamp else kind.arrow
    assert from_arrow(found) == from_arrow(expected) == kind


@pytest.mark.parametrize("kind", EVERY, ids=repr)
def test_the_nearest_type_of_its_own_arrow_type_is_itself(kind: DataType):
    assert from_arrow(kind.arrow) == kind


@pytest.mark.parametrize(
    ("arrow", "kind"),
    [
        (pa.uint8(), Int16),
        (pa.uint16(), Int32),
        (pa.uint32(), Int64),
        (pa.uint64(), Int64),
        (pa.float16(), Float32),
        (pa.large_string(), String),
        (pa.string_view(), String),
        (pa.large_binary(), Bytes),
        (pa.binary(16), Bytes),
        (pa.date64(), Date),
        (pa.timestamp("ns", tz="Europe/Berlin"), Timestamp),
        (pa.timestamp("s"), Timestamp),
        (pa.dictionary(pa.int8(), pa.string()), String),
        (pa.large_list(pa.float32()), List(Float32)),
        (pa.list_(pa.bool_(), 3), List(Bool)),
        (pa.decimal256(60, 2), None),
        (pa.duration("us"), None),
        (pa.list_(pa.duration("us")), None),
        (pa.struct([("x", pa.duration("us"))]), None),
        (pa.struct([]), None),
        (pa.null(), None),
    ],
    ids=str,
)
def test_arrow_types_of_others_have_a_nearest_type_or_none(arrow: pa.DataType, kind: DataType | None):
    assert from_arrow(arrow) == kind


def test_what_may_be_a_key():
    assert [name for name, kind in SIMPLE_TYPES.items() if kind not in KEY_TYPES] == ["Float32", "Float64"]
    assert not any(kind in KEY_TYPES for kind in NESTED)


def test_what_is_a_number_and_what_is_nested():
    assert {name for name, kind in SIMPLE_TYPES.items() if kind.is_number} == {
        "Int8",
        "Int16",
        "Int32",
        "Int64",
        "Float32",
        "Float64",
    }
    assert Decimal(5, 1).is_number
    assert [kind.is_nested for kind in NESTED] == [True, True, True, False, False]
    assert Float32.is_float
    assert not Int64.is_float


@pytest.mark.parametrize(("precision", "scale"), [(0, 0), (39, 0), (5, 6), (5, -1)])
def test_a_decimal_outside_what_128_bits_hold_is_refused(precision: int, scale: int):
    with pytest.raises(ValueError, match="precision is 1 to 38"):
        Decimal(precision, scale)


def test_a_struct_needs_a_field():
    with pytest.raises(ValueError, match="at least one field"):
        Struct({})


@pytest.mark.parametrize("text", ["a", "dep_delay", "a1", "a_b_c", "x" * 63])
def test_names_that_are_names(text: str):
    assert is_name(text)


@pytest.mark.parametrize("text", ["", "A", "1a", "_a", "a__b", "a-b", "a b", "ä", "x" * 64, "a\n"])
def test_names_that_are_not(text: str):
    assert not is_name(text)


def test_the_module_offers_its_types_and_nothing_else_by_star():
    assert {*SIMPLE_TYPES, "DataType", "Decimal", "List", "Struct"} == set(types.__all__)
