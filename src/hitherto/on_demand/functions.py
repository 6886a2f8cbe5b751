"""The functions of on-demand feature views: found in the repo or given, compared with what was applied, ready to run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa

from hitherto.definitions.collection import Definitions
from hitherto.definitions.on_demand import OnDemandFeatureView
from hitherto.errors import FunctionError, HithertoError
from hitherto.on_demand.evaluation import Causes, Column, Evaluator, PythonEvaluator, Values


class Functions:
    """Applied on-demand feature view -> its function. Threads may share it.

    Args:
        load: Gives the repo's definitions; called when a function is needed that is not there yet.
    """

    def __init__(self, load: Callable[[], Definitions]) -> None:
        self.allow_changed = False
        """Whether a function may differ from the one that was applied."""
        self.looks = True
        """Whether asking for a function may load the repo; `check` always may. A server looks only between requests."""
        self._load = load
        self._held: dict[tuple[str, str], OnDemandFeatureView] = {}
        self._installed: dict[str, OnDemandFeatureView] = {}
        self._failure: HithertoError | None = None
        self._evaluators: dict[tuple[str, str], tuple[OnDemandFeatureView, Evaluator]] = {}
        self._causes = Causes()
        self._lock = threading.Lock()

    @classmethod
    def none(cls) -> Functions:
        """No functions at all."""
        return cls(Definitions)

    def give(self, views: Iterable[OnDemandFeatureView]) -> None:
        """Functions that were applied as objects: a notebook has no repo to load them from."""
        with self._lock:
            self._hold(views)

    def evaluator(self, view: OnDemandFeatureView) -> Evaluator:
        """The function of an applied view, ready to run.

        Raises:
            FunctionError: It is not there, or is not the one that was applied.
            MissingExtraError: It needs Polars, which is not installed.
        """
        return self._evaluator(view, look=self.looks)

    def check(self, views: Iterable[OnDemandFeatureView]) -> None:
        """Raise FunctionError with everything that is wrong with the functions of some views."""
        problems = []
        for view in views:
            try:
                self._evaluator(view, look=True)
            except FunctionError as error:
                problems.append(str(error))
                if self._failure is not None:
                    break
        if problems:
            raise FunctionError("\n".join(problems))

    def _evaluator(self, view: OnDemandFeatureView, *, look: bool) -> Evaluator:
        identity = (view.name, view.source_hash)
        known = self._evaluators.get(identity)
        if known is not None and known[0] == view:
            return known[1]
        with self._lock:
            made = _ready(view, self._found(view, look=look), self._causes)
            self._evaluators[identity] = (view, made)
            return made

    def _found(self, view: OnDemandFeatureView, *, look: bool) -> OnDemandFeatureView:
        identity = (view.name, view.source_hash)
        if identity not in self._held and look:
            self._look()
        if identity in self._held:
            return self._held[identity]
        found = self._installed.get(view.name)
        if found is None:
            what = f"The function of on-demand feature view {view.name!r} ({view.import_path})"
            if self._failure is not None:
                raise FunctionError(f"{what} is not there, because the repo cannot be loaded: {self._failure}")
            raise FunctionError(
                f"{what} is not in the repo. The registry holds no code: install the repo that was applied, or apply this one."
            )
        if not self.allow_changed:
            raise FunctionError(
                f"The function of on-demand feature view {view.name!r} ({found.import_path}"
                f"{f', {found.location}' if found.location else ''}) is not the one that was applied: its source has SHA-256 "
                f"{found.source_hash[:12]}, applied is {view.source_hash[:12]}. Run hitherto apply, or install the repo that was applied."
            )
        return found

    def _look(self) -> None:
        try:
            self._installed = dict(self._load().on_demand_feature_views)
            self._hold(self._installed.values())
            self._failure = None
        except HithertoError as error:
            self._failure = error

    def _hold(self, views: Iterable[OnDemandFeatureView]) -> None:
        # All that was ever there: what was applied may be the function of before.
        self._held.update({(one.name, one.source_hash): one for one in views if one.function is not None})


def _ready(view: OnDemandFeatureView, found: OnDemandFeatureView, causes: Causes) -> Evaluator:
    """The evaluator of a function that was found, for the inputs and the schema that were applied."""
    if found.function is None:
        raise FunctionError(f"On-demand feature view {view.name!r} was given without its function.")
    strangers = [name for name in found.parameters if name not in view.parameters]
    if strangers:
        raise FunctionError(
            f"The function of on-demand feature view {view.name!r} takes {strangers[0]!r}, which the applied definition does not have. "
            "Run hitherto apply."
        )
    evaluator: Evaluator
    if found.mode == "polars":
        from hitherto.on_demand.polars_mode import PolarsEvaluator

        evaluator = PolarsEvaluator(view, found.function, found.parameters, causes)
    else:
        evaluator = PythonEvaluator(view, found.function, found.parameters, causes)
    positions = [view.parameters.index(name) for name in found.parameters]
    return evaluator if positions == list(range(len(view.parameters))) else _Rearranged(evaluator, positions)


class _Rearranged:
    """A function whose parameters stand in another order than the applied ones, or are fewer."""

    def __init__(self, evaluator: Evaluator, positions: Sequence[int]) -> None:
        self._evaluator, self._positions = evaluator, positions

    def of_lists(self, columns: Sequence[Sequence[Any]], rows: int) -> list[Values]:
        """See `Evaluator`."""
        return self._evaluator.of_lists([columns[one] for one in self._positions], rows)

    def of_arrow(self, columns: Sequence[pa.Array], rows: int) -> list[Column]:
        """See `Evaluator`."""
        return self._evaluator.of_arrow([columns[one] for one in self._positions], rows)
