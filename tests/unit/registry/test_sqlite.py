"""The registry: what is applied, run and published is there again, all of it or nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest

from hitherto.definitions import FeatureService
from hitherto.definitions.collection import Definitions
from hitherto.errors import FencedError, RegistryConflict, RegistryError, UnknownNameError, UsageError
from hitherto.registry import ledger
from hitherto.registry.records import Edge, Run
from hitherto.registry.sqlite import Registry
from hitherto.types import Int64
from unit.registry.samples import (
    AIRPORT,
    EVERYTHING,
    JOINED,
    SERVICE,
    VIEW,
    WEATHER,
    day,
    days,
    definitions,
    segment,
    source_file,
)

NEXT = replace(VIEW, schema=[replace(VIEW.schema[0], dtype=Int64), VIEW.schema[1]])
NAME = VIEW.name
PUBLISHED_AT = day(41)


def apply(registry: Registry, *views, services=(), now=1, **options):
    registry.apply(definitions(*views, services=services), expected_serial=registry.serial(), now=now, **options)


def begin(registry: Registry, *, version=1, interval=None, view=NAME) -> Run:
    return registry.begin_run(view, version, interval or days(1, 5), began_at=day(40))


def publish(registry: Registry, run: Run, *, at=PUBLISHED_AT, generation=1, files=None, rows=True, **options) -> Run:
    return registry.publish(
        run,
        segment=segment(f"s{run.sequence}", run) if rows else None,
        files=[source_file()] if files is None else files,
        published_at=at,
        generation=generation,
        **options,
    )


# -- apply -----------------------------------------------------------------------------------------------------------


def test_a_new_registry_is_empty(registry):
    assert registry.deployed() == Definitions(entities={}, sources={}, feature_views={}, feature_services={})
    assert (registry.serial(), registry.runs(), registry.training_sets(), registry.edges()) == (0, (), (), ())
    assert registry.view_versions(NAME) == ()


def test_what_was_applied_is_deployed(registry):
    whole = definitions(VIEW, EVERYTHING, services=[SERVICE])
    registry.apply(whole, expected_serial=0, now=7)
    assert registry.deployed() == whole
    assert registry.deployed().feature_views[NAME].location == VIEW.location
    (version,) = registry.view_versions(NAME)
    assert (version.version, version.created_at, version.serving_from, version.definition) == (1, 7, None, VIEW)


def test_another_object_of_the_same_file_sees_it(registry):
    apply(registry, VIEW)
    with Registry(registry.path, project="flights") as other:
        assert other.deployed() == registry.deployed()
        assert other.serial() == registry.serial() == 1


def test_applying_the_same_again_changes_nothing(registry):
    apply(registry, VIEW, services=[SERVICE])
    serial = registry.serial()
    apply(registry, VIEW, services=[SERVICE])
    assert registry.serial() == serial
    assert len(registry.definition_changes(NAME)) == 1


def test_apply_is_refused_when_the_registry_has_moved_since_the_plan(registry):
    plan = registry.plan(definitions(VIEW))
    apply(registry, EVERYTHING)
    with pytest.raises(RegistryConflict, match="it was at 0, it is at 1"):
        registry.apply(definitions(VIEW), expected_serial=plan.serial, now=2)
    assert list(registry.deployed().feature_views) == ["everything"]
    registry.apply(definitions(VIEW, EVERYTHING), expected_serial=None, now=2)
    assert len(registry.deployed().feature_views) == 2


def test_a_change_in_place_keeps_the_version_and_is_remembered(registry):
    apply(registry, VIEW, now=1)
    longer = replace(VIEW, ttl="12h")
    apply(registry, longer, now=2)
    (version,) = registry.view_versions(NAME)
    assert (version.version, version.definition) == (1, longer)
    assert [(one.version, one.applied_at, one.definition) for one in registry.definition_changes(NAME)] == [
        (1, 1, VIEW),
        (1, 2, longer),
    ]


def test_another_schema_starts_the_next_version(registry):
    apply(registry, VIEW, now=1)
    apply(registry, NEXT, now=2)
    assert [(one.version, one.created_at, one.definition) for one in registry.view_versions(NAME)] == [
        (1, 1, VIEW),
        (2, 2, NEXT),
    ]


def test_a_view_with_data_is_not_removed_without_leave(registry):
    apply(registry, VIEW, EVERYTHING)
    publish(registry, begin(registry))
    with pytest.raises(UsageError, match=r"airport_weather, which has published data.*--allow-remove"):
        apply(registry)
    assert len(registry.deployed().feature_views) == 2
    apply(registry, VIEW)  # the other one has none
    apply(registry, allow_remove=True)
    assert registry.deployed().feature_views == {}
    assert registry.publications(NAME, 1)
    assert registry.snapshot().views == {}


def test_a_view_that_comes_back_takes_its_data_up_again(registry):
    apply(registry, VIEW)
    publish(registry, begin(registry))
    apply(registry, allow_remove=True)
    plan = registry.plan(definitions(VIEW))
    change = next(one for one in plan.changes if one.kind == "feature view")
    assert (change.action, change.version) == ("create", 1)
    assert "takes up again what version 1 had published (2013-01-01 .. 2013-01-05)" in change.compute
    apply(registry, VIEW)
    assert registry.snapshot().view(NAME).watermark == day(5)


def test_the_plan_says_what_a_new_version_computes_and_touches(registry):
    apply(registry, VIEW, services=[SERVICE])
    publish(registry, begin(registry, interval=days(1, 60)))
    registry.save_training_set(
        "delays", "", 1, "h", 1, {}, edges=[Edge("view_version", f"{NAME}@1", "training_set", "")]
    )
    plan = registry.plan(definitions(NEXT, services=[FeatureService("delay_model", features=[NEXT])]))
    change = next(one for one in plan.changes if one.kind == "feature view")
    assert change.summary == "version 2; computes 2013-01-01 .. 2013-03-01 again (what version 1 had published)"
    assert change.affects == ("feature service delay_model", "training set delays@1")
    assert plan.serial == registry.serial()


def test_the_plan_of_a_third_version_computes_what_the_serving_one_had(registry):
    apply(registry, VIEW)
    publish(registry, begin(registry, interval=days(1, 60)))
    apply(registry, NEXT)
    publish(registry, begin(registry, version=2, interval=days(1, 2)))
    plan = registry.plan(definitions(replace(VIEW, source=replace(WEATHER, path="other.parquet"))))
    change = next(one for one in plan.changes if one.kind == "feature view")
    assert change.summary.startswith("version 3; computes 2013-01-01 .. 2013-03-01 again (what version 1 had")


# -- runs ------------------------------------------------------------------------------------------------------------


def test_runs_have_rising_names_sequences_and_a_token_per_view(registry):
    apply(registry, VIEW, EVERYTHING)
    runs = [begin(registry), begin(registry, view="everything"), begin(registry)]
    assert [(one.run_id, one.sequence) for one in runs] == [("r000001", 1), ("r000002", 2), ("r000003", 3)]
    assert runs[0].token < runs[2].token
    assert registry.runs() == tuple(reversed(runs))
    assert registry.run("r000002") == runs[1]


def test_a_registry_made_anew_holds_higher_tokens_than_the_one_before(tmp_path):
    tokens = []
    for name in ("first", "second"):
        with Registry(tmp_path / name / "registry.db", project="p") as registry:
            apply(registry, VIEW)
            tokens.append(begin(registry).token)
        time.sleep(0.002)
    assert tokens[0] < tokens[1]


def test_a_run_of_a_version_that_is_not_there_is_refused(registry):
    apply(registry, VIEW)
    with pytest.raises(UnknownNameError, match=r"'airport_weather@2'.*'airport_weather@1'"):
        begin(registry, version=2)
    with pytest.raises(UnknownNameError, match="Did you mean 'airport_weather@1'"):
        begin(registry, view="airport_wether")


def test_a_run_notes_its_progress(registry):
    apply(registry, VIEW)
    run = begin(registry)
    checks: tuple[Mapping[str, object], ...] = ({"name": "not_null()", "rows": 3}, MappingProxyType({"name": "x"}))
    noted = registry.update_run(
        run.run_id, state="staging", rows_read=5, checks=checks, profile={"b": 1, "a": [1.5, None]}, online_sequence=9
    )
    assert noted == registry.run(run.run_id)
    assert (noted.state, noted.rows_read, noted.online_sequence) == ("staging", 5, 9)
    assert [dict(one) for one in noted.checks] == [{"name": "not_null()", "rows": 3}, {"name": "x"}]
    assert list(noted.profile) == ["b", "a"]


def test_a_run_goes_forward_only(registry):
    apply(registry, VIEW)
    run = begin(registry)
    registry.update_run(run.run_id, state="pushing")
    with pytest.raises(RegistryError, match="is pushing and cannot become staging"):
        registry.update_run(run.run_id, state="staging")
    with pytest.raises(RegistryError, match="cannot become asleep"):
        registry.update_run(run.run_id, state="asleep")
    with pytest.raises(RegistryError, match=r"only by publish\(\)"):
        registry.update_run(run.run_id, state="published")
    with pytest.raises(TypeError, match="keeps its token"):
        registry.update_run(run.run_id, token=9)
    with pytest.raises(TypeError, match="unexpected keyword"):
        registry.update_run(run.run_id, mood="good")
    assert registry.run(run.run_id).state == "pushing"


@pytest.mark.parametrize("state", ["rejected", "failed"])
def test_a_finished_run_is_not_touched(registry, state):
    apply(registry, VIEW)
    run = begin(registry)
    registry.update_run(run.run_id, state=state, error="no", finished_at=3)
    for write in (lambda: registry.update_run(run.run_id, rows_read=1), lambda: publish(registry, run)):
        with pytest.raises(FencedError, match=f"is {state} already"):
            write()
    assert registry.publications(NAME, 1) == ()


def test_a_run_with_an_older_token_is_fenced(registry):
    apply(registry, VIEW)
    old, new = begin(registry), begin(registry)
    for write in (lambda: registry.update_run(old.run_id, rows_read=1), lambda: publish(registry, old)):
        with pytest.raises(FencedError, match=r"holds token \d+, but a newer run holds \d+"):
            write()
    publish(registry, new)
    assert len(registry.publications(NAME, 1)) == 1


def test_an_unknown_run_is_named(registry):
    apply(registry, VIEW)
    begin(registry)
    with pytest.raises(UnknownNameError, match="Did you mean 'r000001'"):
        registry.run("r00001")


def test_runs_are_found_by_view_state_and_number(registry):
    apply(registry, VIEW, EVERYTHING)
    first, second, third = begin(registry), begin(registry, view="everything"), begin(registry)
    registry.update_run(third.run_id, state="failed")
    assert [one.run_id for one in registry.runs(view=NAME)] == [third.run_id, first.run_id]
    assert [one.run_id for one in registry.runs(state="failed")] == [third.run_id]
    assert [one.run_id for one in registry.runs(limit=1)] == [third.run_id]
    assert registry.runs(limit=0) == ()
    assert [one.run_id for one in registry.unfinished_runs()] == [first.run_id, second.run_id]


# -- publish ---------------------------------------------------------------------------------------------------------


def test_a_publish_writes_everything_at_once(registry):
    apply(registry, VIEW)
    run = begin(registry)
    registry.update_run(run.run_id, state="pushing", rows_read=5, pending={"segment": "s1"})
    done = publish(registry, run, generation=3, seconds=1.5, keys_pushed=2)
    assert done == registry.run(run.run_id)
    assert (done.state, done.published_at, done.finished_at, done.generation) == ("published", day(41), day(41), 3)
    assert (done.segment_id, done.rows_read, done.seconds, done.keys_pushed, dict(done.pending)) == (
        "s1",
        5,
        1.5,
        2,
        {},
    )
    (entry,) = registry.publications(NAME, 1)
    assert (entry.run_id, entry.run_sequence, entry.interval) == (run.run_id, run.sequence, days(1, 5))
    assert (entry.segment_id, entry.published_at) == ("s1", day(41))
    assert registry.segments(NAME, 1) == {"s1": segment("s1", run)}
    assert [one.file for one in registry.observations(NAME, 1)] == [source_file()]
    (version,) = registry.view_versions(NAME)
    assert (version.generation, version.serving_from, version.serving_until) == (3, day(41), None)
    assert Edge("segment", "s1", "generation", f"{NAME}@1#3", run.run_id) in registry.edges()


def test_a_publish_that_fails_changes_nothing(registry):
    apply(registry, VIEW)
    publish(registry, begin(registry))
    before = (registry.serial(), registry.publications(NAME, 1), registry.observations(NAME, 1), registry.edges())
    run = begin(registry)
    with pytest.raises(RegistryError):
        registry.publish(
            run, segment=segment("s1", run), files=[source_file("new.parquet")], published_at=1, generation=9
        )  # a segment of this name is there
    assert before == (
        registry.serial(),
        registry.publications(NAME, 1),
        registry.observations(NAME, 1),
        registry.edges(),
    )
    assert registry.run(run.run_id).state == "planned"


def test_an_interval_without_rows_is_published_too(registry):
    apply(registry, VIEW)
    publish(registry, begin(registry), rows=False)
    assert [one.segment_id for one in registry.publications(NAME, 1)] == [None]
    assert registry.segments(NAME, 1) == {}
    assert ledger.covered(registry.publications(NAME, 1)) == (days(1, 5),)


def test_unchanged_content_enters_no_ledger_but_notes_the_files(registry):
    apply(registry, VIEW)
    publish(registry, begin(registry))
    again = publish(registry, begin(registry), rows=False, unchanged=True, files=[source_file(modified="2")])
    assert again.state == "published"
    assert len(registry.publications(NAME, 1)) == 1
    assert [(one.file.modified, one.since_run, one.until_run) for one in registry.observations(NAME, 1)] == [
        ("1", 1, 2),
        ("2", 2, None),
    ]


def test_files_are_observed_from_run_to_run(registry):
    apply(registry, VIEW)
    kept, gone, new = source_file("a"), source_file("b"), source_file("c")
    publish(registry, begin(registry), files=[kept, gone])
    publish(registry, begin(registry), files=[kept, new])
    publish(registry, begin(registry), files=[replace(kept, footer="other"), new])
    assert [
        (one.file.path, one.file.footer, one.since_run, one.until_run) for one in registry.observations(NAME, 1)
    ] == [
        ("a", "f", 1, 3),
        ("b", "f", 1, 2),
        ("c", "f", 2, None),
        ("a", "other", 3, None),
    ]


def test_one_file_of_two_sources_is_observed_as_each_of_them(registry):
    apply(registry, JOINED)
    early, late = source_file("a", source="reports"), source_file("a", source="stations", start=day(7), end=day(8))
    publish(registry, begin(registry, view=JOINED.name), files=[early, late])
    publish(registry, begin(registry, view=JOINED.name), files=[early, late])
    assert [one.file for one in registry.observations(JOINED.name, 1)] == [early, late]
    publish(registry, begin(registry, view=JOINED.name), files=[early])
    assert [(one.file.source, one.until_run) for one in registry.observations(JOINED.name, 1)] == [
        ("reports", None),
        ("stations", 3),
    ]


def test_a_file_that_was_not_read_yet_gets_its_times_later(registry):
    apply(registry, VIEW)
    publish(registry, begin(registry), files=[source_file(start=None, end=None)])
    publish(registry, begin(registry), files=[source_file()])
    publish(registry, begin(registry), files=[source_file(start=None, end=None)])
    assert [(one.file, one.since_run, one.until_run) for one in registry.observations(NAME, 1)] == [
        (source_file(), 1, None)
    ]


def test_versions_have_ledgers_of_their_own_and_switch_when_told(registry):
    apply(registry, VIEW)
    publish(registry, begin(registry), at=10)
    apply(registry, NEXT)
    publish(registry, begin(registry, version=2), at=20)
    assert registry.snapshot().view(NAME).version == 1
    publish(registry, begin(registry, version=2, interval=days(5, 6)), at=30, generation=4, switch=True)
    old, new = registry.view_versions(NAME)
    assert (old.serving_from, old.serving_until) == (10, 30)
    assert (new.serving_from, new.serving_until, new.generation) == (30, None, 4)
    assert len(registry.publications(NAME, 1)) == 1
    assert len(registry.publications(NAME, 2)) == 2
    publish(registry, begin(registry, version=2, interval=days(6, 7)), at=40, switch=True)
    assert registry.view_versions(NAME)[1].serving_from == 30


def test_an_unchanged_run_may_switch_but_never_serves_by_itself(registry):
    apply(registry, VIEW)
    publish(registry, begin(registry), rows=False, unchanged=True)
    assert registry.view_versions(NAME)[0].serving_from is None


# -- snapshot --------------------------------------------------------------------------------------------------------


def test_the_snapshot_is_the_same_object_until_something_changes(registry):
    apply(registry, VIEW)
    first = registry.snapshot()
    run = begin(registry)
    registry.update_run(run.run_id, state="staging")
    assert registry.snapshot() is first
    publish(registry, run)
    second = registry.snapshot()
    assert second is not first
    assert (first.serial, second.serial) == (1, 2)
    assert (first.view(NAME).watermark, second.view(NAME).watermark) == (None, day(5))


def test_a_publish_reads_no_definition_again(registry):
    apply(registry, VIEW)
    before = registry.snapshot()
    publish(registry, begin(registry))
    after = registry.snapshot()
    assert after.serial > before.serial
    assert after.definitions is before.definitions
    assert after.views[NAME].definition is before.views[NAME].definition


def test_the_old_version_serves_until_the_switch(registry):
    apply(registry, VIEW, services=[SERVICE])
    assert (registry.snapshot().view(NAME).version, registry.snapshot().view(NAME).serving) == (1, False)
    publish(registry, begin(registry), generation=7)
    apply(registry, NEXT)
    snapshot = registry.snapshot()
    assert snapshot.project == "flights"
    assert snapshot.definitions.feature_views[NAME] == NEXT
    served = snapshot.view(NAME)
    assert (served.version, served.definition, served.generation, served.serving) == (1, VIEW, 7, True)
    waiting = snapshot.view(f"{NAME}@2")
    assert (waiting.version, waiting.definition, waiting.watermark, waiting.serving) == (2, NEXT, None, False)


# -- training sets and lineage ---------------------------------------------------------------------------------------


def test_training_sets_are_saved_as_versions(registry):
    first = registry.save_training_set("delays", "one", 5, "h1", 10, {"b": [1], "a": {"x": None}})
    second = registry.save_training_set("delays", "two", 6, "h2", 20, {})
    other = registry.save_training_set("arrivals", "", 7, "h3", 0, {})
    assert (first.version, second.version, other.version) == (1, 2, 1)
    assert list(first.manifest) == ["b", "a"]
    assert registry.training_set("delays") == second
    assert registry.training_set("delays", 1) == first
    assert registry.training_sets() == (other, first, second)


def test_an_unknown_training_set_is_named_with_the_nearest(registry):
    registry.save_training_set("delays", "", 5, "h", 1, {})
    with pytest.raises(UnknownNameError, match="'delay'.*Did you mean 'delays'"):
        registry.training_set("delay")
    with pytest.raises(UnknownNameError, match="'delays@3'.*'delays@1'"):
        registry.training_set("delays", 3)


def test_edges_are_kept_once_and_in_order(registry):
    one, other = Edge("a", "1", "b", "2"), Edge("a", "1", "b", "2", "r000001")
    registry.save_training_set("delays", "", 5, "h", 1, {}, edges=[one, other])
    registry.save_training_set("delays", "", 5, "h", 1, {}, edges=[one])
    assert registry.edges() == (one, other)


def test_a_training_set_gets_the_name_of_its_version_in_its_edges(registry):
    registry.save_training_set("delays", "", 5, "h", 1, {}, edges=[Edge("segment", "s1", "training_set", "")])
    assert registry.edges() == (Edge("segment", "s1", "training_set", "delays@1"),)


def test_entities_and_sources_are_deployed_without_views_too(registry):
    lone = Definitions(
        entities={"airport": AIRPORT}, sources={"weather": WEATHER}, feature_views={}, feature_services={}
    )
    registry.apply(lone, expected_serial=0, now=1)
    assert registry.deployed() == lone
