"""Parity: what counts as equal, at which instants, what a report says and what it never says."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from hitherto.monitoring.parity import (
    Answers,
    Columns,
    EntityRows,
    Mismatch,
    ParityReport,
    ViewMarks,
    check_parity,
    choose_instants,
    same,
)
from hitherto.timeline import MAX_INSTANT

NAN = float("nan")
OTHER_NAN = struct.unpack("<d", b"\x01\x00\x00\x00\x00\x00\xf8\xff")[0]
EQUAL = [
    None,
    True,
    0,
    2**60,
    -0.0,
    NAN,
    "",
    "é",
    b"\x00",
    Decimal("1.10"),
    date(2020, 1, 1),
    [],
    [None, [NAN]],
    {"a": NAN},
]
DIFFERENT = [
    (None, 0),
    (None, NAN),
    (0.0, -0.0),
    (1, True),
    (1, 1.0),
    (2**53, 2**53 + 1),
    ("a", b"a"),
    ("", None),
    (Decimal("1.1"), Decimal("1.10")),
    (Decimal("0"), Decimal("-0")),
    ([], None),
    ([0.0], [-0.0]),
    ([1, None], [1]),
    ({"a": 1}, {"a": None}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
]


@pytest.mark.parametrize("value", EQUAL, ids=repr)
def test_a_value_is_the_same_as_its_copy(value: Any):
    assert same(value, value)


def test_any_nan_is_nan():
    assert same(NAN, OTHER_NAN)


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=repr)
def test_values_that_differ_in_one_bit_are_not_the_same(one: Any, other: Any):
    assert not same(one, other)
    assert not same(other, one)


# -- instants ----------------------------------------------------------------------------------------------------------


def test_instants_are_the_watermark_now_and_both_sides_of_the_ttls_edge():
    marks = [ViewMarks(watermark=1_000, ttl=500, events=(900, 700))]
    edges = {1_399, 1_400, 1_401, 1_199, 1_200, 1_201}
    assert {1_000, 5_000} | edges < set(choose_instants(marks, now=5_000, count=10))


def test_instants_are_both_sides_of_where_rows_leave_each_window():
    marks = [ViewMarks(watermark=1_000, ttl=None, events=(900,), windows=(500, 700))]
    assert {1_399, 1_400, 1_401, 1_599, 1_600, 1_601} < set(choose_instants(marks, now=5_000, count=12))


def test_some_instants_lie_where_rows_are_still_valid_however_many_views_there_are():
    marks = [ViewMarks(1_000_000, ttl, (900_000, 800_000)) for ttl in range(500_000, 600_000, 10_000)]
    chosen = choose_instants(marks, now=9_000_000, count=20)
    assert sum(1_000_000 < one < 1_299_999 for one in chosen) >= 6


def test_no_instant_is_before_the_watermark_of_any_view():
    marks = [ViewMarks(1_000, 10, (900,)), ViewMarks(2_000, 500, (1_000, 1_900)), ViewMarks(None, 3)]
    chosen = choose_instants(marks, now=1_500, count=20)
    assert min(chosen) == 2_000
    assert {2_399, 2_400, 2_401} <= set(chosen)


@pytest.mark.parametrize("count", [1, 2, 5, 20, 50])
def test_as_many_instants_are_chosen_as_were_asked_for(count: int):
    marks = [ViewMarks(1_000_000, 6_000_000, (900_000, 500_000)), ViewMarks(900_000, None, (1,))]
    chosen = choose_instants(marks, now=10_000_000, count=count)
    assert len(set(chosen)) == len(chosen) == count
    assert list(chosen) == sorted(chosen)


def test_instants_stay_within_the_years_that_lookups_take():
    assert max(choose_instants([ViewMarks(0, MAX_INSTANT, (5,))], now=1, count=20)) <= MAX_INSTANT


def test_without_any_watermark_the_instant_is_now():
    assert choose_instants([ViewMarks(None, None)], now=77, count=1) == (77,)


# -- comparing ---------------------------------------------------------------------------------------------------------

ROWS = EntityRows({"airport": ["JFK", "LGA", None]}, 3)
FEATURES = {"weather__temp": ("weather", "temp")}
PRESENT = ["PRESENT", "PRESENT", "NOT_FOUND"]


def retrieve_as(values: Sequence[Any], statuses: Sequence[str]) -> Any:
    def retrieve(columns: Columns, instants: Sequence[int]) -> Answers:
        times = len(instants) // len(values)
        return Answers({"weather__temp": [*values] * times}, {"weather__temp": [*statuses] * times})

    return retrieve


def look_up_as(values: Sequence[Any], statuses: Sequence[str]) -> Any:
    return lambda columns, now: Answers({"weather__temp": values}, {"weather__temp": statuses})


def test_equal_sides_are_counted_with_their_share_of_present():
    side = [1.5, NAN, None], PRESENT
    report = check_parity(ROWS, [10, 20], features=FEATURES, retrieve=retrieve_as(*side), lookup=look_up_as(*side))
    assert (report.checked, report.equal, report.present, report.instants) == (6, 6, 4, (10, 20))
    assert report.ok
    assert report.present_share == pytest.approx(4 / 6)
    assert "6 of 6 values and statuses equal offline and online, at 2 instants, 66.7% PRESENT" in str(report)


def test_a_mismatch_names_view_feature_instant_and_statuses_but_no_value():
    report = check_parity(
        ROWS,
        [1_357_041_600_000_000],
        features=FEATURES,
        retrieve=retrieve_as([1.5, 123.456, None], PRESENT),
        lookup=look_up_as([1.5, 654.321, None], ["OUTSIDE_MAX_AGE", "PRESENT", "NOT_FOUND"]),
    )
    at = 1_357_041_600_000_000
    assert report.mismatches == (
        Mismatch("weather", "temp", at, "PRESENT", "OUTSIDE_MAX_AGE", 1),
        Mismatch("weather", "temp", at, "PRESENT", "PRESENT", 1),
    )
    assert not report.ok
    assert (report.checked, report.equal, report.present) == (3, 1, 0)
    text = f"{report} {report.to_json()} {report._repr_html_()}"
    assert "weather:temp at 2013-01-01T12:00:00Z: 1 lookup gives OUTSIDE_MAX_AGE instead of PRESENT" in text
    assert "another value" in text
    assert not [secret for secret in ("123.4", "654.3", "JFK", "LGA") if secret in text]


def test_what_a_push_put_ahead_is_counted_and_is_no_mismatch():
    asked: list[Columns] = []

    def pushed(view: str, columns: Columns) -> list[bool]:
        asked.append(columns)
        return [True, False]

    report = check_parity(
        ROWS,
        [10],
        features=FEATURES,
        retrieve=retrieve_as([1.5, 2.5, None], PRESENT),
        lookup=look_up_as([1.6, 2.6, None], PRESENT),
        pushed=pushed,
    )
    assert asked == [{"airport": ["JFK", "LGA"]}]
    assert (report.equal, report.pushed, [one.count for one in report.mismatches]) == (1, 1, [1])
    assert "1 are ahead of the runs by a push" in str(report)


def test_reports_add_up():
    one = ParityReport(2, 2, 1, 0, (), (5,), ("a note",))
    other = ParityReport(3, 1, 1, 1, (Mismatch("v", "f", 7, "PRESENT", "NOT_FOUND", 1),), (7,), ("a note",))
    both = one + other
    assert (both.checked, both.equal, both.present, both.pushed) == (5, 3, 2, 1)
    assert (both.instants, both.notes, both.ok) == ((5, 7), ("a note",), False)


def test_a_report_of_nothing_says_so():
    assert str(ParityReport(notes=("no view is online",))) == "parity: nothing was compared\n  no view is online"
    assert ParityReport().present_share == 0.0


def test_many_mismatches_are_cut_in_text_and_whole_in_json():
    many = tuple(Mismatch("v", f"f{number:02d}", 7, "PRESENT", "NOT_FOUND", 2) for number in range(15))
    report = ParityReport(30, 0, 0, 0, many, (7,))
    assert "... and 5 more" in str(report)
    assert "2 lookups give NOT_FOUND instead of PRESENT" in str(report)
    assert len(report.to_json()["mismatches"]) == 15
