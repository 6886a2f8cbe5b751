"""References and services -> the views that answer, on a snapshot alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hitherto.definitions import Entity, FeatureService, FeatureView, Field, ParquetSource
from hitherto.definitions.collection import Definitions
from hitherto.errors import NameCollisionError, UnknownNameError, UsageError
from hitherto.registry.references import plain_name, refuse_entity_collisions, resolve
from hitherto.registry.snapshot import ServedView, Snapshot
from hitherto.types import Float64, String

AIRPORT = Entity("airport", join_keys={"airport": String})
SOURCE = ParquetSource("weather.parquet", timestamp_field="at")


def view(name: str, *features: str, **changes: Any) -> FeatureView:
    return FeatureView(
        name, entities=[AIRPORT], source=SOURCE, schema=[Field(one, Float64) for one in features], **changes
    )


WEATHER, TRAFFIC = view("weather", "temperature", "wind"), view("traffic", "flights", "wind")
NEWER = view("weather", "temperature", "wind", "gust")
MODEL = FeatureService(
    "model",
    features=[
        WEATHER[["wind"]],
        TRAFFIC[["flights"]],
        WEATHER.with_name("other").with_join_key_map({"airport": "there"}),
    ],
)


def snapshot(*services: FeatureService) -> Snapshot:
    first, second = ServedView(WEATHER, 1, 1, 10, True), ServedView(NEWER, 2, 0, None, False)
    traffic = ServedView(TRAFFIC, 1, 1, 10, True)
    definitions = Definitions(
        entities={"airport": AIRPORT},
        sources={"weather": SOURCE},
        feature_views={"weather": NEWER, "traffic": TRAFFIC},
        feature_services={one.name: one for one in (MODEL, *services)},
    )
    versions = {("weather", 1): first, ("weather", 2): second, ("traffic", 1): traffic}
    return Snapshot(1, "p", definitions, {"weather": first, "traffic": traffic}, versions)


def test_outputs_come_in_the_order_asked_and_views_once() -> None:
    found = resolve(snapshot(), ["traffic:wind", "weather:temperature", "traffic:flights"])
    assert found.outputs == ("wind", "temperature", "flights")
    assert [(one.name, one.features, one.outputs) for one in found.views] == [
        ("traffic", ("wind", "flights"), ("wind", "flights")),
        ("weather", ("temperature",), ("temperature",)),
    ]
    assert found.order == (("traffic", "wind"), ("weather", "temperature"), ("traffic", "flights"))
    assert found.key_columns == ("airport",)


def test_full_names_begin_with_the_view_without_its_version() -> None:
    found = resolve(snapshot(), ["weather@2:gust", "traffic:wind"], full_feature_names=True)
    assert found.outputs == ("weather__gust", "traffic__wind")
    assert found.views[0].served.version == 2
    assert (plain_name("weather@2"), plain_name("weather")) == ("weather", "weather")


def test_a_service_by_itself_or_by_name_takes_its_features_aliases_and_key_maps() -> None:
    for asked in ("model", MODEL):
        found = resolve(snapshot(), asked, full_feature_names=True)
        assert found.outputs == ("weather__wind", "traffic__flights", "other__temperature", "other__wind")
        assert found.key_columns == ("airport", "there")
        assert found.views[2].key_columns == {"airport": "there"}


def test_a_service_takes_what_the_serving_version_has_where_it_takes_a_whole_view() -> None:
    whole = FeatureService("whole", features=[NEWER])
    assert resolve(snapshot(whole), "whole").outputs == ("temperature", "wind")


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        (["wether:wind"], UnknownNameError, "no feature view 'wether'.*Did you mean 'weather'"),
        (["weather:wnd"], UnknownNameError, "no feature 'wnd' in feature view 'weather'.*Did you mean 'wind'"),
        (["weather@3:wind"], UnknownNameError, "'weather@3'.*Did you mean 'weather@"),
        (["weather@x:wind"], UnknownNameError, "'weather@x'"),
        (
            ["weather:gust"],
            UsageError,
            "belongs to a new version.*version 1 still serves.*hitherto materialize --view weather",
        ),
        ("modle", UnknownNameError, "no feature service 'modle'.*Did you mean 'model'"),
        (["wind"], UsageError, "'wind' is not a feature reference"),
        (["weather:"], UsageError, "is not a feature reference"),
        ([":wind"], UsageError, "is not a feature reference"),
        ([3], UsageError, "3 is not a feature reference"),
        ([], UsageError, "at least one feature"),
        (["weather:wind", "weather:wind"], NameCollisionError, "twice"),
        (["weather:wind", "traffic:wind"], NameCollisionError, "weather:wind.*traffic:wind.*full_feature_names"),
        (["weather:wind", "weather@1:wind"], NameCollisionError, "weather:wind.*weather@1:wind"),
    ],
)
def test_what_cannot_be_resolved_is_refused_with_the_nearest_name(
    asked: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        resolve(snapshot(), asked)


def test_a_feature_of_a_service_that_the_serving_version_lacks_is_refused() -> None:
    ahead = FeatureService("ahead", features=[NEWER[["gust"]]])
    with pytest.raises(UsageError, match="belongs to a new version"):
        resolve(snapshot(ahead), "ahead")
    gone = FeatureService("gone", features=[replace(view("weather", "rain"), description="")[["rain"]]])
    with pytest.raises(UnknownNameError, match="no feature 'rain'"):
        resolve(snapshot(gone), gone)


def test_an_output_with_the_name_of_an_entity_column_is_refused() -> None:
    refuse_entity_collisions(["a"], ["b"])
    with pytest.raises(NameCollisionError, match="'a'"):
        refuse_entity_collisions(["b", "a"], ["a"])
