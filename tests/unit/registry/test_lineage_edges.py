"""A publish draws source file -> source -> view version -> segment -> generation, for what the run can have read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hitherto.registry import lineage_edges
from hitherto.registry.records import Edge, Run
from unit.registry.samples import JOINED, VIEW, day, days, segment, source_file

RUN = Run("r000007", VIEW.name, 2, 7, 1, days(10, 20), "pushing", began_at=0)
FILES = [
    source_file("long_before", start=day(1), end=day(2)),
    source_file("just_before", start=day(9), end=day(10) - 1),
    source_file("inside", start=day(10), end=day(11)),
    source_file("after", start=day(20), end=day(30)),
    source_file("unknown", start=None, end=None),
]
TRANSFORMED = replace(VIEW, transform="select 1")


def files(view) -> list[str]:
    found = lineage_edges.of_publish(RUN, view, None, FILES, 1)
    return [edge.from_name for edge in found if edge.from_kind == "source_file"]


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (VIEW, ["inside", "unknown"]),
        (replace(TRANSFORMED, lookback="1d"), ["just_before", "inside", "unknown"]),
        (TRANSFORMED, ["long_before", "just_before", "inside", "unknown"]),
    ],
)
def test_only_files_that_the_run_can_have_read_are_named(view, expected):
    assert files(view) == expected


def test_a_segment_leads_to_the_generation_that_it_was_pushed_to():
    found = lineage_edges.of_publish(RUN, VIEW, segment("s7", RUN), [], 3)
    assert found == (
        Edge("source", "weather", "view_version", "airport_weather@2", "r000007"),
        Edge("view_version", "airport_weather@2", "segment", "s7", "r000007"),
        Edge("segment", "s7", "generation", "airport_weather@2#3", "r000007"),
    )


def test_a_view_that_is_not_online_has_no_generation():
    found = lineage_edges.of_publish(RUN, replace(VIEW, online=False), segment("s7", RUN), [], 0)
    assert found[-1].to_kind == "segment"


def test_training_sets_are_known_by_the_views_that_they_were_built_from():
    edges = [
        Edge("view_version", "a@1", "training_set", "t@1"),
        Edge("view_version", "a@2", "training_set", "t@1"),
        Edge("view_version", "b@1", "training_set", "t@1"),
        Edge("segment", "s", "training_set", "t@1"),
        Edge("view_version", "a@1", "segment", "s"),
    ]
    assert lineage_edges.views_of_training_sets(edges) == {"t@1": {"a", "b"}}


def test_a_joined_view_comes_from_every_source_and_each_file_from_its_own():
    seen = [
        source_file("w.parquet", source="reports"),
        source_file("w.parquet", source="before"),
        source_file("s.parquet", source="stations", start=day(19), end=day(19)),
        source_file("new.parquet", source="stations", start=day(20), end=day(20)),
        source_file("old.parquet", source="stations", start=day(1), end=day(2)),
    ]
    run = replace(RUN, view=JOINED.name)
    found = lineage_edges.of_publish(run, JOINED, None, seen, 1)
    assert set(found) == {
        Edge("source", "weather", "view_version", "joined@2", "r000007"),
        Edge("source", "stations", "view_version", "joined@2", "r000007"),
        Edge("source_file", "w.parquet", "source", "weather", "r000007"),
        Edge("source_file", "s.parquet", "source", "stations", "r000007"),
    }


def test_a_file_is_named_as_far_back_as_its_own_source_is_read():
    view = replace(JOINED, lookback={"reports": "1d", "before": "0s"})
    seen = [source_file("old.parquet", source=name, start=day(1), end=day(2)) for name in view.all_sources]
    seen += [source_file("late.parquet", source=name, start=day(9), end=day(10) - 1) for name in ("reports", "before")]
    edges = lineage_edges.of_publish(replace(RUN, view=view.name), view, None, seen, 1)
    assert {(one.from_name, one.to_name) for one in edges if one.from_kind == "source_file"} == {
        ("old.parquet", "stations"),
        ("late.parquet", "weather"),
    }
