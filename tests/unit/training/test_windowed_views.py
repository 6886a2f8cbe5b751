"""Training sets of windowed views end to end: runs, statuses, coverage, explanations, saving, and what reads without entity rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hitherto import Aggregation, FeatureService, Field, expect
from hitherto.errors import NotMaterializedError
from hitherto.types import Float64, String
from journeys.projects import Project, entity_rows, hour, source, table, view

ROWS = [("a", 1, 1.0, "one"), ("a", 5, 5.0, None), ("a", 5, 5.0, None), ("b", 3, None, "three"), ("old", 0, 0.5, "")]
AGGREGATIONS = [
    Aggregation("value", "sum", windows=["2h", "6h"]),
    Aggregation("value", "count", windows=["6h"]),
    Aggregation("note", "last", windows=["6h"], dtype=String),
]
NAMES = ("value_sum_2h", "value_sum_6h", "value_count_6h", "note_last_6h")
FEATURES = [f"windows:{name}" for name in NAMES]


def windows(**changes: Any) -> Any:
    parts: dict[str, Any] = {"schema": [], "aggregations": AGGREGATIONS, "online": False}
    return view("windows", **{**parts, **changes})


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    one = Project(tmp_path / "project")
    one.deliver(table(ROWS))
    one.store.apply([windows()])
    yield one
    one.store.close()


def values(training: Any) -> list[tuple[Any, ...]]:
    found = training.to_arrow()
    return list(zip(*(found.column(name).to_pylist() for name in NAMES), strict=True))


def test_every_row_is_an_event_and_a_run_that_is_repeated_publishes_nothing(project: Project) -> None:
    run = project.store.materialize()["windows"]
    assert (run.rows_read, run.rows_written, run.rows_superseded, run.rows_quarantined) == (5, 5, 0, 0)
    before = project.segment_files(), project.store.registry.publications("windows", 1)
    project.store.materialize(hour(0), hour(24))
    assert (project.segment_files(), project.store.registry.publications("windows", 1)) == before
    assert project.store.read("windows").to_arrow().column("value").to_pylist() == [1.0, 5.0, 5.0, None, 0.5]


def test_a_row_is_found_while_the_longest_window_has_any(project: Project) -> None:
    project.store.materialize()
    asked = [("a", 5), ("a", 7), ("b", 3), ("b", 9), ("none", 5), (None, 5), ("a", None), ("a", 10.999), ("a", 11)]
    training = project.store.get_historical_features(entity_rows(asked), FEATURES)
    nothing = (None, None, 0, None)
    assert values(training) == [
        (10.0, 11.0, 3, "one"),
        (None, 10.0, 2, None),
        (None, None, 0, "three"),
        nothing,
        nothing,
        nothing,
        nothing,
        (None, 10.0, 2, None),
        nothing,
    ]
    statuses = training.statuses()
    found = ["PRESENT", "PRESENT", "PRESENT", *["NOT_FOUND"] * 4, "PRESENT", "NOT_FOUND"]
    assert statuses.column("value_count_6h").to_pylist() == found
    assert statuses.column("value_sum_2h").to_pylist()[:3] == ["PRESENT", "NULL_VALUE", "NULL_VALUE"]
    covered = training.coverage["windows"]
    assert (covered.found, covered.expired, covered.null_keys, covered.null_times) == (4, 0, 1, 1)


def test_explanations_tell_of_windows_and_name_the_newest_row(project: Project) -> None:
    project.store.materialize()
    training = project.store.get_historical_features(entity_rows([("a", 6), ("none", 6)]), FEATURES)
    found, nothing = (training.explain(row)["windows"] for row in range(2))
    assert (found.event_time, found.run_id, found.segment) == (hour(5), "r000001", "r000001.duckdb")
    assert "in the longest window, 6h; the newest is 1:00:00 old" in found.rule
    assert nothing.rule == "nothing to compute from: no row of this key was known by then in the longest window, 6h."
    assert (nothing.run_id, nothing.values["value_count_6h"]) == (None, 0)
    assert "from __entity_rows e join" in training.sql()


def test_a_leak_shows_as_rows_of_the_very_instant(project: Project) -> None:
    project.store.materialize()
    rows = entity_rows([("a", 5), ("a", 6)]).append_column("label", pa.array([1, 0]))
    report = project.store.get_historical_features(rows, FEATURES).leakage_report(label="label")
    assert {one.age_zero_share for one in report.features} == {0.5}


def test_an_entity_row_needs_the_ranges_that_its_longest_window_reaches_into(project: Project) -> None:
    project.store.materialize(hour(4), hour(24))
    # Hours 0 to 4 are missing: at 9 the window of six hours still looks at 3 and later, at 10 it does not.
    with pytest.raises(NotMaterializedError, match="1 rows need ranges of feature view 'windows'"):
        project.store.get_historical_features(entity_rows([("a", 9.999), ("a", 10)]), FEATURES).to_arrow()
    training = project.store.get_historical_features(entity_rows([("a", 9.999), ("a", 10)]), FEATURES, missing="null")
    assert values(training) == [(None, None, 0, None), (None, 10.0, 2, None)]
    assert training.coverage["windows"].missing == 1
    assert training.statuses().column("value_count_6h").to_pylist() == ["NOT_FOUND", "PRESENT"]


def test_a_saved_training_set_is_built_again(project: Project) -> None:
    project.store.materialize()
    training = project.store.get_historical_features(entity_rows([("a", 5), ("b", 3), ("none", 3)]), FEATURES)
    training.save("sums")
    again = project.store.get_training_set("sums").recreate()
    assert (again.content_hash, values(again)) == (training.content_hash, values(training))


def test_late_rows_reach_back_only_where_they_are_asked_for(project: Project) -> None:
    project.store.materialize()
    project.clock.set(hour(30))
    project.deliver(table([("a", 4, 100.0, "late")]), "late.parquet")
    project.store.materialize_incremental()
    rows = entity_rows([("a", 5), ("a", 25)])
    plain, before, served = (
        project.store.get_historical_features(rows, FEATURES, **options)
        for options in ({}, {"as_of": hour(29)}, {"as_served": True})
    )
    assert [one[1] for one in values(plain)] == [111.0, None]
    assert [one[1] for one in values(before)] == [11.0, None]
    # Nothing was published at hour 5.
    assert values(served) == [(None, None, 0, None)] * 2


def test_the_latest_are_the_features_of_an_instant(project: Project) -> None:
    project.store.materialize()
    latest = project.store.read_latest("windows", at=hour(6)).to_arrow()
    assert latest.column_names == ["sensor", "event_time", "created_time", "available_time", *NAMES]
    assert latest.select(["sensor", *NAMES]).to_pylist() == [
        {"sensor": "a", "value_sum_2h": 10.0, "value_sum_6h": 11.0, "value_count_6h": 3, "note_last_6h": "one"},
        {"sensor": "b", "value_sum_2h": None, "value_sum_6h": None, "value_count_6h": 0, "note_last_6h": "three"},
    ]
    assert project.store.read_latest("windows", at=hour(24)).to_arrow().num_rows == 0


def test_windowed_and_plain_views_go_together_and_under_other_names(tmp_path: Path) -> None:
    one = Project(tmp_path / "project")
    one.deliver(table(ROWS))
    neighbours = windows().with_name("neighbours").with_join_key_map({"sensor": "neighbour"})
    plain = view(source=source(name="plain"), online=False)
    service = FeatureService(
        "both", features=[plain[["value"]], windows()[["value_sum_6h"]], neighbours[["value_count_6h"]]]
    )
    one.store.apply([plain, windows(), service])
    one.store.materialize()
    rows = entity_rows([("b", 6), ("a", 6)]).append_column("neighbour", pa.array(["a", "none"]))
    found = one.store.get_historical_features(rows, "both").to_arrow()
    assert found.select(["value", "value_sum_6h", "value_count_6h"]).to_pylist() == [
        {"value": None, "value_sum_6h": None, "value_count_6h": 3},
        {"value": 5.0, "value_sum_6h": 11.0, "value_count_6h": 0},
    ]
    assert found.schema.field("value_sum_6h").type == Float64.arrow
    one.store.close()


def test_checks_and_quarantine_are_of_the_columns_that_are_read(tmp_path: Path) -> None:
    one = Project(tmp_path / "project")
    one.deliver(table([*ROWS, ("a", 2, -1.0, "bad"), (None, 2, 1.0, "no key")]))
    checked = Field("value", Float64, expect=[expect.between(0, 100, severity="quarantine")])
    one.store.apply([windows(schema=[checked])])
    run = one.store.materialize()["windows"]
    assert (run.rows_read, run.rows_written, run.rows_superseded, run.rows_quarantined) == (7, 5, 0, 2)
    (published,) = one.store.registry.runs(view="windows", state="published")
    assert list(published.profile["features"]) == ["value", "note"]
    one.store.close()
