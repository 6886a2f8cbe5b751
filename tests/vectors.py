"""ONE table of types and values that every codec has to bring back bit for bit (semantics 8).

`VECTORS` maps a type to the Python values that a lookup or a training set gives for it; None is in every list.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal as Number
from typing import Any

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
)


def float32(value: float) -> float:
    """The float that a number rounds to."""
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


TEXTS = [
    "", " ", "JFK", "null", '"', "\\", "'", "a'b\"c\\d", "\0", "a\0b", "\0\0", "".join(map(chr, range(32))), "\x7f", "\x80\x85\x9f",
    "\u2028\u2029", "\ufeff", "\ufffe\uffff", "é", "e\u0301", "日本", "\U0001f6eb", "\U0010ffff", "{0}", "%s", "\\x41", "\x1f", "a\nb\r\tc", "-", "s3:JFK",
]  # fmt: skip
INTEGERS = {
    Int8: [-(2**7), -1, 0, 1, 2**7 - 1],
    Int16: [-(2**15), -1, 0, 1, 2**15 - 1],
    Int32: [-(2**31), -1, 0, 1, 2**31 - 1],
    Int64: [-(2**63), -(2**53) - 1, -1, 0, 1, 11, 2**53, 2**53 + 1, 2**63 - 1],
}
FLOATS = [
    0.0, -0.0, 1.0, -1.5, 0.1, 1 / 3, 39.02, 1e-4, 1e-5, 1e-6, 1e-7, 123456789012345680.0, 1e15, 1e16, 1e20, 1e21, 1e22, 2.0**53 + 2, 5e-324, 2.2250738585072014e-308,
    1.7976931348623157e308, -1.7976931348623157e308, math.inf, -math.inf, math.nan,
    # What DuckDB 2.0.0's cast to VARCHAR gets wrong.
    2.0**81, -(2.0**91), 2.0**807,
]  # fmt: skip
FLOAT32S = [
    *(float32(value) for value in (0.1, 39.02, 1 / 3, 1e-7, 16777217.0, 3.4028234663852886e38, 1e-45, 1.1754943508222875e-38, 65620284.0, 1e16, -0.0, 1.5)),
    math.inf, -math.inf, math.nan,
    # Where DuckDB's cast writes more digits than the shortest.
    0.000244140625, 2097152.25, 262144.125, 33554448.0,
]  # fmt: skip
INSTANTS = [
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2013, 1, 1, 12, tzinfo=UTC),
    datetime(2013, 1, 1, 12, 0, 0, 1, tzinfo=UTC),
    datetime(2013, 1, 1, 12, 0, 0, 500_000, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]
DATES = [date(1970, 1, 1), date(1969, 12, 31), date(1, 1, 1), date(9999, 12, 31), date(2024, 2, 29)]
POINT = Struct({"x": Float64, "name": String, "seen": List(Timestamp)})
VECTORS: Mapping[DataType, list[Any]] = {
    Bool: [True, False, None],
    **{kind: [*values, None] for kind, values in INTEGERS.items()},
    Float64: [*FLOATS, None],
    Float32: [*FLOAT32S, None],
    String: [*TEXTS, None],
    Bytes: [b"", b"\0", b"\x1f\\x41", bytes(range(256)), None],
    Date: [*DATES, None],
    Timestamp: [*INSTANTS, None],
    Decimal(10, 2): [Number("1.10"), Number("0.00"), Number("-0.05"), Number("99999999.99"), None],
    Decimal(2, 2): [Number("0.10"), Number("-0.05"), Number("0.00"), None],
    Decimal(38, 0): [Number("9" * 38), Number("-" + "9" * 38), Number(0), None],
    Decimal(38, 38): [Number("0." + "9" * 38), Number("-0." + "0" * 37 + "1"), None],
    List(Int64): [[], [1], [2**53 + 1, None, -(2**63)], [None], None],
    List(String): [[], [""], TEXTS, [None, "null", None], None],
    List(Float64): [[], FLOATS, [None, math.nan], None],
    List(Float32): [[], FLOAT32S, [None], None],
    List(Bytes): [[], [b"", b"\0\xff"], None],
    List(List(Decimal(4, 1))): [[], [[]], [[Number("1.0"), None], None, [Number("-0.5")]], None],
    POINT: [
        {"x": 0.1, "name": "a", "seen": INSTANTS},
        {"x": None, "name": None, "seen": None},
        {"x": math.nan, "name": "\0", "seen": [None]},
        {"x": -0.0, "name": "", "seen": []},
        None,
    ],
    List(Struct({"day": Date, "fits": Bool})): [[], [{"day": DATES[0], "fits": None}, None], None],
    Struct({"inner": Struct({"b": Bytes}), "d": Decimal(3, 3)}): [
        {"inner": {"b": b"\0"}, "d": Number("0.125")},
        {"inner": None, "d": None},
        {"inner": {"b": None}, "d": Number("-0.001")},
        None,
    ],
}
KEY_VECTORS: Mapping[DataType, list[Any]] = {
    kind: [value for value in VECTORS[kind] if value is not None]
    for kind in (Bool, Int8, Int16, Int32, Int64, String, Bytes, Date, Timestamp)
}


def same(left: Any, right: Any) -> bool:
    """Equality bit for bit: NaN is NaN, -0.0 is not 0.0, 1 is not True, Decimal("1.1") is not Decimal("1.10")."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right) or (math.isnan(left) and math.isnan(right))
    if isinstance(left, Number):
        return left.as_tuple() == right.as_tuple()
    if isinstance(left, list):
        return len(left) == len(right) and all(same(*pair) for pair in zip(left, right, strict=True))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(value, right[name]) for name, value in left.items())
    return bool(left == right)
