"""Views of several sources, end to end: what late files of either make stale, what runs record, what lookups answer."""

from __future__ import annotations

from typing import Any

import pytest

from hitherto import Aggregation
from hitherto.errors import DefinitionError, MaterializationFailed, NotMaterializedError
from hitherto.lineage.nodes import Node
from hitherto.registry.records import Run
from hitherto.timeline import Interval
from journeys.joined import calibrate, calibrations, joined
from journeys.projects import Project, assert_parity, hour, micros, source, view

VALUES = ("calibrated:value", "calibrated:factor")
READINGS = [("a", 2, 2.0), ("a", 6, 6.0), ("b", 4, 4.0)]


def begin(project: Project, **changes: Any) -> None:
    """Readings, one factor for each sensor, all of it published."""
    project.deliver(READINGS)
    calibrate(project, [("a", 1, 10.0), ("b", 3, 30.0)])
    project.store.apply([joined(**changes)])
    project.store.materialize()


def history(project: Project, *asked: tuple[str, float]) -> list[Any]:
    return project.history(*asked, features=VALUES)


def intervals(project: Project) -> list[tuple[float, float]]:
    """The intervals of all runs, in hours."""
    hours = micros(1) - micros(0)
    runs: list[Run] = project.runs("calibrated")
    return [((one.interval.start - micros(0)) / hours, (one.interval.end - micros(0)) / hours) for one in runs]


def test_a_joined_view_answers_training_sets_and_lookups(project: Project) -> None:
    begin(project)
    assert history(project, ("a", 1.5), ("a", 2), ("a", 7), ("b", 5)) == [
        (None, None),
        (2.0, 10.0),
        (6.0, 10.0),
        (4.0, 30.0),
    ]
    assert project.lookup("a", "b", "c", features=VALUES) == [(6.0, 10.0), (4.0, 30.0), (None, None)]
    assert_parity(project.store, VALUES)


def test_the_first_run_begins_at_the_earliest_row_of_any_source(project: Project) -> None:
    begin(project)
    assert intervals(project) == [(1, 24)]


def test_a_row_sees_what_was_known_when_it_was_whatever_a_run_covers(project: Project) -> None:
    project.deliver(READINGS)
    calibrate(project, [("a", 1, 10.0), ("a", 5, 50.0), ("b", 4.5, 30.0)])
    project.store.apply([joined()])
    project.store.materialize()
    assert history(project, ("a", 4), ("a", 7), ("b", 9)) == [(2.0, 10.0), (6.0, 50.0), (4.0, None)]


def test_the_first_sources_time_rules_hold_for_the_result(project: Project) -> None:
    begin(project, sources={"readings": source(known_after="2h"), "calibrations": calibrations()})
    assert history(project, ("a", 3), ("a", 4)) == [(None, None), (2.0, 10.0)]
    # Factors as of when the reading was known.
    calibrate(project, [("a", 3.5, 35.0)], "late.parquet")
    project.store.materialize_incremental()
    assert history(project, ("a", 4)) == [(2.0, 35.0)]


def test_nothing_new_publishes_nothing(project: Project) -> None:
    begin(project)
    assert project.store.materialize_incremental().up_to_date == ("calibrated",)
    run = project.store.materialize()["calibrated"]
    assert (run.state, run.segment) == ("published", None)
    assert len(project.store.registry.publications("calibrated", 1)) == 1
    project.at(30)
    project.store.materialize_incremental()
    assert intervals(project)[-1] == (24, 30)


@pytest.mark.parametrize(("lookback", "end"), [(None, 24), ("1h", 6), ("0s", 5)])
def test_a_late_file_of_a_further_source_makes_stale_what_it_reaches_into_and_the_lookback(
    project: Project, lookback: str | None, end: float
) -> None:
    begin(project, lookback=lookback)
    calibrate(project, [("a", 5, 50.0)], "late.parquet")
    report = project.store.materialize_incremental()
    assert intervals(project)[1] == (5, pytest.approx(end, abs=1e-9))
    assert len(report.runs) == 1
    # Hour 6 is beyond the reach of hour 5 where the transform is said to look back at nothing.
    assert history(project, ("a", 7)) == [(6.0, 10.0 if lookback == "0s" else 50.0)]
    assert project.store.materialize_incremental().runs == ()


