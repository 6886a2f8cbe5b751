"""Rows from outside: a SELECT over the sources by name, and frames that are handed in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hitherto import ParquetSource
from hitherto.errors import SourceError, UsageError
from hitherto.offline.duckdb.connection import Limits, connect
from hitherto.sources.selection import open_frame, select, tables_of

FLIGHTS = pa.table(
    {
        "carrier": ["UA", "AA", "UA"],
        "at": pa.array([-1, 1_000, 2_001], pa.timestamp("ns")),
        "late": [True, False, None],
        "fare": pa.array([1, 2, 3], pa.uint8()),
    }
)


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, ParquetSource]:
    pq.write_table(FLIGHTS, tmp_path / "flights.parquet")
    pq.write_table(
        pa.table({"carrier": ["UA"], "name": ["United"], "at": pa.array([0], pa.timestamp("us"))}),
        tmp_path / "carriers.parquet",
    )
    return {name: ParquetSource(f"{name}.parquet", timestamp_field="at") for name in ("flights", "carriers", "absent")}


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(Limits()) as connection:
        yield connection


def test_a_select_reads_sources_by_name_with_their_times_floored(
    con: duckdb.DuckDBPyConnection, sources: dict[str, ParquetSource], tmp_path: Path
) -> None:
    sql = 'select f.carrier, name, epoch_us(f."at") as micros, late, fare from flights f left join carriers using (carrier) order by micros'
    rows = select(con, sql, sources, root=tmp_path)
    assert rows.to_pylist() == [
        {"carrier": "UA", "name": "United", "micros": -1, "late": True, "fare": 1},
        {"carrier": "AA", "name": None, "micros": 1, "late": False, "fare": 2},
        {"carrier": "UA", "name": "United", "micros": 2, "late": None, "fare": 3},
    ]
    assert rows.schema.field("late").type == pa.bool_()


def test_the_order_of_the_select_is_kept(
    con: duckdb.DuckDBPyConnection, sources: dict[str, ParquetSource], tmp_path: Path
) -> None:
    sql = "with big as (select fare from flights where fare > 1) select fare from big order by fare desc"
    assert select(con, sql, sources, root=tmp_path)["fare"].to_pylist() == [3, 2]


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "selec 1",
        "select 1; select 2",
        "delete from flights",
        "copy flights to 'x'",
        "select * from read_text('/etc/passwd')",
        "select * from 'flights.parquet'",
        "select * from nowhere",
        "select getenv('HOME')",
        "attach 'x'",
        "set threads = 1",
    ],
)
def test_anything_but_one_select_over_sources_is_refused(
    con: duckdb.DuckDBPyConnection, sources: dict[str, ParquetSource], tmp_path: Path, sql: str
) -> None:
    with pytest.raises(UsageError, match="The SQL of the entity rows is refused: "):
        select(con, sql, sources, root=tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["carriers.parquet", "flights.parquet"]


def test_a_select_that_fails_is_our_error_with_the_engines_first_line(
    con: duckdb.DuckDBPyConnection, sources: dict[str, ParquetSource], tmp_path: Path
) -> None:
    for sql in ("select nothing from flights", "select carrier::int from flights", "select error('no')"):
        with pytest.raises(UsageError, match="The SQL of the entity rows") as caught:
            select(con, sql, sources, root=tmp_path)
        assert "\n" not in str(caught.value)


def test_a_source_that_is_not_there_is_a_source_error(
    con: duckdb.DuckDBPyConnection, sources: dict[str, ParquetSource], tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="absent"):
        select(con, "select * from absent", sources, root=tmp_path)


def test_the_sources_of_a_select_are_named_in_the_order_of_their_first_mention() -> None:
    known = ["flights", "carriers", "planes"]
    assert tables_of(
        "select * from carriers c join flights f using (x) where x in (select x from carriers)", known
    ) == ("carriers", "flights")
    assert tables_of("select * from elsewhere", known) == ()
    assert tables_of("no sql (", known) == ()


def test_a_frame_becomes_a_table_with_times_in_microseconds_utc_floored(con: duckdb.DuckDBPyConnection) -> None:
    frame = pa.table(
        {
            "ns": pa.array([-1, 1_999, None], pa.timestamp("ns")),
            "zoned": pa.array([0, 1, None], pa.timestamp("s", "America/New_York")),
            "word": pa.array(["a", None, "b"]).dictionary_encode(),
            "odd name": [1.5, float("nan"), None],
        }
    )
    open_frame(con, frame, name="__pushed")
    kinds = dict(
        con.execute("select column_name, data_type from duckdb_columns() where table_name = '__pushed'").fetchall()
    )
    assert (kinds["ns"], kinds["zoned"]) == ("TIMESTAMP", "TIMESTAMP")
    assert con.execute(
        'select epoch_us(ns), epoch_us(zoned), word::varchar, "odd name"::varchar from __pushed'
    ).fetchall() == [
        (-1, 0, "a", "1.5"),
        (1, 1_000_000, None, "nan"),
        (None, None, "b", None),
    ]
    # Again under the same name, and nothing of the frame stays registered.
    open_frame(con, frame.slice(0, 1), name="__pushed")
    assert con.execute("select count(*) from __pushed").fetchall() == [(1,)]
    assert con.execute("select count(*) from duckdb_views() where view_name = '__frame'").fetchall() == [(0,)]
