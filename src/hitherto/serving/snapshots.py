"""The registry as a server sees it: polled in a thread of its own; the last good snapshot stays when the registry is gone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from hitherto.errors import HithertoError
from hitherto.registry.snapshot import Snapshot

logger = logging.getLogger("hitherto.serving")


class SnapshotSource(Protocol):
    """What is polled: the registry."""

    def snapshot(self) -> Snapshot:
        """The same object as long as nothing has changed."""


class Snapshots:
    """The current snapshot, a plain attribute: a lookup reads it without a lock.

    Args:
        source: The registry.
        seconds: Between two questions.
        also: Called after each question, answered or not: what else is polled.

    Raises:
        RegistryError: The registry does not answer at the start.
    """

    def __init__(self, source: SnapshotSource, *, seconds: float, also: Callable[[], None]) -> None:
        self.current = source.snapshot()
        self.problem: str | None = None
        """Why the current snapshot may be old, if it may."""
        self._source, self._seconds, self._also = source, seconds, also
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def refresh(self) -> Snapshot:
        """Ask the registry at once. Raises RegistryError, and then keeps what there is."""
        try:
            found = self._source.snapshot()
        except Exception as error:
            if self.problem is None:
                said = error if isinstance(error, HithertoError) else type(error).__name__
                logger.warning("The registry does not answer; serial %d goes on serving: %s", self.current.serial, said)
            self.problem = "the registry does not answer"
            raise
        if self.problem is not None:
            logger.info("The registry answers again, at serial %d.", found.serial)
        self.current, self.problem = found, None
        return found

    def start(self) -> None:
        """Begin to poll."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._poll, name="hitherto-registry", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop polling, and wait until it has."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None

    def _poll(self) -> None:
        while not self._stopping.wait(self._seconds):
            for step in (self.refresh, self._also):
                try:
                    step()
                except Exception as error:  # noqa: BLE001  (a thread that dies would leave the server blind)
                    logger.debug("A poll failed: %s", type(error).__name__)
