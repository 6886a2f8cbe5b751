"""A row's values as bytes, in Python and in SQL, byte for byte the same. Pure.

The payload is one JSON fragment per feature, in the order of the schema, joined by 0x1F (which JSON text cannot contain).
It is the canonical row of semantics 2, compared bytewise, and what the online store keeps: a lookup answers JSON without
decoding anything. A stored value is a header of fixed width, the event time as JSON text, and the payload:

    b"1" event16 created16 available16 sequence16 0x1F "2013-01-01T12:00:00Z" 0x1F payload

X16 is 16 lower-case hexadecimal digits of microseconds + 2**63, so that bytes sort as instants do; a null created time is
sixteen zeros, which sorts first.
"""

from __future__ import annotations

import array
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from hitherto import sql
from hitherto.encoding.numbers import float32_text, float64_text
from hitherto.errors import UsageError
from hitherto.timeline import EPOCH, MICROSECOND, rfc3339
from hitherto.types import (
    INTEGER_RANGES,
    Bool,
    Bytes,
    DataType,
    Date,
    DecimalType,
    Float32,
    Float64,
    ListType,
    String,
    StructType,
    Timestamp,
)

SEPARATOR = b"\x1f"
ROW_SEPARATOR = b"\x1e"
"""Between rows, where several travel as one text; JSON text cannot contain it either."""
NULL = b"null"
FORMAT = b"1"
_BIAS = 1 << 63
_NO_CREATED = b"0" * 16
_ORDER = slice(1, 49)
_SEQUENCE = slice(49, 65)
_PAYLOAD_SPLITS = 2
BEHIND_HEADER = 66
_parse = msgspec.json.Decoder().decode
# What DuckDB's to_json escapes, and how: the short forms, then upper-case hexadecimal; everything else stays as it is.
_ESCAPES = {code: f"\\u{code:04X}" for code in range(32)} | {
    ord(raw): escaped
    for raw, escaped in {
        '"': '\\"',
        "\\": "\\\\",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
    }.items()
}
_SPECIAL_FLOATS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def encode_fragment(kind: DataType, value: Any) -> bytes:
    """One value as its JSON fragment. Raises UsageError, which names both types and never the value.

    >>> encode_fragment(String, "JFK"), encode_fragment(Float64, float("nan")), encode_fragment(Bool, None)
    (b'"JFK"', b'"NaN"', b'null')
    """
    try:
        return _text(kind, value).encode()
    except (TypeError, ValueError, ArithmeticError, AttributeError, KeyError):
        raise UsageError(f"A value of type {type(value).__name__} cannot be stored as {kind!r} without loss.") from None


def encode_payload(kinds: Sequence[DataType], values: Sequence[Any]) -> bytes:
    """A row's values, in the order of the schema: the canonical row bytes of semantics 2."""
    return SEPARATOR.join([encode_fragment(kind, value) for kind, value in zip(kinds, values, strict=True)])


def encode_value(payload: bytes, *, event: int, available: int, sequence: int, created: int | None = None) -> bytes:
    """A stored value: header, event time, payload.

    Args:
        payload: What `encode_payload` made.
        event, available, created: Instants in microseconds; no created time sorts first.
        sequence: Of the run or push that writes the row.
    """
    header = FORMAT + encode_instant(event) + (_NO_CREATED if created is None else encode_instant(created))
    tail = b'"%b"' % rfc3339(event).encode()
    return SEPARATOR.join((header + encode_instant(available) + b"%016x" % sequence, tail, payload))


def encode_instant(micros: int) -> bytes:
    """An instant as the header holds it: 16 hexadecimal digits that sort as instants do."""
    return b"%016x" % (micros + _BIAS)


def event_of(value: bytes) -> int:
    """The event time of a stored value, in microseconds."""
    return int(value[1:17], 16) - _BIAS


def created_of(value: bytes) -> int | None:
    """The created time of a stored value, in microseconds, if it has one."""
    return None if value[17:33] == _NO_CREATED else int(value[17:33], 16) - _BIAS


def available_of(value: bytes) -> int:
    """The available time of a stored value, in microseconds."""
    return int(value[33:49], 16) - _BIAS


