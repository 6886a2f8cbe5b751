"""Defaults (semantics 4): wherever a status is not PRESENT, on every way by which a value leaves; statuses stay honest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hitherto import FeatureService, Field
from hitherto.serving.server import running
from hitherto.types import Decimal, Float64, Int64, List, String, Struct
from journeys.projects import Project, entity_rows, hour, source, table, view
from unit.serving.servers import Client

ROWS = [("a", 20, 1.0, "one"), ("b", 20, None, None), ("old", 1, 2.0, "two")]
ASKED = ["readings:value", "readings:note"]
SENSORS = ["a", "b", "old", "none", None]
VALUES = [1.0, -1.0, -1.0, -1.0, -1.0]
STATUSES = ["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND", "NOT_FOUND"]


def readings(**changes: Any) -> Any:
    schema = [Field("value", Float64, default=-1), Field("note", String)]
    return view(**{"schema": schema, "ttl": "6h", **changes})


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    one = Project(tmp_path / "project")
    one.deliver(table(ROWS))
    one.store.apply([readings()])
    one.store.materialize()
    yield one
    one.store.close()


def test_lookups_and_training_sets_have_the_default_and_the_true_status(project: Project) -> None:
    answer = project.store.get_online_features(ASKED, {"sensor": SENSORS})
    found = answer.to_dict(include_metadata=True)
    assert (found["value"], found["value__status"]) == (VALUES, STATUSES)
    assert found["note"] == ["one", None, None, None, None]
    training = project.store.get_historical_features(entity_rows([(one, 24) for one in SENSORS]), ASKED)
    assert training.to_arrow().column("value").to_pylist() == VALUES
    assert training.statuses().column("value").to_pylist() == STATUSES
    assert training.coverage["readings"].found == 2
    told = training.explain(3)["readings"]
    assert (told.values["value"], told.statuses["value"]) == (-1.0, "NOT_FOUND")
    assert "-1.0 (NOT_FOUND)" in str(answer)


def test_parity_holds_and_counts_only_what_is_present(project: Project) -> None:
    report = project.store.check_parity(ASKED, sample=None)
    assert report.ok
    assert 0 < report.present < report.checked


def test_both_ways_of_http_answer_the_default(project: Project) -> None:
    body = {"features": ASKED, "entities": {"sensor": SENSORS}}
    with running(project.store) as url:
        client = Client(url)
        direct = client.post("/get-online-features", body)
        single = client.post("/get-online-features", {**body, "entities": {"sensor": ["none"]}})
        # A body in chunks goes on to ASGI.
        parts: Any = iter([json.dumps(body).encode()])
        above = client.send("POST", "/get-online-features", parts, {"content-type": "application/json"})
        described = client.get("/feature-views/readings").json
    value = direct.json["results"][1]
    assert (value["values"], value["statuses"]) == (VALUES, STATUSES)
    assert above.body == direct.body
    value = single.json["results"][1]
    assert (value["values"], value["statuses"]) == ([-1.0], ["NOT_FOUND"])
    assert [one["default"] for one in described["features"]] == [-1.0, None]


def test_a_changed_default_holds_at_once_and_starts_no_version(project: Project) -> None:
    project.at(25)
    changed = readings(schema=[Field("value", Float64, default=-2), Field("note", String, default="-")])
    plan = project.store.plan([changed])
    assert [one.action for one in plan.changes if one.kind == "feature view"] == ["update"]
    project.store.apply([changed])
    assert project.lookup("b", features=ASKED) == [(-2.0, "-")]
    assert project.history(("b", 24), features=ASKED) == [(-2.0, "-")]
    assert project.history(("b", 24), ("a", 24), features=ASKED, as_served=True) == [(-2.0, "-"), (1.0, "one")]
    # What the call would have returned then: with the default of then.
    assert project.history(("b", 24), as_of=hour(24)) == [-1.0]
    assert len(project.runs()) == 1


def test_a_saved_training_set_keeps_its_defaults(project: Project) -> None:
    training = project.store.get_historical_features(entity_rows([("none", 24)]), ASKED)
    training.save("kept")
    project.store.apply([readings(schema=[Field("value", Float64, default=-2), Field("note", String)])])
    again = project.store.get_training_set("kept").recreate()
    assert again.to_arrow().column("value").to_pylist() == [-1.0]


def test_the_default_stands_for_ranges_that_no_run_has_published_and_for_versions_without_the_feature(
    project: Project,
) -> None:
    empty = view("empty", source=source(name="other"), schema=[Field("note", String, default="!")])
    project.store.apply([readings(), empty])
    assert project.history(("a", 24), features=["empty:note"], missing="null") == ["!"]
    project.at(30)
    grown = [*readings().schema, Field("grown", Float64, source_column="value", default=9)]
    project.store.apply([readings(schema=grown), empty])
    project.store.materialize(feature_views=["readings"])
    assert project.history(("a", 24), features=["readings:grown"], as_served=True) == [9.0]


def test_the_latest_rows_have_defaults_and_stored_rows_do_not(project: Project) -> None:
    assert project.store.read_latest("readings").to_arrow().column("value").to_pylist() == [1.0, -1.0]
    assert project.store.read("readings").to_arrow().column("value").to_pylist() == [1.0, None, 2.0]
    late = view("late", schema=[Field("late_note", String, source_column="note", default="none")], ttl="1d")
    service = FeatureService("both", features=[readings()[["value"]], late])
    project.store.apply([readings(), late, service])
    project.store.materialize(feature_views=["late"])
    latest = project.store.read_latest("both").to_arrow()
    assert latest.to_pylist() == [
        {"sensor": "a", "value": 1.0, "late_note": "one"},
        {"sensor": "b", "value": -1.0, "late_note": "none"},
        {"sensor": "old", "value": -1.0, "late_note": "two"},
    ]


NESTED = [
    (Decimal(10, 2), 1),
    (List(Int64), [2**53 + 1, None]),
    (Struct({"x": Float64, "y": String}), {"x": None, "y": '"'}),
]


@pytest.mark.parametrize(("kind", "default"), NESTED, ids=repr)
def test_defaults_of_every_type_come_out_alike_and_belong_to_the_answer(
    tmp_path: Path, kind: Any, default: Any
) -> None:
    project = Project(tmp_path / "project")
    made = table(ROWS).append_column("more", pa.nulls(len(ROWS), kind.arrow))
    project.deliver(made)
    project.store.apply([view(schema=[Field("more", kind, default=default)])])
    project.store.materialize()
    field = project.store.get_feature_view("readings").features[0]
    first = project.lookup("a", "none", features=["readings:more"])
    assert first == [field.default, field.default] == project.history(("a", 24), ("x", 24), features=["readings:more"])
    if isinstance(first[0], list):
        first[0].append(1)
        assert project.lookup("a", features=["readings:more"]) == [field.default]
    answer = project.store.get_online_features(["readings:more"], {"sensor": ["a"]}).to_json()
    assert json.loads(answer)["results"][1]["statuses"] == ["NULL_VALUE"]
    project.store.close()
