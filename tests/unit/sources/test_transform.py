from __future__ import annotations

from datetime import datetime

import duckdb
import pytest

from hitherto.definitions import FeatureView, Field, ParquetSource
from hitherto.errors import TransformError
from hitherto.sources.transform import check, closed_room, columns_read, feed, leave, names_available_time, run
from hitherto.types import Int64

VIEW = FeatureView("rides", source=ParquetSource("a.parquet", timestamp_field="ts"), schema=[Field("v", Int64)])


@pytest.mark.parametrize(
    "sql",
    [
        "select k, ts, v from source",
        "FROM source;",
        "from source select k",
        "with a as (select * from source) select k from a union all select k from a",
        "select k, sum(v) over w from source window w as (partition by k order by ts range between interval 2 hours preceding and current row)",
        "select * exclude (k) from source qualify row_number() over (partition by k order by ts) = 1",
        "select a.k from source a asof join source b on a.k = b.k and a.ts >= b.ts",
        "select k, u.x from source, unnest([1, 2]) as u(x)",
        "select list_transform([v], lambda x: x + 1) from source",
        "select k, (select max(v) from source s where s.k = source.k) from source",
        "select columns('v.*') from source",
        "select * from source, range(3)",
        "select age(ts, timestamp '2013-01-01') from source",
        "select ts.age(timestamp '2013-01-01') from source",
        "select time_bucket(interval 1 hour, ts) as ts, arg_max(v, ts), median(v) from source group by all",
        "select 'copy', \"set\" from source -- drop table x",
    ],
)
def test_one_select_over_source_is_accepted(sql: str) -> None:
    assert check(sql) is None


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("", "not 0 statements"),
        ("selec x", "it must be one SELECT"),
        ("select 1", "does not read `source`"),
        ("select (", "cannot be read as SQL"),
        ("select 1 from source; select 2 from source", "not 2 statements"),
        ("select * from source; drop table source", "not 2 statements"),
        ("copy source to 'x'", "not COPY"),
        ("attach 'x'", "not ATTACH"),
        ("pragma database_list", "not PRAGMA"),
        ("set threads = 1", "not SET"),
        ("install httpfs", "not INSTALL"),
        ("call x()", "not CALL"),
        ("explain select * from source", "not EXPLAIN"),
        ("insert into source values (1)", "not INSERT"),
        ("create table x as select * from source", "not CREATE"),
        ("values (1)", "not VALUES"),
        ("select * from sorce", "Did you mean 'source'"),
        ("select * from source, other", "it reads 'other'"),
        ("select * from main.source", "it reads main.source"),
        ("select * from information_schema.tables, source", "it may read only `source`"),
        ("select * from 'secret.parquet', source", "it reads 'secret.parquet'"),
        ("select (select max(v) from 'x.csv') from source", "it reads 'x.csv'"),
        ("select * from read_csv('x'), source", "it reads read_csv(...)"),
        ("select * from read_text('/etc/passwd'), source", "it may read only"),
        ("select * from glob('*'), source", "it may read only"),
        ("select * from query('select 1'), source", "it may read only"),
        ("select getenv('HOME') from source", "looks outside"),
        ("select current_setting('threads') from source", "looks outside"),
        ("select version() from source", "looks outside"),
        ("select now() from source", "asks the clock"),
        ("select today() from source", "asks the clock"),
        ("select current_timestamp from source", "asks the clock"),
        ("select age(ts) from source", "age() asks the clock"),
        ("select ts.age() from source", "age() asks the clock"),
        ("select * from source where ts > ago(interval 1 day)", "ago() asks the clock"),
        ("select current_query_id() from source", "looks outside"),
        ("select random() from source", "another result each time"),
        ("select uuid() from source", "another result each time"),
        ("select * from source using sample 10", "a sample gives another result"),
        ("select * from source tablesample 10%", "a sample gives another result"),
        ("select ? from source", "it has a parameter"),
        ("select * from source limit 5", "has no ORDER BY"),
        ("select * from (select * from source offset 1)", "has no ORDER BY"),
        ("select $x from source", "it has a parameter"),
    ],
)
def test_anything_else_is_refused_with_the_reason(sql: str, said: str) -> None:
    assert said in (check(sql) or "")


