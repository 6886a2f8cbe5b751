"""Every command on a repo whose view joins two sources; and what `check --transforms` says of a leak."""

from __future__ import annotations

from pathlib import Path

import pytest

from hitherto.cli import faults
from journeys.joined import KNOWN, calibrate
from journeys.projects import Project

DEFINITIONS = f'''from hitherto import Entity, FeatureView, Field, ParquetSource
from hitherto.types import Float64, String

sensor = Entity("sensor", join_keys={{"sensor": String}})
readings = ParquetSource("data/*.parquet", name="readings", timestamp_field="at")
factors = ParquetSource("calibrations/*.parquet", name="factors", timestamp_field="measured_at")
calibrated = FeatureView(
    "calibrated",
    entities=[sensor],
    sources={{"readings": readings, "calibrations": factors}},
    transform="""{KNOWN}""",
    schema=[Field("value", Float64), Field("factor", Float64)],
)
'''
AT = ("--now", "2020-01-02T00:00:00Z")


@pytest.fixture
def joined_repo(tmp_path: Path) -> Path:
    """Readings at hours 2, 4 and 6, factors of hours 1, 3 and 5."""
    project = Project(tmp_path / "joined")
    project.deliver([("a", 2, 2.0), ("a", 6, 6.0), ("b", 4, 4.0)])
    calibrate(project, [("a", 1, 10.0), ("b", 3, 30.0), ("a", 5, 50.0)])
    project.store.close()
    (project.folder / "definitions.py").write_text(DEFINITIONS, encoding="utf-8")
    return project.folder


def test_a_joined_view_goes_all_the_way(hitherto, joined_repo):
    assert (
        "No problems: 1 entities, 2 sources, 1 feature views" in hitherto("check", "--transforms", repo=joined_repo).out
    )
    assert hitherto(*AT, "apply", repo=joined_repo).code == 0
    dry = hitherto(*AT, "materialize", "--dry-run", "--json", repo=joined_repo).document
    assert [(one["start"], one["rows_read"]) for one in dry["runs"]] == [("2020-01-01T01:00:00Z", 3)]
    assert hitherto(*AT, "materialize-incremental", repo=joined_repo).code == 0
    looked = hitherto(
        *AT,
        "get-online-features",
        "--features",
        "calibrated:value,calibrated:factor",
        "--entity",
        "sensor=a",
        repo=joined_repo,
    )
    assert "50.0" in looked.out
    assert hitherto(*AT, "verify", repo=joined_repo).code == 0
    again = hitherto(*AT, "materialize-incremental", "--json", repo=joined_repo).document
    assert again["runs"] == []


def test_lineage_describe_and_runs_name_both_sources(hitherto, joined_repo):
    for command in ("apply", "materialize"):
        assert hitherto(*AT, command, repo=joined_repo).code == 0
    lineage = hitherto("lineage", "calibrated", repo=joined_repo).out
    for name in ("source readings", "source factors", "data/a.parquet", "calibrations/a.parquet"):
        assert name in lineage
    assert "calibrated" in hitherto("lineage", "calibrations/a.parquet", repo=joined_repo).out
    described = hitherto("describe", "feature-view", "calibrated", repo=joined_repo).out
    assert "factors" in described
    assert "readings, factors" in hitherto("runs", "r000001", repo=joined_repo).out


def test_a_plan_shows_a_joined_source_that_changes(hitherto, joined_repo):
    assert hitherto(*AT, "apply", repo=joined_repo).code == 0
    path = joined_repo / "definitions.py"
    path.write_text(
        DEFINITIONS.replace('timestamp_field="measured_at"', 'timestamp_field="measured_at", known_after="1h"')
    )
    told = hitherto("plan", repo=joined_repo).out
    assert "source calibrations known_after: none -> 1h" in told
    assert "touches feature view calibrated" in told
    assert "version 2" in told


def test_check_says_which_transform_sees_the_future_when_it_is_asked_to_run_them(hitherto, joined_repo):
    leaking = DEFINITIONS.replace("and r.__available_time >= c.__available_time", "and c.measured_at >= r.at")
    (joined_repo / "definitions.py").write_text(leaking, encoding="utf-8")
    assert hitherto("check", repo=joined_repo).code == 0
    told = hitherto("check", "--transforms", repo=joined_repo)
    assert told.code == faults.USAGE
    said = " ".join(told.err.split())
    assert "definitions.py:7" in said
    assert "its transform sees the future: a row that is available at 2020-01-01T02:00:00Z" in said
