"""The bounds of checks as SQL constants of the declared type, rounded so that a comparison means what was written."""

from __future__ import annotations

import decimal
import math
from datetime import date, datetime
from typing import Any, Literal

from hitherto.errors import InstantError
from hitherto.sql import text, timestamp
from hitherto.timeline import instant
from hitherto.types import Bool, Bytes, DataType, Date, DecimalType, Float32, String, Timestamp

Side = Literal["low", "high", "equal"]
_DIGITS = decimal.Context(prec=400)


class LiteralError(ValueError):
    """A bound that its column's type cannot be compared with."""


def literal(kind: DataType, value: Any, *, side: Side = "equal") -> str | None:
    """A constant to compare a column of a declared type with. Raises LiteralError.

    A low bound is rounded up to the type, a high one down, so that 0.5 <= x means 1 <= x for an integer x.
    None: with side="equal", no value of the type equals it.

    >>> from hitherto.types import Int64
    >>> literal(Int64, 0.5, side="low")
    "CAST('1' AS HUGEINT)"
    """
    if kind == Bool and isinstance(value, bool):
        return "true" if value else "false"
    if kind == String and isinstance(value, str):
        return text(value)
    if kind == Bytes and isinstance(value, bytes | bytearray):
        return f"from_hex('{bytes(value).hex()}')"
    if kind in (Timestamp, Date):
        return _time(kind, value)
    if kind.is_number and isinstance(value, int | float | decimal.Decimal) and not isinstance(value, bool):
        return _number(kind, value, side)
    raise LiteralError(f"{value!r} cannot be compared with {kind.name}")


def _time(kind: DataType, value: Any) -> str:
    try:
        if kind == Timestamp and isinstance(value, datetime | date | str):
            return timestamp(instant(value, what="bound"))
        if kind == Date and isinstance(value, str):
            value = date.fromisoformat(value)
        if kind == Date and isinstance(value, date) and not isinstance(value, datetime):
            return f"DATE '{value.isoformat()}'"
    except (InstantError, ValueError) as error:
        raise LiteralError(str(error)) from error
    raise LiteralError(f"{value!r} cannot be compared with {kind.name}")


def _number(kind: DataType, value: int | float | decimal.Decimal, side: Side) -> str | None:
    if value != value:  # NaN, of floats and of decimals
        if kind.is_float and side == "equal":
            return f"CAST('nan' AS {kind.sql})"
        raise LiteralError("NaN is no bound of anything but a float in is_in")
    if kind.is_float:
        # The nearest value of the column's own type: 0.1 bounds a Float32 at its own 0.1.
        return f"CAST('{float(value)!r}' AS {'FLOAT' if kind == Float32 else 'DOUBLE'})"
    scale = kind.scale if isinstance(kind, DecimalType) else 0
    if math.isinf(value):
        value = 10**38 if value > 0 else -(10**38)
    exact = decimal.Decimal(repr(value)) if isinstance(value, float) else decimal.Decimal(value)
    rounding = {"low": decimal.ROUND_CEILING, "high": decimal.ROUND_FLOOR, "equal": decimal.ROUND_DOWN}[side]
    whole = exact.quantize(decimal.Decimal(1).scaleb(-scale), rounding=rounding, context=_DIGITS)
    if side == "equal" and whole != exact:
        return None
    return _exact_number(whole, scale, side)


def _exact_number(whole: decimal.Decimal, scale: int, side: Side) -> str | None:
    largest = decimal.Decimal(10**38 - 1).scaleb(-scale, context=_DIGITS)
    if abs(whole) > largest:
        if side == "equal":
            return None
        whole = largest.copy_sign(whole)
    return f"CAST('{whole:f}' AS {'HUGEINT' if scale == 0 else f'DECIMAL(38, {scale})'})"
