"""The key codec: no two keys share their bytes, Python and SQL agree, and a key of the wrong type is refused (semantics 8)."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import duckdb
import numpy
import pandas
import pyarrow as pa
import pytest

from hitherto.encoding import key_codec
from hitherto.errors import KeyTypeError
from hitherto.types import Bool, Bytes, DataType, Date, Float64, Int8, Int64, List, String, Timestamp
from vectors import KEY_VECTORS

INSTANT = datetime(2013, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("kind", KEY_VECTORS, ids=repr)
def test_python_and_sql_write_the_same_key(kind: DataType) -> None:
    con = duckdb.connect()
    values = KEY_VECTORS[kind]
    arrow = pa.timestamp("us") if kind == Timestamp else kind.arrow
    naive = [value.replace(tzinfo=None) if kind == Timestamp else value for value in values]
    con.register("fed", pa.table({"n": pa.array(range(len(values))), "v": pa.array(naive, arrow)}))
    con.execute(f"CREATE TABLE t AS SELECT n, v::{kind.sql} AS v FROM fed")
    one = con.execute(f"SELECT {key_codec.key_sql([('v', kind)])} FROM t ORDER BY n").fetchall()
    two = con.execute(f"SELECT {key_codec.key_sql([('v', kind), ('n', Int64)])} FROM t ORDER BY n").fetchall()
    assert [text.encode() for (text,) in one] == [key_codec.encode_key([kind], [value]) for value in values]
    assert [text.encode() for (text,) in two] == [
        key_codec.encode_key([kind, Int64], (value, n)) for n, value in enumerate(values)
    ]
    buckets = con.execute(
        f"SELECT {key_codec.bucket_sql(key_codec.key_sql([('v', kind)]))} FROM t ORDER BY n"
    ).fetchall()
    assert [number for (number,) in buckets] == [
        key_codec.bucket(key_codec.encode_key([kind], [value])) for value in values
    ]


def test_a_null_part_makes_a_null_key_in_sql() -> None:
    expression = key_codec.key_sql([("NULL::BIGINT", Int64), ("'a'", String)])
    assert duckdb.sql(f"SELECT {expression}").fetchall() == [(None,)]


def test_keys_that_differ_never_share_their_bytes() -> None:
    parts = [
        (kind, value)
        for kind, values in KEY_VECTORS.items()
        if kind in (Bool, Int64, String, Bytes, Date, Timestamp)
        for value in values
    ]
    pairs = [((a, b), (x, y)) for (a, x), (b, y) in itertools.product(parts, repeat=2)]
    keys = {key_codec.encode_key(kinds, values) for kinds, values in pairs}
    assert len(keys) == len(pairs)
    assert key_codec.encode_key([Int64, Int64], [1, 11]) != key_codec.encode_key([Int64, Int64], [11, 1])
    assert key_codec.encode_key([Int64], [1]) != key_codec.encode_key([String], ["1"])
    assert key_codec.encode_key([String, String], ["1:a", "b"]) != key_codec.encode_key([String, String], ["1", ":ab"])


def test_no_part_is_the_beginning_of_another() -> None:
    parts = {key_codec.encode_key([kind], [value]) for kind, values in KEY_VECTORS.items() for value in values}
    assert not [(a, b) for a, b in itertools.permutations(parts, 2) if b.startswith(a)]


def test_a_view_without_entities_has_one_key() -> None:
    assert key_codec.encode_key([], []) == b"-"
    assert key_codec.key_sql([]) == "'-'"


def test_buckets_are_1024_and_even() -> None:
    counts = [0] * key_codec.BUCKETS
    for number in range(20_000):
        counts[key_codec.bucket(b"i%d;" % number)] += 1
    assert min(counts) > 0
    assert max(counts) < 60


@pytest.mark.parametrize("kind", KEY_VECTORS, ids=repr)
def test_a_column_is_encoded_as_its_values_are(kind: DataType) -> None:
    column = [*KEY_VECTORS[kind], None]
    encoded = key_codec.column_encoder(kind, key="k")(column)
    assert encoded == [*(key_codec.encode_key([kind], [value]) for value in KEY_VECTORS[kind]), None]


@pytest.mark.parametrize(
    ("kind", "given", "meant"),
    [
        (Int64, numpy.int64(7), 7), (String, numpy.str_("a"), "a"), (Bool, numpy.bool_(True), True), (Int64, pa.scalar(7), 7), (Bytes, bytearray(b"a"), b"a"),
        (Bytes, memoryview(b"a"), b"a"), (Timestamp, pandas.Timestamp("2013-01-01T12:00:00.000001999Z"), datetime(2013, 1, 1, 12, 0, 0, 1, tzinfo=UTC)),
        (Timestamp, datetime(2013, 1, 1, tzinfo=timezone(timedelta(hours=-5))), datetime(2013, 1, 1, 5, tzinfo=UTC)), (Timestamp, pandas.NaT, None), (String, None, None),
    ],
)  # fmt: skip
def test_values_of_other_libraries_are_taken_for_what_they_hold(kind: DataType, given: Any, meant: Any) -> None:
    assert key_codec.check_key(kind, given, key="k") == meant


@pytest.mark.parametrize(
    ("kind", "given", "meant"),
    [
        (Bytes, "AP8=", b"\0\xff"), (Date, "2013-01-31", date(2013, 1, 31)), (Timestamp, "2013-01-01T12:00:00Z", datetime(2013, 1, 1, 12, tzinfo=UTC)),
        (Timestamp, "2013-01-01T12:00:00.000001+01:00", datetime(2013, 1, 1, 11, 0, 0, 1, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_json_writes_bytes_and_times_as_text(kind: DataType, given: str, meant: Any) -> None:
    assert key_codec.check_key(kind, given, key="k", json=True) == meant
    with pytest.raises(KeyTypeError):
        key_codec.check_key(kind, given, key="k")


@pytest.mark.parametrize("json", [False, True])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Bool, 1), (Bool, "true"), (Int64, True), (Int64, 1.0), (Int64, "1"), (Int8, 128), (Int64, 2**63), (String, 1), (String, b"a"), (String, "\ud800"), (Bytes, 1), (Bytes, "?"),
        (Date, datetime(2013, 1, 1, tzinfo=UTC)), (Date, 5), (Date, "soon"), (Timestamp, INSTANT.replace(tzinfo=None)), (Timestamp, date(2013, 1, 1)), (Timestamp, 0), (Timestamp, "soon"),
    ],
)  # fmt: skip
def test_a_key_of_the_wrong_type_is_refused_by_name_and_type_never_by_value(
    kind: DataType, value: Any, json: bool
) -> None:
    with pytest.raises(KeyTypeError, match=f"key 'seat' is declared {kind!r}") as refused:
        key_codec.column_encoder(kind, key="seat", json=json)([value])
    assert "soon" not in str(refused.value)
    assert "128" not in str(refused.value).split("outside")[0]


@pytest.mark.parametrize("kind", [Float64, List(Int64)], ids=repr)
def test_floats_and_lists_are_no_keys(kind: DataType) -> None:
    with pytest.raises(KeyTypeError, match="is not a type of a key"):
        key_codec.encode_key([kind], [1.0])
    with pytest.raises(KeyTypeError, match="is not a type of a key"):
        key_codec.key_sql([("v", kind)])
