"""What happened, as frozen records, and who is told. Observers watch; they never take part: one that fails changes nothing.

Events name objects and count rows. They hold no keys, no values and no secrets.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

from hitherto.timeline import Interval

logger = logging.getLogger("hitherto.events")


@dataclass(frozen=True)
class DefinitionsApplied:
    """The registry says what the repo says. `changes` are lines such as "create feature view 'weather'"."""

    project: str
    serial: int
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunStarted:
    """A run of one view version over one interval began."""

    run_id: str
    view: str
    version: int
    interval: Interval


@dataclass(frozen=True)
class RunProgressed:
    """A run got as far as `rows` rows of a stage: "checked", "written", "pushed"."""

    run_id: str
    view: str
    stage: str
    rows: int


@dataclass(frozen=True)
class RunFinished:
    """A run ended in a state: published, rejected or failed; `error` says why it was not published."""

    run_id: str
    view: str
    version: int
    state: str
    rows_written: int
    error: str | None = None


@dataclass(frozen=True)
class ViewMaterialized:
    """A run was published: training sets and lookups see it. `published_at` in microseconds UTC."""

    run_id: str
    view: str
    version: int
    interval: Interval
    rows: int
    published_at: int


@dataclass(frozen=True)
class RowsPushed:
    """Rows were pushed into the online store outside a run."""

    view: str
    version: int
    rows: int


@dataclass(frozen=True)
class TrainingSetBuilt:
    """A training set was computed: so many entity rows, these feature columns, in so many seconds."""

    rows: int
    features: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class TrainingSetSaved:
    """A training set was saved with its manifest."""

    name: str
    version: int
    rows: int
    content_hash: str


Event = (
    DefinitionsApplied
    | RunStarted
    | RunProgressed
    | RunFinished
    | ViewMaterialized
    | RowsPushed
    | TrainingSetBuilt
    | TrainingSetSaved
)


class Observer(Protocol):
    """Somebody who wants to know. Called in the thread in which it happened, so it must be quick."""

    def observe(self, event: Event) -> None:
        """Take note of an event."""
        ...


@dataclass(frozen=True)
class Observers:
    """Everybody who is told, in order.

    >>> class Shown:
    ...     def observe(self, event: Event) -> None:
    ...         print(type(event).__name__)
    >>> Observers().with_observer(Shown()).notify(RowsPushed("weather", 1, 20))
    RowsPushed
    """

    observers: tuple[Observer, ...] = ()

    def with_observer(self, observer: Observer) -> Observers:
        """These and one more."""
        return Observers((*self.observers, observer))

    def notify(self, event: Event) -> None:
        """Tell everybody. An observer that fails is logged, by its name and the error's type only: a message may hold values."""
        for observer in self.observers:
            try:
                observer.observe(event)
            except Exception as error:  # noqa: BLE001  (whatever it is, a watcher must not break a run)
                logger.warning(
                    "Observer %s failed on %s: %s. The work goes on.",
                    type(observer).__qualname__,
                    type(event).__name__,
                    type(error).__qualname__,
                )
