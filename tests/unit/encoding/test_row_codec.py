"""The row codec: Python and SQL agree byte for byte, and what goes in comes out (semantics 2 and 8)."""

from __future__ import annotations

import itertools
import json
import random
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal as Number
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from hitherto.encoding import row_codec
from hitherto.errors import UsageError
from hitherto.timeline import MAX_INSTANT, MIN_INSTANT, rfc3339
from hitherto.types import (
    Bool,
    Bytes,
    DataType,
    Date,
    Decimal,
    Float32,
    Float64,
    Int8,
    Int64,
    List,
    String,
    Struct,
    Timestamp,
)
from vectors import VECTORS, same


def typed_table(con: duckdb.DuckDBPyConnection, kind: DataType, values: list[Any]) -> None:
    """A table `t` with the values in a column `v` of the declared type, and their order `n`."""
    arrow = pa.timestamp("us") if kind == Timestamp else kind.arrow
    naive = [value.replace(tzinfo=None) if kind == Timestamp and value else value for value in values]
    fed = pa.table({"n": pa.array(range(len(values)), pa.int64()), "v": pa.array(naive, arrow)})
    con.register("fed", fed)
    con.execute(f"CREATE OR REPLACE TABLE t AS SELECT n, v::{kind.sql} AS v FROM fed")


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def sql_fragments(con: duckdb.DuckDBPyConnection, kind: DataType, values: list[Any]) -> list[bytes]:
    typed_table(con, kind, values)
    return [
        text.encode()
        for (text,) in con.execute(f"SELECT {row_codec.fragment_sql('v', kind)} FROM t ORDER BY n").fetchall()
    ]


@pytest.mark.parametrize("kind", VECTORS, ids=repr)
def test_python_and_sql_write_the_same_bytes(con: duckdb.DuckDBPyConnection, kind: DataType) -> None:
    assert sql_fragments(con, kind, VECTORS[kind]) == [
        row_codec.encode_fragment(kind, value) for value in VECTORS[kind]
    ]


@pytest.mark.parametrize("kind", VECTORS, ids=repr)
def test_what_goes_in_comes_out(kind: DataType) -> None:
    fragments = [row_codec.encode_fragment(kind, value) for value in VECTORS[kind]]
    decoded = row_codec.decode_column(kind, fragments)
    assert [same(*pair) for pair in zip(decoded, VECTORS[kind], strict=True)] == [True] * len(decoded)
    one_by_one = [row_codec.decode_column(kind, [fragment])[0] for fragment in fragments]
    assert same(one_by_one, list(VECTORS[kind]))


@pytest.mark.parametrize("kind", VECTORS, ids=repr)
def test_every_fragment_is_json_without_the_separator(kind: DataType) -> None:
    for value in VECTORS[kind]:
        fragment = row_codec.encode_fragment(kind, value)
        assert row_codec.SEPARATOR not in fragment
        json.loads(fragment)
        assert (fragment == b"null") == (value is None)


def test_struct_fields_may_have_any_name(con: duckdb.DuckDBPyConnection) -> None:
    kind = Struct({'a"b': Int64, "it's\\": String, "{0}": Bool})
    values = [{'a"b': 1, "it's\\": "x", "{0}": True}, None]
    assert sql_fragments(con, kind, values) == [row_codec.encode_fragment(kind, value) for value in values]


def test_every_power_of_two_reads_back_from_sql(con: duckdb.DuckDBPyConnection) -> None:
    values = [sign * 2.0**power for power in range(-1074, 1024) for sign in (1, -1)]
    fragments = sql_fragments(con, Float64, values)
    assert [float(fragment) for fragment in fragments] == values
    assert fragments == [row_codec.encode_fragment(Float64, value) for value in values]


def test_float32_agrees_where_a_shortest_text_is_a_draw(con: duckdb.DuckDBPyConnection) -> None:
    generator = random.Random(1)
    values = [2.0**power for power in range(-149, 128)] + [k / 8 for k in range(2_000_000, 2_000_400)]
    values += row_codec.decode_column(Float32, [b"%d" % generator.randrange(2**40) for _ in range(500)])
    assert sql_fragments(con, Float32, values) == [row_codec.encode_fragment(Float32, value) for value in values]


