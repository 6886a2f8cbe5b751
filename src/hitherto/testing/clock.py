"""A clock that stands still until it is told to move (semantics 1: there is one clock, and it is injected)."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from hitherto.errors import InstantError
from hitherto.timeline import MICROSECOND, duration, instant, rfc3339, to_datetime


class FakeClock:
    """A clock for tests and demos: `FeatureStore(clock=FakeClock("2013-01-01T12:00:00Z"))`.

    Args:
        now: Where it stands: an aware datetime, a date (midnight UTC) or an ISO 8601 string.

    Raises:
        InstantError: If an instant is naive or unreadable, or a step would go backwards.

    >>> clock = FakeClock("2013-01-01T12:00:00Z")
    >>> clock.advance("30m")
    datetime.datetime(2013, 1, 1, 12, 30, tzinfo=datetime.timezone.utc)
    >>> clock() == clock()
    True
    """

    def __init__(self, now: datetime | date | str) -> None:
        self._now = instant(now)

    def __call__(self) -> datetime:
        """The instant at which it stands, aware, in UTC."""
        return to_datetime(self._now)

    def advance(self, by: timedelta | str) -> datetime:
        """Move on by a timedelta or "90s", "30m", "6h", "7d"; returns the new instant."""
        step = duration(by, what="step of the clock")
        if step < timedelta(0):
            raise InstantError(f"The clock cannot advance by {step}: a clock that goes back is set, clock.set(...).")
        self._now += step // MICROSECOND
        return self()

    def set(self, now: datetime | date | str) -> datetime:
        """Stand at another instant, earlier ones too; returns it."""
        self._now = instant(now)
        return self()

    def __repr__(self) -> str:
        return f"FakeClock({rfc3339(self._now)!r})"
