"""On-demand feature views in the registry: JSON without code, plan lines, snapshots, references."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from hitherto.definitions import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    OnDemandFeatureView,
    ParquetSource,
    RequestSource,
    on_demand_feature_view,
)
from hitherto.definitions.collection import Definitions
from hitherto.errors import (
    DefinitionError,
    FunctionError,
    NameCollisionError,
    RegistryError,
    UnknownNameError,
    UsageError,
)
from hitherto.registry import discovery, json_format
from hitherto.registry.references import resolve
from hitherto.registry.sqlite import Registry
from hitherto.types import Float64, Int64, List, String, Timestamp

AIRPORT = Entity("airport", join_keys={"airport": String})
WEATHER = FeatureView(
    "weather",
    entities=[AIRPORT],
    source=ParquetSource("weather.parquet", timestamp_field="at"),
    schema=[Field("wind", Float64), Field("gusts", List(Float64))],
)
TRIP = RequestSource(
    "trip", schema=[Field("bags", Int64), Field("departs_at", Timestamp)], description="The trip asked about"
)


@on_demand_feature_view(
    sources=[WEATHER[["wind"]], WEATHER.with_name("other").with_join_key_map({"airport": "destination"}), TRIP],
    schema=[Field("drag", Float64, description="How hard it is"), Field("bags_again", Int64)],
    owner="ops@example.com",
    tags={"domain": "weather"},
)
def drag(weather__wind: float | None, other__wind: float | None, bags: int | None) -> dict[str, Any]:
    """How hard the wind is."""
    return {"drag": weather__wind, "bags_again": bags}


@on_demand_feature_view(sources=[drag[["drag"]]], schema=[Field("doubled", Float64)])
def doubled(drag: float | None) -> float | None:
    return None if drag is None else drag * 2


MODEL = FeatureService("model", features=[WEATHER[["wind"]], doubled, drag[["bags_again"]]])


def changed(view: OnDemandFeatureView, **more: Any) -> OnDemandFeatureView:
    return replace(view, **more)


@pytest.fixture
def registry(tmp_path) -> Registry:
    with Registry(tmp_path / "registry.db", project="p") as opened:
        yield opened


def applied(registry: Registry, *objects: Any) -> Any:
    registry.apply(discovery.collect(objects), expected_serial=None, now=0)
    return registry.snapshot()


def test_what_they_are_made_of_comes_along() -> None:
    collected = discovery.collect([MODEL, TRIP])
    assert list(collected.on_demand_feature_views) == ["drag", "doubled"]
    assert list(collected.feature_views) == ["weather"]
    assert list(collected.entities) == ["airport"]
    assert list(collected.sources) == ["weather"]


def test_a_repo_has_them_at_module_level(tmp_path) -> None:
    (tmp_path / "features.py").write_text(
        "from hitherto import *\nfrom hitherto.types import Int64\n"
        "from hitherto import Field, RequestSource, on_demand_feature_view\n"
        'trip = RequestSource("trip", schema=[Field("bags", Int64)])\n\n\n'
        '@on_demand_feature_view(sources=[trip], schema=[Field("more", Int64)])\n'
        "def more_bags(bags: int | None) -> int | None:\n    return bags\n"
    )
    found = discovery.load(tmp_path).on_demand_feature_views["more_bags"]
    assert found.import_path == "features:more_bags"
    assert (found.location.file, found.location.line) == ("features.py", 7)
    assert found(3) == 3


def test_json_holds_path_and_hash_and_no_code() -> None:
    collected = discovery.collect([MODEL])
    document = json.loads(json_format.dumps(json_format.to_json(collected), canonical=False))
    assert document["on_demand_feature_views"][0]["source_hash"] == drag.source_hash
    assert "weather__wind, other__wind" not in json.dumps(document)
    again = json_format.from_json(document)
    assert again == collected
    assert again.on_demand_feature_views["drag"].function is None
    assert json_format.definitions_hash(again) == json_format.definitions_hash(collected)
    with pytest.raises(FunctionError, match="holds no code"):
        again.on_demand_feature_views["drag"](1, 2, 3)


def test_documents_that_are_built_in_circles_or_on_nothing_are_none() -> None:
    document = json_format.to_json(discovery.collect([MODEL]))
    document["on_demand_feature_views"][0]["sources"].append(
        {"kind": "on_demand_projection", "view": "doubled", "features": None}
    )
    with pytest.raises(RegistryError, match="built on each other"):
        json_format.from_json(document)


def test_the_order_of_the_documents_does_not_matter() -> None:
    document = json_format.to_json(discovery.collect([MODEL]))
    document["on_demand_feature_views"].reverse()
    assert list(json_format.from_json(document).on_demand_feature_views) == ["doubled", "drag"]


def test_a_plan_shows_a_changed_function_in_place_and_whom_it_touches(registry) -> None:
    applied(registry, MODEL)
    # The inner view goes with the outer one: names are what views are known by.
    other = changed(drag, source_hash="f" * 64)
    outer = changed(doubled, sources=[other[["drag"]]])
    service = FeatureService("model", features=[WEATHER[["wind"]], outer, other[["bags_again"]]])
    plan = registry.plan(discovery.collect([service]))
    (update,) = [one for one in plan.changes if one.action != "unchanged"]
    assert (update.kind, update.name, update.action) == ("on-demand feature view", "drag", "update")
    assert update.details == (f"source of the function: sha256 {drag.source_hash[:24]} -> sha256 {'f' * 24}",)
    assert update.affects == ("on-demand feature view doubled", "feature service model")
    assert "~ on-demand feature view  drag  in place" in str(plan)
    stored = next(one for one in plan.changes if one.name == "weather" and one.kind == "feature view")
    assert stored.action == "unchanged"


def test_every_difference_has_a_line(registry) -> None:
    applied(registry, drag)
    view = discovery.collect([drag])
    assert not registry.plan(view).has_changes
    other_trip = RequestSource("trip", schema=[Field("bags", Int64), Field("leaves", Timestamp)])
    for more, said in (
        ({"schema": [Field("drag", Float64), Field("bags_again", Float64)]}, "feature bags_again: Int64 -> Float64"),
        ({"sources": [WEATHER, *drag.sources[1:]]}, "input weather: wind -> wind, gusts"),
        ({"sources": [*drag.sources[:2], other_trip]}, "request trip field leaves: none -> Timestamp"),
        ({"sources": [*drag.sources[:2], other_trip]}, "description of trip: The trip asked about -> none"),
        ({"owner": None}, "owner: ops@example.com -> none"),
        ({"import_path": "elsewhere:drag"}, "-> elsewhere:drag"),
        ({"description": "New"}, "description: How hard the wind is. -> New"),
    ):
        plan = registry.plan(discovery.collect([changed(drag, **more)]))
        assert said in str(plan)


def test_applying_and_removing_them(registry) -> None:
    snapshot = applied(registry, MODEL)
    assert list(snapshot.definitions.on_demand_feature_views) == ["drag", "doubled"]
    assert list(snapshot.views) == ["weather"]
    before = snapshot.serial
    assert applied(registry, MODEL).serial == before
    assert applied(registry, WEATHER).definitions.on_demand_feature_views == {}
    assert registry.serial() == before + 1


def test_they_have_no_versions_and_no_rows(registry) -> None:
    snapshot = applied(registry, MODEL)
    for name in ("drag", "drag@1"):
        with pytest.raises(
            UsageError, match="'drag' is an on-demand feature view: it is computed when it is asked for"
        ):
            snapshot.view(name)
    with pytest.raises(UnknownNameError, match="Did you mean 'drag'"):
        snapshot.view("dragg")


def test_a_request_reads_what_its_functions_take_and_gives_what_was_asked(registry) -> None:
    found = resolve(applied(registry, MODEL), ["doubled:doubled", "weather:gusts"])
    assert found.outputs == ("doubled", "gusts")
    assert [(one.name, one.features, dict(one.key_columns)) for one in found.views] == [
        ("weather", ("gusts", "wind"), {"airport": "airport"}),
        ("other", ("wind",), {"airport": "destination"}),
    ]
    assert found.views[0].outputs == ("gusts", "__input__weather__wind")
    assert [one.view.name for one in found.computations.views] == ["drag", "doubled"]
    assert found.computations.fields == {"bags": Int64}
    assert [(one.origin, one.name, one.feature) for one in found.computations.views[0].taken] == [
        ("stored", "weather", "wind"),
        ("stored", "other", "wind"),
        ("request", "bags", "bags"),
    ]


def test_a_service_gives_them_whole_or_in_part_in_its_order(registry) -> None:
    found = resolve(applied(registry, MODEL), "model", full_feature_names=True)
    assert found.outputs == ("weather__wind", "doubled__doubled", "drag__bags_again")
    assert found.views[0].outputs == ("weather__wind",)
    assert not resolve(applied(registry, MODEL), ["weather:wind"]).computations


def test_references_that_are_wrong_name_what_is_there(registry) -> None:
    snapshot = applied(registry, MODEL)
    with pytest.raises(
        UnknownNameError, match="no feature 'drags' in on-demand feature view 'drag'. Did you mean 'drag'"
    ):
        resolve(snapshot, ["drag:drags"])
    with pytest.raises(NameCollisionError, match="asked for twice"):
        resolve(snapshot, ["drag:drag", "drag:drag"])
    with pytest.raises(UnknownNameError, match="no on-demand feature view 'gone'"):
        resolve(snapshot, FeatureService("m", features=[changed(drag, name="gone")]))


def test_a_name_that_is_read_with_other_keys_is_refused(registry) -> None:
    snapshot = applied(registry, MODEL)
    elsewhere = WEATHER.with_name("other").with_join_key_map({"airport": "alternate"})
    with pytest.raises(UsageError, match="'other' is read with other keys"):
        resolve(snapshot, FeatureService("m", features=[elsewhere, drag]))


def test_polars_functions_are_looked_at_when_planned() -> None:
    import polars as pl

    def mixing(bags: pl.Expr) -> pl.Expr:
        return bags - bags.mean()

    def text(bags: pl.Expr) -> pl.Expr:
        return bags.cast(pl.String)

    def other(bags: pl.Expr) -> dict[str, pl.Expr]:
        return {"y": bags}

    def failing(bags: pl.Expr) -> pl.Expr:
        return bags.str.len_chars()

    def fine(bags, now):
        return (bags * 2).cast(pl.Float64)

    def python(bags: int) -> float:
        return 0.0

    def made(function: Any) -> OnDemandFeatureView:
        return on_demand_feature_view(sources=[TRIP], schema=[Field("x", Float64)], mode="polars")(function)

    discovery.collect([made(fine)])
    for function, said in (
        (mixing, "gives a row another value when other rows stand beside it"),
        (text, "its expression for 'x' gives large_string, and the field is Float64"),
        (other, "gives y; in polars mode it gives a dict with an expression for each of x"),
        (failing, "its expression for 'x' fails with"),
        (python, "in polars mode every parameter is a pl.Expr"),
    ):
        with pytest.raises(DefinitionError, match="on-demand feature view") as caught:
            discovery.collect([made(function)])
        assert said in str(caught.value)


def test_polars_mode_without_polars_says_how_to_install_it(monkeypatch) -> None:
    def f(bags):
        return bags

    view = on_demand_feature_view(sources=[TRIP], schema=[Field("x", Int64)], mode="polars")(f)
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(DefinitionError, match=r"pip install 'hitherto\[polars\]'"):
        discovery.collect([view])


def test_definitions_without_them_stay_what_they_were() -> None:
    assert Definitions().on_demand_feature_views == {}
