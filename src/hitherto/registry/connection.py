"""One SQLite file, opened so that several threads and processes share it: WAL, fsync at every commit, errors translated."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hitherto.errors import RegistryError, RegistryFormatError
from hitherto.registry import migrations
from hitherto.registry.migrations import APPLICATION_ID

BUSY_SECONDS = 20.0
_HEADER_BYTES = 100
_DAMAGED = "damaged or no SQLite database ({}). Restore it from a backup, or set [registry] url to another file."
# Connections that a fork left in the child: closing them there would touch the parent's files.
_inherited: list[sqlite3.Connection] = []


class Connection:
    """The registry's file. One connection per process and object, one thread at a time."""

    def __init__(self, path: Path, *, project: str) -> None:
        self.path, self.project = path, project
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._inode: tuple[int, int] | None = None
        self._sqlite: sqlite3.Connection | None = None
        self._frozen: tuple[int, int] | None = None
        with self._translated():
            self._make_folder()
            with self._lock:
                self._open()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection on which all statements see one state."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is done, or nothing. Writers wait for each other."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._translated(), self._lock:
            if self._sqlite is not None and self._pid == os.getpid():
                self._sqlite.close()
            self._sqlite = None

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        if self._pid != os.getpid():
            self._leave_parent()
        with self._translated(), self._lock:
            connection = self._current()
            if connection.in_transaction:  # a method that calls another one shares its transaction
                yield connection
                return
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
                self._check_frozen()
            except BaseException:
                # A failed COMMIT (a full disk) may have rolled back by itself.
                if connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise

    def _leave_parent(self) -> None:
        if self._sqlite is not None:
            _inherited.append(self._sqlite)
        self._lock, self._pid, self._sqlite = threading.RLock(), os.getpid(), None

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RegistryError(
                f"The folder of the registry {self.path} cannot be created: {error.strerror or error}. "
                "Make it writable, or set [registry] url to another place."
            ) from error

    def _current(self) -> sqlite3.Connection:
        """The open connection, opened again if the file was replaced beneath it."""
        if self._sqlite is not None:
            try:
                status = os.stat(self.path)
            except OSError as error:
                if not self._sqlite.in_transaction:
                    self._sqlite.close()
                    self._sqlite = None
                raise RegistryError(
                    f"The registry {self.path} is gone ({error.strerror}). Restore it, or apply and materialize again."
                ) from error
            if (status.st_dev, status.st_ino) == self._inode and self._frozen is None:
                return self._sqlite
            self._sqlite.close()
        elif self._inode is not None and not self.path.exists():
            raise RegistryError(f"The registry {self.path} is gone. Restore it, or apply and materialize again.")
        return self._open()

    def _open(self) -> sqlite3.Connection:
        # SQLite keeps side files in the folder.
        writable = all(os.access(one, os.W_OK) for one in (self.path.parent, self.path) if one.exists())
        self._frozen = None
        if self.path.is_file() and 0 < self.path.stat().st_size < _HEADER_BYTES:
            # SQLite would take it for an empty database and write over it.
            raise RegistryError(f"The registry {self.path} is {_DAMAGED.format('too short')}")
        connection = self._connect("rwc") if writable else self._connect_read_only()
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        status = os.stat(self.path)
        self._inode, self._sqlite = (status.st_dev, status.st_ino), connection
        return connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?{mode if '=' in mode else f'mode={mode}'}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.row_factory = sqlite3.Row
        return connection

    def _connect_read_only(self) -> sqlite3.Connection:
        """A file that this process may only read: a server's mount, a copy on a read-only disk."""
        if not self.path.exists():
            raise RegistryError(
                f"The registry {self.path} does not exist, and its folder cannot be written. "
                "Make the folder writable, or set [registry] url to another place."
            )
        connection = self._connect("ro")
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError:
            connection.close()
            # WAL needs its side files. Where they are missing and cannot be made, nobody has the registry open, so the file
            # is read as it is; another process may open it later, so this holds for one transaction only.
            self._frozen = self._state()
            connection = self._connect("mode=ro&immutable=1")
        return connection

    def _state(self) -> tuple[int, int]:
        status = os.stat(self.path)
        return (status.st_mtime_ns, status.st_size)

    def _check_frozen(self) -> None:
        """Refuse what was read if the file changed meanwhile: its pages may be of two states."""
        if self._frozen is not None and self._frozen != self._state():
            raise RegistryError(f"The registry {self.path} was changed while it was read. Try again.")

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        newest = migrations.MIGRATIONS[-1].version
        found = self._check_format(connection, newest)
        if found == newest:
            self._check_project(connection)
            return
        self._use_wal(connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have been faster.
            found = self._check_format(connection, newest)
            for migration in migrations.MIGRATIONS:
                if migration.version > found:
                    for statement in migration.statements:
                        connection.execute(statement)
                    connection.execute("INSERT INTO migrations VALUES (?, ?)", (migration.version, migration.name))
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('project', ?)", (self.project,))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {newest}")
            self._check_project(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _check_format(self, connection: sqlite3.Connection, newest: int) -> int:
        """The file's format; 0 if it is new. Refuses a newer one, and a database that is something else."""
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        if owner != APPLICATION_ID:
            if found or owner or connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                raise RegistryError(
                    f"{self.path} is an SQLite database, but no registry of Hitherto. Set [registry] url to another file."
                )
            return 0
        if found > newest:
            raise RegistryFormatError(
                f"The registry {self.path} has storage format {found}; this Hitherto knows formats up to {newest}. "
                "Upgrade hitherto to the version that wrote it, or a later one."
            )
        return found

    def _check_project(self, connection: sqlite3.Connection) -> None:
        found = connection.execute("SELECT value FROM meta WHERE key = 'project'").fetchone()[0]
        if found != self.project:
            raise RegistryError(
                f"The registry {self.path} belongs to project {found!r}, not to {self.project!r}. "
                "Give each project a registry of its own ([registry] url), or take the project's old name."
            )

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        """Switch to WAL. SQLite does not wait for another process that is doing the same, so this does."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
                continue
            if mode != "wal":
                raise RegistryError(
                    f"The registry {self.path} cannot use SQLite's WAL mode: its file system has no shared memory "
                    "(a network drive?). Put the registry on a local disk."
                )
            return

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise RegistryError(f"The registry {self.path} {_cause(error)}") from error


def _is_busy(error: sqlite3.Error) -> bool:
    # The low byte is the primary code; the others tell variants.
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _cause(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"is held by another process for more than {BUSY_SECONDS:g} s. Let it finish, then try again."
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return f"is {_DAMAGED.format(error)}"
    if code == sqlite3.SQLITE_FULL:
        return "cannot be written: the disk is full. Free some space, then try again; nothing was changed."
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return "cannot be written: it is read-only. Make the file and its folder writable."
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
        return f"cannot be opened or read ({error}). Check the file, its folder and the rights on both."
    return f"refused a statement ({error}). If it was not edited by hand, please report this as a fault of Hitherto."
