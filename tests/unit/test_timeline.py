"""Instants, durations, intervals."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitherto.errors import InstantError, IntervalError
from hitherto.timeline import (
    MAX_INSTANT,
    MIN_INSTANT,
    Interval,
    duration,
    duration_text,
    instant,
    micros,
    rfc3339,
    subtract,
    system_clock,
    to_datetime,
    union,
)

instants = st.integers(MIN_INSTANT, MAX_INSTANT)
intervals = st.tuples(st.integers(0, 30), st.integers(1, 10)).map(lambda pair: Interval(pair[0], sum(pair)))


@pytest.mark.parametrize(
    "value",
    [
        datetime(2013, 1, 1, 12, tzinfo=UTC),
        datetime(2013, 1, 1, 7, tzinfo=timezone(timedelta(hours=-5))),
        "2013-01-01T12:00:00Z",
        "2013-01-01T07:00:00-05:00",
        "2013-01-01 12:00",
        "  2013-01-01T12:00:00.000000 ",
    ],
)
def test_an_instant_is_utc_whatever_zone_it_came_in(value: datetime | str):
    assert instant(value) == 1_357_041_600_000_000


@pytest.mark.parametrize("value", [date(2013, 1, 1), "2013-01-01"])
def test_a_date_is_midnight_utc(value: date | str):
    assert rfc3339(instant(value)) == "2013-01-01T00:00:00Z"


def test_a_naive_datetime_is_refused_with_the_fix():
    naive = datetime(2013, 1, 1)
    with pytest.raises(InstantError, match=r"The end .* has no time zone.*tzinfo=datetime\.UTC"):
        instant(naive, what="end")


@pytest.mark.parametrize("value", ["yesterday", "", "2013-13-01"])
def test_a_text_that_is_no_instant_is_refused(value: str):
    with pytest.raises(InstantError, match="not an ISO 8601 instant"):
        instant(value)


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_an_offset_does_not_carry_an_instant_out_of_the_years_that_can_be_shown(value: str):
    with pytest.raises(InstantError, match="outside the years 1 to 9999"):
        instant(value)


def test_a_duration_that_no_timedelta_holds_is_refused():
    with pytest.raises(InstantError, match="longer than 999999999 days"):
        duration("9" * 30 + "d")


@pytest.mark.parametrize("value", [None, 5, 1.5])
def test_nothing_else_is_an_instant(value: object):
    with pytest.raises(InstantError, match="must be an aware datetime"):
        instant(value)  # type: ignore[arg-type]  # refused is what it must be


def test_finer_than_a_microsecond_is_cut_off_never_rounded_up():
    assert instant("2013-01-01T00:00:00.9999999Z") == instant("2013-01-01T00:00:00.999999Z")


@given(instants)
def test_an_instant_comes_back_from_every_form(value: int):
    assert instant(to_datetime(value)) == value
    assert instant(rfc3339(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1, "1970-01-01T00:00:00.000001Z"), (-1_000_000, "1969-12-31T23:59:59Z")],
)
def test_rfc3339_has_a_fraction_only_if_there_is_one(value: int, text: str):
    assert rfc3339(value) == text


def test_the_system_clock_is_aware():
    assert system_clock().tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("6h", timedelta(hours=6)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("1h30m", timedelta(minutes=90)),
        ("1h 30m", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("3us", timedelta(microseconds=3)),
        ("-5m", timedelta(minutes=-5)),
        (timedelta(hours=1), timedelta(hours=1)),
    ],
)
def test_a_duration_is_a_timedelta_or_a_text(text: str | timedelta, expected: timedelta):
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "-", "6", "h", "6 hours", "1.5h", "six", None, 6])
def test_anything_else_is_no_duration(text: object):
    with pytest.raises(InstantError, match=r'The ttl .* "90s", "30m", "6h" or "7d"'):
        duration(text, what="ttl")  # type: ignore[arg-type]  # refused is what it must be


@given(st.integers(0, 10**15))
def test_a_duration_comes_back_from_its_text(value: int):
    assert micros(duration(duration_text(timedelta(microseconds=value)))) == value


@pytest.mark.parametrize("end", [5, 4])
def test_an_empty_or_reversed_interval_is_refused(end: int):
    with pytest.raises(IntervalError, match="empty or reversed"):
        Interval(5, end)


def test_an_interval_shows_that_its_end_is_open():
    assert str(Interval(0, 1_000_000)) == "[1970-01-01T00:00:00Z, 1970-01-01T00:00:01Z)"


@given(intervals, intervals)
def test_an_intersection_holds_what_both_hold(left: Interval, right: Interval):
    common = left.intersect(right)
    expected = _points([left]) & _points([right])
    assert (_points([common]) if common else set()) == expected
    assert left.covers(right) == (_points([right]) <= _points([left]))


@given(st.lists(intervals))
def test_a_union_is_the_same_points_in_as_few_intervals_as_can_be(several: list[Interval]):
    joined = union(several)
    assert _points(joined) == _points(several)
    assert all(left.end < right.start for left, right in pairwise(joined))


@given(intervals, st.lists(intervals))
def test_a_difference_is_the_points_that_are_left(whole: Interval, others: list[Interval]):
    rest = subtract(whole, others)
    assert _points(rest) == _points([whole]) - _points(others)
    assert list(rest) == sorted(rest)


def _points(several: object) -> set[int]:
    return {point for one in several for point in range(one.start, one.end)}  # type: ignore[attr-defined]  # any iterable
