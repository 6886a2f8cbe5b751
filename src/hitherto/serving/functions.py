"""The functions of on-demand feature views as a server has them: checked before it starts, and again when others are applied."""

from __future__ import annotations

import logging

from hitherto.errors import HithertoError
from hitherto.on_demand.functions import Functions
from hitherto.registry.snapshot import Snapshot

logger = logging.getLogger("hitherto.serving")


class ServedFunctions:
    """Which functions are served: those of the repo that are the ones that were applied.

    Lookups never load the repo. It is loaded before the server starts, and by the thread that polls the registry when functions were
    applied that are not here; what is not found then is refused lookup by lookup, and everything else is answered.

    Args:
        functions: The store's.
        snapshot: What is served first.
        allow_changed: Whether functions may differ from those that were applied.

    Raises:
        FunctionError: A function is not there, or not the one that was applied.
        MissingExtraError: One needs Polars, which is not installed.
    """

    def __init__(self, functions: Functions, snapshot: Snapshot, *, allow_changed: bool) -> None:
        functions.allow_changed = allow_changed
        functions.check(snapshot.definitions.on_demand_feature_views.values())
        functions.looks = False
        self.problem: str | None = None
        """What is refused for want of its function, if anything is."""
        self._functions, self._seen = functions, snapshot

    def follow(self, snapshot: Snapshot, *, again: bool = False) -> None:
        """Look for functions that were applied since; `again` also for those that were not found before."""
        if snapshot is self._seen and not again:
            return
        self._seen = snapshot
        try:
            self._functions.check(snapshot.definitions.on_demand_feature_views.values())
            self.problem = None
        except HithertoError as error:
            self.problem = "functions were applied that are not installed here: lookups of their features are refused"
            logger.error("Lookups of on-demand feature views are refused: %s", error)
