"""Floats as the shortest text that reads back, in the forms that DuckDB writes. Pure."""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import Any

_SPECIAL = {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}
# Where DuckDB's to_json (yyjson) goes from decimal notation to an exponent.
_SMALLEST_EXPONENT, _LARGEST_EXPONENT = -6, 20
_MANTISSA_BITS, _EXPONENT_BIAS = 23, 127


def float64_text(value: Any) -> str:
    """A double as to_json writes it; NaN and the infinities are quoted names.

    >>> float64_text(1e16), float64_text(1e-7), float64_text(-0.0)
    ('10000000000000000.0', '1e-7', '-0.0')
    """
    text = repr(_number(value))
    if text in _SPECIAL:
        return _SPECIAL[text]
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        return text
    power = int(exponent)
    if not _SMALLEST_EXPONENT <= power <= _LARGEST_EXPONENT:
        return f"{mantissa}e{power}"
    sign, digits = ("-", mantissa[1:]) if mantissa[0] == "-" else ("", mantissa)
    digits = digits.replace(".", "")
    if power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    return f"{sign}{digits.ljust(power + 1, '0')}.0"


def float32_text(value: Any) -> str:
    """The number rounded to a float, as a cast to VARCHAR writes it; NaN and the infinities are quoted names.

    >>> float32_text(0.1), float32_text(1e16)
    ('0.1', '1e+16')
    """
    number = _float32(_number(value))
    text = repr(number)
    if text in _SPECIAL or not number:
        return _SPECIAL.get(text, text)
    # A text of nine digits or fewer is shortest as a double too, so repr gives it the usual notation.
    return repr(_shortest_float32(number))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise TypeError
    number = float(value)
    if isinstance(value, int) and number != value:
        raise ValueError
    return number


def _float32(number: float) -> float:
    try:
        rounded: float = struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        return math.copysign(math.inf, number)
    return rounded


def _shortest_float32(number: float) -> float:
    """The number that DuckDB's cast writes: the shortest decimal between the midpoints to both neighbours, nearest to the float.

    Where the choice is a draw, or falls on a midpoint, DuckDB (Grisu in fmt) gives up and writes the double's digits.
    """
    value = Fraction(abs(number))
    lower, upper = _midpoints(value)
    power = math.floor(math.log10(upper)) if upper else 0
    power += (upper >= Fraction(10) ** (power + 1)) - (upper < Fraction(10) ** power)
    step = Fraction(10) ** power
    while (near := upper // step * step) < lower:
        step /= 10
    while near > value and near - step >= lower and 2 * (near - value) > step:
        near -= step
    draw = near > value and near - step >= lower and 2 * (near - value) == step
    if draw or near in (lower, upper):
        return number
    return math.copysign(float(near), number)


def _midpoints(value: Fraction) -> tuple[Fraction, Fraction]:
    """Halfway to the float below and to the one above a positive float."""
    bits: int = struct.unpack("I", struct.pack("f", float(value)))[0]
    exponent, mantissa = bits >> _MANTISSA_BITS, bits & ((1 << _MANTISSA_BITS) - 1)
    half_gap = Fraction(2) ** (max(exponent, 1) - _MANTISSA_BITS - _EXPONENT_BIAS - 1)
    below_is_nearer = mantissa == 0 and exponent > 1
    return value - half_gap / (2 if below_is_nearer else 1), value + half_gap
