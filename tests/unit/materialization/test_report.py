from __future__ import annotations

import json

import pytest

from hitherto import Field, expect
from hitherto.errors import UnknownNameError
from hitherto.materialization.report import MaterializationReport, report_of
from hitherto.types import Float64
from journeys.projects import Project, view


def test_a_report_reads_well_and_becomes_json(project: Project) -> None:
    project.deliver([("a", 1, 1.0), ("a", 1, 1.0), (None, 2, 2.0), ("b", 3, -3.0)])
    project.store.apply([view(schema=[Field("value", Float64, expect=[expect.between(0, 9, severity="warn")])])])
    report = project.store.materialize()
    text = str(report)
    assert text.startswith(
        "readings@1 published [2020-01-01T01:00:00Z, 2020-01-02T00:00:00Z) 4 read, 2 written, 1 superseded, 1 quarantined, 2 keys pushed"
    )
    assert "warning: value: between(0, 9) (1 of 3 rows break it)" in text
    assert text in report._repr_html_().replace("&#x27;", "'")
    document = json.loads(json.dumps(report.to_json()))
    assert document["ok"] is True
    (run,) = document["runs"]
    assert (run["state"], run["rows_quarantined"], run["start"], run["error"]) == (
        "published",
        1,
        "2020-01-01T01:00:00Z",
        None,
    )
    assert run["segment"] == report["readings"].run_id


def test_the_registry_gives_the_same_report_again(project: Project) -> None:
    project.deliver([("a", 1, 1.0)])
    project.store.apply([view()])
    report = project.store.materialize()
    (run,) = project.runs()
    assert report_of(run, project.store.registry.segments("readings", 1)) == report["readings"]


def test_nothing_to_do_says_so_and_an_unknown_view_has_no_report() -> None:
    assert str(MaterializationReport()) == "Nothing to materialize."
    with pytest.raises(UnknownNameError, match="no run of feature view 'readings' in this report"):
        MaterializationReport()["readings"]
