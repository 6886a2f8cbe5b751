"""Rules of on-demand feature views: what each parameter is given, and whether its annotation fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hitherto.definitions import signature
from hitherto.definitions.collection import Definitions
from hitherto.definitions.feature_view import FeatureViewProjection
from hitherto.definitions.on_demand import OnDemandFeatureView, bind
from hitherto.errors import Location, Problem
from hitherto.types import DataType

POLARS_NAMES = ("Expr", "IntoExpr")


def check(definitions: Definitions) -> Iterator[Problem]:
    """Everything that is wrong with the on-demand feature views of a repo.

    - Its name is no other view's, nor an alias.
    - Each parameter is an input of one source, or `now`.
    - In python mode everything is annotated, with what the declared types are in Python; in polars mode nothing, or with pl.Expr.
    - A view whose keys come from other columns has a name of its own there.
    - A request field has one type, wherever it stands, also that of the join key of its name, and of a column
      that a key is taken from.
    """
    yield from _names(definitions)
    for view in definitions.on_demand_feature_views.values():
        yield from (_problem(view, message) for message in _misfits(view))
    yield from _one_type_per_request_field(definitions)


def _problem(view: OnDemandFeatureView, message: str) -> Problem:
    return Problem(message, f"on-demand feature view {view.name!r}", view.location)


def _names(definitions: Definitions) -> Iterator[Problem]:
    for view in definitions.on_demand_feature_views.values():
        other = definitions.feature_views.get(view.name)
        if other is not None:
            place = other.location or "an unknown place"
            yield _problem(view, f"it has the name of a feature view ({place}); give it another name=.")


def _misfits(view: OnDemandFeatureView) -> Iterator[str]:
    bound = {name: bind(view, name) for name in view.parameters}
    yield from (message for message in bound.values() if isinstance(message, str))
    for source in view.projections:
        moved = {key: column for key, column in source.join_key_map.items() if key != column}
        if moved and source.alias is None:
            yield f"it takes the keys of {source.name!r} from other columns; give that a name of its own with .with_name(...)."
    if view.function is None:
        return
    if view.mode == "polars":
        yield from _of_polars(view.function.__annotations__)
        return
    hints = signature.hints_of(view.function)
    if isinstance(hints, str):
        yield hints
    else:
        kinds = {name: one.dtype for name, one in bound.items() if not isinstance(one, str)}
        yield from _of_python(view, kinds, hints)


def _of_polars(hints: Mapping[str, Any]) -> Iterator[str]:
    # As they are written: Polars may be imported for type checkers only.
    for name, hint in hints.items():
        if name != "return" and _shown(hint).rpartition(".")[2] not in POLARS_NAMES:
            yield f"its parameter {name!r} is annotated with {_shown(hint)}; in polars mode every parameter is a pl.Expr."


def _of_python(view: OnDemandFeatureView, kinds: Mapping[str, DataType], hints: Mapping[str, Any]) -> Iterator[str]:
    for name, kind in kinds.items():
        if name not in hints:
            yield f"its parameter {name!r} has no annotation; it is given {kind!r}: write {name}: {signature.python_name(kind)} | None."
        elif not signature.takes(hints[name], kind):
            yield (
                f"its parameter {name!r} is annotated with {_shown(hints[name])}, and is given {kind!r}: "
                f"write {name}: {signature.python_name(kind)} | None."
            )
    if "return" not in hints:
        yield "what it returns has no annotation; write -> dict[str, Any], or the type of its one feature."
        return
    returned = hints["return"]
    bare = len(view.schema) == 1 and signature.returns(returned, view.schema[0].dtype)
    if not bare and not signature.returns_features(returned):
        one = f", or {signature.python_name(view.schema[0].dtype)}" if len(view.schema) == 1 else ""
        yield f"it returns {_shown(returned)} by its annotation; a dict of features is needed{one}."


def _shown(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).strip("'")


def _moved_keys(definitions: Definitions) -> dict[str, tuple[DataType, str, Location | None]]:
    """Columns that views take join keys from by with_join_key_map: name -> type, whose it is, where."""
    moved: dict[str, tuple[DataType, str, Location | None]] = {}
    taken = [one for service in definitions.feature_services.values() for one in service.projections]
    taken += [one for view in definitions.on_demand_feature_views.values() for one in view.projections]
    for one in taken:
        if not isinstance(one, FeatureViewProjection):
            continue
        kinds = one.view.join_keys
        for key, column in one.join_key_map.items():
            owner = f"the column that {one.name!r} takes its key {key!r} from"
            moved.setdefault(column, (kinds[key], owner, one.location))
    return moved


def _one_type_per_request_field(definitions: Definitions) -> Iterator[Problem]:
    seen: dict[str, tuple[DataType, str, Location | None]] = {}
    for entity in definitions.entities.values():
        for key, kind in entity.join_keys.items():
            seen.setdefault(key, (kind, f"the join key of entity {entity.name!r}", entity.location))
    seen = {**_moved_keys(definitions), **seen}
    for view in definitions.on_demand_feature_views.values():
        for source in view.request_sources:
            for field in source.schema:
                owner = f"that of request source {source.name!r}"
                known, other, place = seen.setdefault(field.name, (field.dtype, owner, field.location))
                if known != field.dtype:
                    yield Problem(
                        f"its field {field.name!r} is {field.dtype!r}, but {other} ({place or 'unknown place'}) is {known!r}; "
                        "a column of the entity rows has one type. Use one type, or two names.",
                        f"request source {source.name!r}",
                        field.location or source.location,
                    )
