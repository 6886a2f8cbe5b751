"""From files to staged rows: the window that a transform sees, rows without a time, and the export of what is set aside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from hitherto import FeatureView, Field
from hitherto.errors import SourceError
from hitherto.materialization.staging import SourceRows, export_quarantine, stage_rows, view_relation
from hitherto.offline.duckdb.connection import Limits, connect
from hitherto.sources.files import list_files
from hitherto.sources.relation import time_ranges
from hitherto.timeline import Interval
from hitherto.types import Float64, Int64, String
from journeys.projects import Project, micros, source, table, view


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(Limits()) as connection:
        yield connection


def rows_of(project: Project, one: FeatureView) -> SourceRows:
    return SourceRows(one, list_files(one.source, root=project.folder), project.folder)


def seen(con: duckdb.DuckDBPyConnection, project: Project, one: FeatureView, start: float, end: float) -> list[int]:
    """Which rows, by value, the transform saw."""
    relation = view_relation(con, rows_of(project, one), Interval(micros(start), micros(end)))
    return sorted(int(row[0]) for row in con.execute(f"select value from {relation}").fetchall())


@pytest.mark.parametrize(("lookback", "wanted"), [(None, [1, 2, 3, 4, 9]), ("1h", [3, 4, 9]), ("0s", [4, 9])])
def test_a_transform_sees_from_the_lookback_before_the_interval_to_its_end_and_rows_without_a_time(
    project: Project, con: duckdb.DuckDBPyConnection, lookback: str | None, wanted: list[int]
) -> None:
    project.deliver([("a", 1, 1.0), ("a", 2, 2.0), ("a", 3, 3.0), ("a", 4, 4.0), ("a", 5, 5.0), ("a", None, 9.0)])
    one = view(transform="select * from source", lookback=lookback)
    assert seen(con, project, one, 4, 5) == wanted


def test_the_window_is_in_available_time(project: Project, con: duckdb.DuckDBPyConnection) -> None:
    project.deliver(table([("a", 1, 1.0), ("a", 2, 2.0)], known=[None, None]))
    delayed = source(known_after="2h")
    assert seen(con, project, view(source=delayed, transform="select * from source", lookback="0s"), 3, 4) == [1]


def test_without_a_transform_the_source_is_read_as_it_is(project: Project, con: duckdb.DuckDBPyConnection) -> None:
    project.deliver([("a", 1, 1.0)])
    assert view_relation(con, rows_of(project, view()), None) == "__source"
    assert view_relation(con, rows_of(project, view()), None, limit=1) == "__window"


def test_all_problems_of_the_columns_are_said_with_the_view(project: Project, con: duckdb.DuckDBPyConnection) -> None:
    project.deliver([("a", 1, 1.0)])
    wrong = view(schema=[Field("note", Int64), Field("value", String)], transform="select * from source")
    with pytest.raises(SourceError, match=r"Feature view 'readings' \(.*projects\.py:\d+\)") as caught:
        stage_rows(con, rows_of(project, wrong), None)
    assert all(name in str(caught.value) for name in ("note", "value"))


def test_an_export_that_fails_leaves_no_half_written_file(
    project: Project, con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    project.deliver([(None, 1, 1.0)])
    assert stage_rows(con, rows_of(project, view()), None).rows_quarantined == 1
    target = tmp_path / "aside" / "q.parquet"
    export_quarantine(con, target)
    assert [path.name for path in target.parent.iterdir()] == ["q.parquet"]
    blocked = tmp_path / "blocked" / "q.parquet"
    blocked.mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        export_quarantine(con, blocked)
    assert [path.name for path in blocked.parent.iterdir()] == ["q.parquet"]


def test_a_checked_value_is_staged_in_its_declared_type(project: Project, con: duckdb.DuckDBPyConnection) -> None:
    project.deliver([("a", 1, 1.0), ("a", 2, 2.5)])
    staged = stage_rows(
        con,
        rows_of(project, view(schema=[Field("whole", Int64, source_column="value"), Field("value", Float64)])),
        None,
    )
    assert (staged.rows_read, staged.rows_quarantined) == (2, 1)
    assert con.execute("select whole, value from staged").fetchall() == [(1, 1.0)]


def test_a_run_reads_only_the_files_that_reach_into_its_interval(
    project: Project, con: duckdb.DuckDBPyConnection
) -> None:
    folder = project.folder / "data" / "many"
    folder.mkdir(parents=True)
    for day in (1, 2, 3):
        pq.write_table(table([("a", day, float(day)), ("b", day + 0.5, float(day))]), folder / f"{day}.parquet")
    one = view(source=source(path="data/many"))
    files = list_files(one.source, root=project.folder)
    reached = time_ranges(con, one.source, files, root=project.folder)
    (folder / "1.parquet").unlink()
    (folder / "3.parquet").unlink()
    found = stage_rows(con, SourceRows(one, reached, project.folder), Interval(micros(2), micros(3)))
    assert found.rows_read == 2
    with pytest.raises(SourceError):
        stage_rows(con, SourceRows(one, files, project.folder), Interval(micros(2), micros(3)))


def test_an_interval_that_no_file_reaches_into_has_no_rows(project: Project, con: duckdb.DuckDBPyConnection) -> None:
    project.deliver([("a", 1, 1.0)])
    rows = rows_of(project, view())
    reached = time_ranges(con, rows.view.source, rows.files, root=project.folder)
    assert (
        stage_rows(con, SourceRows(rows.view, reached, project.folder), Interval(micros(5), micros(6))).rows_read == 0
    )
