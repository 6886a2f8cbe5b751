"""The lineage graph: names, both directions, only the runs that had to do with it."""

from __future__ import annotations

import pytest

from hitherto.definitions import Entity, FeatureService, FeatureView, Field, ParquetSource
from hitherto.definitions.collection import Definitions
from hitherto.errors import UnknownNameError
from hitherto.lineage.graph import Lineage, build
from hitherto.lineage.nodes import Node
from hitherto.registry.records import Edge
from hitherto.types import Float64, String

AIRPORT = Entity("airport", join_keys={"airport": String})
WEATHER = ParquetSource("data/*.parquet", name="weather", timestamp_field="at")
VIEW = FeatureView("airport_weather", entities=[AIRPORT], source=WEATHER, schema=[Field("temperature", Float64)])
NEVER_RUN = FeatureView("never_run", entities=[AIRPORT], source=WEATHER, schema=[Field("wind", Float64)])
SERVICE = FeatureService("delays", features=[VIEW, VIEW.with_name("elsewhere").with_join_key_map({"airport": "other"})])
DEFINITIONS = Definitions(
    entities={"airport": AIRPORT},
    sources={"weather": WEATHER},
    feature_views={"airport_weather": VIEW, "never_run": NEVER_RUN},
    feature_services={"delays": SERVICE},
)


def run_edges(run: str, file: str, version: str = "airport_weather@1", generation: int = 1) -> list[Edge]:
    return [
        Edge("source", "weather", "view_version", version, run),
        Edge("source_file", file, "source", "weather", run),
        Edge("view_version", version, "segment", run, run),
        Edge("segment", run, "generation", f"{version}#{generation}", run),
    ]


EDGES = [
    *run_edges("r000001", "data/january.parquet"),
    *run_edges("r000002", "data/february.parquet"),
    Edge("view_version", "airport_weather@1", "training_set", "late@1"),
    Edge("segment", "r000001", "training_set", "late@1", "r000001"),
    Edge("view_version", "airport_weather@1", "training_set", "late@10"),
    Edge("segment", "r000002", "training_set", "late@10", "r000002"),
    Edge("source", "weather", "view_version", "airport_weather@1", "r000003"),
]


@pytest.fixture
def lineage() -> Lineage:
    return build(EDGES, DEFINITIONS, serving={"airport_weather": 1})


def names(lineage: Lineage, kind: str) -> list[str]:
    return sorted(node.name for node in lineage.nodes if node.kind == kind)


def test_a_view_comes_from_its_versions_their_source_and_its_files(lineage: Lineage):
    up = lineage.upstream("airport_weather")
    assert names(up, "view_version") == ["airport_weather@1"]
    assert names(up, "source") == ["weather"]
    assert names(up, "source_file") == ["data/february.parquet", "data/january.parquet"]
    assert not names(up, "segment")


def test_a_view_leads_to_segments_generations_training_sets_and_services(lineage: Lineage):
    down = lineage.downstream("airport_weather")
    assert names(down, "segment") == ["r000001", "r000002"]
    assert names(down, "generation") == ["airport_weather@1#1"]
    assert names(down, "training_set") == ["late@1", "late@10"]
    assert names(down, "feature_service") == ["delays"]
    assert not names(down, "source")


def test_a_segment_comes_only_from_the_files_that_its_run_read(lineage: Lineage):
    assert names(lineage.upstream("r000002"), "source_file") == ["data/february.parquet"]


def test_a_training_set_comes_only_from_the_runs_whose_rows_it_has(lineage: Lineage):
    up = lineage.upstream("late@1")
    assert names(up, "source_file") == ["data/january.parquet"]
    assert names(up, "segment") == ["r000001"]


def test_a_file_leads_only_to_what_was_made_from_it(lineage: Lineage):
    down = lineage.downstream("data/january.parquet")
    assert names(down, "segment") == ["r000001"]
    assert names(down, "training_set") == ["late@1"]
    assert names(down, "feature_service") == ["delays"]


