"""Transforms that see the future, or further back than they say, are found by running them on fewer rows."""

from __future__ import annotations

from typing import Any

import pytest

from hitherto import FeatureView, Field
from hitherto.errors import DefinitionError
from hitherto.materialization.foresight import look
from hitherto.materialization.staging import SourceRows
from hitherto.offline.duckdb.connection import Limits, connect
from hitherto.sources.files import files_of
from hitherto.types import Float64
from journeys.joined import KNOWN, calibrate, calibrations, joined
from journeys.projects import Project, source, view

READINGS = [(sensor, at, float(at)) for at in range(1, 21) for sensor in ("a", "b")]
BY_EVENT = KNOWN.replace("r.__available_time >= c.__available_time", "r.at >= c.measured_at")


def said(project: Project, one: FeatureView, **options: Any) -> str | None:
    with connect(Limits()) as con:
        rows = SourceRows(one, files_of(one, root=project.folder), project.folder)
        return look(con, rows, None, **options)


def over(select: str, **changes: Any) -> FeatureView:
    """A view of readings whose value is an expression over them."""
    return view(
        schema=[Field("value", Float64)], transform=f"select s.sensor, s.at, {select} as value from source s", **changes
    )


@pytest.mark.parametrize(
    "one",
    [
        view(),
        over("value * 2"),
        over("sum(value) over (partition by sensor order by s.at)"),
        over("sum(value) over (order by s.at range between interval 2 hours preceding and current row)", lookback="2h"),
        joined(),
        joined(sources={"readings": source(known_after="3h"), "calibrations": calibrations(known_after="1h")}),
    ],
)
def test_what_follows_from_what_was_known_is_fine(project: Project, one: FeatureView) -> None:
    project.deliver(READINGS)
    calibrate(project, [("a", 0, 1.0), ("b", 5, 2.0), ("a", 12, 3.0)])
    assert said(project, one) is None


@pytest.mark.parametrize(
    "one",
    [
        over("lead(value) over (partition by sensor order by s.at)"),
        over("max(value) over ()"),
        over("row_number() over (order by s.at desc)::double"),
        joined(transform=KNOWN.replace("and r.__available_time >= c.__available_time", "and c.measured_at >= r.at")),
        joined(transform="select sensor, r.at, value, factor from readings r left join calibrations using (sensor)"),
        joined(transform=BY_EVENT, sources={"readings": source(), "calibrations": calibrations(known_after="2h")}),
    ],
)
def test_a_transform_that_sees_the_future_is_named(project: Project, one: FeatureView) -> None:
    project.deliver(READINGS)
    calibrate(project, [("a", 0, 1.0), ("b", 5, 2.0), ("a", 12, 3.0)])
    warning = said(project, one)
    assert warning is not None
    assert "sees the future: a row that is available at 2020-01-01T" in warning


def test_one_row_that_is_known_too_early_is_found_wherever_it_is(project: Project) -> None:
    project.deliver(READINGS)
    leaking = {"readings": source(), "calibrations": calibrations(known_after="1h")}
    for at in (1, 9, 18):
        calibrate(project, [("a", at, 1.0)])
        assert said(project, joined(sources=leaking)) is None
        warning = said(project, joined(sources=leaking, transform=BY_EVENT))
        assert f"a row that is available at 2020-01-01T{at:02}:00:00Z" in (warning or "")


@pytest.mark.parametrize(("lookback", "fine"), [("2h", True), ("90m", False), (None, True)])
def test_a_lookback_that_is_too_short_is_named(project: Project, lookback: str | None, fine: bool) -> None:
    project.deliver(READINGS)
    window = "sum(value) over (order by s.at range between interval 2 hours preceding and current row)"
    found = said(project, over(window, lookback=lookback))
    assert (found is None) == fine
    assert fine or "looks back further than its lookback" in (found or "")


def test_with_a_lookback_a_short_look_ahead_is_found_among_many_rows(project: Project) -> None:
    """Two minutes ahead, in a week of readings, of which few are not 0: hardly an instant would show it by itself."""
    project.deliver([("a", minute / 60, float(minute % 97 == 0)) for minute in range(1, 7 * 24 * 60)])
    window = "max(value) over (order by s.at range between interval 1 minute preceding and {})"
    warning = said(project, over(window.format("interval 2 minutes following"), lookback="1m"))
    assert "sees the future" in (warning or "")
    fine = window.format("current row")
    assert said(project, over(fine, lookback="1m")) is None
    assert "looks back further than its lookback" in (said(project, over(fine, lookback="30s")) or "")


def test_lookbacks_by_name_are_tried_each_by_its_own(project: Project) -> None:
    project.deliver(READINGS)
    calibrate(project, [("a", 0, 1.0), ("b", 5, 2.0)])
    assert said(project, joined(lookback={"readings": "0s"})) is None
    assert "looks back further" in (said(project, joined(lookback={"calibrations": "1h"})) or "")
    ahead = KNOWN.replace("r.value,", "lead(r.value, 1, 0) over (partition by r.sensor order by r.at) as value,")
    assert "sees the future" in (said(project, joined(lookback={"readings": "1h"}, transform=ahead)) or "")


def test_the_order_in_which_floats_are_added_up_is_no_sight_of_the_future(project: Project) -> None:
    project.deliver([("a", at, 0.1 + at / 7) for at in range(1, 40)])
    drifting = over("sum(value) over (order by s.at) + 1e-14 * max(value) over ()")
    assert said(project, drifting) is None


def test_rows_that_are_set_aside_have_no_time_and_decide_nothing(project: Project) -> None:
    project.deliver([*READINGS, ("a", None, 1.0), (None, 3, 1.0)])
    calibrate(project, [("a", 0, 1.0)])
    assert said(project, joined()) is None


def test_a_source_without_rows_has_no_instant_to_look_at(project: Project) -> None:
    project.deliver([("a", None, 1.0)])
    calibrate(project, [("a", 0, 1.0)])
    assert said(project, joined()) is None


def test_a_preview_warns_and_would_still_be_published(project: Project) -> None:
    project.deliver(READINGS)
    calibrate(project, [("a", 12, 1.0)])
    leaking = joined(
        transform="select sensor, r.at, value, factor from readings r left join calibrations using (sensor)"
    )
    report = leaking.preview(repo_path=project.folder).report
    assert (report.ok, report.rows_read) == (True, 40)
    assert "warning: its transform sees the future" in str(report)
    assert joined().preview(repo_path=project.folder).report.warning is None
    # A few rows are enough, and the other source stays whole.
    assert leaking.preview(3, repo_path=project.folder).report.warning


def test_check_runs_transforms_when_asked(project: Project) -> None:
    project.deliver(READINGS)
    calibrate(project, [("a", 12, 1.0)])
    leaking = joined(
        transform="select sensor, r.at, value, factor from readings r left join calibrations using (sensor)"
    )
    assert project.store.check([joined()], run_transforms=True).feature_views
    assert project.store.check([leaking]).feature_views
    with pytest.raises(DefinitionError, match="sees the future") as caught:
        project.store.check([leaking, joined("fine"), over("max(value) over ()")], run_transforms=True)
    assert [problem.object for problem in caught.value.problems] == [
        "feature view 'calibrated'",
        "feature view 'readings'",
    ]
