"""From files to staged rows: the window that a transform sees, rows without a time, and the export of what is set aside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from hitherto import FeatureView, Field
from hitherto.errors import SourceError, TransformError
from hitherto.materialization.staging import SourceRows, export_quarantine, stage_rows, view_relation
from hitherto.offline.duckdb.connection import Limits, connect
from hitherto.sources.files import files_of, list_files
from hitherto.sources.relation import time_ranges
from hitherto.timeline import Interval
from hitherto.types import Float64, Int64, String
from journeys.joined import calibrate, calibrations, joined
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


# -- joined sources ----------------------------------------------------------------------------------------------------

BOTH = "select sensor, r.at, r.value, c.factor from readings r full join calibrations c using (sensor)"


def rows_of_all(project: Project, one: FeatureView) -> SourceRows:
    return SourceRows(one, files_of(one, root=project.folder), project.folder)


@pytest.mark.parametrize(
    ("lookback", "values", "factors"),
    [
        (None, [1, 2, 3, 4], [10, 20, 30]),
        ("2h", [2, 3, 4], [20, 30]),
        ("0s", [4], [30]),
        ({"readings": "0s"}, [4], [10, 20, 30]),
        ({"calibrations": "0s", "readings": "1h"}, [3, 4], [30]),
    ],
)
def test_each_relation_holds_what_was_available_by_its_own_times(
    project: Project, con: duckdb.DuckDBPyConnection, lookback: Any, values: list[int], factors: list[int]
) -> None:
    project.deliver([("a", at, float(at)) for at in range(1, 7)])
    # Known two hours after it was measured: at hours 1.5, 2.5, 4.5 and 5.5.
    calibrate(project, [("a", -0.5, 10.0), ("a", 0.5, 20.0), ("a", 2.5, 30.0), ("a", 3.5, 40.0)])
    one = joined(
        sources={"readings": source(), "calibrations": calibrations(known_after="2h")},
        transform=BOTH,
        lookback=lookback,
    )
    relation = view_relation(con, rows_of_all(project, one), Interval(micros(4), micros(5)))
    found = con.execute(
        f"select list(distinct value order by value), list(distinct factor order by factor) from {relation}"
    )
    assert found.fetchall() == [(values, factors)]


def test_a_relation_tells_when_its_rows_became_available(project: Project, con: duckdb.DuckDBPyConnection) -> None:
    project.deliver([("a", 1, 1.0), ("a", None, 2.0)])
    calibrate(project, [("a", 3, 10.0)])
    one = joined(
        sources={"readings": source(known_after="1h"), "calibrations": calibrations()},
        transform="""select sensor, r.at, value, factor, epoch_us(r.__available_time) as known, c.__available_time is null as never
            from readings r full join calibrations c using (sensor)""",
    )
    relation = view_relation(con, rows_of_all(project, one), None)
    assert con.execute(f"select value, known, never from {relation} order by 1").fetchall() == [
        (1.0, micros(2), False),
        (2.0, None, False),
    ]


def test_a_star_has_no_available_time_unless_it_is_named(project: Project, con: duckdb.DuckDBPyConnection) -> None:
    project.deliver([("a", 1, 1.0)])
    calibrate(project, [("a", 3, 10.0)])
    one = joined(transform="select * from readings join calibrations using (sensor)")
    relation = view_relation(con, rows_of_all(project, one), None)
    names = [row[0] for row in con.execute(f"describe {relation}").fetchall()]
    assert names == ["sensor", "at", "value", "note", "measured_at", "factor"]


def test_a_column_that_has_the_name_of_the_available_time_is_refused(
    project: Project, con: duckdb.DuckDBPyConnection
) -> None:
    project.deliver(table([("a", 1, 1.0)], __available_time=[5]))
    calibrate(project, [("a", 3, 10.0)])
    with pytest.raises(TransformError, match=r"source 'readings' \(.*\) has a column of that name. Rename"):
        view_relation(con, rows_of_all(project, joined()), None)
    plain = joined(transform="select sensor, r.at, value, factor from readings r join calibrations using (sensor)")
    assert view_relation(con, rows_of_all(project, plain), None) == "__transformed"


def test_a_limit_cuts_the_first_source_only(project: Project, con: duckdb.DuckDBPyConnection) -> None:
    project.deliver([("a", at, float(at)) for at in range(1, 7)])
    calibrate(project, [("a", at, float(at)) for at in range(1, 5)])
    one = joined(transform="select r.*, c.factor from readings r, calibrations c")
    for limit, rows in ((2, 8), (0, 0), (None, 24)):
        relation = view_relation(con, rows_of_all(project, one), None, limit=limit)
        assert len(con.execute(f"select 1 from {relation}").fetchall()) == rows
