"""What a request has to compute: on-demand feature views in the order in which they are built on each other, and what they take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from hitherto.definitions.feature_view import FeatureViewProjection
from hitherto.definitions.on_demand import Input, OnDemandFeatureView, OnDemandProjection
from hitherto.types import DataType

Origin = Literal["now", "request", "stored", "computed"]


@dataclass(frozen=True)
class Taken:
    """What one parameter of a function is given."""

    origin: Origin
    name: str
    """The column of the entity rows for "request", the view for "stored" and "computed"."""
    feature: str
    dtype: DataType


@dataclass(frozen=True)
class Computation:
    """One on-demand feature view as a request computes it."""

    view: OnDemandFeatureView
    taken: tuple[Taken, ...]
    """What each parameter is given, in their order."""


@dataclass(frozen=True)
class Computations:
    """All on-demand feature views of a request, each after those that it is built on, and all that they take."""

    views: tuple[Computation, ...] = ()
    stored: tuple[tuple[FeatureViewProjection, str], ...] = ()
    """The stored features, each once."""
    request_fields: Mapping[str, DataType] | None = None
    """Column of the entity rows -> type."""
    accepted: frozenset[str] = frozenset()
    """Those and the other fields of the same request sources: a caller who sends all of a source is not refused."""

    @property
    def fields(self) -> Mapping[str, DataType]:
        """The request fields; none where nothing is computed."""
        return self.request_fields or {}

    def __bool__(self) -> bool:
        return bool(self.views)


NOTHING = Computations()


def computations_of(views: Mapping[str, OnDemandFeatureView], names: Iterable[str]) -> Computations:
    """What computing some on-demand feature views takes.

    Args:
        views: What is deployed.
        names: Which of them are asked for.
    """
    found: dict[str, Computation] = {}
    stored: dict[tuple[str, str], FeatureViewProjection] = {}
    fields: dict[str, DataType] = {}
    accepted: set[str] = set()

    def add(name: str) -> None:
        if name in found:
            return
        view = views[name]
        inputs = view.inputs
        accepted.update(field for source in view.request_sources for field in source.feature_names)
        for one in inputs:
            if isinstance(one.source, OnDemandProjection):
                add(one.source.name)
            elif isinstance(one.source, FeatureViewProjection):
                stored.setdefault((one.source.name, one.feature), one.source)
            elif one.source is not None:
                fields.setdefault(one.feature, one.dtype)
        found[name] = Computation(view, tuple(_taken(one) for one in inputs))

    for name in names:
        add(name)
    needed = tuple((projection, feature) for (_, feature), projection in stored.items())
    return Computations(tuple(found.values()), needed, fields, frozenset(accepted))


def _taken(one: Input) -> Taken:
    if one.source is None:
        return Taken("now", one.feature, one.feature, one.dtype)
    if isinstance(one.source, FeatureViewProjection):
        return Taken("stored", one.source.name, one.feature, one.dtype)
    if isinstance(one.source, OnDemandProjection):
        return Taken("computed", one.source.name, one.feature, one.dtype)
    return Taken("request", one.feature, one.feature, one.dtype)
