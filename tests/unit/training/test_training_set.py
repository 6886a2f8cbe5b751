"""Training sets end to end on a small project: options, explanations, coverage, leakage, saving and building again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hitherto import FeatureService, Field
from hitherto.errors import (
    KeyTypeError,
    NameCollisionError,
    NotMaterializedError,
    StorageError,
    UnknownNameError,
    UsageError,
    VerificationError,
)
from hitherto.events import TrainingSetSaved
from hitherto.types import Float64, Int32, Int64, String
from journeys.projects import Project, entity_rows, hour, table, view

ASKED = [("a", 4), ("b", 4), ("a", 6), ("none", 6), (None, 6), ("a", None), ("a", 4)]


def values(training: Any, name: str = "value") -> list[Any]:
    return training.to_arrow().column(name).to_pylist()


# -- what comes out ----------------------------------------------------------------------------------------------------


def test_rows_keep_their_order_and_duplicates_and_null_keys_and_times_are_null_and_counted(shared: Project) -> None:
    training = shared.store.get_historical_features(entity_rows(ASKED), ["readings:note", "readings:value"])
    assert training.to_arrow().column_names == ["sensor", "event_timestamp", "note", "value"]
    assert repr(values(training)) == "[1.0, nan, 5.0, None, None, None, 1.0]"
    assert values(training, "note") == ["one", "three", None, None, None, None, "one"]
    covered = training.coverage["readings"]
    assert (covered.rows, covered.found, covered.null_keys, covered.null_times) == (7, 4, 1, 1)
    assert training.statuses().column("note").to_pylist() == [
        "PRESENT", "PRESENT", "NULL_VALUE", "NOT_FOUND", "NOT_FOUND", "NOT_FOUND", "PRESENT",
    ]  # fmt: skip


def test_known_time_and_ttl_hold(shared: Project) -> None:
    # Known at 3 and 7; the event times are 1 and 5, and six hours of life.
    asked = [("a", at) for at in (2.999, 3, 6.999, 7, 11, 11.001)]
    training = shared.store.get_historical_features(entity_rows(asked), ["late:value"])
    assert values(training) == [None, 1.0, 1.0, 5.0, 5.0, None]
    assert training.statuses().column("value").to_pylist()[-1] == "OUTSIDE_MAX_AGE"
    assert training.coverage["late"].expired == 1


def test_a_service_gives_all_its_features_and_full_names_tell_views_apart(shared: Project) -> None:
    rows = entity_rows([("a", 4)])
    with pytest.raises(NameCollisionError, match="readings:value.*late:value"):
        shared.store.get_historical_features(rows, "both")
    named = shared.store.get_historical_features(rows, "both", full_feature_names=True).to_arrow()
    assert named.column_names[2:] == ["readings__value", "readings__big", "late__value"]
    service = shared.store.get_feature_service("both")
    assert shared.store.get_historical_features(rows, service, full_feature_names=True).to_arrow().equals(named)


def test_a_view_joined_twice_takes_its_keys_from_two_columns(shared: Project) -> None:
    rows = entity_rows([("a", 4), ("b", 4)]).append_column("neighbour", pa.array(["b", None]))
    table = shared.store.get_historical_features(rows, "pair", full_feature_names=True).to_arrow()
    assert repr(table.select(["readings__value", "other__value"]).to_pydict()) == repr(
        {"readings__value": [1.0, float("nan")], "other__value": [float("nan"), None]}
    )


def test_the_order_asked_is_the_order_of_columns_even_across_views(shared: Project) -> None:
    asked = ["readings:value", "late:value", "readings:big"]
    table = shared.store.get_historical_features(entity_rows([("a", 4)]), asked, full_feature_names=True).to_arrow()
    assert table.column_names[2:] == ["readings__value", "late__value", "readings__big"]


@pytest.mark.parametrize(
    "features", [[], ["value"], ["readings:"], [":value"], [5], ["readings:value", "readings:value"]]
)
def test_what_is_no_list_of_features_is_refused(shared: Project, features: list[Any]) -> None:
    with pytest.raises(UsageError):
        shared.store.get_historical_features(entity_rows([("a", 4)]), features)


def test_every_way_out_gives_the_same_rows(shared: Project, tmp_path: Path) -> None:
    training = shared.store.get_historical_features(entity_rows(ASKED), ["readings:big"])
    wanted = [2**53 + 1, -(2**63), None, None, None, None, 2**53 + 1]
    assert values(training, "big") == wanted
    assert isinstance(training.to_df(), pd.DataFrame)
    assert [None if one is pd.NA else one for one in training.to_pandas()["big"]] == wanted
    assert isinstance(training.to_polars(), pl.DataFrame)
    assert training.to_polars()["big"].to_list() == wanted
    batches = list(training.to_batches(3))
    assert [batch.num_rows for batch in batches] == [3, 3, 1]
    assert pa.Table.from_batches(batches).equals(training.to_arrow())
    assert pq.read_table(training.write_parquet(tmp_path / "t.parquet")).equals(training.to_arrow())
    assert (len(training), len(training.head(2)), training.features) == (7, 2, ("big",))
    assert "7 rows x 3 columns" in str(training)
    assert "<th>big</th>" in training._repr_html_()


def test_nothing_is_read_before_it_is_asked_for(project: Project) -> None:
    project.deliver([("a", 1, 1.0)])
    project.store.apply([view()])
    project.store.materialize()
    training = project.store.get_historical_features(entity_rows([("a", 4)]), ["readings:value"])
    for path in project.store.config.offline_path.glob("**/*.duckdb"):
        path.unlink()
    assert "from __entity_rows e join" in training.sql()
    with pytest.raises(Exception, match="feature view 'readings'"):
        training.to_arrow()


# -- the state that is looked at ---------------------------------------------------------------------------------------


@pytest.fixture
def corrected(project: Project) -> Project:
    """Published at 24, corrected and published again at 30."""
    project.deliver([("a", 1, 1.0), ("a", 20, 20.0)])
    project.store.apply([view()])
    project.store.materialize()
    project.at(30)
    project.deliver([("a", 1, 1.5), ("a", 26, 26.0)])
    project.store.materialize_incremental()
    return project


def test_as_of_is_the_store_as_it_was_published_then(corrected: Project) -> None:
    asked = [("a", 2), ("a", 21), ("a", 27)]
    assert corrected.history(*asked) == [1.5, 1.5, 26.0]
    assert corrected.history(*asked, as_of=hour(30)) == [1.5, 1.5, 26.0]
    assert corrected.history(*asked, as_of=hour(29)) == [1.0, 20.0, 20.0]
    assert corrected.history(*asked, as_of="2020-01-02T00:00:00Z") == [1.0, 20.0, 20.0]
    with pytest.raises(NotMaterializedError):
        corrected.history(*asked, as_of=hour(23))


def test_as_served_gives_each_row_only_what_a_run_had_published_by_its_time(corrected: Project) -> None:
    asked = [("a", at) for at in (2, 23.99, 24, 27, 29.99, 30, 31)]
    assert corrected.history(*asked, as_served=True) == [None, None, 20.0, 20.0, 20.0, 26.0, 26.0]


def test_as_of_and_as_served_exclude_each_other_and_missing_is_one_of_two(corrected: Project) -> None:
    with pytest.raises(UsageError, match="as_of or as_served, not both"):
        corrected.history(("a", 2), as_of=hour(30), as_served=True)
    with pytest.raises(UsageError, match='neither "error" nor "null"'):
        corrected.history(("a", 2), missing="ignore")


def test_as_served_crosses_versions_as_lookups_did(corrected: Project) -> None:
    wider = view(schema=[Field("value", Float64), Field("more", Float64, source_column="value")])
    corrected.at(40)
    corrected.store.apply([wider])
    corrected.at(41)
    corrected.store.materialize()
    asked = [("a", at) for at in (24, 30, 40.5, 41)]
    both = ["readings:value", "readings:more"]
    assert corrected.history(*asked, features=both, as_served=True) == [
        (20.0, None),
        (26.0, None),
        (26.0, None),
        (26.0, 26.0),
    ]
    training = corrected.store.get_historical_features(entity_rows(asked), both, as_served=True)
    runs = [training.explain(row)["readings"].run_id for row in range(4)]
    assert runs == ["r000001", "r000003", "r000003", corrected.runs()[-1].run_id]
    assert corrected.history(("a", 27), as_of=hour(39)) == [26.0]
    with pytest.raises(UsageError, match=r"had no feature 'more' at .*: version 1 served then.*readings@2:more"):
        corrected.history(("a", 27), features=["readings:more"], as_of=hour(39))
    assert corrected.history(("a", 27), features=["readings@2:more"], as_of=hour(45)) == [26.0]


def change_keys(project: Project, *versions: Any) -> None:
    rows = table([("1", 1, 1.0), ("1", 5, 5.0)], room=["r", "s"], number=pa.array([1, 2], pa.int32()))
    project.deliver(rows)
    for number, definition in enumerate(versions):
        project.at(24 + 10 * number)
        project.store.apply([definition])
        project.store.materialize()
    project.at(100)


def test_versions_with_other_keys_are_each_joined_by_their_own(project: Project) -> None:
    from hitherto import Entity
    from journeys.projects import SENSOR

    room = Entity("room", join_keys={"room": String})
    change_keys(project, view(), view(entities=[SENSOR, room]), view())
    rows = pa.table({"sensor": ["1"] * 3, "room": ["r"] * 3, "event_timestamp": [hour(25), hour(35), hour(45)]})
    served = project.store.get_historical_features(rows, ["readings:value"], as_served=True)
    assert values(served) == [5.0, 1.0, 5.0]
    assert values(project.store.get_historical_features(rows, ["readings:value"], as_of=hour(36))) == [1.0, 1.0, 1.0]
    assert values(project.store.get_historical_features(rows, ["readings@2:value"])) == [1.0, 1.0, 1.0]


def test_versions_whose_types_no_column_can_hold_are_refused_with_the_way_out(project: Project) -> None:
    change_keys(
        project,
        view(schema=[Field("f", String, source_column="note")]),
        view(schema=[Field("f", Float64, source_column="value")]),
    )
    with pytest.raises(
        UsageError, match=r"The feature 'f' .* is String in version 1, Float64 in version 2.*'readings@2:f'"
    ):
        project.history(("1", 30), features=["readings:f"], as_served=True)
    assert project.history(("1", 40), features=["readings@2:f"], as_served=True) == [5.0]


def test_versions_of_other_widths_are_answered_in_the_wider(project: Project) -> None:
    change_keys(project, view(schema=[Field("number", Int64)]), view(schema=[Field("number", Int32)]))
    asked = entity_rows([("1", 30), ("1", 40)])
    served = project.store.get_historical_features(asked, ["readings:number"], as_served=True).to_arrow()
    assert (served.schema.field("number").type, served["number"].to_pylist()) == (pa.int64(), [2, 2])


def test_versions_whose_keys_are_of_different_types_need_columns_of_their_own(project: Project) -> None:
    from hitherto import Entity
    from hitherto.types import DataType, Date, Timestamp

    def keyed(kind: DataType) -> Any:
        return view(entities=[Entity("day", join_keys={"day": kind})])

    rows = table([("s", 1, 1.0), ("s", 2, 2.0)], day=[hour(0).date(), hour(24).date()])
    project.deliver(rows)
    for kind in (Date, Timestamp):
        project.store.apply([keyed(kind)])
        project.store.materialize()
    asked = pa.table({"day": rows["day"], "event_timestamp": [hour(10)] * 2})
    assert values(project.store.get_historical_features(asked, ["readings@1:value"])) == [1.0, 2.0]
    with pytest.raises(KeyTypeError, match=r"'day' .*'readings@1' .* as Date and of 'readings@2' .* as Timestamp"):
        project.store.get_historical_features(asked, ["readings@1:value", "readings@2:note"])


def test_integer_keys_of_several_widths_are_each_found_in_one_column(project: Project) -> None:
    from hitherto import Entity

    def keyed(name: str, kind: Any) -> Any:
        entity = Entity(name, join_keys={f"{name}_key": kind})
        return view(name, entities=[entity], schema=[Field(name, Float64, source_column="value")])

    views = [keyed("wide", Int64), keyed("narrow", Int32)]
    project.deliver(table([("s", 1, 1.0)], wide_key=[7], narrow_key=pa.array([7], pa.int32())))
    project.store.apply(views)
    project.store.materialize()
    asked = pa.table({"number": [7, 2**40], "event_timestamp": [hour(10)] * 2})
    mapped = [one.with_join_key_map({f"{one.name}_key": "number"}) for one in views]
    for number, features in enumerate((mapped, mapped[::-1])):
        training = project.store.get_historical_features(asked, FeatureService(f"s{number}", features=features))
        assert [values(training, name) for name in ("wide", "narrow")] == [[1.0, None]] * 2


# -- what is missing ---------------------------------------------------------------------------------------------------


@pytest.fixture
def gap(project: Project) -> Project:
    """Published in [1, 2) and [10, 24); the source has rows between."""
    project.deliver([("a", 1, 1.0), ("a", 5, 5.0), ("b", 15, 15.0)])
    project.store.apply([view(ttl="8h")])
    project.store.materialize(hour(1), hour(2))
    project.store.materialize(hour(10), hour(24))
    return project


def test_a_row_that_needs_a_missing_range_is_refused_with_the_ranges_and_the_command(gap: Project) -> None:
    said = r"1 rows need ranges of feature view 'readings' that no run has published: \[2020-01-01T02:00:00Z, 2020-01-01T10:00:00Z\)"
    with pytest.raises(NotMaterializedError, match=said) as caught:
        gap.history(("a", 6), ("a", 1.5))
    assert "hitherto materialize 2020-01-01T02:00:00Z 2020-01-01T10:00:00Z --view readings" in str(caught.value)


def test_rows_that_do_not_look_into_the_gap_are_answered(gap: Project) -> None:
    # With a ttl of eight hours a row at 18 looks back to 10, and the gap ends there.
    assert gap.history(("a", 1.9), ("b", 18), ("b", 20)) == [1.0, 15.0, 15.0]
    with pytest.raises(NotMaterializedError):
        gap.history(("b", 17.9))


def test_missing_null_answers_nulls_and_counts_them(gap: Project) -> None:
    rows = entity_rows([("a", 6), ("a", 1.5), ("b", 17), (None, 6)])
    training = gap.store.get_historical_features(rows, ["readings:value"], missing="null")
    assert values(training) == [None, 1.0, None, None]
    assert (training.coverage["readings"].missing, training.coverage["readings"].null_keys) == (2, 1)
    assert str(training.coverage) == "readings: 1 of 4 rows found (25.0%), 1 null key, 2 missing"
    assert "2 missing" in training.coverage._repr_html_()
    assert training.explain(0)["readings"].rule == "null: the row needs a range that no run has published."


def test_a_view_that_was_never_published_says_so(project: Project) -> None:
    project.deliver([("a", 1, 1.0)])
    project.store.apply([view()])
    with pytest.raises(
        NotMaterializedError, match="has never been materialized. Run: hitherto materialize --view readings"
    ):
        project.history(("a", 6))
    with pytest.raises(NotMaterializedError):
        project.store.read("readings")
    assert project.history(("a", 6), missing="null") == [None]
    training = project.store.get_historical_features(entity_rows([("a", 6)]), ["readings:value"], missing="null")
    assert "nothing is published" in training.sql()


def test_rows_after_the_watermark_are_answered_as_a_lookup_would_and_counted(gap: Project) -> None:
    training = gap.store.get_historical_features(
        entity_rows([("b", 23.9), ("b", 23), ("b", 25)]), ["readings:value"], missing="null"
    )
    assert training.coverage["readings"].after_watermark == 1
    assert values(training)[1] == 15.0


# -- explanations ------------------------------------------------------------------------------------------------------


def test_explain_says_which_row_answered_and_why_or_the_rule_that_made_it_null(shared: Project) -> None:
    asked = [("a", 4), ("a", 12), ("none", 4), (None, 4), ("a", None)]
    training = shared.store.get_historical_features(entity_rows(asked), ["late:value"])
    found = training.explain(0)["late"]
    assert (found.event_time, found.available_time, str(found.age)) == (hour(1), hour(3), "3:00:00")
    assert (found.values, found.statuses, found.key) == ({"value": 1.0}, {"value": "PRESENT"}, {"sensor": "a"})
    assert found.run_id == shared.runs("late")[0].run_id
    assert found.segment == f"{found.run_id}.duckdb"
    rules = [training.explain(row)["late"].rule for row in range(5)]
    assert rules == [
        "the newest row known by then, 3:00:00 old.",
        "null: the newest known row is 7:00:00 old, and the ttl is 6h.",
        "null: no row of this key was known by then.",
        "null: a key of the entity row is null (semantics 3).",
        "null: the entity row has no time (semantics 3).",
    ]
    text = str(training.explain())
    assert "row 0 at 2020-01-01T04:00:00Z" in text
    assert "late (sensor='a')" in text
    assert "happened 2020-01-01T01:00:00Z, known 2020-01-01T03:00:00Z" in text
    assert "value = 1.0 (PRESENT)" in text
    assert "no time" in str(training.explain(-1))
    assert "OUTSIDE_MAX_AGE" in training.explain(1)._repr_html_()


def test_explain_refuses_rows_and_views_that_are_not_there(shared: Project) -> None:
    training = shared.store.get_historical_features(entity_rows([("a", 4)]), ["late:value"])
    assert training.explain(-1).row == 0
    for row in (1, -2):
        with pytest.raises(UsageError, match=f"There is no row {row}: the training set has 1 rows"):
            training.explain(row)
    with pytest.raises(UnknownNameError, match="Did you mean 'late'"):
        training.explain()["lat"]


def test_explain_tells_of_the_online_retention_and_of_the_ttl_in_force_then(project: Project) -> None:
    project.deliver([("a", 1, 1.0)])
    project.store.apply([view(ttl="50h", online_retention="60h")])
    project.store.materialize()
    project.at(40)
    project.store.apply([view(ttl="2h", online_retention="30h")])
    training = project.store.get_historical_features(entity_rows([("a", 35)]), ["readings:value"])
    assert training.explain()["readings"].rule.endswith("within the online retention of 30h.")
    served = project.store.get_historical_features(
        entity_rows([("a", 39), ("a", 41)]), ["readings:value"], as_served=True
    )
    assert served.explain(0)["readings"].rule.startswith("the newest row known by then")
    short = project.store.get_historical_features(entity_rows([("a", 10)]), ["readings:value"])
    assert short.explain()["readings"].rule == "null: the newest known row is 9:00:00 old, and the ttl is 2h."


def test_of_two_definitions_applied_at_one_instant_the_last_is_in_force(project: Project) -> None:
    project.at(3)
    project.deliver([("a", 1, 1.0)])
    project.store.apply([view()])
    project.store.materialize()
    project.at(4)
    # Neither the first nor the shortest nor the longest of them is the last.
    for ttl in ("9h", "1h", "8h"):
        project.store.apply([view(ttl=ttl)])
    project.at(24)
    for options in ({"as_served": True}, {"as_of": hour(23)}):
        training = project.store.get_historical_features(
            entity_rows([("a", 6), ("a", 9.5)]), ["readings:value"], **options
        )
        assert values(training) == [1.0, None]
        assert training.explain(1)["readings"].rule.endswith("the ttl is 8h.")
    assert "3600000000" not in "".join(training.sql())


# -- leakage -----------------------------------------------------------------------------------------------------------


def test_a_leakage_report_finds_the_feature_that_is_the_label(project: Project) -> None:
    rows = table([(f"s{n}", n % 5, float(n % 2), "x") for n in range(40)], noise=[(n * 7) % 11 for n in range(40)])
    project.deliver(rows)
    schema = [Field("value", Float64), Field("noise", Int64), Field("note", String)]
    project.store.apply([view(schema=schema)])
    project.store.materialize()
    sql = 'select sensor, "at" as event_timestamp, value > 0 as label from readings'
    training = project.store.get_historical_features(sql, ["readings:noise", "readings:value", "readings:note"])
    report = training.leakage_report(label="label")
    first = report.features[0]
    assert (first.feature, first.view, first.auc, first.age_zero_share, first.same_table) == (
        "value",
        "readings",
        1.0,
        1.0,
        True,
    )
    assert [one.feature for one in report.suspicious] == ["value"]
    assert {one.feature: one.auc for one in report.features}["note"] is None
    assert "SUSPICIOUS" in str(report)
    assert "of the label" in report._repr_html_()
    with pytest.raises(UnknownNameError, match="Did you mean 'label'"):
        training.leakage_report(label="labl")


# -- saved -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(corrected: Project) -> Project:
    rows = entity_rows([("a", 2), ("a", 27), (None, 2)]).append_column("extra", pa.array([["x"], None, []]))
    training = corrected.store.get_historical_features(rows, ["readings:value"])
    record = training.save("late_readings", description="for the test")
    assert (record.name, record.version, record.rows) == ("late_readings", 1, 3)
    return corrected


def test_a_saved_training_set_is_built_again_whatever_was_published_since(saved: Project) -> None:
    before = saved.store.get_training_set("late_readings")
    saved.at(35)
    saved.deliver([("a", 1, 99.0)])
    saved.store.materialize_incremental()
    assert saved.history(("a", 2)) == [99.0]
    again = saved.store.get_training_set("late_readings").recreate()
    assert values(again) == [1.5, 26.0, None]
    assert again.content_hash == before.record.content_hash
    assert again.to_arrow().column("extra").to_pylist() == [["x"], None, []]


def test_the_next_save_of_a_name_is_the_next_version_and_is_listed(saved: Project) -> None:
    told: list[Any] = []
    saved.store.observe(type("Told", (), {"observe": lambda self, event: told.append(event)})())
    training = saved.store.get_historical_features(entity_rows([("a", 2)]), ["readings:value"])
    assert training.save("late_readings").version == 2
    assert [one.version for one in saved.store.list_training_sets()] == [1, 2]
    assert saved.store.get_training_set("late_readings").version == 2
    assert saved.store.get_training_set("late_readings", 1).record.rows == 3
    assert any(isinstance(event, TrainingSetSaved) and event.version == 2 for event in told)
    with pytest.raises(UnknownNameError, match="late_readings"):
        saved.store.get_training_set("late_reading")
    with pytest.raises(UnknownNameError):
        saved.store.get_training_set("late_readings", 9)


def test_the_manifest_pins_everything_that_decides_the_content(saved: Project) -> None:
    manifest = saved.store.get_training_set("late_readings").record.manifest
    assert set(manifest) >= {
        "definitions_hash",
        "entity_rows",
        "reads",
        "libraries",
        "registry_serial",
        "timestamp_field",
    }
    pinned = {one["run_id"]: one for one in manifest["reads"][0]["segments"]}
    segments = saved.store.registry.segments("readings", 1)
    assert {name: one["content_hash"] for name, one in pinned.items()} == {
        name: segments[name].content_hash for name in pinned
    }
    assert {"duckdb", "pyarrow", "python", "hitherto"} <= set(manifest["libraries"])


@pytest.mark.parametrize("name", ["", "Late", "late__readings", "9late", "../late", "late-readings"])
def test_a_name_that_is_none_is_refused(saved: Project, name: str) -> None:
    training = saved.store.get_historical_features(entity_rows([("a", 2)]), ["readings:value"])
    with pytest.raises(UsageError, match="is not a name for a training set"):
        training.save(name)


@pytest.mark.parametrize("what", ["changed", "gone"])
@pytest.mark.parametrize("part", ["segment", "entity rows"])
def test_a_pinned_part_that_is_gone_or_changed_is_found(saved: Project, part: str, what: str) -> None:
    offline = saved.store.config.offline_path
    manifest = saved.store.get_training_set("late_readings").record.manifest
    pinned = manifest["reads"][0]["segments"][0] if part == "segment" else manifest["entity_rows"]
    path = offline / pinned["path"]
    if what == "gone":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    if part == "entity rows" and what == "changed":
        other = saved.store.get_historical_features(entity_rows([("a", 3)]), ["readings:value"])
        other.save("other")
        (replacement,) = offline.glob("training_sets/other/*")
        path.write_bytes(replacement.read_bytes())
    with pytest.raises(VerificationError, match=re.escape(path.name)):
        saved.store.get_training_set("late_readings").recreate()


def test_a_result_that_differs_is_found(saved: Project) -> None:
    from dataclasses import replace

    one = saved.store.get_training_set("late_readings")
    forged = replace(one, record=replace(one.record, content_hash="0" * 64))
    with pytest.raises(VerificationError, match="built again and differs from what was saved"):
        forged.recreate()


@pytest.mark.parametrize(
    "column",
    [
        pl.Series(["x", "a text longer than a view"]),
        pl.Series(["x", "y"], dtype=pl.Categorical),
        pl.Series(["x", "y"], dtype=pl.Enum(["x", "y"])),
        pl.Series([["x"], []]),
        pl.Series([{"x": ["y"]}, None]),
        pl.Series([hour(1), None]).dt.time(),
        pl.Series([hour(1), hour(2)]).diff(),
        pa.array([1, None], pa.timestamp("s")),
        pa.array([1, None], pa.time32("s")),
        pa.array([1, None], pa.date64()),
        pa.array([pa.MonthDayNano([1, 2, 3]), None]),
        pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    ],
    ids=lambda one: str(one.dtype if isinstance(one, pl.Series) else one.type),
)
def test_extra_columns_of_any_type_are_kept_hashed_and_built_again(shared: Project, column: Any) -> None:
    rows: Any = entity_rows([("a", 4), ("b", 4)])
    if isinstance(column, pl.Series):
        rows = pl.from_arrow(rows).with_columns(column.alias("extra"))
    else:
        rows = rows.append_column("extra", column)
    training = shared.store.get_historical_features(rows, ["readings:value"])
    record = training.save("extra")
    again = shared.store.get_training_set("extra", record.version).recreate()
    assert again.content_hash == training.content_hash
    assert again.to_arrow().schema.field("extra").type == training.to_arrow().schema.field("extra").type


def test_saving_leaves_no_half_written_file(shared: Project) -> None:
    shared.store.get_historical_features(entity_rows([("a", 4)]), ["readings:value"]).save("tidy")
    assert shared.leftovers() == []


# -- reads without entity rows -----------------------------------------------------------------------------------------


def test_read_gives_published_rows_of_an_interval(shared: Project) -> None:
    rows = shared.store.read("readings", start=hour(1), end=hour(5)).to_arrow()
    assert rows.column("sensor").to_pylist() == ["a", "b"]
    assert shared.store.read("readings", start=hour(3)).to_arrow().num_rows == 2
    assert shared.store.read("readings", end=hour(1)).to_arrow().num_rows == 1
    assert shared.store.read("readings@1").to_arrow().num_rows == 4
    assert shared.store.read(shared.store.get_feature_view("readings")).to_arrow().num_rows == 4


def test_read_latest_is_what_a_lookup_gives(shared: Project) -> None:
    latest = shared.store.read_latest("late", at=hour(8)).to_arrow()
    assert dict(zip(latest["sensor"].to_pylist(), map(repr, latest["value"].to_pylist()), strict=True)) == {
        "a": "5.0",
        "b": "nan",
    }
    assert shared.store.read_latest("late").to_arrow().num_rows == 0
    assert shared.store.read_latest(shared.store.get_feature_view("readings")).to_arrow().num_rows == 3


def test_read_latest_of_a_service_has_its_views_side_by_side(shared: Project) -> None:
    rows = shared.store.read_latest("both", at=hour(8)).to_arrow()
    assert rows.column_names == ["sensor", "readings__value", "readings__big", "late__value"]
    assert rows["sensor"].to_pylist() == ["a", "b", "old"]
    assert rows["late__value"].to_pylist()[2] is None
    with pytest.raises(UsageError, match="different keys"):
        shared.store.read_latest("pair")
    with pytest.raises(UnknownNameError, match="Did you mean 'both'"):
        shared.store.read_latest("bothe")


def test_read_latest_of_a_service_while_a_new_version_is_being_made(corrected: Project) -> None:
    old = view()
    newer = view(schema=[Field("value", Float64), Field("more", Float64, source_column="value")])
    corrected.store.apply([old, FeatureService("all", features=[old])])
    assert corrected.store.read_latest("all").to_arrow().column_names == ["sensor", "value", "note"]
    corrected.store.apply([newer, FeatureService("all", features=[newer])])
    # The service takes what the version that serves has.
    assert corrected.store.read_latest("all").to_arrow().column_names == ["sensor", "value", "note"]


def test_entity_rows_that_cannot_be_kept_are_a_storage_error_and_nothing_is_saved(project: Project) -> None:
    project.deliver([("a", 1, 1.0)])
    project.store.apply([view()])
    project.store.materialize()
    (project.store.config.offline_path / "training_sets").write_text("in the way")
    training = project.store.get_historical_features(entity_rows([("a", 4)]), ["readings:value"])
    with pytest.raises(StorageError, match="The entity rows cannot be kept in"):
        training.save("mine")
    assert project.store.list_training_sets() == []