def sequence_of(value: bytes) -> int:
    """The sequence of the run or push that wrote a stored value."""
    return int(value[_SEQUENCE], 16)


def payload_of(value: bytes) -> bytes:
    """The payload of a stored value."""
    return value.split(SEPARATOR, _PAYLOAD_SPLITS)[_PAYLOAD_SPLITS]


def order_of(value: bytes) -> tuple[bytes, bytes]:
    """What orders stored values of one key (semantics 2): compare as Python compares tuples of bytes."""
    return value[_ORDER], payload_of(value)


def decode_column(kind: DataType, fragments: Sequence[bytes]) -> list[Any]:
    """Fragments of one feature as Python values, with one JSON parse for all of them.

    Timestamps are aware datetimes in UTC, Float32 the float that it rounds to; Date, Decimal and bytes are themselves.

    >>> decode_column(Float64, [b"1.5", b"null", b'"Infinity"'])
    [1.5, None, inf]
    """
    return column_decoder([kind])([fragments])[0]


def column_decoder(kinds: Sequence[DataType]) -> Callable[[Sequence[Sequence[bytes]]], list[list[Any]]]:
    """`decode_column` for several features at once: one JSON parse for all columns, the types looked up once."""
    steps = [
        (index, convert, kind == Float64, kind == Float32)
        for index, kind in enumerate(kinds)
        if (convert := _converter(kind)) is not None
    ]

    def decode(columns: Sequence[Sequence[bytes]]) -> list[list[Any]]:
        texts = [b",".join(fragments) for fragments in columns]
        decoded: list[list[Any]] = msgspec.json.decode(b"[[%b]]" % b"],[".join(texts)) if texts else []
        for index, convert, double, single in steps:
            if (double or single) and b'"' not in texts[index]:
                # Neither NaN nor infinite: numbers and nulls only.
                if single:
                    decoded[index] = _round_floats(decoded[index])
            else:
                decoded[index] = [value if value is None else convert(value) for value in decoded[index]]
        return decoded

    return decode


def without_headers(values: Sequence[bytes]) -> bytes:
    """Stored values as one text: event time and features of each row, `ROW_SEPARATOR` between rows."""
    if len(values) == 1:
        return values[0][BEHIND_HEADER:]
    return ROW_SEPARATOR.join([value[BEHIND_HEADER:] for value in values])


def row_decoder(kinds: Sequence[DataType], positions: Sequence[int]) -> Callable[[bytes], list[list[Any]]]:
    """A function from the text of some rows (`without_headers`, one at least) to Python values, feature by feature.

    The text becomes JSON by putting commas for the separators, so one parse takes it all: nothing is split before.

    Args:
        kinds: The types of the wanted features.
        positions: Which features of the schema they are.
    """
    # Before the features stands the event time.
    columns = [1 + position for position in positions]
    converters = [(index, _converter(kind), kind == Float64) for index, kind in enumerate(kinds)]
    always = [(index, convert) for index, convert, double in converters if convert is not None and not double]
    doubles = [(index, convert) for index, convert, double in converters if convert is not None and double]

    def decode(text: bytes) -> list[list[Any]]:
        rows = _parse(b"[[%b]]" % text.replace(SEPARATOR, b",").replace(ROW_SEPARATOR, b"],["))
        if len(rows) == 1:
            row = rows[0]
            decoded = [[row[column]] for column in columns]
        else:
            features = [*zip(*rows, strict=True)]
            decoded = [list(features[column]) for column in columns]
        for index, convert in [*always, *doubles] if doubles and _holds_special_float(text) else always:
            decoded[index] = [value if value is None else convert(value) for value in decoded[index]]
        return decoded

    return decode


def _holds_special_float(text: bytes) -> bool:
    # One letter is looked for at the speed of memory: 1 microsecond instead of 14 for a hundred rows.
    return (b"N" in text and b'"NaN"' in text) or (b"I" in text and b'Infinity"' in text)


def payload_sql(fields: Sequence[tuple[str, DataType]]) -> str:
    """A VARCHAR expression whose UTF-8 bytes are `encode_payload`.

    Args:
        fields: For each feature, in the order of the schema: the SQL of its (typed) column, and its type.
    """
    fragments = [fragment_sql(column, kind) for column, kind in fields]
    return fragments[0] if len(fragments) == 1 else f"concat_ws(chr(31), {', '.join(fragments)})"