def test_each_source_may_have_a_lookback_of_its_own(project: Project) -> None:
    """Factors hold until there is another one; of the readings only new ones are needed."""
    begin(project, lookback={"readings": "0s"})
    project.deliver([("a", 20, 20.0)], "late.parquet")
    project.store.materialize_incremental()
    assert intervals(project)[-1] == (20, pytest.approx(20, abs=1e-6))
    assert history(project, ("a", 21)) == [(20.0, 10.0)]
    calibrate(project, [("a", 5, 50.0)], "late.parquet")
    project.store.materialize_incremental()
    assert intervals(project)[-1] == (5, 24)
    assert history(project, ("a", 7), ("a", 21)) == [(6.0, 50.0), (20.0, 50.0)]


def test_a_late_file_of_the_first_source_is_joined_to_what_was_known_then(project: Project) -> None:
    begin(project)
    project.deliver([("b", 2, 2.0), ("b", 5, 5.0)], "late.parquet")
    project.store.materialize_incremental()
    assert intervals(project)[1:] == [(2, 24)]
    assert history(project, ("b", 2), ("b", 5)) == [(2.0, None), (5.0, 30.0)]
    assert project.lookup("b", features=VALUES) == [(5.0, 30.0)]
    assert_parity(project.store, VALUES)


def test_a_changed_and_a_vanished_file_of_a_further_source_are_felt(project: Project) -> None:
    begin(project)
    calibrate(project, [("a", 5, 50.0)], "more.parquet")
    project.store.materialize_incremental()
    calibrate(project, [("a", 5, 55.0)], "more.parquet")
    project.store.materialize_incremental()
    assert project.lookup("a", features=VALUES) == [(6.0, 55.0)]
    (project.folder / "calibrations" / "more.parquet").unlink()
    project.store.materialize_incremental()
    assert project.lookup("a", features=VALUES) == [(6.0, 10.0)]
    assert history(project, ("a", 4), ("a", 7)) == [(2.0, 10.0), (6.0, 10.0)]


def test_two_sources_of_one_path_are_told_apart(project: Project) -> None:
    """Readings as they happened, and as they were confirmed four hours later: the same files, with other times."""
    first, confirmed = source(), source(name="confirmed", known_after="4h")
    sql = """
        select n.sensor, n.at, n.value, c.value as factor
        from now n asof left join confirmed c on n.sensor = c.sensor and n.__available_time >= c.__available_time
    """
    project.deliver(READINGS)
    project.store.apply([joined(sources={"now": first, "confirmed": confirmed}, transform=sql, lookback="10h")])
    project.store.materialize()
    assert history(project, ("a", 2), ("a", 6)) == [(2.0, None), (6.0, 2.0)]
    seen = [one.file for one in project.store.registry.observations("calibrated", 1)]
    assert [(one.source, one.path, one.start, one.end) for one in seen] == [
        ("now", seen[0].path, micros(2), micros(6)),
        ("confirmed", seen[0].path, micros(6), micros(10)),
    ]
    assert project.store.materialize_incremental().runs == ()
    project.deliver([("b", 7, 7.0)], "late.parquet")
    project.store.materialize_incremental()
    # As readings from hour 7 on, as confirmed ones from hour 11, and ten hours further.
    assert intervals(project)[-1] == (7, pytest.approx(21, abs=1e-6))
    assert project.store.materialize_incremental().runs == ()


def test_a_source_may_be_read_twice(project: Project) -> None:
    sql = """
        select n.sensor, n.at, n.value, b.value as factor
        from now n asof left join before b on n.sensor = b.sensor and n.__available_time > b.__available_time
    """
    project.deliver(READINGS)
    project.store.apply([joined(sources={"now": source(), "before": source()}, transform=sql)])
    project.store.materialize()
    assert history(project, ("a", 2), ("a", 6)) == [(2.0, None), (6.0, 2.0)]
    assert project.store.materialize_incremental().runs == ()
    assert str(project.store.lineage("calibrated@1").upstream("calibrated@1")).count("source readings") == 1


def test_what_was_published_before_a_source_was_renamed_stays(project: Project) -> None:
    begin(project)
    project.store.apply(
        [joined(sources={"readings": source(name="raw"), "calibrations": calibrations(name="factors")})]
    )
    assert [one.version for one in project.store.registry.view_versions("calibrated")] == [1]
    assert project.store.materialize_incremental().runs == ()


def test_a_plain_view_that_becomes_joined_takes_over_when_it_is_published(project: Project) -> None:
    project.deliver(READINGS)
    calibrate(project, [("a", 1, 10.0)])
    plain = view("calibrated", schema=joined().schema[:1])
    project.store.apply([plain])
    project.store.materialize()
    project.store.apply([joined()])
    assert project.lookup("a", features=VALUES[:1]) == [6.0]
    project.store.materialize_incremental()
    assert project.lookup("a", features=VALUES) == [(6.0, 10.0)]


