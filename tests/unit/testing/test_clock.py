from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from hitherto.errors import InstantError
from hitherto.testing import FakeClock

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def test_it_stands_still_until_it_is_told_to_move() -> None:
    clock = FakeClock("2013-01-01T12:00:00Z")
    assert clock() == clock() == NOON


def test_its_instants_are_aware_and_in_utc() -> None:
    assert FakeClock("2013-01-01T07:00:00-05:00")().tzinfo is UTC
    assert FakeClock("2013-01-01T07:00:00-05:00")() == NOON


def test_it_advances_by_texts_and_timedeltas_and_says_where_it_is() -> None:
    clock = FakeClock(NOON)
    assert clock.advance("30m") == NOON + timedelta(minutes=30)
    assert clock.advance(timedelta(microseconds=1)) == clock() == NOON + timedelta(minutes=30, microseconds=1)


def test_it_is_set_forward_and_back() -> None:
    clock = FakeClock(NOON)
    assert clock.set(date(2013, 1, 2)) == datetime(2013, 1, 2, tzinfo=UTC)
    assert clock.set("2012-12-31T00:00:00Z") == datetime(2012, 12, 31, tzinfo=UTC)


def test_it_does_not_advance_backwards() -> None:
    with pytest.raises(InstantError, match="cannot advance by -1 day"):
        FakeClock(NOON).advance("-30m")


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(InstantError, match="no time zone"):
        FakeClock(datetime(2013, 1, 1))


def test_its_text_is_how_to_make_it_again() -> None:
    clock = FakeClock(NOON)
    assert repr(clock) == "FakeClock('2013-01-01T12:00:00Z')"


def test_a_name_that_is_not_there_is_none_of_the_module() -> None:
    import hitherto.testing

    with pytest.raises(AttributeError, match=r"module 'hitherto.testing' has no attribute 'Clock'"):
        _ = hitherto.testing.Clock
