"""What a run works with: one record instead of eight parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hitherto.events import Observers
from hitherto.offline.duckdb.connection import Engine
from hitherto.online.store import OnlineStore, Place
from hitherto.registry.records import ViewVersion
from hitherto.registry.sqlite import Registry
from hitherto.timeline import Clock, instant


@dataclass(frozen=True)
class RunContext:
    """The project's parts as a run needs them."""

    project: str
    root: Path
    """What relative source paths are relative to."""
    offline_path: Path
    engine: Engine
    registry: Registry
    open_online: Callable[[], OnlineStore]
    """Opens the online store, once; views with online=False never call it."""
    clock: Clock
    observers: Observers = field(default_factory=Observers)

    def now(self) -> int:
        """The clock, read once."""
        return instant(self.clock(), what="clock")

    def place(self, version: ViewVersion, generation: int) -> Place:
        """Where a generation of a view version lies in the online store."""
        return Place(self.project, version.view, version.version, generation)