def fragment_sql(column: str, kind: DataType) -> str:
    """A VARCHAR expression, never null: `encode_fragment` of a typed column."""
    return f"coalesce({_json_sql(column, kind, depth=0)}, 'null')"


def value_sql(*, event: str, created: str | None, available: str, sequence: int, payload: str) -> str:
    """A VARCHAR expression whose UTF-8 bytes are `encode_value`.

    Args:
        event, created, available: TIMESTAMP expressions (created may be null, or None if there is no such time).
        sequence: Of the run that writes the rows.
        payload: What `payload_sql` made.
    """
    no_created = f"'{_NO_CREATED.decode()}'"
    times = [
        _instant_sql(event),
        no_created if created is None else f"coalesce({_instant_sql(created)}, {no_created})",
        _instant_sql(available),
    ]
    return (
        f"concat('{FORMAT.decode()}', {', '.join(times)}, '{sequence:016x}', chr(31), "
        f"{_json_sql(event, Timestamp, depth=0)}, chr(31), {payload})"
    )


def _instant_sql(column: str) -> str:
    # Flipping the sign bit adds 2**63; the years 1 to 9999 then always have sixteen digits.
    return f"lower(to_hex(xor(epoch_us({column}), (-9223372036854775808)::BIGINT)))"


def _json_sql(column: str, kind: DataType, *, depth: int) -> str:
    if isinstance(kind, ListType):
        item = f"x{depth}"
        inner = _json_sql(item, kind.element, depth=depth + 1)
        items = f"list_transform({column}, LAMBDA {item}: coalesce({inner}, 'null'))"
        return f"('[' || array_to_string({items}, ',') || ']')"
    if isinstance(kind, StructType):
        return _struct_sql(column, kind, depth=depth)
    if isinstance(kind, DecimalType):
        # DuckDB writes no zero before the point of a Decimal(2, 2).
        digits = f"replace({column}::VARCHAR, '.', '0.')" if kind.precision == kind.scale else f"{column}::VARCHAR"
        return f"""('"' || {digits} || '"')"""
    return _SCALARS_SQL[kind].format(column)


def _struct_sql(column: str, kind: StructType, *, depth: int) -> str:
    parts = []
    for position, (name, inner) in enumerate(kind.fields):
        opening = ("{" if position == 0 else ",") + _string_text(name) + ":"
        fragment = _json_sql(f"struct_extract({column}, {sql.text(name)})", inner, depth=depth)
        parts.append(f"{sql.text(opening)} || coalesce({fragment}, 'null')")
    return f"CASE WHEN {column} IS NOT NULL THEN {' || '.join(parts)} || '}}' END"


_FLOAT_SQL = """CASE WHEN isfinite({{0}}) THEN {finite} WHEN isnan({{0}}) THEN '"NaN"' WHEN {{0}} > 0 THEN '"Infinity"' WHEN {{0}} < 0 THEN '"-Infinity"' END"""
_WHOLE_SECOND, _FRACTION = "'\"%Y-%m-%dT%H:%M:%SZ\"'", "'\"%Y-%m-%dT%H:%M:%S.%fZ\"'"
_SCALARS_SQL: Mapping[DataType, str] = {
    Bool: "CASE WHEN {0} THEN 'true' WHEN NOT {0} THEN 'false' END",
    **dict.fromkeys(INTEGER_RANGES, "{0}::VARCHAR"),
    # Not a cast: DuckDB 2.0.0 casts 2**81, 2**91 and 2**807 to text that reads back as another number.
    Float64: _FLOAT_SQL.format(finite="to_json({0})::VARCHAR"),
    # Not to_json: it widens to a double and writes that one's digits.
    Float32: _FLOAT_SQL.format(finite="{0}::VARCHAR"),
    String: "to_json({0})::VARCHAR",
    Bytes: """('"' || base64({0}) || '"')""",
    Date: """('"' || {0}::VARCHAR || '"')""",
    Timestamp: f"CASE WHEN epoch_us({{0}}) % 1000000 = 0 THEN strftime({{0}}, {_WHOLE_SECOND}) "
    f"ELSE strftime({{0}}, {_FRACTION}) END",
}


