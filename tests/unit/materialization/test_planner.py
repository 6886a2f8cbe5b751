"""Which intervals a run has to compute (semantics 5), on records alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hitherto.errors import IntervalError
from hitherto.materialization import planner
from hitherto.registry.records import FileObservation, Publication, Run, SourceFile
from hitherto.timeline import MAX_INSTANT, Interval


def file(name: str, start: int | None, end: int | None, version: str = "1") -> SourceFile:
    return SourceFile(name, 10, version, f"footer {version}", 3, start, end)


def seen(one: SourceFile, since: int, until: int | None = None) -> FileObservation:
    return FileObservation(one, since, until)


def publication(sequence: int, start: int, end: int) -> Publication:
    return Publication(
        sequence, "v", 1, f"r{sequence}", sequence, Interval(start, end), f"r{sequence}", 1000 + sequence
    )


def run(sequence: int, start: int, end: int) -> Run:
    return Run(f"r{sequence}", "v", 1, sequence, 1, Interval(start, end), "published", 0)


A, B = file("a", 0, 49), file("b", 50, 99)
FIRST = [publication(1, 0, 100)]
RUNS = [run(1, 0, 100)]
SEEN = [seen(A, 1), seen(B, 1)]


def incremental(files: list[SourceFile], *, end: int = 100, **changes: object) -> list[tuple[int, int]]:
    parts = {"observations": SEEN, "publications": FIRST, "runs": RUNS, "lookbacks": {"source": 0}, **changes}
    work = planner.incremental(files, end=end, **parts)
    return [(one.start, one.end) for one in work.intervals]


def test_the_first_run_begins_at_the_earliest_row_of_the_source() -> None:
    assert incremental([B, A], publications=[], observations=[], runs=[]) == [(0, 100)]
    assert incremental([file("x", None, None)], publications=[], observations=[], runs=[]) == []
    assert incremental([file("x", 100, 120)], publications=[], observations=[], runs=[]) == []


def test_nothing_new_is_nothing_to_do_and_time_that_passed_is_a_range_of_its_own() -> None:
    assert incremental([A, B]) == []
    assert incremental([A, B], end=130) == [(100, 130)]
    assert incremental([A, B], end=70) == []


def test_a_late_file_makes_the_range_it_reaches_into_stale() -> None:
    assert incremental([A, B, file("late", 20, 30)]) == [(20, 31)]
    assert incremental([A, B, file("late", 90, 130)], end=130) == [(90, 100), (100, 130)]
    assert incremental([A, B, file("new", 100, 120)], end=130) == [(100, 130)]


def test_rows_before_the_first_published_range_are_computed_too() -> None:
    assert incremental([A, B, file("early", -20, 5)]) == [(-20, 6)]


def test_a_file_without_a_time_changes_nothing() -> None:
    assert incremental([A, B, file("blank", None, None)]) == []


def test_a_changed_file_makes_what_it_had_and_what_it_has_stale() -> None:
    assert incremental([file("a", 10, 59, "2"), B]) == [(0, 60)]


def test_a_vanished_file_makes_its_range_stale() -> None:
    assert incremental([B]) == [(0, 50)]
    assert incremental([B], end=30) == [(0, 30)]


def test_neighbouring_stale_ranges_are_one() -> None:
    assert incremental([file("c", 10, 20), file("d", 21, 30), A, B]) == [(10, 31)]


@pytest.mark.parametrize(("lookback", "wanted"), [(0, (20, 31)), (7, (20, 38)), (1000, (20, 100)), (None, (20, 100))])
def test_a_change_is_felt_for_as_long_as_the_transform_looks_back(
    lookback: int | None, wanted: tuple[int, int]
) -> None:
    assert incremental([A, B, file("late", 20, 30)], lookbacks={"source": lookback}) == [wanted]


def test_a_range_that_a_run_computed_since_the_change_is_not_stale_any_more() -> None:
    late, changed = file("late", 20, 30), file("a", 0, 49, "2")
    observations = [seen(A, 1, 2), seen(B, 1), seen(changed, 2)]
    assert incremental([changed, B], observations=observations) == [(0, 50)]
    done = {"observations": observations, "runs": [*RUNS, run(2, 0, 30)]}
    assert incremental([changed, B], **done) == [(30, 50)]
    assert incremental([changed, B, late], **done) == [(20, 50)]
    assert incremental([changed, B], observations=observations, runs=[*RUNS, run(2, 0, 50)]) == []


def test_a_file_that_came_back_as_it_was_is_computed_again_where_it_was_left_out() -> None:
    # Run 2 saw it gone, over its first half only; now it is there again.
    observations = [seen(A, 1, 2), seen(B, 1)]
    assert incremental([A, B], observations=observations, runs=[*RUNS, run(2, 0, 25)]) == [(0, 50)]


def test_only_what_was_published_can_be_stale_through_a_vanished_file() -> None:
    # [50, 60) was never published, so there is nothing to take back in it.
    publications = [publication(1, 0, 50), publication(2, 60, 100)]
    wide = file("wide", 40, 80)
    observations = [seen(wide, 1)]
    runs = [run(1, 0, 50), run(2, 60, 100)]
    assert incremental([], publications=publications, observations=observations, runs=runs) == [(40, 50), (60, 81)]


def test_the_intervals_are_stale_ones_first_and_the_work_names_them() -> None:
    work = planner.incremental([A, B, file("late", 5, 6)], SEEN, FIRST, RUNS, end=200, lookbacks={"source": 0})
    assert work.stale == (Interval(5, 7),)
    assert work.intervals == (Interval(5, 7), Interval(100, 200))


def test_the_end_of_time_can_be_reached() -> None:
    assert incremental([A, B, file("late", 20, MAX_INSTANT)], lookbacks={"source": 10}, end=MAX_INSTANT) == [
        (20, 100),
        (100, MAX_INSTANT),
    ]


def test_an_explicit_interval_is_taken_as_it_is() -> None:
    assert planner.explicit([A], 7, 9).intervals == (Interval(7, 9),)
    assert planner.explicit([B], None, 99).intervals == (Interval(50, 99),)
    assert planner.explicit([B], None, 50).intervals == ()
    assert planner.explicit([], None, 50).intervals == ()


@pytest.mark.parametrize("start", [9, 10])
def test_a_reversed_or_empty_interval_is_refused(start: int) -> None:
    with pytest.raises(IntervalError, match="its start must be before its end"):
        planner.explicit([A], start, 9)


def test_only_files_that_no_run_has_seen_as_they_are_have_their_times_read() -> None:
    changed = file("b", None, None, "2")
    assert planner.changed_files([A, changed], SEEN) == (changed,)
    # A closed observation says nothing of the file as it is now.
    assert planner.changed_files([A], [seen(A, 1, 2)]) == (A,)
    read = file("b", 50, 120, "2")
    bare = SourceFile("a", 10, "1", "footer 1", 3)
    assert planner.with_known_times([bare, changed], SEEN, [read]) == (A, read)


def test_a_late_file_reaches_as_far_as_its_own_source_is_looked_back_at() -> None:
    lookbacks = {"source": 0, "near": 7, "far": None}
    for name, wanted in (("source", (20, 31)), ("near", (20, 38)), ("far", (20, 100))):
        late = replace(file("late", 20, 30), source=name)
        assert incremental([A, B, late], lookbacks=lookbacks) == [wanted]
