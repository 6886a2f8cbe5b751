"""Whether a server can answer lookups: the online store asked at most once a second, however many probes come."""

from __future__ import annotations

import threading
from time import monotonic

from hitherto.errors import HithertoError
from hitherto.online.store import OnlineStore
from hitherto.online.stores import unfilled
from hitherto.serving.auth import Tokens
from hitherto.serving.functions import ServedFunctions
from hitherto.serving.models import Ready, RegistryState
from hitherto.serving.problems import refusal_of
from hitherto.serving.snapshots import Snapshots
from hitherto.timeline import Clock, instant, rfc3339, system_clock

_ANSWER_SECONDS, _WARNINGS_SECONDS = 1.0, 10.0


class Readiness:
    """What /ready answers."""

    def __init__(
        self, store: OnlineStore, snapshots: Snapshots, *, clock: Clock, tokens: Tokens, functions: ServedFunctions
    ) -> None:
        self._store, self._snapshots, self._clock, self._tokens = store, snapshots, clock, tokens
        self._functions = functions
        self._lock = threading.Lock()
        self._asked = self._warned = float("-inf")
        self._error: HithertoError | None = None
        self._warnings: tuple[str, ...] = ()

    def check(self) -> Ready:
        """The state. Raises Refusal (503) if the online store does not answer.

        A registry that is gone does not make a server unready: it goes on with its last snapshot, and says so.
        """
        with self._lock:
            self._ask_store()
            error, found = self._error, self._warnings
        if error is not None:
            raise refusal_of(error)
        snapshot, problem = self._snapshots.current, self._snapshots.problem
        warnings = [*found, *self._clock_warnings()]
        if problem is not None:
            warnings.append(f"{problem}: serial {snapshot.serial} goes on serving")
        warnings += [one for one in (self._tokens.problem, self._functions.problem) if one is not None]
        return Ready(
            status="degraded" if warnings else "ready",
            project=snapshot.project,
            registry=RegistryState(answers=problem is None, serial=snapshot.serial),
            warnings=warnings,
            clock=None if self._clock is system_clock else rfc3339(self._now()),
        )

    def _ask_store(self) -> None:
        if monotonic() - self._asked < _ANSWER_SECONDS:
            return
        try:
            self._store.ping()
            if monotonic() - self._warned >= _WARNINGS_SECONDS:
                lost = [
                    f"the online store has no rows of feature view {name!r}, which are published: lookups find nothing until it is materialized"
                    for name in unfilled(self._store, self._snapshots.current)
                ]
                self._warnings, self._warned = (*self._store.warnings(), *lost), monotonic()
            self._error = None
        except HithertoError as error:
            self._error = error
        self._asked = monotonic()

    def _now(self) -> int:
        return instant(self._clock(), what="clock")

    def _clock_warnings(self) -> list[str]:
        now = self._now()
        return [
            f"the clock is before the watermark of feature view {name!r} ({rfc3339(view.watermark)}): its lookups are refused"
            for name, view in self._snapshots.current.views.items()
            if view.watermark is not None and view.watermark > now
        ]
