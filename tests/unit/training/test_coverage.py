"""Which ranges are missing, and which rows look into them, on records alone."""

from __future__ import annotations

import numpy as np
import pytest

from hitherto.errors import NotMaterializedError
from hitherto.registry.records import FileObservation, Publication, SourceFile
from hitherto.timeline import Interval
from hitherto.training.coverage import Coverage, ViewCoverage, missing_ranges, needs_missing, refuse_missing


def publication(number: int, start: int, end: int) -> Publication:
    return Publication(number, "v", 1, f"r{number}", number, Interval(start, end), None, 100 * number)


def seen(start: int | None, end: int | None, until: int | None = None) -> FileObservation:
    return FileObservation(SourceFile("f", 1, "1", "f", 1, start, end), 1, until)


LEDGER = [publication(1, 0, 10), publication(2, 30, 40)]


def test_missing_is_where_files_have_rows_before_the_watermark_and_no_run_has_published() -> None:
    assert missing_ranges(LEDGER, [seen(5, 50)], as_of=None) == (Interval(10, 30),)
    assert missing_ranges(LEDGER, [seen(5, 14), seen(20, 24)], as_of=None) == (Interval(10, 15), Interval(20, 25))
    assert missing_ranges(LEDGER, [seen(-5, 3)], as_of=None) == (Interval(-5, 0),)


def test_files_that_are_gone_and_files_without_a_time_miss_nothing() -> None:
    assert missing_ranges(LEDGER, [seen(5, 50, until=2), seen(None, None)], as_of=None) == ()
    assert missing_ranges([], [seen(5, 50)], as_of=None) == ()


def test_as_of_an_instant_only_what_had_been_published_counts() -> None:
    assert missing_ranges(LEDGER, [seen(5, 50)], as_of=150) == ()
    assert missing_ranges(LEDGER, [seen(5, 50)], as_of=200) == (Interval(10, 30),)
    assert missing_ranges(LEDGER, [seen(5, 50)], as_of=99) == ()


def test_a_row_needs_a_range_that_lies_between_its_time_less_the_ttl_and_its_time() -> None:
    times = np.array([9, 10, 29, 30, 33, 34, 10**15])
    assert needs_missing(times, [Interval(10, 30)], None).tolist() == [False, True, True, True, True, True, True]
    assert needs_missing(times, [Interval(10, 30)], 4).tolist() == [False, True, True, True, True, False, False]
    assert needs_missing(times, [], 4).any() is np.False_


def test_the_refusal_names_the_first_ranges_and_the_command() -> None:
    ranges = [Interval(n * 10_000_000, n * 10_000_000 + 5_000_000) for n in range(7)]
    with pytest.raises(NotMaterializedError) as caught:
        refuse_missing("v", ranges, 1234, never=False)
    message = str(caught.value)
    assert message.startswith("1,234 rows need ranges of feature view 'v'")
    assert message.count("[1970") == 5
    assert " ..." in message
    assert "hitherto materialize 1970-01-01T00:00:00Z 1970-01-01T00:00:05Z --view v" in message
    with pytest.raises(NotMaterializedError, match="has never been materialized. Run: hitherto materialize --view v"):
        refuse_missing("v", [], 0, never=True)


def test_coverage_is_asked_by_view_and_reads_well() -> None:
    one = ViewCoverage("v", 1_000, 900, 50, 20, 10, 5, 15)
    none = ViewCoverage("w", 0, 0, 0, 0, 0, 0, 0)
    coverage = Coverage({"v": one, "w": none})
    assert coverage["v"] is one
    assert str(coverage).splitlines() == [
        "v: 900 of 1,000 rows found (90.0%), 50 expired, 20 null key, 10 null time, 5 after the watermark, 15 missing",
        "w: 0 of 0 rows found (0.0%)",
    ]
