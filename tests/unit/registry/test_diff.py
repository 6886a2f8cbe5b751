"""A plan says for each object what changes, whether it starts a version, what is computed, and whom it touches."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hitherto.definitions import FeatureService, Field, expect
from hitherto.registry import diff, json_format
from hitherto.registry.description import describe
from hitherto.registry.diff import Change, Plan, Published, compare
from hitherto.registry.records import ViewVersion
from hitherto.timeline import Interval
from hitherto.types import Int64
from unit.registry.samples import AIRPORT, EVERYTHING, JOINED, SERVICE, VIEW, WEATHER, days, definitions

NOTHING = definitions()
V1 = {VIEW.name: ViewVersion(VIEW.name, 1, VIEW, created_at=0)}
NEXT = replace(VIEW, schema=[replace(VIEW.schema[0], dtype=Int64), Field("gust", Int64)], ttl="7h")
PUBLISHED = {VIEW.name: Published(1, [days(1, 60)])}


def only(plan: Plan, kind: str, name: str) -> Change:
    (change,) = [one for one in plan.changes if (one.kind, one.name) == (kind, name)]
    return change


def view_change(wanted, **options) -> Change:
    plan = compare(definitions(VIEW), definitions(wanted), V1, **options)
    return only(plan, "feature view", VIEW.name)


def test_everything_is_created_in_an_empty_registry():
    plan = compare(NOTHING, definitions(VIEW, services=[SERVICE]), {})
    assert [(one.kind, one.name, one.action) for one in plan.changes] == [
        ("entity", "airport", "create"),
        ("source", "weather", "create"),
        ("feature view", "airport_weather", "create"),
        ("feature service", "delay_model", "create"),
    ]
    change = only(plan, "feature view", VIEW.name)
    assert change.summary == "version 1; computes from the first row of its source"
    assert change.affects == ("feature service delay_model",)


def test_what_is_deployed_already_is_unchanged():
    whole = definitions(VIEW, EVERYTHING, services=[SERVICE])
    versions = {**V1, "everything": ViewVersion("everything", 1, EVERYTHING, created_at=0)}
    plan = compare(whole, whole, versions)
    assert {one.action for one in plan.changes} == {"unchanged"}
    assert not plan.has_changes
    assert str(plan) == "No changes: the registry is what the definitions say (7 unchanged)."
    assert plan._repr_html_() == f"<p>{plan}</p>"
    assert str(compare(NOTHING, NOTHING, {})).endswith("(nothing is defined).")


def test_a_change_in_place_keeps_the_version_and_computes_nothing():
    change = view_change(replace(VIEW, ttl="12h", owner="me"), published=PUBLISHED)
    assert (change.action, change.version, change.compute) == ("update", 1, "")
    assert change.details == ("ttl: 6h -> 12h", "owner: none -> me")


def test_a_default_changes_in_place_and_is_shown():
    change = view_change(
        replace(VIEW, schema=[VIEW.schema[0], replace(VIEW.schema[1], default=0)]), published=PUBLISHED
    )
    assert (change.action, change.version, change.details) == ("update", 1, ("default of wind: none -> 0.0",))


def test_a_new_version_says_what_is_computed_again():
    change = view_change(NEXT, published=PUBLISHED)
    assert change.action == "new version"
    assert change.summary == "version 2; computes 2013-01-01 .. 2013-03-01 again (what version 1 had published)"
    assert change.details == (
        "feature temperature: Float64 from temp -> Int64 from temp",
        "feature gust: none -> Int64",
        "ttl: 6h -> 7h",
        "feature wind: Float64 -> none",
    )


def test_a_new_version_of_a_view_without_data_says_so():
    assert "no version had published anything" in view_change(NEXT).compute


def test_another_order_of_the_features_starts_a_version_and_is_shown():
    change = view_change(replace(VIEW, schema=VIEW.schema[::-1]))
    assert (change.action, change.details) == (
        "new version",
        ("order of features: temperature, wind -> wind, temperature",),
    )


def test_a_view_that_was_removed_comes_back_with_its_data_or_as_the_next_version():
    back = only(compare(NOTHING, definitions(VIEW), V1, published=PUBLISHED), "feature view", VIEW.name)
    assert (back.action, back.version) == ("create", 1)
    assert back.compute == "takes up again what version 1 had published (2013-01-01 .. 2013-03-01)"
    other = only(compare(NOTHING, definitions(NEXT), V1, published=PUBLISHED), "feature view", VIEW.name)
    assert (other.action, other.version) == ("create", 2)


def test_a_removed_view_with_data_says_what_apply_needs():
    plan = compare(definitions(VIEW, services=[SERVICE]), NOTHING, V1, published=PUBLISHED)
    change = only(plan, "feature view", VIEW.name)
    assert change.action == "remove"
    assert change.details == ("it has published data (2013-01-01 .. 2013-03-01): apply needs --allow-remove",)
    assert change.affects == ("feature service delay_model",)
    assert only(compare(definitions(VIEW), NOTHING, V1), "feature view", VIEW.name).details == ()


def test_a_source_and_an_entity_name_the_views_and_what_takes_their_features():
    moved = replace(WEATHER, path="data/new.parquet", known_after="1h")
    renamed = replace(AIRPORT, description="Airport")
    wanted = replace(VIEW, source=moved, entities=[renamed])
    plan = compare(
        definitions(VIEW, services=[SERVICE]),
        definitions(wanted, services=[FeatureService("delay_model", features=[wanted])]),
        V1,
        training_sets={"delays@2": {VIEW.name}, "delays@1": {VIEW.name}, "other@1": {"another"}},
    )
    touched = (
        "feature view airport_weather",
        "feature service delay_model",
        "training set delays@1",
        "training set delays@2",
    )
    source = only(plan, "source", "weather")
    assert (source.action, source.affects) == ("update", touched)
    assert source.details == ("path: data/weather.parquet -> data/new.parquet", "known_after: 30m -> 1h")
    entity = only(plan, "entity", "airport")
    assert (entity.details, entity.affects) == (("description: By its IATA code -> Airport",), touched)
    view = only(plan, "feature view", VIEW.name)
    assert view.action == "new version"
    assert view.details == (
        "source path: data/weather.parquet -> data/new.parquet",
        "source known_after: 30m -> 1h",
    )
    assert view.affects == touched[1:]


def test_a_service_shows_the_features_it_takes():
    service = FeatureService("delay_model", features=[VIEW])
    plan = compare(definitions(VIEW, services=[SERVICE]), definitions(VIEW, services=[service]), V1)
    assert only(plan, "feature service", "delay_model").details == (
        "view airport_weather: temperature -> temperature, wind",
        "view alternate: temperature, wind of airport_weather (airport from other) -> none",
    )


def test_a_long_transform_shows_its_first_line_that_differs():
    before = replace(VIEW, transform="select a,\n  b,\n  c\nfrom source")
    after = replace(before, transform="select a,\n  b,\n" + "x" * 100 + "\nfrom source")
    versions = {VIEW.name: ViewVersion(VIEW.name, 4, before, created_at=0)}
    change = only(compare(definitions(before), definitions(after), versions), "feature view", VIEW.name)
    assert change.version == 5
    assert change.details == (f"transform: line 3: c -> {'x' * 67}...",)
    longer = replace(before, transform=before.transform + "\nwhere a")
    change = only(compare(definitions(before), definitions(longer), versions), "feature view", VIEW.name)
    assert change.details == ("transform: line 5: none -> where a",)


def test_a_plan_reads_well_in_a_terminal():
    service = FeatureService("model", features=[NEXT])
    plan = compare(
        definitions(VIEW, EVERYTHING),
        definitions(NEXT, services=[service]),
        V1,
        published=PUBLISHED,
        training_sets={"delays@1": [VIEW.name]},
        serial=7,
    )
    assert plan.serial == 7
    assert str(plan) == (
        "- entity           pair             removed\n"
        "    touches feature view everything\n"
        "- source           all_of_it        removed\n"
        "    touches feature view everything\n"
        "^ feature view     airport_weather  version 2; computes 2013-01-01 .. 2013-03-01 again (what version 1 had published)\n"
        "    feature temperature: Float64 from temp -> Int64 from temp\n"
        "    feature gust: none -> Int64\n"
        "    ttl: 6h -> 7h\n"
        "    feature wind: Float64 -> none\n"
        "    touches feature service model, training set delays@1\n"
        "- feature view     everything       removed\n"
        "+ feature service  model\n"
        "1 to create, 1 new version, 3 to remove, 2 unchanged."
    )


def test_a_plan_in_a_notebook_is_a_table_and_escapes_what_users_wrote():
    plan = compare(definitions(VIEW), definitions(replace(VIEW, description="<script>alert(1)</script>")), V1)
    shown = plan._repr_html_()
    assert "<table>" in shown
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert "in place" in shown


def test_a_plan_is_a_json_document():
    document = compare(NOTHING, definitions(VIEW), {}, serial=3).to_json()
    assert json.loads(json.dumps(document)) == document
    assert (document["serial"], document["has_changes"]) == (3, True)
    assert document["changes"][2]["name"] == VIEW.name
    assert document["changes"][2]["version"] == 1


@pytest.mark.parametrize(
    ("intervals", "text"),
    [
        ([days(1, 2)], "2013-01-01 .. 2013-01-02"),
        ([Interval(days(1, 2).start, days(1, 2).start + 1)], "2013-01-01 .. 2013-01-01T00:00:00.000001Z"),
        ([days(1, 2), days(3, 4)], "2013-01-01 .. 2013-01-02, 2013-01-03 .. 2013-01-04"),
        (
            [days(n, n + 1) for n in (1, 3, 5, 7)],
            "2013-01-01 .. 2013-01-02, 2013-01-03 .. 2013-01-04, 2013-01-05 .. 2013-01-06 and 1 more range",
        ),
    ],
)
def test_ranges_are_told_in_few_words(intervals, text):
    assert diff.ranges(intervals) == text


@pytest.mark.parametrize(
    ("definition", "changes"),
    [
        (AIRPORT, {"join_keys": {"airport": Int64}}),
        (AIRPORT, {"tags": {"a": "3"}}),
        (WEATHER, {"created_timestamp_field": "made"}),
        (WEATHER, {"owner": "x"}),
        (VIEW, {"online": False}),
        (VIEW, {"online_retention": "9d"}),
        (VIEW, {"expect": [expect.row_count(1)]}),
        (VIEW, {"expect": [expect.row_count(1, severity="warn")]}),
        (VIEW, {"schema": [VIEW.schema[0], replace(VIEW.schema[1], tags={"unit": "m/s"})]}),
        (VIEW, {"schema": [VIEW.schema[0], replace(VIEW.schema[1], expect=[expect.not_null(severity="warn", at_least=0.9)])]}),
        (SERVICE, {"description": "x"}),
        (SERVICE, {"features": SERVICE.projections[::-1]}),
    ],
)  # fmt: skip
def test_whatever_differs_between_two_definitions_has_a_line(definition, changes):
    assert describe(replace(definition, **changes)) != describe(definition)


def test_a_check_is_told_with_severity_and_share():
    lines = describe(EVERYTHING)
    assert lines["checks of text"] == "matches('é.*') fail; unique() warn at_least=0.5"
    assert lines["lookback"] == "2h"
    assert lines["online"] == "false"
    assert lines["order of keys"] == "b, a, airport"


def test_a_joined_view_tells_each_source_by_the_name_that_it_is_read_by():
    lines = describe(JOINED)
    assert lines["times as in"] == "reports"
    assert lines["source stations"] == "stations"
    assert lines["source before"] == "weather"
    assert lines["source stations timestamp_field"] == "opened_at"
    assert "source" not in lines
    assert describe(VIEW)["source"] == "weather"


def test_a_changed_further_source_touches_the_views_that_join_it():
    moved = replace(JOINED.all_sources["stations"], path="data/towers.parquet")
    wanted = replace(JOINED, sources={**JOINED.all_sources, "stations": moved})
    plan = compare(definitions(JOINED), definitions(wanted), {JOINED.name: replace(V1[VIEW.name], definition=JOINED)})
    assert only(plan, "source", "stations").affects == ("feature view joined",)
    view = only(plan, "feature view", "joined")
    assert view.action == "new version"
    assert view.details == ("source stations path: data/stations.parquet -> data/towers.parquet",)
    assert only(plan, "source", "weather").action == "unchanged"


def test_a_view_of_one_source_that_joins_another_shows_both():
    joined = replace(VIEW, source=None, sources={"reports": WEATHER, "more": WEATHER}, transform="select 1")
    change = only(compare(definitions(VIEW), definitions(joined), V1), "feature view", VIEW.name)
    assert change.action == "new version"
    assert "source: weather -> none" in change.details
    assert "source more: none -> weather" in change.details


def test_what_the_registry_gives_back_is_told_as_it_was_defined():
    view = replace(JOINED, lookback={"stations": "1h"})
    back = json_format.from_json(json.loads(json_format.dumps(json_format.to_json(view))))
    assert describe(back) == describe(view)
    assert describe(view)["lookback of stations"] == "1h"
    assert describe(view)["lookback of before"] == "to the beginning"
