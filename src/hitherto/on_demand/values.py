"""What a function gave, as values of the declared types: numbers become others only where none is changed by it. Pure."""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as at

from hitherto.encoding.row_codec import decode_column, encode_fragment
from hitherto.errors import UsageError
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

MISSING: Any = object()
"""Stands for what a function did not give; it is of no type."""
_NONE = type(None)
_WRITTEN_AS_TEXT = ("Float32", "Float64", "Bytes", "Date", "Timestamp")
_PLAIN = {Bool: bool, Float64: float, String: str, Bytes: bytes, Date: date}
_REFUSED = (UsageError, TypeError, ValueError, ArithmeticError, AttributeError)
_LONGEST_INTEGER = 20
"""Digits; no integer type has as many."""


@lru_cache(maxsize=256)
def conformer(kind: DataType, *, json: bool = False) -> Callable[[Sequence[Any]], tuple[list[Any], list[int]]]:
    """`conform`, or `from_json`, for one type: what does not depend on the values is found out once."""
    whole, plain = from_json if json else conform, _PLAIN.get(kind)
    if plain is None and kind in INTEGER_RANGES:
        low, high = INTEGER_RANGES[kind]

        def take_integers(values: Sequence[Any]) -> tuple[list[Any], list[int]]:
            if len(values) == 1 and type(values[0]) is int and low <= values[0] <= high:
                return [values[0]], []
            return whole(kind, values)

        return take_integers
    if plain is None or plain is str:
        return partial(whole, kind)

    def take(values: Sequence[Any]) -> tuple[list[Any], list[int]]:
        found = set(map(type, values))
        found.discard(_NONE)
        # Of one type or none: most columns are, and need no second look.
        return (list(values), []) if not found or found == {plain} else whole(kind, values)

    return take if not json or plain in (bool, float) else partial(whole, kind)


