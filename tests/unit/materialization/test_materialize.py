"""Materialization end to end on a small project: what is published, what stays, what is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from hitherto import FeatureService, Field, expect
from hitherto.errors import (
    IntervalError,
    MaterializationFailed,
    MaterializationRejected,
    NotMaterializedError,
    RegistryError,
    RunInProgressError,
    StorageError,
    UnknownNameError,
    UsageError,
)
from hitherto.materialization import runner
from hitherto.materialization.lock import view_lock
from hitherto.offline.duckdb import online_rows
from hitherto.types import Float64, String
from journeys.projects import SENSOR, Project, assert_parity, hour, micros, source, table, view

ROWS = [("a", 1, 1.0), ("a", 5, 5.0), ("b", 3, 3.0), ("b", 8, 8.0)]


def conserved(run: Any) -> bool:
    return run.rows_read == run.rows_written + run.rows_superseded + run.rows_quarantined


# -- explicit and incremental ------------------------------------------------------------------------------------------


def test_the_first_run_begins_at_the_earliest_row_and_ends_now(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    run = project.store.materialize()["readings"]
    assert (run.state, run.start, run.end, run.rows_written, run.keys_pushed) == ("published", hour(1), hour(24), 4, 2)
    assert project.history(("a", 4), ("a", 5), ("b", 24)) == [1.0, 5.0, 8.0]
    assert project.lookup("a", "b", "c") == [5.0, 8.0, None]


def test_an_interval_is_half_open_in_available_time(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view(source=source(known_after="1h"))])
    # Available one hour later: 2, 6, 4, 9.
    run = project.store.materialize(hour(4), hour(6))["readings"]
    assert (run.rows_read, run.rows_written) == (1, 1)
    assert project.store.read("readings").to_arrow().column("value").to_pylist() == [3.0]
    assert project.lookup("a", "b") == [None, 3.0]


def test_a_run_that_ends_earlier_behaves_as_if_executed_then(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    project.store.materialize(end=hour(6))
    assert project.lookup("a", "b") == [5.0, 3.0]
    project.store.materialize_incremental()
    assert project.lookup("a", "b") == [5.0, 8.0]
    assert [(run.interval.start, run.interval.end) for run in project.runs()] == [
        (micros(1), micros(6)),
        (micros(6), micros(24)),
    ]


@pytest.mark.parametrize("options", [{}, {"ttl": "2h", "online_retention": "2h"}])
def test_runs_without_rows_are_published_one_after_the_other_until_there_are_some(
    project: Project, options: dict[str, Any]
) -> None:
    project.deliver([("a", 9, 9.0)])
    project.store.apply([view(**options)])
    for start in (2, 4):
        run = project.store.materialize(hour(start), hour(start + 2))["readings"]
        assert (run.state, run.rows_read, run.keys_pushed) == ("published", 0, 0)
        assert project.lookup("a") == [None]
    project.at(10)
    project.store.materialize(hour(8), hour(10))
    assert project.lookup("a") == [9.0]


def test_an_incremental_run_recomputes_what_a_late_file_reaches_into_then_goes_on(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    project.store.materialize()
    project.deliver([("a", 6, 6.0), ("c", 7, 7.0)], "late.parquet")
    project.at(30)
    report = project.store.materialize_incremental()
    assert [(run.start, run.end) for run in report.runs[:1]] == [(hour(6), hour(7).replace(microsecond=1))]
    assert (report.runs[1].start, report.runs[1].end) == (hour(24), hour(30))
    assert project.lookup("a", "b", "c") == [6.0, 8.0, 7.0]
    assert project.history(("a", 5.5), ("a", 6), ("c", 9)) == [5.0, 6.0, 7.0]
    assert_parity(project.store, ["readings:value"])


def test_a_changed_file_takes_rows_back_in_training_and_in_lookups(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    project.store.materialize()
    project.deliver([("a", 1, 1.5), ("b", 3, 3.0)])
    report = project.store.materialize_incremental()
    assert (report["readings"].start, report["readings"].rows_written) == (hour(1), 2)
    assert project.history(("a", 9), ("b", 9)) == [1.5, 3.0]
    assert project.lookup("a", "b") == [1.5, 3.0]


def test_a_vanished_file_takes_its_rows_along_and_a_key_can_go_wholly(project: Project) -> None:
    project.deliver(ROWS)
    project.deliver([("c", 2, 2.0), ("a", 6, 6.0)], "b.parquet")
    project.store.apply([view()])
    project.store.materialize()
    assert project.lookup("a", "c") == [6.0, 2.0]
    (project.folder / "data" / "b.parquet").unlink()
    project.store.materialize_incremental()
    assert project.lookup("a", "c") == [5.0, None]
    assert project.statuses("c") == ["NOT_FOUND"]
    assert project.history(("a", 7), ("c", 7)) == [5.0, None]
    assert_parity(project.store, ["readings:value"])


def test_nothing_new_is_up_to_date_and_begins_no_run(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    project.store.materialize()
    report = project.store.materialize_incremental()
    assert (report.runs, report.up_to_date, report.ok) == ((), ("readings",), True)
    assert str(report) == "readings is up to date"


def test_a_rerun_over_the_same_source_publishes_nothing_new(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    project.store.materialize()
    before = (project.segment_files(), project.store.registry.publications("readings", 1))
    for start, end in [(None, None), (hour(2), hour(6)), (hour(10), hour(11))]:
        run = project.store.materialize(start, end)["readings"]
        assert (run.state, run.segment, run.keys_pushed) == ("published", None, 0)
        assert (project.segment_files(), project.store.registry.publications("readings", 1)) == before
    assert project.states() == ["published"] * 4
    # A range that reaches beyond what was published is news, though its rows are not.
    assert project.store.materialize(hour(0), hour(24))["readings"].segment is not None
    assert_parity(project.store, ["readings:value"])


def test_the_same_rows_in_other_files_are_the_same_content(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    project.store.materialize()
    before = project.segment_files()
    project.deliver(ROWS[3:1:-1], "a.parquet")
    project.deliver(ROWS[1::-1], "z.parquet", row_group_size=1)
    run = project.store.materialize_incremental()["readings"]
    assert (run.state, run.segment, project.segment_files()) == ("published", None, before)
    # The range has been computed from the files as they are now: it is not stale any more.
    assert project.store.materialize_incremental().runs == ()


def test_a_change_reaches_as_far_as_the_transform_looks_back(project: Project) -> None:
    frame = "range between interval '2 hours' preceding and current row"
    sql = f'select sensor, "at", sum(value) over (partition by sensor order by "at" {frame}) as value, note from source'
    windowed = view(transform=sql, lookback="2h")
    project.deliver([("a", number, 1.0) for number in range(10)])
    project.store.apply([windowed])
    project.store.materialize()
    assert project.history(("a", 0), ("a", 1), ("a", 9)) == [1.0, 2.0, 3.0]
    project.deliver([("a", 4.5, 10.0)], "late.parquet")
    run = project.store.materialize_incremental()["readings"]
    assert (run.start, run.end) == (hour(4.5), hour(6.5).replace(microsecond=1))
    assert project.history(*[("a", at) for at in (4, 4.5, 5, 6, 6.5, 7)]) == [3.0, 12.0, 13.0, 13.0, 13.0, 3.0]
    assert project.lookup("a") == [3.0]


def test_without_a_lookback_everything_after_a_change_is_computed_again(project: Project) -> None:
    sql = 'select sensor, "at", sum(value) over (partition by sensor order by "at") as value, note from source'
    project.deliver([("a", number, 1.0) for number in range(5)])
    project.store.apply([view(transform=sql)])
    project.store.materialize()
    project.deliver([("a", 2.5, 10.0)], "late.parquet")
    run = project.store.materialize_incremental()["readings"]
    assert (run.start, run.end) == (hour(2.5), hour(24))
    assert project.history(("a", 2), ("a", 3), ("a", 23)) == [3.0, 14.0, 15.0]


def test_a_known_time_keeps_a_row_from_training_and_serving_until_then(project: Project) -> None:
    rows = table([("a", 1, 1.0), ("a", 2, 2.0), ("a", 3, 3.0)], known=[hour(1), hour(10), hour(2)])
    project.deliver(rows)
    project.store.apply([view(source=source(known_timestamp_field="known"))])
    project.store.materialize(end=hour(9))
    assert project.history(("a", 2.5), ("a", 3), ("a", 8)) == [1.0, 3.0, 3.0]
    project.at(9)
    assert project.lookup("a") == [3.0]
    project.at(24)
    project.store.materialize_incremental()
    # Known late, but older than what is known already.
    assert project.history(("a", 10)) == [3.0]


def test_ties_are_broken_by_created_time_and_superseded_rows_are_counted(project: Project) -> None:
    rows = table(
        [("a", 1, 1.0), ("a", 1, 2.0), ("a", 1, 9.0), ("a", 1, 9.0)], created=[None, hour(3), hour(2), hour(2)]
    )
    project.deliver(rows)
    project.store.apply([view(source=source(created_timestamp_field="created"))])
    run = project.store.materialize()["readings"]
    assert (run.rows_read, run.rows_written, run.rows_superseded) == (4, 3, 1)
    assert conserved(run)
    assert (project.history(("a", 9)), project.lookup("a")) == ([2.0], [2.0])


# -- bounds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (None, 25, r"The end 2020-01-02T01:00:00Z is in the future: the clock says 2020-01-02T00:00:00Z"),
        (5, 4, "its start must be before its end"),
        (5, 5, "its start must be before its end"),
        (25, None, "its start must be before its end"),
    ],
)
def test_an_interval_that_cannot_be_is_refused_before_anything_runs(
    project: Project, start: float | None, end: float | None, said: str
) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    with pytest.raises(IntervalError, match=said):
        project.store.materialize(None if start is None else hour(start), None if end is None else hour(end))
    assert project.runs() == []


def test_an_unknown_view_is_refused_with_the_nearest_name(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    with pytest.raises(UnknownNameError, match="Did you mean 'readings'"):
        project.store.materialize(feature_views=["readigns"])


def test_one_view_may_be_named_without_a_list(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view(), view("others")])
    assert [run.view for run in project.store.materialize(feature_views="others").runs] == ["others"]


def test_on_error_is_raise_or_report(project: Project) -> None:
    with pytest.raises(UsageError, match='neither "raise" nor "report"'):
        project.store.materialize(on_error="ignore")


# -- checks ------------------------------------------------------------------------------------------------------------


def checked(**changes: Any) -> Any:
    field = Field("value", Float64, expect=[expect.between(0, 100, **changes)])
    return view(schema=[field, Field("note", String)])


def test_a_rejected_run_leaves_the_last_good_data_serving_and_says_so(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([checked(), view("others")])
    project.store.materialize()
    project.deliver([*ROWS, ("a", 9, -9999.0)])
    with pytest.raises(MaterializationRejected, match=r"between\(0, 100\).*The last good data keeps serving") as caught:
        project.store.materialize_incremental()
    assert type(caught.value) is MaterializationRejected
    report = caught.value.report
    assert (report["readings"].state, report["others"].state) == ("rejected", "published")
    assert not report.ok
    assert [check.name for check in report["readings"].broken_checks] == ["between(0, 100)"]
    assert (project.history(("a", 23)), project.lookup("a")) == ([5.0], [5.0])
    assert project.lookup("a", features=["others:value"]) == [-9999.0]
    assert project.states() == ["published", "rejected"]
    assert project.segment_files() == [f"{project.runs()[0].run_id}.duckdb"]
    assert project.leftovers() == []
    # Mended, the same command goes on.
    project.deliver([*ROWS, ("a", 9, 9.0)])
    assert project.store.materialize_incremental().ok
    assert project.lookup("a") == [9.0]


def test_rejected_rows_are_not_published_by_a_later_run_either(project: Project) -> None:
    project.deliver([("a", 1, -1.0)])
    project.store.apply([checked()])
    report = project.store.materialize(on_error="report")
    assert (report.ok, report["readings"].state, report["readings"].rows_read) == (False, "rejected", 1)
    with pytest.raises(NotMaterializedError, match="has never been materialized"):
        project.history(("a", 9))
    assert project.statuses("a") == ["NOT_FOUND"]


def test_rows_that_break_a_quarantine_check_are_set_aside_with_every_reason(project: Project) -> None:
    quarantined = view(
        schema=[
            Field("value", Float64, expect=[expect.between(0, 100, severity="quarantine")]),
            Field("note", String, expect=[expect.not_null(severity="quarantine")]),
        ]
    )
    project.deliver(
        [("a", 1, 1.0, "x"), ("a", 2, -1.0, None), ("a", 3, -2.0, "y"), (None, 4, 4.0, "z"), ("a", None, 5.0, "w")]
    )
    project.store.apply([quarantined])
    run = project.store.materialize()["readings"]
    assert (run.state, run.rows_read, run.rows_written, run.rows_quarantined) == ("published", 5, 1, 4)
    assert conserved(run)
    assert project.lookup("a") == [1.0]
    (path,) = project.store.config.offline_path.glob("readings/v1/*.quarantine.parquet")
    import pyarrow.parquet as pq

    aside = pq.read_table(path).to_pylist()
    reasons = {str(row["__event"]): row["reasons"] for row in aside}
    assert len(aside) == 4
    assert sorted(map(len, reasons.values())) == [1, 1, 1, 2]
    assert any("null" in reason for row in aside for reason in row["reasons"])
    assert all('"value"' in row["row"] for row in aside)
    assert {row["sensor"] for row in aside} == {"a", None}


def test_a_nullified_value_is_null_and_the_rest_of_its_row_stays(project: Project) -> None:
    project.deliver([("a", 1, 1048.0, "x")])
    project.store.apply([checked(severity="nullify")])
    run = project.store.materialize()["readings"]
    assert (run.rows_written, run.rows_quarantined, run.broken_checks[0].broken) == (1, 0, 1)
    both = ["readings:value", "readings:note"]
    assert project.lookup("a", features=both) == [(None, "x")]
    assert project.history(("a", 2), features=both) == [(None, "x")]
    assert project.statuses("a") == ["NULL_VALUE"]


def test_a_warning_is_reported_and_publishes(project: Project) -> None:
    project.deliver([("a", 1, -1.0)])
    project.store.apply([checked(severity="warn")])
    run = project.store.materialize()["readings"]
    assert (run.state, [check.severity for check in run.broken_checks]) == ("published", ["warn"])
    assert "warning" in str(run)


@pytest.mark.parametrize(
    ("check", "second"),
    [
        (expect.row_count(2), [("b", 30, 1.0)]),
        (expect.freshness("4h"), [("a", 25, 1.0), ("b", 25, 1.0)]),
        (expect.new_keys(0.5), [("x", 30, 1.0), ("y", 30, 1.0), ("a", 30, 1.0)]),
        (expect.mean_change("value", 2.0), [("a", 30, 900.0), ("b", 30, 901.0)]),
        (expect.null_share_change("value", 0.2), [("a", 30, None), ("b", 30, 1.0)]),
    ],
    ids=lambda value: value.kind if hasattr(value, "kind") else "",
)
def test_a_check_on_the_whole_rejects_the_run_that_breaks_it(project: Project, check: Any, second: list[Any]) -> None:
    project.deliver([("a", 20, 1.0), ("b", 22, 2.0)])
    project.store.apply([view(expect=[check])])
    assert project.store.materialize().ok
    project.at(32)
    project.deliver(second, "b.parquet")
    report = project.store.materialize_incremental(on_error="report")
    assert report["readings"].state == "rejected"
    assert [one.name for one in report["readings"].broken_checks] == [check.name]
    assert project.lookup("a", "b") == [1.0, 2.0]


def test_a_failed_view_does_not_stop_the_others_and_outranks_a_rejected_one(project: Project) -> None:
    project.deliver([("a", 1, -1.0)])
    elsewhere = source("other/*.parquet", name="elsewhere")
    (project.folder / "other").mkdir()
    broken = project.deliver([("a", 1, 1.0)], "../other/x.parquet")
    project.store.apply([view("broken", source=elsewhere), checked(), view("fine")])
    broken.write_bytes(b"PAR1 cut")
    with pytest.raises(MaterializationFailed, match="truncated") as caught:
        project.store.materialize()
    states = {run.view: run.state for run in caught.value.report.runs}
    assert states == {"broken": "failed", "readings": "rejected", "fine": "published"}
    assert project.lookup("a", features=["fine:value"]) == [-1.0]


# -- locks -------------------------------------------------------------------------------------------------------------


def test_one_run_of_a_view_at_a_time(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view(), view("others")])
    with view_lock(project.store.config.offline_path, "readings"):
        report = project.store.materialize(on_error="report")
    assert (report["readings"].state, report["others"].state) == ("failed", "published")
    assert "is being materialized by another process" in str(report["readings"].error)
    assert project.states() == []
    with (
        view_lock(project.store.config.offline_path, "x"),
        pytest.raises(RunInProgressError),
        view_lock(project.store.config.offline_path, "x"),
    ):
        pass


# -- online ------------------------------------------------------------------------------------------------------------


def test_a_view_with_online_false_trains_and_is_not_looked_up(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view(online=False)])
    run = project.store.materialize()["readings"]
    assert (run.state, run.keys_pushed) == ("published", 0)
    assert project.history(("a", 9)) == [5.0]
    with pytest.raises(UsageError, match="online=False"):
        project.lookup("a")
    assert not (project.folder / ".hitherto" / "online").exists()


def test_a_view_that_is_to_be_served_from_now_on_is_loaded_by_the_next_command(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view(online=False)])
    project.store.materialize()
    project.store.apply([view()])
    run = project.store.materialize_incremental()["readings"]
    assert (run.keys_pushed, run.segment) == (2, None)
    assert project.lookup("a", "b") == [5.0, 8.0]
    assert project.store.materialize_incremental().runs == ()
    # Runs without the store in between, then with it again.
    project.store.apply([view(online=False)])
    project.deliver([("a", 25, 25.0)], "b.parquet")
    project.at(26)
    project.store.materialize_incremental()
    project.store.apply([view()])
    project.store.materialize_incremental()
    assert project.lookup("a", "b") == [25.0, 8.0]
    assert_parity(project.store, ["readings:value"])


def test_online_retention_hides_and_removes_rows_and_a_longer_one_brings_them_back(project: Project) -> None:
    project.deliver([("a", 1, 1.0), ("b", 20, 2.0)])
    project.store.apply([view(ttl="5h", online_retention="10h")])
    assert project.store.materialize()["readings"].keys_pushed == 1
    assert project.statuses("a", "b") == ["NOT_FOUND", "PRESENT"]
    project.at(31)
    assert project.statuses("b") == ["NOT_FOUND"]
    project.store.materialize_incremental()
    project.store.apply([view(ttl="50h", online_retention="100h")])
    assert project.store.materialize_incremental()["readings"].keys_pushed == 2
    assert project.statuses("a", "b") == ["PRESENT", "PRESENT"]
    assert_parity(project.store, ["readings:value"])
    project.at(40)
    project.store.materialize_incremental()
    project.at(41)
    assert project.store.materialize_incremental()["readings"].keys_pushed == 0


def test_a_ttl_changes_in_place_for_lookups_and_training_at_once(project: Project) -> None:
    project.deliver([("a", 1, 1.0)])
    project.store.apply([view(ttl="30h")])
    project.store.materialize()
    assert project.statuses("a") == ["PRESENT"]
    project.at(25)
    project.store.apply([view(ttl="2h")])
    assert project.statuses("a") == ["OUTSIDE_MAX_AGE"]
    assert project.history(("a", 3), ("a", 3.0001), ("a", 24)) == [1.0, None, None]
    # As it was asked and served then.
    assert project.history(("a", 24), as_of=hour(24)) == [1.0]
    assert project.history(("a", 24), ("a", 25), as_served=True) == [1.0, None]
    assert project.states() == ["published"]
    assert len(project.store.registry.view_versions("readings")) == 1


# -- versions ----------------------------------------------------------------------------------------------------------


def second(**changes: Any) -> Any:
    return view(
        schema=[Field("value", Float64), Field("twice", Float64)],
        transform="select *, 2 * value as twice from source",
        **changes,
    )


def test_a_new_version_serves_only_when_it_has_all_that_the_old_one_had(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    project.store.materialize()
    plan = project.store.apply([second()])
    assert "new version" in str(plan)
    assert (project.lookup("a", "b"), project.history(("a", 9))) == ([5.0, 8.0], [5.0])
    project.store.materialize(hour(1), hour(4))
    assert (project.lookup("a", "b"), project.history(("a", 9))) == ([5.0, 8.0], [5.0])
    with pytest.raises(UsageError, match="belongs to a new version"):
        project.lookup("a", features=["readings:twice"])
    both = ["readings@1:value", "readings@2:twice"]
    assert project.history(("a", 3), features=both, missing="null") == [(1.0, 2.0)]
    project.at(25)
    report = project.store.materialize_incremental()
    assert report.ok
    assert project.lookup("a", "b", features=["readings:twice"]) == [10.0, 16.0]
    assert project.history(("a", 9), features=["readings:twice", "readings:value"]) == [(10.0, 5.0)]
    with pytest.raises(UnknownNameError, match="no feature 'note'"):
        project.lookup("a", features=["readings:note"])
    assert project.history(("a", 9), features=["readings@1:note"]) == [None]
    versions = project.store.registry.view_versions("readings")
    assert [one.serving_until for one in versions] == [micros(25), None]
    assert_parity(project.store, ["readings:twice"])


@pytest.mark.parametrize("incremental", [False, True])
def test_a_new_version_whose_rows_are_known_later_takes_over_too(project: Project, incremental: bool) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    project.store.materialize()
    project.store.apply([view(source=source(known_after="30m"))])
    project.at(25)
    (project.store.materialize_incremental if incremental else project.store.materialize)()
    old, new = project.store.registry.view_versions("readings")
    assert (old.serving_until, new.serving_from) == (micros(25), micros(25))
    assert_parity(project.store, ["readings:value"])


def test_the_old_version_serves_while_two_newer_ones_are_being_made(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    project.store.materialize()
    project.store.apply([second()])
    project.store.apply([second(lookback="1h")])
    project.store.materialize(hour(1), hour(3))
    assert (project.lookup("a", "b"), project.history(("a", 9), ("b", 9))) == ([5.0, 8.0], [5.0, 8.0])
    project.at(25)
    project.store.materialize()
    assert project.lookup("a", "b", features=["readings:twice"]) == [10.0, 16.0]
    # The one that served last stays for readers that are yet to hear of the switch.
    places = project.store.online_store.places("small", "readings")
    assert [place.version for place in places] == [1, 3]


def test_the_version_before_the_last_leaves_the_online_store(project: Project) -> None:
    project.deliver(ROWS)
    for number, objects in enumerate(([view()], [second()], [second(lookback="1h")])):
        project.at(24 + number)
        project.store.apply(objects)
        project.store.materialize()
    assert [place.version for place in project.store.online_store.places("small", "readings")] == [2, 3]
    assert project.lookup("a", features=["readings:twice"]) == [10.0]


def test_a_rejected_new_version_leaves_the_old_one_serving(project: Project) -> None:
    project.deliver([*ROWS, ("c", 2, -1.0)])
    project.store.apply([view()])
    project.store.materialize()
    project.store.apply([checked()])
    changed = view(
        schema=[Field("value", Float64, expect=[expect.between(0, 100)]), Field("text", String, source_column="note")]
    )
    project.store.apply([changed])
    report = project.store.materialize(on_error="report")
    assert report["readings"].state == "rejected"
    assert (project.lookup("c", "a"), project.history(("c", 3))) == ([-1.0, 5.0], [-1.0])


# -- definitions that go -----------------------------------------------------------------------------------------------


def test_a_view_with_data_goes_only_when_that_is_allowed_and_can_come_back(project: Project) -> None:
    project.deliver(ROWS)
    objects = [view(), view("others"), FeatureService("all", features=[view(), view("others").with_name("again")])]
    project.store.apply(objects)
    project.store.materialize()
    with pytest.raises(UsageError, match=r"no longer has others.*--allow-remove"):
        project.store.apply([view()])
    assert project.lookup("a", features=["others:value"]) == [5.0]
    project.store.apply([view()], allow_remove=True)
    with pytest.raises(UnknownNameError, match="There is no feature view 'others'"):
        project.lookup("a", features=["others:value"])
    assert project.segment_files("others") != []
    project.store.apply(objects)
    assert project.lookup("a", features=["others:value"]) == [5.0]
    assert project.history(("a", 9), features=["others:value"]) == [5.0]


def test_a_name_of_the_engines_own_is_refused_at_plan(project: Project) -> None:
    project.deliver(ROWS)
    with pytest.raises(
        Exception, match=r"projects\.py:\d+: feature view 'readings': the name 'rowid' is the engine's own"
    ):
        project.store.apply([view(schema=[Field("rowid", Float64, source_column="value")])])


def test_names_of_sql_and_of_our_own_statements_are_names_like_others(project: Project) -> None:
    names = [
        "select",
        "order",
        "source",
        "staged",
        "chosen",
        "winner",
        "e",
        "r",
        "s",
        "k",
        "c",
        "w",
        "key",
        "event",
        "values",
        "segment",
        "requests",
        "bounds",
        "t",
    ]
    project.deliver(table(ROWS, group=["g"] * 4))
    entity = replace(SENSOR, join_keys={"sensor": String, "group": String})
    fields = [Field(name, Float64, source_column="value") for name in names]
    project.store.apply([view("table", entities=[entity], schema=fields)])
    project.store.materialize(end=hour(4))
    project.store.materialize()
    import pyarrow as pa

    rows = pa.table({"sensor": ["a", "b"], "group": ["g", "g"], "event_timestamp": [hour(9), hour(3)]})
    asked = [f"table:{name}" for name in names]
    training = project.store.get_historical_features(rows, asked).to_arrow()
    assert all(training.column(name).to_pylist() == [5.0, 3.0] for name in names)
    answer = project.store.get_online_features(asked, {"sensor": ["a"], "group": ["g"]}).to_dict()
    assert all(answer[name] == [5.0] for name in names)


# -- what goes wrong late ----------------------------------------------------------------------------------------------


def test_what_fails_after_a_run_is_published_takes_nothing_back(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])

    def fail(*_: Any) -> None:
        raise RegistryError("The registry is gone.")

    monkeypatch.setattr(runner, "_drop_old_versions", fail)
    assert project.store.materialize()["readings"].state == "published"
    assert "what came after it failed: The registry is gone." in caplog.text
    assert project.history(("a", 4), ("b", 24)) == [1.0, 8.0]
    assert project.lookup("a", "b") == [5.0, 8.0]


def test_online_rows_that_cannot_be_made_beside_the_writing_are_made_after_it(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])

    def fail(*_: Any, **__: Any) -> Iterator[Any]:
        raise StorageError("No memory is left.")
        yield

    monkeypatch.setattr(online_rows, "staged_winners", fail)
    run = project.store.materialize()["readings"]
    assert (run.state, run.keys_pushed) == ("published", 2)
    assert "after the segment is written, not beside it: No memory is left." in caplog.text
    assert project.lookup("a", "b") == [5.0, 8.0]
