"""Lookup plans: references and services resolved against what is served, names without collisions (semantics 6 and 7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hitherto.definitions.collection import Definitions
from hitherto.definitions.entity import Entity
from hitherto.definitions.feature_service import FeatureService
from hitherto.definitions.feature_view import FeatureView
from hitherto.definitions.field import Field
from hitherto.definitions.source import ParquetSource
from hitherto.errors import NameCollisionError, UnknownNameError, UsageError
from hitherto.online.plan import LookupPlans, build_plan, plan_lookup
from hitherto.online.store import Place
from hitherto.registry.snapshot import ServedView, Snapshot
from hitherto.types import Float64, Int64, String

AIRPORT = Entity("airport", join_keys={"airport": String})
SOURCE = ParquetSource("weather.parquet", timestamp_field="at")
WEATHER = FeatureView(
    "weather",
    entities=[AIRPORT],
    source=SOURCE,
    ttl="6h",
    schema=[Field("temperature", Float64), Field("wind", Float64)],
)
OLDER = FeatureView("weather", entities=[AIRPORT], source=SOURCE, schema=[Field("temperature", Int64)])
OFFLINE = FeatureView("archive", entities=[AIRPORT], source=SOURCE, schema=[Field("snow", Float64)], online=False)
SERVED = ServedView(definition=WEATHER, version=2, generation=7, watermark=1000, serving=True)
OLD = ServedView(definition=OLDER, version=1, generation=3, watermark=900, serving=False)
SNAPSHOT = Snapshot(
    serial=5,
    project="demo",
    definitions=Definitions(),
    views={"weather": SERVED, "archive": ServedView(OFFLINE, 1, 1, None, True)},
    versions={("weather", 1): OLD, ("weather", 2): SERVED},
)
ALTERNATE = WEATHER.with_name("alternate_weather").with_join_key_map({"airport": "alternate"})


def test_references_are_answered_in_the_order_asked_from_one_read_per_view() -> None:
    plan = plan_lookup(SNAPSHOT, ["weather:wind", "weather:temperature"])
    assert [column.name for column in plan.columns] == ["wind", "temperature"]
    assert [read.projection.place for read in plan.reads] == [Place("demo", "weather", 2, 7)]
    assert plan.reads[0].projection.ttl == 6 * 3_600_000_000
    assert plan.join_keys == {"airport": "weather"}
    assert plan.watermark == (1000, "weather")


def test_a_version_can_be_named() -> None:
    plan = plan_lookup(SNAPSHOT, ["weather@1:temperature", "weather:wind"], full_feature_names=True)
    assert [column.name for column in plan.columns] == ["weather__temperature", "weather__wind"]
    assert [read.projection.place.version for read in plan.reads] == [1, 2]
    assert [column.kind for column in plan.columns] == [Int64, Float64]


def test_a_service_may_take_a_view_twice_with_other_keys() -> None:
    service = FeatureService("model", features=[WEATHER[["wind"]], ALTERNATE[["temperature"]]])
    plan = plan_lookup(SNAPSHOT, service)
    assert [(column.name, column.reference) for column in plan.columns] == [
        ("wind", "weather:wind"),
        ("temperature", "alternate_weather:temperature"),
    ]
    assert list(plan.join_keys) == ["airport", "alternate"]
    full = plan_lookup(SNAPSHOT, FeatureService("model", features=[WEATHER, ALTERNATE]), full_feature_names=True)
    assert [column.name for column in full.columns][1:3] == ["weather__wind", "alternate_weather__temperature"]


def test_a_service_is_answered_by_the_version_that_serves() -> None:
    waiting = replace(SNAPSHOT, views={"weather": replace(OLD, serving=True)})
    plan = plan_lookup(waiting, FeatureService("model", features=[WEATHER]))
    assert [column.name for column in plan.columns] == ["temperature"]
    with pytest.raises(UnknownNameError, match=r"feature 'wind' in feature view 'weather' \(version 1\)"):
        plan_lookup(waiting, FeatureService("model", features=[WEATHER[["wind"]]]))


@pytest.mark.parametrize(
    ("references", "message"),
    [
        (["wether:temperature"], "no feature view 'wether'. Did you mean 'weather'?"),
        (["weather:temperatur"], "no feature 'temperatur' in .* Did you mean 'temperature'?"),
        (["weather@3:temperature"], "'weather@3'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(references: list[str], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        plan_lookup(SNAPSHOT, references)


@pytest.mark.parametrize("reference", ["weather", "weather:", ":temperature", "", 7])
def test_what_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(UsageError, match="write view:feature"):
        plan_lookup(SNAPSHOT, [reference])  # type: ignore[list-item]  # what a caller may get wrong


@pytest.mark.parametrize("features", [None, 7, object(), [["weather:wind"]], [{}]])
def test_features_that_are_no_list_of_texts_are_refused(features: Any) -> None:
    with pytest.raises(UsageError, match="features is|is not a feature reference"):
        LookupPlans().get(SNAPSHOT, features)


def test_a_lookup_needs_a_feature() -> None:
    with pytest.raises(UsageError, match="at least one feature"):
        plan_lookup(SNAPSHOT, [])


def test_a_view_that_is_not_online_is_refused() -> None:
    with pytest.raises(UsageError, match="'archive' is not served online"):
        plan_lookup(SNAPSHOT, ["archive:snow"])


def test_a_collision_names_both_columns() -> None:
    with pytest.raises(
        NameCollisionError,
        match="'temperature': the feature 'weather:temperature' and the feature 'alternate_weather:temperature'",
    ):
        plan_lookup(SNAPSHOT, FeatureService("model", features=[WEATHER, ALTERNATE]))
    with pytest.raises(NameCollisionError, match="ask for it once"):
        plan_lookup(SNAPSHOT, ["weather:wind", "weather:wind"])
    with pytest.raises(NameCollisionError, match="weather@2:wind"):
        plan_lookup(SNAPSHOT, ["weather:wind", "weather@2:wind"], full_feature_names=True)
    mapped = FeatureService("model", features=[WEATHER.with_join_key_map({"airport": "wind"})])
    with pytest.raises(NameCollisionError, match="the entity column 'wind'"):
        plan_lookup(SNAPSHOT, mapped)


def test_a_plan_is_built_once_per_snapshot() -> None:
    plans = LookupPlans(limit=3)
    first = plans.get(SNAPSHOT, ["weather:wind"])
    assert plans.get(SNAPSHOT, ["weather:wind"]) is first
    assert plans.get(SNAPSHOT, ["weather:wind"], full_feature_names=True) is not first
    service = FeatureService("model", features=[WEATHER])
    assert plans.get(SNAPSHOT, service) is plans.get(SNAPSHOT, FeatureService("model", features=[WEATHER]))
    assert plans.get(replace(SNAPSHOT, serial=6), ["weather:wind"]) is not first


def test_the_number_of_plans_is_bounded() -> None:
    plans = LookupPlans(limit=1)
    first = plans.get(SNAPSHOT, ["weather:wind"])
    plans.get(SNAPSHOT, ["weather:temperature"])
    assert plans.get(SNAPSHOT, ["weather:wind"]) is not first


def test_the_latest_watermark_counts() -> None:
    one = plan_lookup(SNAPSHOT, ["weather:wind"]).reads[0].projection
    later = replace(one, name="later", features=("temperature",), watermark=2000)
    assert build_plan([one, later]).watermark == (2000, "later")
    assert build_plan([replace(one, watermark=None)]).watermark is None