def _text(kind: DataType, value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(kind, DecimalType):
        return f'"{_decimal_text(kind, value)}"'
    if isinstance(kind, ListType):
        if isinstance(value, str | bytes | Mapping):
            raise TypeError
        return "[" + ",".join([_text(kind.element, item) for item in value]) + "]"
    if isinstance(kind, StructType):
        if value.keys() - dict(kind.fields).keys():
            raise KeyError
        return (
            "{" + ",".join(f"{_string_text(name)}:{_text(inner, value.get(name))}" for name, inner in kind.fields) + "}"
        )
    return _SCALAR_TEXTS[kind](value) if kind not in INTEGER_RANGES else _integer_text(kind, value)


def _integer_text(kind: DataType, value: Any) -> str:
    low, high = INTEGER_RANGES[kind]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise TypeError
    return f"{value:d}"


def _bool_text(value: Any) -> str:
    if not isinstance(value, bool):
        raise TypeError
    return "true" if value else "false"


def _string_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return f'"{value.translate(_ESCAPES)}"'


def _date_text(value: Any) -> str:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise TypeError
    return f'"{value.isoformat()}"'


def _timestamp_text(value: Any) -> str:
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return f'"{rfc3339((aware - EPOCH) // MICROSECOND)}"'


def _decimal_text(kind: DecimalType, value: Any) -> str:
    if not isinstance(value, Decimal | int) or isinstance(value, bool):
        raise TypeError
    if isinstance(value, int) and abs(value) >= 10**kind.precision:
        raise ValueError
    number = Decimal(value)
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise TypeError
    text = _shifted(digits, exponent + kind.scale, kind.precision).zfill(kind.scale + 1)
    whole, fraction = text[: len(text) - kind.scale], text[len(text) - kind.scale :]
    return ("-" if sign and number else "") + whole + ("." + fraction if fraction else "")


def _shifted(digits: Sequence[int], shift: int, precision: int) -> str:
    """A number's digits times a power of ten, which are a whole number of so many digits, or ValueError.

    It counts digits before it makes any: 1e8000000 is nine characters of a request, and eight million digits.
    """
    if not any(digits):
        return "0"
    if len(digits) + shift > precision or len(digits) <= -shift:
        raise ValueError
    text = "".join(map(str, digits))
    if shift >= 0:
        return text + "0" * shift
    if text[shift:].strip("0"):
        raise ValueError
    return text[:shift]


_SCALAR_TEXTS: Mapping[DataType, Callable[[Any], str]] = {
    Bool: _bool_text,
    Float64: float64_text,
    Float32: float32_text,
    String: _string_text,
    Bytes: lambda value: f'"{b64encode(value).decode()}"',
    Date: _date_text,
    Timestamp: _timestamp_text,
}


def _round_float(value: Any) -> float:
    number = _SPECIAL_FLOATS[value] if isinstance(value, str) else value
    return array.array("f", (number,))[0]


def _round_floats(values: list[Any]) -> list[Any]:
    if None in values:
        return [value if value is None else _round_float(value) for value in values]
    return array.array("f", values).tolist()


@lru_cache(maxsize=1024)
def _converter(kind: DataType) -> Callable[[Any], Any] | None:
    """From a parsed JSON value, which is not null, to the Python value; None if it is that value already."""
    if isinstance(kind, DecimalType):
        return Decimal
    if isinstance(kind, ListType):
        item = _converter(kind.element)
        if item is None:
            return None
        return lambda values: [value if value is None else item(value) for value in values]
    if isinstance(kind, StructType):
        inner = {name: _converter(field) for name, field in kind.fields}
        if not any(inner.values()):
            return None
        return lambda value: {
            name: one if one is None or (convert := inner[name]) is None else convert(one)
            for name, one in value.items()
        }
    return _CONVERTERS.get(kind)


_CONVERTERS: Mapping[DataType, Callable[[Any], Any]] = {
    Float64: lambda value: _SPECIAL_FLOATS[value] if isinstance(value, str) else value,
    Float32: _round_float,
    Bytes: b64decode,
    Date: date.fromisoformat,
    Timestamp: datetime.fromisoformat,
}
