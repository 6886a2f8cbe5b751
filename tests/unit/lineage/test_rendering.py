"""How a lineage looks: a tree, JSON, Mermaid; no name can break out of any of them."""

from __future__ import annotations

import json

from hitherto.definitions.collection import Definitions
from hitherto.lineage.graph import build
from hitherto.lineage.nodes import Node
from hitherto.lineage.rendering import MOST_CHILDREN
from hitherto.registry.records import Edge

EDGES = [
    Edge("source_file", "w.parquet", "source", "weather", "r000001"),
    Edge("source", "weather", "view_version", "airport@1", "r000001"),
    Edge("view_version", "airport@1", "segment", "r000001", "r000001"),
    Edge("segment", "r000001", "generation", "airport@1#1", "r000001"),
]
HOSTILE = 'w"]; click n0 "javascript:alert(1)"\n<script>\x1b[31m`#.parquet'


def test_the_text_is_a_tree_with_details():
    lineage = build(EDGES, Definitions(), details={Node("segment", "r000001"): {"rows": 26115, "transform": "x" * 99}})
    assert lineage.around("airport").to_text().splitlines() == [
        "feature view airport",
        "├── comes from",
        "│   └── view version airport@1",
        "│       └── source weather",
        "│           └── source file w.parquet",
        "└── leads to",
        "    └── view version airport@1",
        "        └── segment r000001 (rows 26,115)",
        "            └── online generation airport@1#1",
    ]


def test_the_whole_begins_at_the_files():
    lines = str(build(EDGES, Definitions())).splitlines()
    assert lines[0] == "source file w.parquet"
    assert lines[-1].endswith("online generation airport@1#1")


def test_an_empty_lineage_says_so():
    assert str(build([], Definitions())) == "Nothing has been recorded yet."


def test_what_was_shown_before_is_named_without_its_branches():
    edges = [*EDGES, Edge("source", "weather", "view_version", "other@1", "r000002")]
    text = build([*edges, Edge("source_file", "b.parquet", "source", "weather", "r000002")], Definitions()).to_text()
    assert text.count("source weather") == 2
    assert "source weather (see above)" in text
    assert text.count("view version airport@1") == 1


def test_of_very_many_segments_the_newest_are_shown():
    runs = [f"r{number:06d}" for number in range(MOST_CHILDREN + 30)]
    edges = [Edge("view_version", "airport@1", "segment", run, run) for run in runs]
    lineage = build(edges, Definitions()).downstream("airport@1")
    text = lineage.to_text()
    assert "... and 31 more" in text
    assert runs[-1] in text
    assert runs[0] not in text
    assert "feature view airport" in text
    assert len(lineage.to_json()["nodes"]) == len(runs) + 2


def test_json_has_nodes_edges_runs_and_focus():
    document = build(EDGES, Definitions()).upstream("r000001").to_json()
    assert json.loads(json.dumps(document)) == document
    assert document["focus"] == [{"kind": "segment", "name": "r000001"}]
    assert {
        "from": {"kind": "source", "name": "weather"},
        "to": {"kind": "view_version", "name": "airport@1"},
        "runs": ["r000001"],
    } in document["edges"]


def test_mermaid_is_a_flowchart_of_numbered_nodes():
    lines = build(EDGES, Definitions()).around("weather").to_mermaid().splitlines()
    assert lines[0] == "flowchart LR"
    assert '    n1["online generation airport@1#35;1"]' in lines
    assert sum(" --> " in line for line in lines) == 5


def test_no_name_breaks_out_of_mermaid_or_the_terminal_or_html():
    edges = [Edge("source_file", HOSTILE, "source", "weather", "r000001"), *EDGES[1:]]
    lineage = build(edges, Definitions())
    mermaid = lineage.to_mermaid()
    label = next(line for line in mermaid.splitlines() if "source file" in line)
    inside = label.partition('["')[2].removesuffix('"]')
    assert not set(inside) & set('"`<>[]()\n\x1b&|{}')
    assert "\x1b" not in lineage.to_text()
    assert len(lineage.to_text().splitlines()) == 6
    assert "<script>" not in lineage._repr_html_()
