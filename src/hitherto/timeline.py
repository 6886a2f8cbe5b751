"""Instants, durations and intervals (semantics 1). Pure: no clock is read here but the default one.

Inside the code an instant is an int: microseconds since 1970-01-01 UTC. At the edges it is an aware datetime.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from hitherto.errors import InstantError, IntervalError

Clock = Callable[[], datetime]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# The years 0001 to 9999: what Python, RFC 3339 and every client can hold.
MIN_INSTANT = -62_135_596_800_000_000
MAX_INSTANT = 253_402_300_799_999_999
_UNITS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_DURATION = re.compile(r"(\d+)\s*(us|ms|s|m|h|d|w)")


def system_clock() -> datetime:
    """The instant now, in UTC."""
    return datetime.now(UTC)


def instant(value: datetime | date | str, *, what: str = "instant") -> int:
    """Microseconds since 1970 UTC. Naive datetimes are refused, dates are midnight UTC, strings ISO 8601.

    A string without an offset is UTC, as a date is. Raises InstantError.

    >>> instant("2013-01-01T12:00:00Z")
    1357041600000000
    """
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value.strip())
        except ValueError:
            raise InstantError(
                f"The {what} {value!r} is not an ISO 8601 instant such as 2013-01-31T06:00:00Z."
            ) from None
        value = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InstantError(
                f"The {what} {value!r} has no time zone. Say which: value.replace(tzinfo=datetime.UTC), or the string {value.isoformat()}Z."
            )
        found = (value - EPOCH) // MICROSECOND
        # An offset can carry the first and the last day out of what a datetime in UTC can hold.
        if not MIN_INSTANT <= found <= MAX_INSTANT:
            raise InstantError(f"The {what} {value.isoformat()} is outside the years 1 to 9999 in UTC.")
        return found
    if isinstance(value, date):
        return (datetime(value.year, value.month, value.day, tzinfo=UTC) - EPOCH) // MICROSECOND
    raise InstantError(
        f"The {what} must be an aware datetime, a date or an ISO 8601 string, not {type(value).__name__}."
    )


def to_datetime(micros: int) -> datetime:
    """The aware datetime of an instant.

    >>> to_datetime(0)
    datetime.datetime(1970, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    return EPOCH + timedelta(microseconds=micros)


def rfc3339(micros: int) -> str:
    """RFC 3339 with Z; microseconds only where there are any.

    >>> rfc3339(1357041600000000)
    '2013-01-01T12:00:00Z'
    """
    return to_datetime(micros).isoformat().replace("+00:00", "Z")


def duration(value: timedelta | str, *, what: str = "duration") -> timedelta:
    """A timedelta from itself or from "90s", "30m", "6h", "7d", "1h30m". Raises InstantError; the sign is the caller's matter.

    >>> duration("30m")
    datetime.timedelta(seconds=1800)
    """
    if isinstance(value, timedelta):
        return value
    text = value.strip() if isinstance(value, str) else ""
    negative, text = text.startswith("-"), text.removeprefix("-")
    if not text or _DURATION.sub("", text).strip():
        raise InstantError(f'The {what} {value!r} is not a timedelta or a text such as "90s", "30m", "6h" or "7d".')
    total = sum(int(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))
    try:
        return timedelta(microseconds=-total if negative else total)
    except OverflowError:
        raise InstantError(f"The {what} {value!r} is longer than {timedelta.max.days} days.") from None


def micros(value: timedelta) -> int:
    """A duration in microseconds."""
    return value // MICROSECOND


def duration_text(value: timedelta) -> str:
    """The shortest text that `duration` reads back.

    >>> duration_text(timedelta(hours=6))
    '6h'
    """
    total = micros(value)
    for unit in ("d", "h", "m", "s", "ms", "us"):
        if total and total % _UNITS[unit] == 0:
            return f"{total // _UNITS[unit]}{unit}"
    return "0s"


@dataclass(frozen=True, order=True)
class Interval:
    """Half-open, [start, end), in available time, microseconds UTC."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise IntervalError(
                f"The interval [{rfc3339(self.start)}, {rfc3339(self.end)}) is empty or reversed: its start must be before its end."
            )

    def __str__(self) -> str:
        return f"[{rfc3339(self.start)}, {rfc3339(self.end)})"

    def intersect(self, other: Interval) -> Interval | None:
        """What both cover, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Interval(start, end) if start < end else None

    def covers(self, other: Interval) -> bool:
        """Whether the other lies wholly inside."""
        return self.start <= other.start and other.end <= self.end


def union(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The same instants as disjoint intervals in order, those that touch joined.

    >>> union([Interval(5, 7), Interval(0, 2), Interval(2, 4)])
    (Interval(start=0, end=4), Interval(start=5, end=7))
    """
    merged: list[Interval] = []
    for interval in sorted(intervals):
        if merged and interval.start <= merged[-1].end:
            merged[-1] = Interval(merged[-1].start, max(merged[-1].end, interval.end))
        else:
            merged.append(interval)
    return tuple(merged)


def subtract(interval: Interval, others: Iterable[Interval]) -> tuple[Interval, ...]:
    """What is left of an interval without the others, in order.

    >>> subtract(Interval(0, 10), [Interval(2, 4), Interval(8, 12)])
    (Interval(start=0, end=2), Interval(start=4, end=8))
    """
    rest: list[Interval] = []
    cursor = interval.start
    for other in union(others):
        if other.end <= cursor or other.start >= interval.end:
            continue
        if other.start > cursor:
            rest.append(Interval(cursor, other.start))
        cursor = other.end
    if cursor < interval.end:
        rest.append(Interval(cursor, interval.end))
    return tuple(rest)
