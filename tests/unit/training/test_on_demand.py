"""On-demand features in training sets: values, statuses, errors, coverage, explanation, saving and building again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hitherto import FeatureService, Field, FunctionError, RequestFieldError, on_demand_feature_view
from hitherto.errors import NameCollisionError, UsageError, VerificationError
from hitherto.types import Float64
from journeys.on_demand import EVERYTHING, READINGS, TRIP, doubled, fragile, headroom
from journeys.projects import Project, hour, micros, table

ROWS = [("a", 1, 1.0, "one"), ("a", 5, 5.0, None), ("b", 3, float("nan"), "three"), ("old", 0, 0.0, "")]


@pytest.fixture
def trips(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Nobody changes it."""
    one = Project(tmp_path_factory.mktemp("trips") / "project", '[offline]\nmemory_limit = "512MB"\nthreads = 2\n')
    one.deliver(table(ROWS))
    one.store.apply(EVERYTHING)
    one.store.materialize()
    yield one
    one.store.close()


def rows(*asked: tuple[Any, ...], **more: Any) -> pa.Table:
    """(sensor, neighbour, hour, limit, hours to departure, label)."""
    columns = {
        "sensor": pa.array([row[0] for row in asked], pa.string()),
        "neighbour": pa.array([row[1] for row in asked], pa.string()),
        "event_timestamp": pa.array(
            [None if row[2] is None else hour(row[2]) for row in asked], pa.timestamp("us", "UTC")
        ),
        "limit": pa.array([row[3] for row in asked], pa.float64()),
        "departs_at": pa.array([None if row[4] is None else hour(row[4]) for row in asked], pa.timestamp("us", "UTC")),
        "label": pa.array([row[5] for row in asked], pa.string()),
    }
    return pa.table({**columns, **more})


ASKED = [
    ("a", "b", 4, 0.5, 5, "x"),
    ("a", "a", 6, None, None, None),
    ("none", "a", 6, 1.0, 6, ""),
    (None, None, 6, 3.0, 7, "y"),
    ("a", "a", None, 1.0, 8, "z"),
    ("b", "a", 9, 1.0, 8, "\N{SNOWMAN}"),
]


def columns(training: Any) -> dict[str, list[Any]]:
    answered = training.to_arrow()
    return {name: answered.column(name).to_pylist() for name in training.features}


def test_values_are_those_of_the_function_at_each_rows_time(trips: Project) -> None:
    training = trips.store.get_historical_features(
        rows(*ASKED), ["headroom:over", "headroom:minutes", "headroom:told", "hour_of_day:hour"]
    )
    assert repr(columns(training)) == repr(
        {
            "over": [0.5, None, None, None, None, float("nan")],
            "minutes": [60.0, None, 0.0, 60.0, None, -60.0],
            "told": ["x!", None, "!", "y!", None, "\N{SNOWMAN}!"],
            "hour": [4, 6, 6, 6, None, 9],
        }
    )
    assert training.to_arrow().column_names == [*rows(*ASKED).column_names, "over", "minutes", "told", "hour"]
    statuses = training.statuses().to_pydict()
    assert statuses["over"] == ["PRESENT", "NULL_VALUE", "NULL_VALUE", "NULL_VALUE", "NOT_FOUND", "PRESENT"]
    assert statuses["hour"] == ["PRESENT", "PRESENT", "PRESENT", "PRESENT", "NOT_FOUND", "PRESENT"]


def test_both_modes_give_the_same(trips: Project) -> None:
    both = [f"headroom:{name}" for name in ("over", "minutes", "told")]
    fast = [f"headroom_fast:{name}_fast" for name in ("over", "minutes", "told")]
    training = trips.store.get_historical_features(rows(*ASKED), [*both, *fast])
    found, statuses = columns(training), training.statuses().to_pydict()
    for name in ("over", "minutes", "told"):
        assert repr(found[name]) == repr(found[f"{name}_fast"])
        assert statuses[name] == statuses[f"{name}_fast"]


