"""The lineage of a real project: files with their identity, versions with their state and revision, training sets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hitherto.feature_store import FeatureStore
from hitherto.lineage.nodes import Node
from unit.monitoring.small_store import materialized_project


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    with materialized_project(tmp_path_factory.mktemp("lineage") / "project") as opened:
        yield opened


def test_a_training_set_goes_back_to_its_source_files(store: FeatureStore):
    up = store.lineage("bought")
    assert {node.kind for node in up.nodes} == {"training_set", "segment", "view_version", "source", "source_file"}
    details = up.details[Node("source_file", "data/a.parquet")]
    assert details["rows"] == 7
    assert set(details["identity"]) == {"modified", "footer"}


@pytest.mark.parametrize("name", ["pairs", "model", "events", "a.parquet", "pairs@1", "r000001", "pairs@1#1"])
def test_everything_that_a_project_has_is_found(store: FeatureStore, name: str):
    lineage = store.lineage(name)
    assert lineage.focus
    assert str(lineage)


def test_versions_have_their_state_and_segments_their_rows(store: FeatureStore):
    lineage = store.lineage()
    assert lineage.details[Node("view_version", "pairs@1")]["state"] == "serving"
    segments = [details for node, details in lineage.details.items() if node.kind == "segment"]
    assert sorted(one["rows"] for one in segments) == [6, 6, 6, 6]
    assert all(one["libraries"]["duckdb"] for one in segments)


def test_a_change_of_the_source_touches_every_view_and_service(store: FeatureStore):
    impact = store.lineage().impact("events")
    assert impact.feature_views == ("everybody", "offline_only", "pairs", "users")
    assert impact.feature_services == ("model",)
    assert impact.training_sets == ("bought@1",)
