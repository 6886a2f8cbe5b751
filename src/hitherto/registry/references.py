"""Feature references ("view:feature", "view@2:feature") and services -> the views that answer, for training and lookups alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hitherto.definitions.feature_service import FeatureService
from hitherto.definitions.feature_view import FeatureViewProjection
from hitherto.definitions.on_demand import OnDemandFeatureView, OnDemandProjection
from hitherto.errors import NameCollisionError, UnknownNameError, UsageError
from hitherto.registry.computations import NOTHING, Computations, computations_of
from hitherto.registry.snapshot import ServedView, Snapshot


@dataclass(frozen=True)
class RequestedView:
    """One view as a request reads it. `features` and `outputs` go together."""

    name: str
    served: ServedView
    key_columns: Mapping[str, str]
    """Join key -> entity column."""
    features: tuple[str, ...]
    """Those asked for, then those that only on-demand feature views need."""
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Requested:
    """A resolved request: its views, and the output columns in the order asked."""

    views: tuple[RequestedView, ...]
    """The stored ones, those that only on-demand feature views need included."""
    outputs: tuple[str, ...]
    order: tuple[tuple[str, str], ...]
    """(view, feature) of each output."""
    computations: Computations = NOTHING

    @property
    def stored_outputs(self) -> tuple[str, ...]:
        """The columns that are read: outputs in the order asked, then those that only on-demand feature views need."""
        read = dict.fromkeys(output for view in self.views for output in view.outputs)
        return tuple(dict.fromkeys([*(one for one in self.outputs if one in read), *read]))

    @property
    def key_columns(self) -> tuple[str, ...]:
        """All entity columns that are needed, each once, in order."""
        return tuple(dict.fromkeys(column for view in self.views for column in view.key_columns.values()))


def resolve(
    snapshot: Snapshot, features: Sequence[str] | FeatureService | str, *, full_feature_names: bool = False
) -> Requested:
    """The views and output columns of a request.

    Args:
        snapshot: What is deployed.
        features: References, or a service (itself or its name).
        full_feature_names: Name outputs `view__feature` instead of `feature`.

    Raises:
        UnknownNameError: With the nearest known name.
        NameCollisionError: Two outputs would share a name; both are named.
        UsageError: Not a reference, or none at all.
    """
    if isinstance(features, FeatureService | str):
        chosen = _of_service(snapshot, features)
    else:
        chosen = _of_references(snapshot, features)
    full = full_feature_names
    output_of = {
        (name, feature): f"{plain_name(name)}__{feature}" if full else feature for name, feature in chosen.order
    }
    _refuse_collisions(output_of)
    outputs = tuple(output_of[pair] for pair in chosen.order)
    computations = computations_of(snapshot.definitions.on_demand_feature_views, chosen.on_demand)
    needed = _needed(snapshot, chosen, computations)
    output_of |= {pair: input_column(*pair) for pair in needed}
    views = tuple(
        RequestedView(name, served, columns, taken, tuple(output_of[name, feature] for feature in taken))
        for name, (served, columns) in chosen.views.items()
        for taken in [tuple(feature for owner, feature in (*chosen.order, *needed) if owner == name)]
    )
    return Requested(views, outputs, chosen.order, computations)


def input_column(view: str, feature: str) -> str:
    """What a column is called that is only read for an on-demand feature view; no output can have such a name."""
    return f"__input__{view}__{feature}"


def _needed(snapshot: Snapshot, chosen: _Chosen, computations: Computations) -> list[tuple[str, str]]:
    """(view, feature) of what was not asked for and is needed all the same; the views join those that were chosen."""
    needed = []
    for projection, feature in computations.stored:
        served = snapshot.view(projection.view.name)
        columns = _key_columns(projection, served)
        _check_feature(snapshot, projection.view.name, served, feature)
        known = chosen.views.setdefault(projection.name, (served, columns))
        if known != (served, columns):
            raise UsageError(
                f"{projection.name!r} is read with other keys by an on-demand feature view than by this request; "
                "give one of them another name with .with_name(...)."
            )
        if (projection.name, feature) not in chosen.order:
            needed.append((projection.name, feature))
    return needed


def plain_name(name: str) -> str:
    """A view's name without its version: what full feature names begin with.

    >>> plain_name("weather@2")
    'weather'
    """
    return name.partition("@")[0]


@dataclass(frozen=True)
class _Chosen:
    views: dict[str, tuple[ServedView, Mapping[str, str]]]
    order: tuple[tuple[str, str], ...]
    on_demand: tuple[str, ...]


def _of_service(snapshot: Snapshot, service: FeatureService | str) -> _Chosen:
    definition = snapshot.feature_service(service) if isinstance(service, str) else service
    views: dict[str, tuple[ServedView, Mapping[str, str]]] = {}
    order: list[tuple[str, str]] = []
    on_demand: list[str] = []
    for projection in definition.projections:
        if isinstance(projection, OnDemandProjection):
            known = _on_demand_view(snapshot, projection.name)
            chosen = known.feature_names if projection.features is None else projection.features
            for feature in chosen:
                _check_computed(known, feature)
            order += [(known.name, feature) for feature in chosen]
            on_demand.append(known.name)
            continue
        served = snapshot.view(projection.view.name)
        views[projection.name] = (served, _key_columns(projection, served))
        features = served.definition.feature_names if projection.features is None else projection.features
        for feature in features:
            _check_feature(snapshot, projection.view.name, served, feature)
            order.append((projection.name, feature))
    return _Chosen(views, tuple(order), tuple(on_demand))


def _key_columns(projection: FeatureViewProjection, served: ServedView) -> Mapping[str, str]:
    return {key: projection.join_key_map.get(key, key) for key in served.definition.join_keys}


def _of_references(snapshot: Snapshot, references: Sequence[str]) -> _Chosen:
    if not isinstance(references, Iterable):
        raise UsageError(
            f'features is {type(references).__name__}. Give references, ["view:feature", ...], or a feature service.'
        )
    views: dict[str, tuple[ServedView, Mapping[str, str]]] = {}
    order: list[tuple[str, str]] = []
    on_demand: list[str] = []
    for reference in references:
        name, colon, feature = reference.partition(":") if isinstance(reference, str) else ("", "", "")
        if not name or not colon or not feature:
            raise UsageError(
                f"{reference!r} is not a feature reference: write view:feature, or view@2:feature for a version."
            )
        if (name, feature) in order:
            raise NameCollisionError(f"The feature {reference!r} is asked for twice; ask for it once.")
        order.append((name, feature))
        if name in snapshot.definitions.on_demand_feature_views:
            _check_computed(_on_demand_view(snapshot, name), feature)
            on_demand.append(name)
            continue
        served = snapshot.view(name)
        _check_feature(snapshot, name, served, feature)
        views[name] = (served, {key: key for key in served.definition.join_keys})
    if not order:
        raise UsageError('Ask for at least one feature: features=["view:feature", ...] or a feature service.')
    return _Chosen(views, tuple(order), tuple(on_demand))


def _on_demand_view(snapshot: Snapshot, name: str) -> OnDemandFeatureView:
    known = snapshot.definitions.on_demand_feature_views
    if name not in known:
        raise UnknownNameError("on-demand feature view", name, known)
    return known[name]


def _check_computed(view: OnDemandFeatureView, feature: str) -> None:
    if feature not in view.feature_names:
        raise UnknownNameError("feature", feature, view.feature_names, where=f"on-demand feature view {view.name!r}")


def _check_feature(snapshot: Snapshot, name: str, served: ServedView, feature: str) -> None:
    if feature in served.definition.feature_names:
        return
    newest = snapshot.definitions.feature_views.get(plain_name(name))
    if newest is not None and feature in newest.feature_names:
        raise UsageError(
            f"Feature {feature!r} belongs to a new version of feature view {plain_name(name)!r} that has not published yet; "
            f"version {served.version} still serves. Run: hitherto materialize --view {plain_name(name)}"
        )
    raise UnknownNameError(
        "feature", feature, served.definition.feature_names, where=f"feature view {name!r} (version {served.version})"
    )


def _refuse_collisions(output_of: Mapping[tuple[str, str], str]) -> None:
    owner: dict[str, str] = {}
    for (view, feature), output in output_of.items():
        if output in owner:
            raise NameCollisionError(
                f"Two columns of the answer would be called {output!r}: the feature {owner[output]!r} and the feature "
                f"{f'{view}:{feature}'!r}; use full_feature_names=True, or .with_name(...) in a feature service."
            )
        owner[output] = f"{view}:{feature}"


def refuse_entity_collisions(outputs: Iterable[str], columns: Iterable[str]) -> None:
    """Refuse an output that has the name of an entity column. Raises NameCollisionError."""
    taken = set(columns)
    for output in outputs:
        if output in taken:
            raise NameCollisionError(
                f"The entity rows have a column {output!r}, and so has the answer, as a feature. "
                "Rename or drop the entity column, or use full_feature_names=True."
            )