def test_fragments_look_as_documented() -> None:
    written = [
        row_codec.encode_fragment(kind, value).decode()
        for kind, value in (
            (Bool, True), (Int64, 2**53 + 1), (Float64, 1e16), (Float64, float("-inf")), (Float32, 0.1), (String, 'a"\x1f\x7f'), (Bytes, b"\0"),
            (Timestamp, datetime(2013, 1, 1, 12, tzinfo=timezone(timedelta(hours=1)))), (Decimal(10, 2), Number("1.1")), (List(Int8), [1, None]), (Struct({"x": Int8}), {"x": 1}),
        )
    ]  # fmt: skip
    assert written == [
        "true", "9007199254740993", "10000000000000000.0", '"-Infinity"', "0.1", '"a\\"\\u001F\x7f"', '"AA=="', '"2013-01-01T11:00:00Z"', '"1.10"', "[1,null]", '{"x":1}',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Bool, 1), (Int8, 128), (Int8, True), (Int64, 1.0), (Float64, "1"), (Float64, 2**53 + 1), (String, 1), (String, "\ud800"), (Bytes, "a"), (Date, datetime(2013, 1, 1, tzinfo=UTC)),
        (Timestamp, 0), (Decimal(3, 1), Number("1.25")), (Decimal(3, 1), Number("100")), (Decimal(3, 1), Number("NaN")), (Decimal(3, 1), 0.5), (List(String), "ab"),
        (Struct({"x": Int8}), {"y": 1}), (Struct({"x": Int8}), [1]),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_without_showing_it(kind: DataType, value: Any) -> None:
    with pytest.raises(UsageError) as refused:
        row_codec.encode_fragment(kind, value)
    assert str(refused.value) == f"A value of type {type(value).__name__} cannot be stored as {kind!r} without loss."


def test_payload_in_sql_is_the_payload_in_python(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("CREATE TABLE r AS SELECT 1::BIGINT AS a, NULL::VARCHAR AS b, 0.5::DOUBLE AS c")
    fields = [("a", Int64), ("b", String), ("c", Float64)]
    for width in (1, 3):
        (text,) = con.execute(f"SELECT {row_codec.payload_sql(fields[:width])} FROM r").fetchone() or ("",)
        assert text.encode() == row_codec.encode_payload([kind for _, kind in fields[:width]], [1, None, 0.5][:width])


TIMES = [MIN_INSTANT, -1, 0, 1, 1357041600000000, 1357041600000001, MAX_INSTANT]


@pytest.mark.parametrize("created", [None, *TIMES])
def test_stored_value_in_sql_is_the_one_in_python(con: duckdb.DuckDBPyConnection, created: int | None) -> None:
    for event in TIMES:
        value = row_codec.encode_value(b"1", event=event, created=created, available=max(TIMES), sequence=77)
        literal = "NULL::TIMESTAMP" if created is None else f"make_timestamp({created})"
        expression = row_codec.value_sql(
            event=f"make_timestamp({event})", created=literal, available=f"make_timestamp({max(TIMES)})", sequence=77, payload="'1'"
        )  # fmt: skip
        (text,) = con.execute(f"SELECT {expression}").fetchone() or ("",)
        assert text.encode() == value
    absent = row_codec.value_sql(event="ts", created=None, available="ts", sequence=1, payload="p")
    assert f"'{'0' * 16}'" in absent


def test_header_accessors_read_what_was_written() -> None:
    value = row_codec.encode_value(b"1\x1fnull", event=-1, created=5, available=7, sequence=2**40)
    assert (row_codec.event_of(value), row_codec.created_of(value), row_codec.available_of(value)) == (-1, 5, 7)
    assert row_codec.sequence_of(value) == 2**40
    assert row_codec.payload_of(value) == b"1\x1fnull"
    assert value.split(b"\x1f")[1] == b'"' + rfc3339(-1).encode() + b'"'
    assert row_codec.created_of(row_codec.encode_value(b"1", event=0, available=0, sequence=1)) is None


def test_order_is_event_then_created_then_available_then_row_bytes_nulls_first() -> None:
    cells = list(itertools.product((-1, 0, 10**15), (None, -5, 3), (11, 12), (b"1", b"10", b"null")))
    values = [
        row_codec.encode_value(payload, event=event, created=created, available=available, sequence=index % 7)
        for index, (event, created, available, payload) in enumerate(cells)
    ]
    shuffled = random.Random(3).sample(values, len(values))
    assert sorted(shuffled, key=row_codec.order_of) == values
