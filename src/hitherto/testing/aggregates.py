"""Windowed features in plain Python, slow and obvious: which rows a window has, and what each function makes of their values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from hashlib import md5
from typing import Any

from hitherto.encoding.row_codec import encode_fragment
from hitherto.types import DataType, DecimalType

SAMPLE = 1_024


@dataclass(frozen=True)
class WindowRow:
    """One row of a key and its value in one column, for the rule of windows. Instants are microseconds."""

    event: int
    start: int
    """From when on it is there: its available time."""
    end: int | None
    """From when on it is not there any more, since something was published over it; None if it stays."""
    value: Any


def rows_of_window(
    rows: Sequence[WindowRow], at: int, window: int | None, *, versions: bool = False
) -> list[WindowRow]:
    """The rows of a key that a window has at an instant: `at - window < event time <= at`, available by then.

    Args:
        rows: All rows of the key, in the order of rows.
        at: The instant.
        window: Its length; None for all time.
        versions: Whether rows that agree in event time are versions of one event, of which the greatest available one counts.

    >>> rows_of_window([WindowRow(1, 1, None, "a"), WindowRow(5, 9, None, "b")], at=6, window=5)
    []
    >>> [row.value for row in rows_of_window([WindowRow(1, 1, None, "a"), WindowRow(5, 9, None, "b")], at=9, window=None)]
    ['a', 'b']
    """
    there = [row for row in rows if row.start <= at and (row.end is None or at < row.end)]
    if versions:
        greatest = {row.event: row for row in there}
        there = [row for row in there if greatest[row.event] is row]
    return [row for row in there if row.event <= at and (window is None or at - window < row.event)]


def aggregate(
    function: str, values: Iterable[Any], kind: DataType, *, n: int | None = None, p: float | None = None
) -> Any:
    """What a function makes of the values of a window, in the order of rows; None is null.

    Args:
        function: Its name in an `Aggregation`.
        values: Nulls among them are ignored.
        kind: Their type.
        n: With "last": how many.
        p: With "percentile": the share.

    >>> from hitherto.types import Float64
    >>> aggregate("sum", [0.1, 0.2, None, 0.3], Float64), aggregate("count", [], Float64), aggregate("max", [], Float64)
    (0.6, 0, None)
    """
    found = [value for value in values if value is not None]
    if function == "count":
        return len(found)
    if function == "count_distinct":
        return len({_identity(value) for value in found})
    if function == "approx_count_distinct":
        return _approximate_count({_identity(value): value for value in found}, kind)
    if not found:
        return None
    if function == "first":
        return found[0]
    if function == "last":
        return found[-1] if n is None else found[-n:]
    if function in ("min", "max"):
        return min(found, key=_rank) if function == "min" else max(found, key=_rank)
    if function == "sum":
        return _sum(found, kind)
    if function == "mean":
        return _rounded_sum(found) / len(found)
    if function == "percentile" and p is not None:
        return _percentile(sorted(found, key=_rank), p)
    variance = _variance(found)
    return math.sqrt(variance) if function == "stddev" and variance is not None else variance


def _identity(value: Any) -> Any:
    """Equal where distinct counts see one value: 0.0 and -0.0 are one, NaN is one, and True is not 1."""
    return (type(value), "NaN" if isinstance(value, float) and math.isnan(value) else value)


def _approximate_count(distinct: dict[Any, Any], kind: DataType) -> int:
    """Exact up to SAMPLE values; else a count of those with a hash in a half, a quarter, an eighth ... of all hashes, times 2, 4, 8 ..."""
    if len(distinct) <= SAMPLE:
        return len(distinct)
    canonical = [0.0 if isinstance(value, float) and value == 0 else value for value in distinct.values()]
    fragments = [encode_fragment(kind, value) for value in canonical]
    hashes = {int.from_bytes(md5(one, usedforsecurity=False).digest()[:8]) for one in fragments}
    halvings = 1
    while (count := len([one for one in hashes if one < 2 ** (64 - halvings)])) > SAMPLE:
        halvings += 1
    return count << halvings


def _rank(value: Any) -> Any:
    """The order of values: NaN is the greatest number, -0.0 is before 0.0."""
    if isinstance(value, float):
        return (math.isnan(value), 0.0 if math.isnan(value) else value, math.copysign(1.0, value) if value == 0 else 0)
    return value


def _sum(values: list[Any], kind: DataType) -> Any:
    if kind.is_float:
        return _rounded_sum(values)
    if kind.is_integer:
        total = sum(values)
        return total if -(2**63) <= total < 2**63 else None
    assert isinstance(kind, DecimalType)
    total = sum(int(Fraction(value) * 10**kind.scale) for value in values)
    if abs(total) >= 10**38:
        return None
    return Decimal((int(total < 0), tuple(int(digit) for digit in str(abs(total))), -kind.scale))


def _rounded_sum(values: list[Any]) -> float:
    """The mathematical sum, rounded once."""
    special = [value for value in values if isinstance(value, float) and not math.isfinite(value)]
    if special:
        return math.fsum(special) if len(set(special)) == 1 else math.nan
    return _rounded(sum((Fraction(value) for value in values), Fraction(0)))


def _rounded(exact: Fraction) -> float:
    try:
        return exact.numerator / exact.denominator
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _variance(values: list[Any]) -> float | None:
    """The sample variance, exact and rounded once; NaN where a value is not finite."""
    if len(values) < 2:
        return None
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        return math.nan
    count = len(values)
    exact = [Fraction(value) for value in values]
    first, second = sum(exact, Fraction(0)), sum((one * one for one in exact), Fraction(0))
    return _rounded((count * second - first * first) / (count * (count - 1)))


def _percentile(ascending: list[Any], p: float) -> float:
    place = p * (len(ascending) - 1)
    below = float(ascending[math.floor(place)])
    above = float(ascending[min(math.floor(place) + 1, len(ascending) - 1)])
    share = place - math.floor(place)
    if share == 0 or below == above:
        return below
    distance = above - below
    if math.isfinite(distance):
        return below + distance * share
    return below * (1 - share) + above * share
