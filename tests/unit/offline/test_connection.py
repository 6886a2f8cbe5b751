from __future__ import annotations

import errno
import os
from pathlib import Path

import duckdb
import pytest

from hitherto.errors import StorageError, UsageError
from hitherto.offline.duckdb import connection
from hitherto.offline.duckdb.connection import Engine, Limits, connect, engine_of, read_once, storage_errors, working


def setting(con: duckdb.DuckDBPyConnection, name: str) -> object:
    return con.execute(f"select current_setting('{name}')").fetchall()[0][0]


def test_a_connection_is_in_utc_with_the_limits_asked_for(tmp_path: Path) -> None:
    with connect(Limits(memory="123MB", threads=1, temp_directory=tmp_path / "a" / "b")) as con:
        assert (setting(con, "TimeZone"), setting(con, "threads")) == ("UTC", 1)
        assert setting(con, "temp_directory") == str(tmp_path / "a" / "b")
        assert str(setting(con, "memory_limit")).startswith("117.")  # MiB
    assert (tmp_path / "a" / "b").is_dir()


def test_an_asof_join_never_becomes_a_nested_loop_by_an_estimate() -> None:
    with connect(Limits()) as con:
        assert setting(con, "asof_loop_join_threshold") == 0


def test_an_engine_keeps_its_database_and_nothing_that_work_left_in_it() -> None:
    engine = Engine(Limits(memory="123MB", threads=1))
    with engine.connection() as con:
        con.execute("create table staged as select 1 as x")
        con.execute("create temp table touched as select 1 as x")
        con.execute("create temp view seen as select 1 as x")
    with engine.connection() as con:
        assert con.execute("select count(*) from duckdb_tables()").fetchall() == [(0,)]
        assert con.execute("select count(*) from duckdb_views() where not internal").fetchall() == [(0,)]
        assert (setting(con, "TimeZone"), setting(con, "threads")) == ("UTC", 1)
        assert setting(con, "asof_loop_join_threshold") == 0
        assert str(setting(con, "memory_limit")).startswith("117.")  # MiB
    engine.close()


def test_a_second_piece_of_work_in_one_database_makes_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(connection, "connect", lambda limits: made.append(connect(limits)) or made[-1])
    engine = Engine(Limits())
    for _ in range(3):
        with engine.connection() as con:
            con.execute("create table staged as select 1")
    assert len(made) == 1
    engine.close()
    with pytest.raises(duckdb.Error, match=r"(?i)closed"):
        made[0].execute("select 1")


def test_after_an_error_an_engine_begins_with_another_database(tmp_path: Path) -> None:
    engine = Engine(Limits())

    def fail_half_done() -> None:
        with engine.connection() as con:
            con.execute(f"attach '{tmp_path / 'x.duckdb'}' as __new")
            raise ValueError("half done")

    with pytest.raises(ValueError, match="half done"):
        fail_half_done()
    with engine.connection() as con:
        assert con.execute("select count(*) from duckdb_databases() where not internal").fetchall() == [(1,)]
    engine.close()


def test_work_that_is_done_stays_done_though_its_database_cannot_be_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: duckdb.DuckDBPyConnection) -> None:
        raise duckdb.OutOfMemoryException("nothing is left")

    engine = Engine(Limits())
    with monkeypatch.context() as patched:
        patched.setattr(connection, "_drop_tables", fail)
        with engine.connection() as con:
            con.execute("create table staged as select 1 as x")
    with engine.connection() as con:
        assert con.execute("select count(*) from duckdb_tables()").fetchall() == [(0,)]
    engine.close()


def test_two_pieces_of_work_at_once_have_databases_of_their_own() -> None:
    engine = Engine(Limits())
    with engine.connection() as one, engine.connection() as two:
        one.execute("create table staged as select 1 as x")
        two.execute("create table staged as select 2 as x")
        assert one.execute("from staged").fetchall() == [(1,)]
    engine.close()