@pytest.fixture
def rows() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute(
        "CREATE TEMP VIEW rides_source AS SELECT i % 3 AS k, make_timestamp(i * 1000000) AS ts, i AS v, "
        "TIMESTAMP '2020-01-01' AS unused FROM range(10) t(i)"
    )
    return con


def transformed(con: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[object, ...]]:
    run(con, sql, relations={"source": "rides_source"}, name="result", view=VIEW)
    return con.execute("SELECT * FROM result ORDER BY ALL").fetchall()


def test_the_result_lands_as_a_table_with_normal_timestamps(rows: duckdb.DuckDBPyConnection) -> None:
    found = transformed(rows, "select k, max(ts)::timestamptz as ts, sum(v) as v from source group by k;")
    assert found == [
        (0, datetime(1970, 1, 1, 0, 0, 9), 18),
        (1, datetime(1970, 1, 1, 0, 0, 7), 12),
        (2, datetime(1970, 1, 1, 0, 0, 8), 15),
    ]
    kinds = {row[0]: row[1] for row in rows.execute("DESCRIBE result").fetchall()}
    assert kinds == {"k": "BIGINT", "ts": "TIMESTAMP", "v": "HUGEINT"}


def test_source_may_be_read_more_than_once(rows: duckdb.DuckDBPyConnection) -> None:
    assert len(transformed(rows, "select a.v from source a join source b on a.v = b.v")) == 10


def test_a_cte_may_be_called_source(rows: duckdb.DuckDBPyConnection) -> None:
    found = transformed(rows, "with source as (select v + 1 as v from source) select max(v) from source")
    assert found == [(10,)]


def test_running_again_replaces_the_result_and_leaves_no_setting_behind(rows: duckdb.DuckDBPyConnection) -> None:
    before = rows.execute("SELECT name, value FROM duckdb_settings() ORDER BY 1").fetchall()
    transformed(rows, "select k from source")
    assert transformed(rows, "select count(*) as n from source") == [(10,)]
    assert rows.execute("SELECT name, value FROM duckdb_settings() ORDER BY 1").fetchall() == before


def test_only_the_columns_that_the_sql_can_name_are_fed() -> None:
    every = ["k", "ts", "v", "unused"]
    assert columns_read("select k, max(V) from source group by k", every) == ["k", "v"]
    assert columns_read("select count(*) from source", every) == ["k"]
    for sql in (
        "select * from source", "select s.* from source s", "select source from source", "select columns('a') from source",
        "select #1 from source", "select k from source natural join source b", "select * exclude (v) from source",
    ):  # fmt: skip
        assert columns_read(sql, every) == every


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select nothing from source", "nothing"),
        ("select k, v as k from source", "two columns 'k'"),
        ("select cast('x' || v as integer) from source", "Use try_cast"),
        ("select * from duckdb_settings(), source", "it may read only"),
        ("select error('stop') from source", "stop"),
    ],
)
def test_a_failing_transform_names_the_view_and_the_reason(
    rows: duckdb.DuckDBPyConnection, sql: str, said: str
) -> None:
    with pytest.raises(TransformError, match="transform of view 'rides'") as raised:
        transformed(rows, sql)
    assert said in str(raised.value)


def test_limits_of_the_connection_hold_in_the_closed_room(rows: duckdb.DuckDBPyConnection) -> None:
    rows.execute("SET threads = 1")
    rows.execute("SET memory_limit = '300MB'")
    assert transformed(rows, "select count(*) from source") == [(10,)]


def test_a_room_is_used_again_and_holds_nothing_of_the_select_before(rows: duckdb.DuckDBPyConnection) -> None:
    leave(closed_room(rows))
    room = closed_room(rows)
    feed(rows, room, "select * from source", {"source": "rides_source"})
    leave(room)
    assert closed_room(rows) is room
    assert room.execute("select * from duckdb_tables()").fetchall() == []
    with pytest.raises(duckdb.Error, match="locked"):
        room.execute("set enable_external_access = true")
    leave(room)


