"""Connections: in memory, UTC, with the project's limits."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from hitherto.errors import HithertoError, StorageError
from hitherto.sql import quote


@dataclass(frozen=True)
class Limits:
    """What one connection may use. `memory` as DuckDB reads it ("2GB"); None is DuckDB's default."""

    memory: str | None = None
    threads: int | None = None
    temp_directory: Path | None = None


def connect(limits: Limits) -> duckdb.DuckDBPyConnection:
    """A new in-memory database in UTC. Raises StorageError if its temporary directory cannot be made."""
    con = duckdb.connect(":memory:")
    if limits.memory:
        con.execute("set memory_limit = ?", [limits.memory])
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
                _drop_tables(con)
        except BaseException:
            # Files may be attached still, and statements half done.
            database.close()
            raise
        self._idle.append(database)

    def close(self) -> None:
        """Give back the memory of the databases that nobody works with. The next piece of work makes one anew."""
        while self._idle:
            self._idle.pop().close()


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
