"""Entity keys as bytes, in Python and in SQL, byte for byte the same. Pure.

Every part says its type and where it ends, so parts are simply joined: (1, 11) and (11, 1), "1" and 1 never share a key
(semantics 8).
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from hitherto.errors import InstantError, KeyTypeError
from hitherto.timeline import EPOCH, MAX_INSTANT, MICROSECOND, MIN_INSTANT, instant
from hitherto.types import INTEGER_RANGES, Bool, Bytes, DataType, Date, String, Timestamp

NO_KEY = b"-"
"""The key of a view without entities: one row for everybody."""
BUCKETS = 1024
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def encode_key(kinds: Sequence[DataType], values: Sequence[Any]) -> bytes:
    """The key of typed values, one per join key, in the view's order.

    >>> from hitherto.types import Int64, String
    >>> encode_key([String, Int64], ["JFK", 11])
    b's3:JFKi11;'
    """
    return b"".join(_part(kind)(value) for kind, value in zip(kinds, values, strict=True)) or NO_KEY


def column_encoder(kind: DataType, *, key: str, json: bool = False) -> Callable[[Sequence[Any]], list[bytes | None]]:
    """A function from a column of one join key to its parts; each value is checked, a null stays None.

    Args:
        kind: The join key's type.
        key: Its name, for messages.
        json: Whether the values come from JSON (semantics 8: Bytes as base64, times as text).
    """
    encode = _part(kind)
    exact, low, high = _EXACT.get(kind, object), *INTEGER_RANGES.get(kind, (0, 0))

    def encode_any(value: Any) -> bytes | None:
        checked = check_key(kind, value, key=key, json=json)
        return None if checked is None else encode(checked)

    def encode_strings(column: Sequence[Any]) -> list[bytes | None]:
        return [encode(value) if type(value) is exact else encode_any(value) for value in column]

    def encode_integers(column: Sequence[Any]) -> list[bytes | None]:
        return [
            b"i%d;" % value if type(value) is int and low <= value <= high else encode_any(value) for value in column
        ]

    def encode_others(column: Sequence[Any]) -> list[bytes | None]:
        return [encode_any(value) for value in column]

    if kind.is_integer:
        return encode_integers
    return encode_strings if kind == Bool else _guarded(encode_strings, key) if kind == String else encode_others


def _guarded(
    encode: Callable[[Sequence[Any]], list[bytes | None]], key: str
) -> Callable[[Sequence[Any]], list[bytes | None]]:
    def encode_unicode(column: Sequence[Any]) -> list[bytes | None]:
        try:
            return encode(column)
        except UnicodeEncodeError:
            raise KeyTypeError(_not_unicode(key)) from None

    return encode_unicode


def check_key(kind: DataType, value: Any, *, key: str, json: bool = False) -> Any:
    """The value as the type that its entity declares; None stays None. Strict: a bool is no integer, "1" is not 1.

    Args:
        kind: The join key's type.
        value: What the caller gave.
        key: The join key's name, for the message.
        json: Whether the value comes from JSON: then Bytes are base64 text, Date and Timestamp ISO 8601 text.

    Raises:
        KeyTypeError: Names the key and both types, never the value.

    >>> from hitherto.types import Int8
    >>> check_key(Int8, 127, key="seat")
    127
    """
    # A scalar of numpy or Arrow is the Python value that it holds.
    for unwrap in ("as_py", "item"):
        method = getattr(value, unwrap, None)
        if method is not None and not isinstance(value, datetime | date):
            value = method()
    # NaT calls itself a datetime and is not equal to itself: it is the null of its column.
    if value is None or (isinstance(value, datetime) and value != value):
        return None
    return _checker(kind)(value, key, json)


def key_sql(columns: Sequence[tuple[str, DataType]]) -> str:
    """A VARCHAR expression whose UTF-8 bytes are `encode_key` of typed columns; null if any part is null.

    Args:
        columns: For each join key, in the view's order: the SQL of its (typed) column, and its type.

    >>> from hitherto.types import Int64
    >>> key_sql([('"user"', Int64)])
    '(\\'i\\' || "user" || \\';\\')'
    """
    if not columns:
        return f"'{NO_KEY.decode()}'"
    parts = [_part_sql(column, kind) for column, kind in columns]
    return "(" + " || ".join(parts) + ")"


def bucket(key: bytes) -> int:
    """The bucket of a key, 0 to 1023: the top 10 bits of its MD5."""
    digest = hashlib.md5(key, usedforsecurity=False).digest()
    return (digest[0] << 2) | (digest[1] >> 6)


def bucket_sql(key: str) -> str:
    """An INTEGER expression: `bucket` of a VARCHAR expression that is a key."""
    return f"(('0x' || substr(md5({key}), 1, 3))::INTEGER >> 2)"


def _part_sql(column: str, kind: DataType) -> str:
    if kind == Bool:
        return f"CASE WHEN {column} THEN 'b1' WHEN NOT {column} THEN 'b0' END"
    if kind.is_integer:
        return f"'i' || {column} || ';'"
    if kind == String:
        return f"'s' || strlen({column}) || ':' || {column}"
    if kind == Bytes:
        return f"'x' || lower(hex({column})) || ';'"
    if kind == Date:
        return f"'d' || ({column} - DATE '1970-01-01') || ';'"
    if kind == Timestamp:
        return f"'t' || epoch_us({column}) || ';'"
    raise KeyTypeError(f"{kind!r} is not a type of a key.")


def _encode_string(value: str) -> bytes:
    data = value.encode()
    return b"s%d:%b" % (len(data), data)


_PARTS: Mapping[DataType, Callable[[Any], bytes]] = {
    Bool: lambda value: b"b1" if value else b"b0",
    **dict.fromkeys(INTEGER_RANGES, lambda value: b"i%d;" % value),
    String: _encode_string,
    Bytes: lambda value: b"x%b;" % binascii.hexlify(value),
    Date: lambda value: b"d%d;" % (value.toordinal() - _EPOCH_DAY),
    Timestamp: lambda value: b"t%d;" % ((value - EPOCH) // MICROSECOND),
}
_EXACT: Mapping[DataType, type] = {Bool: bool, String: str}


def _part(kind: DataType) -> Callable[[Any], bytes]:
    try:
        return _PARTS[kind]
    except KeyError:
        raise KeyTypeError(f"{kind!r} is not a type of a key.") from None


def _checker(kind: DataType) -> Callable[[Any, str, bool], Any]:
    if kind.is_integer:
        return lambda value, key, json: _check_integer(kind, value, key)
    return _CHECKERS[kind]


def _refuse(key: str, kind: DataType, value: Any, hint: str = "") -> KeyTypeError:
    return KeyTypeError(f"The key {key!r} is declared {kind!r}; it was given {type(value).__name__}.{hint}")


def _not_unicode(key: str) -> str:
    return f"The key {key!r} is declared String; it was given text that is not valid Unicode (a lone surrogate)."


def _check_integer(kind: DataType, value: Any, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _refuse(key, kind, value)
    low, high = INTEGER_RANGES[kind]
    if not low <= value <= high:
        raise KeyTypeError(f"The key {key!r} is declared {kind!r}; it was given an integer outside {low} to {high}.")
    return value


def _check_bool(value: Any, key: str, json: bool) -> bool:
    if not isinstance(value, bool):
        raise _refuse(key, Bool, value)
    return value


def _check_string(value: Any, key: str, json: bool) -> str:
    if not isinstance(value, str):
        raise _refuse(key, String, value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise KeyTypeError(_not_unicode(key)) from None
    return value


def _check_bytes(value: Any, key: str, json: bool) -> bytes:
    if json and isinstance(value, str):
        try:
            return b64decode(value, validate=True)
        except ValueError:
            raise _refuse(key, Bytes, value, " In JSON, bytes are base64 text.") from None
    if not isinstance(value, bytes | bytearray | memoryview):
        raise _refuse(key, Bytes, value, " In JSON, bytes are base64 text." if json else "")
    return bytes(value)


def _check_date(value: Any, key: str, json: bool) -> date:
    if json and isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise _refuse(key, Date, value, " In JSON, a date is text such as 2013-01-31.") from None
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _refuse(key, Date, value, " In JSON, a date is text such as 2013-01-31." if json else "")
    return value


def _check_timestamp(value: Any, key: str, json: bool) -> datetime:
    if not isinstance(value, datetime) and not (json and isinstance(value, str)):
        hint = " In JSON, an instant is text such as 2013-01-31T06:00:00Z." if json else ""
        raise _refuse(key, Timestamp, value, hint)
    try:
        micros = instant(value, what=f"key {key!r}")
    except (InstantError, OverflowError):
        naive = isinstance(value, datetime)
        hint = " It has no time zone." if naive else " In JSON, an instant is text such as 2013-01-31T06:00:00Z."
        raise _refuse(key, Timestamp, value, hint) from None
    if not MIN_INSTANT <= micros <= MAX_INSTANT:
        raise KeyTypeError(
            f"The key {key!r} is declared Timestamp; it was given an instant outside the years 1 to 9999."
        )
    return (EPOCH + micros * MICROSECOND).astimezone(UTC)


_CHECKERS: Mapping[DataType, Callable[[Any, str, bool], Any]] = {
    Bool: _check_bool,
    String: _check_string,
    Bytes: _check_bytes,
    Date: _check_date,
    Timestamp: _check_timestamp,
}
