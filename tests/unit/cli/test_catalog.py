from __future__ import annotations

import json

import pytest

from hitherto.cli import faults
from hitherto.cli.catalog import KINDS, kind_of
from hitherto.feature_store import FeatureStore

SQL = "select sensor, measured_at as event_timestamp from readings"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_listed_for_people_and_as_json(kind, hitherto, materialized):
    assert hitherto("list", kind, repo=materialized).code == 0
    document = hitherto("list", kind, "--json", repo=materialized).document
    assert list(document) == [kind.replace("-", "_")]


def test_the_list_of_views_says_how_each_stands(hitherto, materialized):
    view = hitherto("list", "feature-views", "--json", repo=materialized).document["feature_views"][0]
    assert (view["name"], view["version"], view["serving"], view["features"]) == ("readings", 1, True, 3)
    assert view["up_to"].endswith("Z")


@pytest.mark.parametrize(
    ("text", "kind"),
    [("entity", "entities"), ("Feature_View", "feature-views"), ("view", "feature-views"), ("run", "runs")],
)
def test_kinds_are_taken_as_people_write_them(text, kind):
    assert kind_of(text) == kind


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("entity", "sensor", "join key sensor  String"),
        ("source", "readings", "data/readings.parquet"),
        ("feature-view", "readings", "temperature"),
        ("feature-view", "readings@1", "materialized up to"),
        ("run", "r000001", "216 read"),
    ],
)
def test_one_object_is_described(kind, name, told, hitherto, materialized):
    outcome = hitherto("describe", kind, name, repo=materialized)
    assert outcome.code == 0
    assert told in outcome.out
    assert hitherto("describe", kind, name, "--json", repo=materialized).document


def test_a_service_with_a_transformed_view_is_described(hitherto, repo, edit):
    edit("    schema=[", '    transform="select * from source",\n    schema=[')
    edit("import Entity,", "import Entity, FeatureService,")
    path = repo / "definitions.py"
    path.write_text(
        path.read_text(encoding="utf-8") + '\nservice = FeatureService("model", features=[view[["temperature"]]])\n'
    )
    assert hitherto("apply", repo=repo).code == 0
    assert "view readings" in hitherto("describe", "service", "model", repo=repo).out
    assert "model" in hitherto("list", "services", repo=repo).out
    assert "select * from source" in hitherto("describe", "view", "readings@2", repo=repo).out


def test_a_training_set_is_described_by_what_it_is_pinned_to(hitherto, repo):
    with FeatureStore(repo) as store:
        store.get_historical_features(SQL, ["readings:temperature"]).save("june", description="For the talk")
    outcome = hitherto("describe", "training-set", "june@1", repo=repo)
    assert "For the talk" in outcome.out
    assert "readings" in outcome.out
    document = hitherto("describe", "training-set", "june", "--json", repo=repo).document
    assert document["rows"] == 216
    assert "june" in hitherto("list", "training-sets", repo=repo).out


@pytest.mark.parametrize(
    ("kind", "name"), [("entity", "sensors"), ("view", "reading"), ("run", "r9"), ("training-set", "june")]
)
def test_an_unknown_name_is_wrong_usage(kind, name, hitherto, materialized):
    assert hitherto("describe", kind, name, repo=materialized).code == faults.USAGE


def test_the_lineage_of_a_view_is_text_json_or_mermaid(hitherto, materialized):
    assert "data/readings.parquet" in hitherto("lineage", "readings", repo=materialized).out
    assert json.loads(hitherto("lineage", "readings", "--format", "json", repo=materialized).out)["focus"]
    assert hitherto("lineage", "readings", "--format", "mermaid", repo=materialized).out.startswith("flowchart")
    document = hitherto("lineage", "readings", "--format", "mermaid", "--json", repo=materialized).document
    assert document["mermaid"].startswith("flowchart")


@pytest.mark.parametrize("arguments", [["reading"], ["readings", "--format", "svg"]])
def test_a_lineage_that_is_not_there_is_wrong_usage(arguments, hitherto, materialized):
    assert hitherto("lineage", *arguments, repo=materialized).code == faults.USAGE
