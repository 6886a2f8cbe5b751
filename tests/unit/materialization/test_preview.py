from __future__ import annotations

from pathlib import Path

import pytest

from hitherto import Field, expect
from hitherto.errors import SourceError, TransformError
from hitherto.materialization.preview import preview
from hitherto.offline.duckdb.connection import Limits
from hitherto.timeline import Interval
from hitherto.types import Float64
from journeys.projects import Project, micros, view

ROWS = [("a", 1, 1.0), ("a", 2, -2.0), ("b", 3, 3.0), (None, 4, 4.0)]


def test_a_preview_shows_rows_checks_and_what_would_be_set_aside_and_writes_nothing(project: Project) -> None:
    project.deliver(ROWS)
    checked = view(schema=[Field("value", Float64, expect=[expect.between(0, 9)])])
    shown = checked.preview(repo_path=project.folder)
    assert (shown.report.rows_read, shown.report.rows_quarantined, shown.report.ok) == (4, 1, False)
    assert shown.to_arrow().column_names == ["sensor", "event_time", "created_time", "available_time", "value"]
    assert shown.to_arrow().num_rows == 3
    assert shown.quarantined.to_arrow().num_rows == 1
    assert "would be REJECTED" in str(shown)
    assert "between(0, 9)" in shown._repr_html_()
    assert not (project.folder / ".hitherto").exists()


def test_a_limit_reads_only_so_many_rows(project: Project) -> None:
    project.deliver(ROWS)
    assert view().preview(2, repo_path=project.folder).report.rows_read == 2
    shown = view(transform="select * from source where value > 0").preview(2, repo_path=project.folder)
    assert (shown.report.rows_read, shown.report.ok) == (1, True)
    assert "would be published" in str(shown.report)


def test_only_rows_available_in_an_interval(project: Project) -> None:
    project.deliver(ROWS)
    shown = preview(view(), root=project.folder, limits=Limits(), interval=Interval(micros(2), micros(4)))
    assert shown.to_arrow().column("value").to_pylist() == [-2.0, 3.0]


def test_it_fails_as_a_run_would(project: Project) -> None:
    with pytest.raises(SourceError, match="readings"):
        view().preview(repo_path=project.folder)
    project.deliver(ROWS)
    with pytest.raises(TransformError, match="refused"):
        view(transform="copy source to 'x'").preview(repo_path=project.folder)


def test_a_deployed_view_finds_its_source_from_any_folder(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.deliver([("a", 1, 1.0)])
    (project.folder / "features").mkdir()
    (project.folder / "features" / "__init__.py").write_text(
        """from hitherto import Entity, FeatureView, Field, ParquetSource
from hitherto.types import Float64, String

sensor = Entity("sensor", join_keys={"sensor": String})
readings = FeatureView(
    "readings", entities=[sensor], source=ParquetSource("data/a.parquet", timestamp_field="at"), schema=[Field("value", Float64)]
)
"""
    )
    project.store.apply()
    monkeypatch.chdir(tmp_path)
    assert project.store.get_feature_view("readings").preview().report.rows_read == 1