def test_around_is_both_directions(lineage: Lineage):
    around = lineage.around("airport_weather@1")
    up, down = lineage.upstream("airport_weather@1"), lineage.downstream("airport_weather@1")
    assert around.nodes == up.nodes | down.nodes
    assert set(around.edges) == set(up.edges) | set(down.edges)


@pytest.mark.parametrize(
    ("name", "node"),
    [
        ("airport_weather", Node("feature_view", "airport_weather")),
        ("elsewhere", Node("feature_view", "airport_weather")),
        ("airport_weather@1", Node("view_version", "airport_weather@1")),
        ("delays", Node("feature_service", "delays")),
        ("weather", Node("source", "weather")),
        ("source:weather", Node("source", "weather")),
        ("late@1", Node("training_set", "late@1")),
        ("r000001", Node("segment", "r000001")),
        ("airport_weather@1#1", Node("generation", "airport_weather@1#1")),
        ("data/january.parquet", Node("source_file", "data/january.parquet")),
        ("january.parquet", Node("source_file", "data/january.parquet")),
    ],
)
def test_everything_is_found_by_its_name(lineage: Lineage, name: str, node: Node):
    assert lineage.resolve(name)[0] == node
    assert lineage.around(name).focus[0] == node


def test_a_training_set_without_a_version_is_its_newest(lineage: Lineage):
    assert lineage.resolve("late") == (Node("training_set", "late@10"),)


def test_a_run_that_published_no_rows_means_its_view_version(lineage: Lineage):
    assert lineage.resolve("r000003") == (Node("view_version", "airport_weather@1"),)


def test_a_last_part_that_two_files_share_names_neither():
    edges = [*run_edges("r000001", "a/x.parquet"), *run_edges("r000002", "b/x.parquet")]
    with pytest.raises(UnknownNameError):
        build(edges, DEFINITIONS).resolve("x.parquet")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("airport_wether", "airport_weather"),
        ("r000009", "r00000"),
        ("data/januar.parquet", "data/january.parquet"),
        ("source:wether", "weather"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(lineage: Lineage, name: str, near: str):
    with pytest.raises(UnknownNameError, match=near):
        lineage.around(name)


def test_a_view_that_never_ran_comes_from_its_source(lineage: Lineage):
    assert names(lineage.upstream("never_run"), "source") == ["weather"]
    assert names(lineage.downstream("weather"), "feature_view") == ["airport_weather", "never_run"]


def test_only_the_version_that_serves_leads_to_services():
    edges = [*EDGES, *run_edges("r000004", "data/march.parquet", "airport_weather@2")]
    before = build(edges, DEFINITIONS, serving={"airport_weather": 1})
    after = build(edges, DEFINITIONS, serving={"airport_weather": 2})
    assert names(before.upstream("delays"), "view_version") == ["airport_weather@1"]
    assert names(after.upstream("delays"), "view_version") == ["airport_weather@2"]
    assert names(after.downstream("airport_weather@1"), "feature_service") == []


def test_a_view_that_was_removed_is_still_found_by_its_name():
    lineage = build(EDGES, Definitions())
    assert lineage.resolve("airport_weather")[0] == Node("feature_view", "airport_weather")
    assert names(lineage.upstream("airport_weather"), "source") == ["weather"]


def test_impact_names_what_depends_on_a_thing_and_counts_segments(lineage: Lineage):
    impact = lineage.impact("weather")
    assert impact.feature_views == ("airport_weather", "never_run")
    assert impact.feature_services == ("delays",)
    assert impact.training_sets == ("late@1", "late@10")
    assert impact.segments == 2
    assert "1 feature service: delays" in str(impact)
    assert impact.to_json()["of"] == ["source weather"]


def test_nothing_depends_on_a_service(lineage: Lineage):
    impact = lineage.impact("delays")
    assert not impact
    assert str(impact) == "Nothing depends on feature service delays."
