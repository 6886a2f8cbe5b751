"""One run of a view at a time, by a file lock that dies with its process (semantics 5)."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hitherto.errors import RunInProgressError, StorageError


@contextmanager
def view_lock(offline_path: Path, view: str) -> Iterator[None]:
    """Hold the view's lock.

    Raises:
        RunInProgressError: Another process, or another thread of this one, holds it.
        StorageError: The directory cannot be written.
    """
    folder = offline_path / view
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "run.lock").open("w")
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {error.strerror}. Make it writable for this user, or set offline.path to a directory that is."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunInProgressError(
                f"Feature view {view!r} is being materialized by another process. Wait for it to end, then run the command again."
            ) from None
        yield