def test_a_service_has_them_in_its_order_and_what_they_take_is_read_and_dropped(trips: Project) -> None:
    training = trips.store.get_historical_features(rows(*ASKED), "trip_model")
    assert training.features == ("doubled", "value", "over", "hour")
    found = columns(training)
    assert repr(found["doubled"]) == "[nan, None, None, None, None, nan]"
    assert repr(found["value"]) == "[1.0, 5.0, None, None, None, nan]"
    assert "-- feature view other, version 1" in training.sql()
    assert (
        "on-demand feature view doubled: computed by journeys.on_demand:doubled from headroom:over, other:value"
        in training.sql()
    )
    assert {one.feature for one in training.leakage_report(label="limit").features} == {"value"}


def test_an_exception_or_a_wrong_type_is_an_error_of_that_row_and_feature(
    trips: Project, caplog: pytest.LogCaptureFixture
) -> None:
    asked = rows(
        ("a", "a", 4, 4.0, 5, "x"),
        ("a", "a", 4, 3.0, 5, "xyz"),
        ("a", "a", 4, 4.0, 5, None),
        ("a", "a", 4, None, 5, ""),
    )
    with caplog.at_level(logging.WARNING):
        training = trips.store.get_historical_features(asked, ["fragile:length", "fragile:half", "readings:value"])
        assert columns(training) == {"length": [1, 3, None, 0], "half": [2, None, None, None], "value": [1.0] * 4}
        training.statuses()
    assert training.statuses().to_pydict() == {
        "length": ["PRESENT", "PRESENT", "ERROR", "PRESENT"],
        "half": ["PRESENT", "ERROR", "ERROR", "NULL_VALUE"],
        "value": ["PRESENT"] * 4,
    }
    covered = training.coverage["fragile"]
    assert (covered.rows, covered.found, covered.errors) == (4, 2, 2)
    assert "fragile: 2 of 4 rows found (50.0%), 2 errors" in str(training.coverage)
    said = [one.getMessage() for one in caplog.records if one.name == "hitherto.on_demand"]
    assert len(said) == 2
    assert "'fragile' (journeys.on_demand:fragile) raised TypeError at " in said[0] + said[1]
    assert "gave a value of type float for 'half', which is Int64" in said[0] + said[1]
    # Once for each function and kind.
    caplog.clear()
    columns(trips.store.get_historical_features(asked, ["fragile:length"]))
    assert not [one for one in caplog.records if one.name == "hitherto.on_demand"]


def test_request_fields_are_looked_at_before_anything_is_read(trips: Project) -> None:
    asked = rows(*ASKED)
    with pytest.raises(RequestFieldError, match=r"no column 'limit', a request field \(Float64\)"):
        trips.store.get_historical_features(asked.drop_columns(["limit"]), ["headroom:over"])
    wrong = asked.set_column(3, "limit", pa.array(["secret"] * len(ASKED)))
    with pytest.raises(
        RequestFieldError, match="has type string; as a request field it is Float64. 6 of its values"
    ) as caught:
        trips.store.get_historical_features(wrong, ["headroom:over"])
    assert "secret" not in str(caught.value)
    whole = asked.set_column(3, "limit", pa.array([1] * len(ASKED), pa.int32()))
    assert columns(trips.store.get_historical_features(whole, ["headroom:over"]))["over"][0] == 0.0
    with pytest.raises(NameCollisionError, match="have a column 'over'"):
        trips.store.get_historical_features(rows(*ASKED, over=pa.array([1] * 6)), ["headroom:over"])


def test_a_row_is_explained(trips: Project) -> None:
    training = trips.store.get_historical_features(
        rows(*ASKED), ["doubled:doubled", "headroom:told", "hour_of_day:hour"]
    )
    explained = training.explain(0)
    assert explained["doubled"].rule == "computed by journeys.on_demand:doubled from headroom:over, other:value."
    # That of the oldest row that went in: a's of hour 1, not b's of hour 3.
    assert explained["doubled"].event_time == hour(1)
    assert explained["headroom"].values == {"told": "x!"}
    assert explained["hour_of_day"].event_time == explained.time
    assert "(PRESENT)" in str(explained)
    assert explained["readings"].values == {}
    assert "has no time" in training.explain(4)["doubled"].rule


