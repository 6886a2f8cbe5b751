"""Connections: in memory, UTC, with the project's limits."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from hitherto.errors import HithertoError, StorageError
from hitherto.sql import quote

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Limits:
    """What one connection may use. `memory` as DuckDB reads it ("2GB"); None is DuckDB's default."""

    memory: str | None = None
    threads: int | None = None
    temp_directory: Path | None = None
    keep: bool = False
    """Whether a database stays, emptied, for whoever has the same limits: for tests, where making one takes longer than the work."""

    @property
    def workers(self) -> int:
        """How many threads may work."""
        return self.threads or os.cpu_count() or 1


def connect(limits: Limits) -> duckdb.DuckDBPyConnection:
    """A new in-memory database in UTC. Raises StorageError if its temporary directory cannot be made."""
    con = duckdb.connect(":memory:")
    _limit_memory(con, limits.memory)
    if limits.threads:
        con.execute("set threads = ?", [limits.threads])
    if limits.temp_directory:
        with storage_errors(f"The engine's temporary directory {limits.temp_directory} cannot be made"):
            limits.temp_directory.mkdir(parents=True, exist_ok=True)
        con.execute("set temp_directory = ?", [str(limits.temp_directory)])
    _begin_session(con)
    return con


class Engine:
    """Databases in memory that go from one piece of work to the next: making one takes 25 to 45 ms, emptying one takes 1.

    Threads may share an engine: each piece of work is alone in its database.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._idle: list[duckdb.DuckDBPyConnection] = []

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to an empty database, for one piece of work; all that the work makes there goes with it.

        Raises StorageError if the temporary directory cannot be made.
        """
        try:
            database = self._idle.pop()
        except IndexError:
            database = connect(self.limits)
        try:
            with another(database) as con:
                yield con
        except BaseException:
            # Files may be attached still, and statements half done.
            database.close()
            raise
        try:
            _drop_tables(database)
        except duckdb.Error:
            # The work is done all the same; the next one takes a new database.
            database.close()
        else:
            self._idle.append(database)

    def close(self) -> None:
        """Give back the memory of the databases that nobody works with. The next piece of work makes one anew."""
        while self._idle and not self.limits.keep:
            self._idle.pop().close()


_kept: dict[Limits, Engine] = {}


def engine_of(limits: Limits) -> Engine:
    """A new engine, or the one of this process where the limits say that databases are kept."""
    return _kept.setdefault(limits, Engine(limits)) if limits.keep else Engine(limits)


def working(limits: Limits) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    """A connection for one piece of work, to a new database or to one that was kept. It ends with the work."""
    return engine_of(limits).connection() if limits.keep else connect(limits)


def read_once(con: duckdb.DuckDBPyConnection, query: str, *, limits: Limits, room: int) -> pa.Table:
    """The rows of a query that scans files once, for which the engine keeps few of their blocks.

    It keeps what it has read as long as it is below its limit of memory, though nobody reads it again; and memory that is new
    costs more than a block that is written over. Picking 620,000 of 10 M rows of ten features takes 340 MB instead of 750, and
    0.85 s of processor time instead of 1.25.

    Args:
        con: Its database is used by nobody else meanwhile: the limit is that of all its connections.
        query: A scan, with nothing to sort or to keep but what `room` allows for.
        limits: Those of the connection.
        room: Bytes that the query needs, about. Where that was too little it runs again with all that the limits allow.
    """
    held, allowed = con.execute(
        "select coalesce(sum(memory_usage_bytes), 0)::bigint, parse_formatted_bytes(current_setting('memory_limit')) "
        "from duckdb_memory() where tag <> 'BASE_TABLE'"
    ).fetchall()[0]
    if held + room >= allowed:
        return con.sql(query).to_arrow_table()
    try:
        _limit_memory(con, f"{held + room}B")
        return con.sql(query).to_arrow_table()
    except (duckdb.OutOfMemoryException, duckdb.IOException):
        # The second is for what it wanted to put on a disk that is full or read-only; a broken file fails again.
        _limit_memory(con, limits.memory)
        return con.sql(query).to_arrow_table()
    finally:
        _limit_memory(con, limits.memory)


def _limit_memory(con: duckdb.DuckDBPyConnection, memory: str | None) -> None:
    if memory:
        con.execute("set memory_limit = ?", [memory])
    else:
        con.execute("reset memory_limit")


@contextmanager
def another(con: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """A second connection to the same database, for another thread: it sees the tables, not the temporary ones."""
    other = con.cursor()
    try:
        _begin_session(other)
        yield other
    finally:
        other.close()


def _begin_session(con: duckdb.DuckDBPyConnection) -> None:
    """The settings that each connection to a database has for itself."""
    con.execute("set timezone = 'UTC'")
    # An ASOF join chooses a nested loop by an estimate that can be wrong by any factor; never take that risk.
    con.execute("set asof_loop_join_threshold = 0")
    con.execute("set enable_progress_bar = false")


def _drop_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Drop what outlives the connection. Temporary tables, views and registered data go when it is closed."""
    tables = con.execute(
        "select table_name from duckdb_tables() where database_name = current_database() and not temporary"
    ).fetchall()
    for (name,) in tables:
        con.execute(f"drop table {quote(name)}")


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn the engine's and the system's errors into ours; `what` names the object and the step."""
    try:
        yield
    except HithertoError:
        raise
    except OSError as error:
        raise StorageError(f"{what}: {error.strerror or error}.{_remedy(error)}") from error
    except duckdb.OutOfMemoryException as error:
        raise StorageError(
            f"{what}: out of memory. Raise offline.memory_limit or give offline.temp_directory more room. ({_first_line(error)})"
        ) from error
    except duckdb.Error as error:
        raise StorageError(f"{what}: {_first_line(error)}") from error


def _remedy(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return " The disk is full: free some space and run the command again; nothing that was published is touched."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return (
            " Make the directory writable for this user, or set offline.path or offline.temp_directory to one that is."
        )
    return ""


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