def test_where_databases_are_kept_equal_limits_share_them_whoever_closes_his_engine() -> None:
    limits = Limits(threads=1, memory="100MB", keep=True)
    with working(limits) as con:
        con.execute("create table left_over (x int)")
    engine = engine_of(limits)
    (database,) = engine._idle
    engine.close()
    with engine_of(Limits(threads=1, memory="100MB", keep=True)).connection() as con:
        assert con.execute("select count(*) from duckdb_tables()").fetchall() == [(0,)]
    assert engine._idle == [database]
    assert engine_of(Limits(threads=1)) is not engine_of(Limits(threads=1))


def test_work_in_a_database_that_is_not_kept_ends_it() -> None:
    with working(Limits(threads=1)) as con:
        assert con.execute("select current_setting('threads')").fetchall() == [(1,)]
    with pytest.raises(duckdb.ConnectionException):
        con.execute("select 1")


def test_a_temporary_directory_that_cannot_be_made_says_which_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"temporary directory .*file/tmp cannot be made.*offline.temp_directory"):
        connect(Limits(temp_directory=tmp_path / "file" / "tmp"))


def blocks_held(con: duckdb.DuckDBPyConnection) -> int:
    (held,) = con.execute("select memory_usage_bytes from duckdb_memory() where tag = 'BASE_TABLE'").fetchall()[0]
    return int(held)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.duckdb"
    with duckdb.connect(path) as con:
        # Random numbers, so that they take their 8 bytes.
        con.execute("create table numbers as select hash(range) as number from range(2_000_000)")
    return path


def test_what_is_read_once_is_not_held(file: Path) -> None:
    limits = Limits(memory="1GB", threads=1)
    query = "select sum(number) as total from numbers.numbers"
    with connect(limits) as con:
        con.execute(f"attach '{file}' as numbers (read_only)")
        before = setting(con, "memory_limit")
        total = read_once(con, query, limits=limits, room=4_000_000)
        assert blocks_held(con) <= 4_000_000
        assert setting(con, "memory_limit") == before
        assert con.sql(query).to_arrow_table() == total
        assert blocks_held(con) > 10_000_000


@pytest.mark.parametrize("limits", [Limits(memory="200MB"), Limits()])
def test_where_the_room_was_too_little_the_limits_of_the_connection_hold(file: Path, limits: Limits) -> None:
    with connect(limits) as con:
        con.execute(f"attach '{file}' as numbers (read_only)")
        con.execute("create temp table held as select range as number from range(1_000_000)")
        before = setting(con, "memory_limit")
        found = read_once(con, "select sum(number % 7)::bigint as rest from numbers.numbers", limits=limits, room=1_000)
        assert found == con.sql("select sum(number % 7)::bigint as rest from numbers.numbers").to_arrow_table()
        assert setting(con, "memory_limit") == before


def test_room_beyond_the_limit_of_the_connection_does_not_raise_it(file: Path) -> None:
    limits = Limits(memory="50MB", threads=1)
    with connect(limits) as con:
        con.execute(f"attach '{file}' as numbers (read_only)")
        held = read_once(con, "select current_setting('memory_limit') as held", limits=limits, room=10**12)
        assert held.column("held").to_pylist() == [setting(con, "memory_limit")]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "The disk is full: free some space"),
        (OSError(errno.EACCES, os.strerror(errno.EACCES)), "Make the directory writable"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "Writing it: Input/output error."),
        (duckdb.OutOfMemoryException("no room\nand more"), "Raise offline.memory_limit.*no room"),
        (duckdb.IOException("cannot\nand more"), "Writing it: cannot$"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_the_engine_and_the_system_become_ours_with_a_remedy(error: Exception, said: str) -> None:
    with pytest.raises(StorageError, match=said), storage_errors("Writing it"):
        raise error


def test_our_own_errors_pass_as_they_are() -> None:
    with pytest.raises(UsageError, match="mine"), storage_errors("Writing it"):
        raise UsageError("mine")