def test_runs_and_lineage_name_every_source(project: Project) -> None:
    begin(project)
    (run,) = project.runs("calibrated")
    assert (run.source["source"], run.source["path"]) == (
        "readings, calibrations",
        "data/*.parquet, calibrations/*.parquet",
    )
    up = project.store.lineage("calibrated").nodes
    assert {node.name for node in up if node.kind == "source"} == {"readings", "calibrations"}
    assert {node.name for node in up if node.kind == "source_file"} == {"data/a.parquet", "calibrations/a.parquet"}
    impact = project.store.lineage().impact("calibrations")
    assert impact.feature_views == ("calibrated",)
    files = project.store.lineage("calibrations/a.parquet")
    assert Node("source", "readings") not in files.upstream("calibrations/a.parquet").nodes


def test_lineage_knows_the_sources_before_the_first_run(project: Project) -> None:
    project.deliver(READINGS)
    calibrate(project, [("a", 1, 10.0)])
    project.store.apply([joined()])
    up = project.store.lineage("calibrated").nodes
    assert {node.name for node in up if node.kind == "source"} == {"readings", "calibrations"}


def test_verification_says_which_source_has_changed(project: Project) -> None:
    begin(project)
    assert project.store.verify().findings == ()
    calibrate(project, [("a", 5, 50.0)], "late.parquet")
    (finding,) = project.store.verify().findings
    assert (finding.object, finding.severity) == ("source calibrations", "warning")


def test_a_missing_further_source_is_named_and_the_last_good_data_serves(project: Project) -> None:
    begin(project)
    (project.folder / "calibrations" / "a.parquet").unlink()
    project.at(30)
    with pytest.raises(MaterializationFailed, match=r"no Parquet file at 'calibrations/\*.parquet'"):
        project.store.materialize_incremental()
    project.at(24)
    assert project.lookup("a", features=VALUES) == [(6.0, 10.0)]
    with pytest.raises(DefinitionError, match="Source 'calibrations'"):
        project.store.check([joined()])


def test_a_range_that_only_a_further_source_has_rows_of_is_missing_too(project: Project) -> None:
    project.deliver(READINGS)
    calibrate(project, [("a", 1, 10.0), ("b", 3, 30.0)])
    project.store.apply([joined()])
    project.store.materialize(hour(2), hour(24))
    with pytest.raises(NotMaterializedError, match="2020-01-01T01:00:00Z"):
        history(project, ("a", 7))
    project.store.materialize(hour(1), hour(2))
    assert history(project, ("a", 7)) == [(6.0, 10.0)]


def test_files_are_in_the_lineage_of_a_run_only_if_their_source_reaches_it(project: Project) -> None:
    project.deliver(READINGS)
    calibrate(project, [("a", 1, 10.0), ("b", 3, 30.0)])
    calibrate(project, [("a", 20, 10.0)], "new.parquet")
    project.store.apply([joined(lookback="4h")])
    project.store.materialize(hour(1), hour(10))
    files = {one.from_name for one in project.store.registry.edges() if one.from_kind == "source_file"}
    assert files == {"data/a.parquet", "calibrations/a.parquet"}


def test_a_leakage_report_knows_the_label_by_any_source(project: Project) -> None:
    begin(project)
    sql = "select sensor, measured_at + interval 3 hours as event_timestamp, factor > 20 as late from calibrations"
    report = project.store.get_historical_features(sql, ["calibrated:value"]).leakage_report(label="late")
    assert [one.same_table for one in report.features] == [True]


def test_a_dry_run_reads_every_source(project: Project) -> None:
    begin(project)
    interval = Interval(micros(1), micros(5))
    from hitherto.materialization.preview import preview
    from hitherto.offline.duckdb.connection import Limits

    shown = preview(joined(), root=project.folder, limits=Limits(), interval=interval, run_again=False)
    assert shown.report.rows_read == 2
    assert sorted(shown.to_arrow().column("factor").to_pylist()) == [10.0, 30.0]


def test_windows_are_computed_over_the_rows_of_a_join(project: Project) -> None:
    project.deliver([("a", 2, 2.0), ("a", 3, 3.0), ("a", 6, 6.0)])
    calibrate(project, [("a", 1, 10.0), ("a", 5, 100.0)])
    windowed = joined(aggregations=[Aggregation("factor", "sum", windows=["2h"]), Aggregation("value", "count")])
    project.store.apply([windowed])
    project.store.materialize()
    names = ("calibrated:factor_sum_2h", "calibrated:value_count")
    assert project.history(("a", 3), ("a", 4), ("a", 6), features=names) == [(20.0, 2), (10.0, 2), (100.0, 3)]
