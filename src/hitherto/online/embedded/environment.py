"""One open LMDB environment: growth, other processes' growth, forks, folders that were replaced or removed.

LMDB wants an environment opened once per process, no transaction open while its map is resized, and no handle used after
a fork. So handles live in one table of this process, reads hold a lock for their microseconds, and writers another one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TypeVar

import lmdb

from hitherto.errors import OnlineStoreError, StorageError

Answer = TypeVar("Answer")
FIRST_MAP_SIZE = 16 << 20
_MAX_READERS = 1024
_DATA_FILE = "data.mdb"
_TRUST_SECONDS = 0.02


class Environment:
    """One environment of this process. `identity` tells a folder that was replaced by another of the same name."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        with store_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            self._lmdb = lmdb.open(
                str(path), map_size=FIRST_MAP_SIZE, max_readers=_MAX_READERS, max_dbs=0, readahead=False, sync=durable
            )
            # Slots of readers that were killed would keep old pages alive for ever.
            self._lmdb.reader_check()
            self.identity = identity_of(path)
        self.closed = False
        """Set before it is closed: whoever looks at it meanwhile, or trusts it a moment later, must find another one."""
        self.trusted_until = 0.0
        """Until when nobody looks whether it is still the one in the folder, on `time.monotonic`.

        To ask the file system takes 2 to 4 microseconds, as long as all else here. So a folder that another process has
        replaced or removed is read for at most 20 ms longer.
        """
        self._reading = threading.Lock()
        self._writing = threading.RLock()

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of keys, of one instant."""
        while True:
            try:
                with self._reading, self._lmdb.begin() as transaction:
                    get = transaction.get
                    return [get(key) for key in keys]
            except lmdb.MapResizedError:
                self._adopt_map_size()
            except lmdb.ReadersFullError:
                if not self._lmdb.reader_check():
                    raise

    def update(self, change: Callable[[lmdb.Transaction], Answer]) -> Answer:
        """Run a change in one write transaction; it is run again, from the beginning, when the map had to grow."""
        with self._writing:
            while True:
                try:
                    with self._lmdb.begin(write=True) as transaction:
                        return change(transaction)
                except lmdb.MapFullError:
                    with self._reading:
                        self._lmdb.set_mapsize(self._lmdb.info()["map_size"] * 2)
                except lmdb.MapResizedError:
                    self._adopt_map_size()

    def _adopt_map_size(self) -> None:
        # Another process has grown the map: 0 takes over its size.
        with self._writing, self._reading:
            self._lmdb.set_mapsize(0)

    def flush(self) -> None:
        """Make everything durable."""
        self._lmdb.sync(True)

    def leave_to_parent(self) -> None:
        """Let go of it in a forked child. Its locks may be held by threads that exist in the parent only."""
        self.closed = True
        self._lmdb.close()

    def close(self) -> None:
        """Close it, once nobody reads or writes."""
        self.closed = True
        with self._writing, self._reading:
            self._lmdb.close()


class Environments:
    """The open environments of this process, by path; empty again in a forked child."""

    def __init__(self) -> None:
        self._open: dict[Path, Environment] = {}
        self._lock = threading.Lock()
        self._forked = False
        # To ask for the process id at each lookup takes as long as the lookup.
        os.register_at_fork(after_in_child=self._note_fork)

    def find(self, path: Path) -> Environment | None:
        """The environment at a path, or None if there is none. Until `trusted_until`, or until closed, it may be used without asking again."""
        known = self._of_this_process().get(path)
        identity = identity_of(path)
        if known is not None and known.identity == identity and not known.closed:
            known.trusted_until = monotonic() + _TRUST_SECONDS
            return known
        if identity is None:
            self.close(path)
            return None
        return self.open(path)

    def open(self, path: Path) -> Environment:
        """The environment at a path, made if there is none."""
        self._of_this_process()
        with self._lock:
            known = self._open.get(path)
            if known is not None and known.identity == identity_of(path):
                return known
            # Dropped generations keep their disk space as long as somebody has them open.
            for stale in [one for one in self._open.values() if one.identity != identity_of(one.path)]:
                del self._open[stale.path]
                stale.close()
            self._open[path] = Environment(path)
            return self._open[path]

    def close(self, path: Path) -> None:
        """Close the environment at a path, if it is open."""
        self._of_this_process()
        with self._lock:
            known = self._open.pop(path, None)
        if known is not None:
            known.close()

    def close_under(self, folder: Path) -> None:
        """Close all environments under a folder."""
        for path in [path for path in self._of_this_process() if path.is_relative_to(folder)]:
            self.close(path)

    def _note_fork(self) -> None:
        self._forked = True
        for one in self._open.values():
            one.trusted_until = 0.0

    def _of_this_process(self) -> dict[Path, Environment]:
        if self._forked:
            inherited, self._open = self._open, {}
            self._lock, self._forked = threading.Lock(), False
            for one in inherited.values():
                one.leave_to_parent()
        return self._open


def identity_of(path: Path) -> tuple[int, int] | None:
    """What tells the environment in a folder from another one that had its name; None if there is none."""
    try:
        found = os.stat(f"{path}/{_DATA_FILE}")
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """LMDB's and the file system's exceptions as ours."""
    try:
        yield
    except ERRORS as error:
        raise explain(error, path) from error


def explain(error: Exception, path: Path) -> StorageError | OnlineStoreError:
    """What an exception of LMDB or the file system means."""
    if isinstance(error, lmdb.DiskError):
        return StorageError(f"The online store at {path} cannot be written: {error}. Free some space and run again.")
    if isinstance(error, lmdb.Error):
        return OnlineStoreError(f"The online store at {path} failed: {error}.")
    reason = getattr(error, "strerror", None) or error
    return StorageError(
        f"The online store's folder {path} cannot be used: {reason}. It must be writable, also for readers."
    )


ERRORS = (lmdb.Error, OSError)
OPEN = Environments()