def test_a_room_of_other_limits_is_another_room(rows: duckdb.DuckDBPyConnection) -> None:
    leave(closed_room(rows))
    kept, other = closed_room(rows), closed_room(rows, lossless=False)
    assert kept is not other
    leave(kept)
    rows.execute("set threads = 3")
    room = closed_room(rows)
    assert room is not kept
    assert room.execute("select current_setting('threads')").fetchall() == [(3,)]
    with pytest.raises(duckdb.ConnectionException):
        kept.execute("select 1")


def test_a_room_that_was_harmed_is_not_used_again(rows: duckdb.DuckDBPyConnection) -> None:
    leave(closed_room(rows))
    room = closed_room(rows)
    room.execute("begin")
    with pytest.raises(duckdb.Error):
        room.execute("select 1 / x from nothing")
    leave(room)
    with pytest.raises(duckdb.ConnectionException):
        room.execute("select 1")


FLIGHTS_AND_PLANES = ("flights", "planes")


@pytest.mark.parametrize(
    "sql",
    [
        "select * from flights asof join planes using (tail, ts)",
        "select f.tail from Flights f, PLANES p",
        "with p as (select * from planes) select (select max(seats) from p) as seats from flights",
        "select tail from flights union all select tail from planes",
        "select first(seats order by ts) over () from flights, planes",
        "select lag(ts) over w from flights, planes window w as (partition by tail order by ts)",
        "select lag(ts) over (w order by ts) from flights, planes window w as (partition by tail)",
        "select count(*) over (partition by tail) from flights, planes",
    ],
)
def test_a_joined_select_reads_its_sources_by_name(sql: str) -> None:
    assert check(sql, tables=FLIGHTS_AND_PLANES) is None


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select * from flights, planse", "it reads 'planse'; it may read only `flights` or `planes`. Did you mean 'planes'?"),
        ("select * from source", "it reads 'source'; it may read only `flights` or `planes`."),
        ("select 1", "it does not read `flights` or `planes`."),
        ("select * from flights", "it does not read `planes`, which is among its sources. Join it, or take it out of sources=."),
        ("select * from flights, planes limit 5", "has no ORDER BY"),
        ("select now() from flights, planes", "asks the clock"),
        ("select tail from flights positional join planes", "pairs rows by the order of files"),
        ("select row_number() over () from flights, planes", "row_number() is over a window without ORDER BY"),
        ("select lag(ts) over w from flights, planes window w as (partition by tail)", "without ORDER BY"),
        ("with planes as (select 1 as tail) select tail from flights, planes", "its WITH calls a query `planes`"),
        ("select * from main.flights, planes", "it reads main.flights"),
    ],
)  # fmt: skip
def test_a_joined_select_that_is_refused_names_its_sources(sql: str, said: str) -> None:
    assert said in (check(sql, tables=FLIGHTS_AND_PLANES) or "")


def test_each_relation_lands_under_its_name() -> None:
    source = ParquetSource("a.parquet", timestamp_field="ts")
    joined = FeatureView(
        "joined", sources={"rides": source, "cars": source}, transform="select 1", schema=[Field("v", Int64)]
    )
    con = duckdb.connect()
    con.execute("CREATE TEMP VIEW one AS SELECT i AS k, i AS v FROM range(3) t(i)")
    con.execute("CREATE TEMP VIEW two AS SELECT i AS k, i * 10 AS w FROM range(2) t(i)")
    relations = {"rides": "one", "cars": "two"}
    run(con, "select k, v + w as v from rides join cars using (k)", relations=relations, name="result", view=joined)
    assert con.execute("SELECT * FROM result ORDER BY ALL").fetchall() == [(0, 0), (1, 11)]
    with pytest.raises(TransformError, match=r"`rides`, `cars` by their names|Candidate bindings"):
        run(con, "select nothing from rides, cars", relations=relations, name="result", view=joined)


def test_available_times_are_asked_for_by_name() -> None:
    assert names_available_time("select * from a where a.__AVAILABLE_TIME > b")
    assert names_available_time('select "__available_time" from a')
    assert not names_available_time("select '__available_time', * from a")