def conform(kind: DataType, values: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """Values as those of a declared type, as a lookup decodes them, and the rows whose value is none; these are None.

    An integer may be a float without fraction, a float an integer that it holds exactly; Float32 is rounded to; a time without a
    zone is UTC.

    >>> from hitherto.types import Int64
    >>> conform(Int64, [1, 2.0, 2.5, None])
    ([1, 2, None, None], [2])
    """
    if _fits(kind, values):
        return list(values), []
    taken: list[Any] = []
    refused: list[int] = []
    for row, value in enumerate(values):
        try:
            taken.append(None if value is None else _conformed(kind, value))
        # Not only what the types' own rules raise: the value can be an object of any class.
        except Exception:  # noqa: BLE001  (its class can be a user's)
            taken.append(None)
            refused.append(row)
    return taken, refused


def from_json(kind: DataType, values: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """`conform` for values that come from JSON: Bytes as base64, times and Decimals as text, "NaN" and infinities by name."""
    if _fits(kind, values) or not (kind.is_nested or kind.name in _WRITTEN_AS_TEXT or isinstance(kind, DecimalType)):
        return conform(kind, values)
    read: list[Any] = []
    unread: list[int] = []
    for row, value in enumerate(values):
        try:
            _refuse_strange(kind, value)
            read.append(decode_column(kind, [msgspec.json.encode(value)])[0])
        except (*_REFUSED, KeyError):
            read.append(None)
            unread.append(row)
    taken, refused = conform(kind, read)
    return taken, sorted([*unread, *refused])


def _refuse_strange(kind: DataType, value: Any) -> None:
    """Raise for JSON that Python would take for a value of the type: true for a number, text with other letters than base64's."""
    if value is None:
        return
    if isinstance(kind, ListType) and isinstance(value, list):
        for item in value:
            _refuse_strange(kind.element, item)
    elif isinstance(kind, StructType) and isinstance(value, dict):
        inner = dict(kind.fields)
        for name, one in value.items():
            _refuse_strange(inner[name], one)
    elif kind.is_nested or (isinstance(value, bool) and kind != Bool) or isinstance(value, list | dict):
        raise TypeError
    elif kind == Bytes:
        b64decode(value, validate=True)


def _fits(kind: DataType, values: Sequence[Any]) -> bool:
    """Whether all values are of the type already, seen without a step of Python for each."""
    found = set(map(type, values)) - {_NONE}
    if not found:
        return True
    if kind in INTEGER_RANGES:
        if found != {int}:
            return False
        low, high = INTEGER_RANGES[kind]
        numbers = [value for value in values if value is not None] if None in values else values
        return bool(low <= min(numbers) and max(numbers) <= high)
    if kind == String:
        # A half of a surrogate pair is no text that could be written.
        return found == {str} and _is_unicode(values)
    if kind == Timestamp:
        return found == {datetime} and all(value is None or value.tzinfo is UTC for value in values)
    return found == {_PLAIN.get(kind)}


def _is_unicode(values: Sequence[str | None]) -> bool:
    try:
        "".join([value for value in values if value is not None]).encode()
    except UnicodeEncodeError:
        return False
    return True


def _conformed(kind: DataType, value: Any) -> Any:
    """One value; whatever is raised says that it cannot be one of the type."""
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        # A scalar becomes a number; an array a list, which is no number even if it holds but one.
        value = value.tolist()
    if kind.is_integer and isinstance(value, float | Decimal):
        value = _whole(value)
    elif kind.is_float and isinstance(value, Decimal):
        number = float(value)
        if Decimal(number) != value:
            raise ValueError
        value = number
    elif isinstance(kind, DecimalType) and isinstance(value, float):
        value = Decimal(value)
    taken = decode_column(kind, [encode_fragment(kind, value)])[0]
    if kind == Float32 and math.isinf(taken) and not math.isinf(value):
        raise OverflowError
    return taken


def _whole(value: float | Decimal) -> int:
    """The integer that a number is. Its digits are counted first: those of 1e999999999 would fill the memory."""
    if isinstance(value, Decimal) and value and value.adjusted() >= _LONGEST_INTEGER:
        raise OverflowError
    whole = int(value) if value else 0
    if whole != value:
        raise ValueError
    return whole


def python_values(kind: DataType, array: pa.Array) -> list[Any]:
    """A column as Python values, as a lookup decodes them: times in `datetime.UTC`, whatever zone Arrow's have."""
    if kind == Timestamp:
        naive = array.cast(pa.timestamp("us")).to_pylist()
        return [None if value is None else value.replace(tzinfo=UTC) for value in naive]
    values: list[Any] = array.to_pylist()
    return conform(kind, values)[0] if kind.is_nested and "Timestamp" in kind.name else values


# -- columns of Arrow ------------------------------------------------------------------------------------------------

_NUMBERS: tuple[Callable[[pa.DataType], bool], ...] = (at.is_integer, at.is_floating, at.is_decimal)
_TEXTS = (at.is_string, at.is_large_string, at.is_string_view)
_BINARIES = (at.is_binary, at.is_large_binary, at.is_binary_view, at.is_fixed_size_binary)
_LISTS = (at.is_list, at.is_large_list, at.is_fixed_size_list)
_FAMILIES: dict[DataType, tuple[Callable[[pa.DataType], bool], ...]] = {
    Bool: (at.is_boolean,),
    String: _TEXTS,
    Bytes: _BINARIES,
    Date: (at.is_date32, at.is_date64),
    Timestamp: (at.is_timestamp,),
}


def can_be(actual: pa.DataType, kind: DataType) -> bool:
    """Whether values of an Arrow type can be of a declared one; whether each is, its value says."""
    if at.is_null(actual):
        return True
    if at.is_dictionary(actual):
        return can_be(actual.value_type, kind)
    if isinstance(kind, ListType):
        return any(test(actual) for test in _LISTS) and can_be(actual.value_type, kind.element)
    if isinstance(kind, StructType):
        given = (
            {actual.field(i).name: actual.field(i).type for i in range(actual.num_fields)}
            if at.is_struct(actual)
            else {}
        )
        inner = dict(kind.fields)
        return at.is_struct(actual) and all(name in inner and can_be(one, inner[name]) for name, one in given.items())
    return any(test(actual) for test in (_NUMBERS if kind.is_number else _FAMILIES[kind]))


def conform_array(kind: DataType, column: pa.Array | pa.ChunkedArray) -> tuple[pa.Array, list[int]]:
    """`conform` for a column of Arrow, without a step of Python for each value where all of them fit."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # without a chunk there is nothing to combine
        array = pa.array([], array.type)
    if at.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not can_be(array.type, kind):
        return pa.nulls(len(array), kind.arrow), pc.indices_nonzero(array.is_valid()).to_pylist()
    fitting = _cast(kind, array)
    if fitting is not None:
        return fitting, []
    taken, refused = conform(kind, array.to_pylist())
    return pa.array(taken, kind.arrow), refused


def _cast(kind: DataType, array: pa.Array) -> pa.Array | None:
    """The array in the type, or None if that could change a value."""
    if array.type == kind.arrow:
        return array if kind != Timestamp or _in_calendar(array) else None
    if kind == Timestamp:
        if array.type.unit == "ns":
            array = pc.floor_temporal(array, unit="microsecond")
        naive = array.cast(pa.timestamp(array.type.unit)) if array.type.tz is not None else array
        cast = _try(naive, pa.timestamp("us"))
        return None if cast is None or not _in_calendar(cast) else cast.cast(kind.arrow)
    if kind == Float32:
        return _float32(array)
    changes_silently = at.is_decimal(array.type) != isinstance(kind, DecimalType) and not kind.is_integer
    return None if kind.is_number and changes_silently else _try(array, kind.arrow)


def _float32(array: pa.Array) -> pa.Array | None:
    doubles = None if at.is_decimal(array.type) else _try(array, pa.float64())
    if doubles is None:
        return None
    single = doubles.cast(pa.float32(), safe=False)
    grown = pc.any(pc.and_(pc.is_inf(single), pc.is_finite(doubles))).as_py()
    return None if grown else single


def _in_calendar(array: pa.Array) -> bool:
    """Whether Python and RFC 3339 can tell the times: the years 1 to 9999."""
    from hitherto.timeline import MAX_INSTANT, MIN_INSTANT

    bounds = pc.min_max(array.cast(pa.int64()))
    return bounds["min"].as_py() is None or (
        bounds["min"].as_py() >= MIN_INSTANT and bounds["max"].as_py() <= MAX_INSTANT
    )


def _try(array: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        return array.cast(kind)
    except pa.ArrowException:
        return None