def test_as_of_and_as_served_are_about_what_is_stored(trips: Project) -> None:
    for options in ({"as_of": hour(24)}, {"as_served": True}):
        training = trips.store.get_historical_features(rows(("a", "b", 24, 0.5, 25, "x")), ["headroom:over"], **options)
        assert columns(training)["over"] == [4.5]


def test_many_rows_are_computed_in_batches(trips: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    features = ["headroom:over", "fragile:length", "headroom_fast:over_fast"]
    training = trips.store.get_historical_features(rows(*ASKED), features)
    whole, statuses = columns(training), training.statuses().to_pydict()
    monkeypatch.setattr("hitherto.on_demand.evaluation.BATCH_ROWS", 2)
    training = trips.store.get_historical_features(rows(*ASKED), features)
    assert repr(columns(training)) == repr(whole)
    assert training.statuses().to_pydict() == statuses
    empty = trips.store.get_historical_features(rows(), features)
    assert columns(empty) == {"over": [], "length": [], "over_fast": []}


def test_a_saved_training_set_is_built_again_with_the_same_functions_only(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.deliver(table(ROWS))
    project.store.apply(EVERYTHING)
    project.store.materialize()
    training = project.store.get_historical_features(rows(*ASKED), ["doubled:doubled", "readings:note"])
    record = training.save("trips")
    assert record.manifest["on_demand"]["functions"] == {
        "headroom": headroom.source_hash,
        "doubled": doubled.source_hash,
    }
    again = project.store.get_training_set("trips").recreate()
    assert again.content_hash == training.content_hash
    assert again.features == ("doubled", "note")
    assert project.store.verify().ok
    touched = project.store.plan([READINGS, replace(doubled, source_hash="0" * 64)])
    assert "training set trips@1" in str(touched)
    lineage = project.store.lineage("trips")
    assert "on-demand feature view headroom" in str(lineage)
    assert "request source trip" in str(project.store.lineage("headroom"))
    # Another process has no function that was given here, and this folder has no repo with one.
    project.reopen()
    with pytest.raises(VerificationError, match="'headroom' .journeys.on_demand:headroom. is not in the repo"):
        project.store.get_training_set("trips").recreate()
    with pytest.raises(FunctionError, match="is not in the repo"):
        project.store.get_historical_features(rows(*ASKED), ["doubled:doubled"])
    project.store.close()


def test_offline_reads_without_entity_rows_refuse_what_needs_a_request(trips: Project) -> None:
    with pytest.raises(UsageError, match="takes on-demand feature view"):
        trips.store.read_latest("trip_model")
    for read in (trips.store.read, trips.store.read_latest):
        with pytest.raises(UsageError, match="'headroom' is an on-demand feature view"):
            read("headroom")
    with pytest.raises(UsageError, match="no run computes it"):
        trips.store.materialize(feature_views=["headroom"])
    with pytest.raises(UsageError, match="is an on-demand feature view"):
        trips.store.push("headroom", rows(*ASKED))


def test_times_are_the_same_utc_as_in_lookups(trips: Project) -> None:
    from datetime import UTC, datetime

    seen: list[Any] = []

    @on_demand_feature_view(sources=[TRIP], schema=[Field("same", Float64)])
    def same(departs_at: datetime | None, now: datetime) -> float | None:
        seen.extend([departs_at, now])
        return None

    from hitherto.definitions.collection import Definitions
    from hitherto.on_demand.functions import Functions

    functions = Functions(lambda: Definitions())
    functions.give([same])
    times = pa.array([micros(1)], pa.int64()).cast(pa.timestamp("us", "UTC"))
    functions.evaluator(same).of_arrow([times, times], 1)
    assert seen == [hour(1), hour(1)]
    assert all(one.tzinfo is UTC for one in seen)


def test_an_unused_service_of_them_alone_needs_no_stored_view(trips: Project) -> None:
    service = FeatureService("alone", features=[fragile])
    training = trips.store.get_historical_features(rows(*ASKED), service)
    assert columns(training)["length"] == [1, None, 0, 1, None, 1]
    assert (
        training.sql()
        == "-- on-demand feature view fragile: computed by journeys.on_demand:fragile from request field label, request field limit"
    )
