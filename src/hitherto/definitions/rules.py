"""Rules across objects: what no definition can see by itself. All problems come at once (semantics 7, 10)."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Iterable, Iterator
from typing import Any

from hitherto.definitions import on_demand_rules
from hitherto.definitions.collection import Definitions
from hitherto.definitions.expectation import Expectation
from hitherto.definitions.feature_service import FeatureService
from hitherto.definitions.feature_view import FeatureViewProjection
from hitherto.definitions.field import Field
from hitherto.definitions.on_demand import OnDemandFeatureView, OnDemandProjection
from hitherto.errors import Location, Problem
from hitherto.types import Bool, Bytes, DataType, Date, DecimalType, ListType, String, Timestamp


def check(definitions: Definitions) -> tuple[Problem, ...]:
    """Everything that is wrong between the objects of a repo, in the order of the rules.

    - A join key has one type, wherever it stands; a view has each join key once.
    - A name has one definition: a view's entities, sources and the views of a service are the collected ones.
    - A name that a service gives to a view (`with_name`) means one thing, and no other view.
    - An entity column that several keys of a service are taken from has one type.
    - A check fits the type of its field.
    - What `on_demand_rules` says of on-demand feature views.
    """
    return (
        *_one_type_per_join_key(definitions),
        *_one_definition_per_name(definitions),
        *_one_meaning_per_alias(definitions),
        *_one_type_per_entity_column(definitions),
        *_checks_that_fit(definitions),
        *on_demand_rules.check(definitions),
    )


def two_definitions(kind: str, name: str, first: Location | None, second: Location | None, hint: str = "") -> Problem:
    """The problem of one name that is defined twice, differently; it names both places."""
    return Problem(
        f"it is defined a second time, differently; the first definition is at {first or 'an unknown place'}. "
        f"{hint or 'Rename one of them, or import the one from the other module.'}",
        f"{kind} {name!r}",
        second,
    )


def _one_type_per_join_key(definitions: Definitions) -> Iterator[Problem]:
    seen: dict[str, tuple[DataType, str, Location | None]] = {}
    for entity in definitions.entities.values():
        for key, kind in entity.join_keys.items():
            known, other, place = seen.setdefault(key, (kind, entity.name, entity.location))
            if known != kind:
                yield Problem(
                    f"its join key {key!r} is {kind!r}, but entity {other!r} ({place or 'unknown place'}) has it as {known!r}; "
                    "a column has one type. Use one type, or two names.",
                    f"entity {entity.name!r}",
                    entity.location,
                )
    for view in definitions.feature_views.values():
        keys = [(key, entity.name) for entity in view.entities for key in entity.join_keys]
        for position, (key, name) in enumerate(keys):
            first = next((other for other, owner in keys[:position] if other == key), None)
            if first is not None:
                yield Problem(
                    f"its entity {name!r} brings the join key {key!r}, which another of its entities has already.",
                    f"feature view {view.name!r}",
                    view.location,
                )


def _one_definition_per_name(definitions: Definitions) -> Iterator[Problem]:
    for view in definitions.feature_views.values():
        for entity in view.entities:
            known_entity = definitions.entities.get(entity.name)
            if known_entity is not None and known_entity != entity:
                yield two_definitions("entity", entity.name, known_entity.location, entity.location)
        for source in view.all_sources.values():
            known = definitions.sources.get(source.name)
            if known is not None and known != source:
                yield two_definitions(
                    "source", known.name, known.location, source.location, "Give one of them another name=."
                )
    for service in definitions.feature_services.values():
        for projection in service.projections:
            yield from _other_than(_known(definitions, projection), projection.view, projection)
    request_sources: dict[str, Any] = {}
    for on_demand in definitions.on_demand_feature_views.values():
        for projection in on_demand.projections:
            yield from _other_than(_known(definitions, projection), projection.view, projection)
        for asked in on_demand.request_sources:
            first = request_sources.setdefault(asked.name, asked)
            if first != asked:
                yield two_definitions("request source", asked.name, first.location, asked.location)


def _known(definitions: Definitions, projection: FeatureViewProjection | OnDemandProjection) -> Any:
    """The collected view of a projection's name."""
    if isinstance(projection, OnDemandProjection):
        return definitions.on_demand_feature_views.get(projection.name)
    return definitions.feature_views.get(projection.view.name)


def _other_than(known: Any, view: Any, projection: FeatureViewProjection | OnDemandProjection) -> Iterator[Problem]:
    if known is not None and known != view:
        kind = "on-demand feature view" if isinstance(projection, OnDemandProjection) else "feature view"
        yield two_definitions(kind, known.name, known.location, view.location)


def _users(definitions: Definitions) -> Iterator[tuple[str, FeatureService | OnDemandFeatureView]]:
    """Who takes features of views: (what it is called in messages, it)."""
    yield from ((f"feature service {one.name!r}", one) for one in definitions.feature_services.values())
    yield from ((f"on-demand feature view {one.name!r}", one) for one in definitions.on_demand_feature_views.values())


def _one_meaning_per_alias(definitions: Definitions) -> Iterator[Problem]:
    seen: dict[str, tuple[FeatureViewProjection, str]] = {}
    for what, user in _users(definitions):
        for projection in user.projections:
            if isinstance(projection, OnDemandProjection) or projection.alias in (None, projection.view.name):
                continue
            other_view = definitions.feature_views.get(projection.name) or definitions.on_demand_feature_views.get(
                projection.name
            )
            if other_view is not None:
                yield Problem(
                    f"it calls feature view {projection.view.name!r} {projection.name!r}, which is the name of another view "
                    f"({other_view.location or 'unknown place'}); choose another name in .with_name(...).",
                    what,
                    projection.location or user.location,
                )
            first, owner = seen.setdefault(projection.name, (projection, what))
            if (first.view.name, first.key_columns) != (projection.view.name, projection.key_columns):
                yield Problem(
                    f"it uses the name {projection.name!r} for {_use(projection)}, but {owner} "
                    f"({first.location or 'unknown place'}) uses it for {_use(first)}; choose another name in .with_name(...).",
                    what,
                    projection.location or user.location,
                )


def _use(projection: FeatureViewProjection) -> str:
    keys = ", ".join(f"{key} from {column}" for key, column in projection.key_columns.items())
    return f"{projection.view.name!r} ({keys})" if keys else repr(projection.view.name)


def _one_type_per_entity_column(definitions: Definitions) -> Iterator[Problem]:
    for what, user in _users(definitions):
        seen: dict[str, tuple[DataType, str]] = {}
        for projection in _read_for(user):
            for key, column in projection.key_columns.items():
                kind = projection.view.join_keys[key]
                known, owner = seen.setdefault(column, (kind, projection.name))
                if known != kind:
                    yield Problem(
                        f"the entity column {column!r} would be {known!r} for {owner!r} and {kind!r} for {projection.name!r}; "
                        "map one of them to another column with .with_join_key_map(...).",
                        what,
                        projection.location or user.location,
                    )


def _read_for(user: FeatureService | OnDemandFeatureView) -> Iterator[FeatureViewProjection]:
    """The feature views that are read for a service or an on-demand view, those behind its on-demand views included."""
    waiting: list[FeatureService | OnDemandFeatureView] = [user]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        for projection in one.projections:
            if isinstance(projection, OnDemandProjection):
                waiting.append(projection.view)
            else:
                yield projection


# -- checks and types ------------------------------------------------------------------------------------------------


def _checks_that_fit(definitions: Definitions) -> Iterator[Problem]:
    for view in definitions.feature_views.values():
        for field in view.schema:
            for expectation in field.expect:
                message = _misfit(field, expectation)
                if message:
                    yield Problem(
                        message,
                        f"feature view {view.name!r}, field {field.name!r}, {expectation.name}",
                        expectation.location or field.location,
                    )
        for expectation in view.expect:
            about = next((one for one in view.schema if one.name == expectation.bounds.get("column")), None)
            if expectation.kind == "mean_change" and about is not None and not about.dtype.is_number:
                yield Problem(
                    f"{about.name!r} is {about.dtype!r}, which has no mean; use it on a number.",
                    f"feature view {view.name!r}, {expectation.name}",
                    expectation.location or view.location,
                )


def _misfit(field: Field, expectation: Expectation) -> str | None:
    kind, bounds = field.dtype, expectation.bounds
    if expectation.kind == "matches" and kind != String:
        return f"a pattern needs a String, and the field is {kind!r}."
    if expectation.kind == "length" and kind not in (String, Bytes) and not isinstance(kind, ListType):
        return f"only String, Bytes and List have a length, and the field is {kind!r}."
    if expectation.kind == "between":
        if kind == Bool or kind.is_nested:
            return f"{kind!r} has no order that bounds could be on."
        return _foreign(kind, (value for value in (bounds["low"], bounds["high"]) if value is not None))
    if expectation.kind == "is_in" and not kind.is_nested:
        return _foreign(kind, bounds["values"])
    return None


def _foreign(kind: DataType, values: Iterable[Any]) -> str | None:
    """What is wrong with the first value that cannot be of a type, or None."""
    for value in values:
        if not _can_be(kind, value):
            return f"{value!r} ({type(value).__name__}) cannot be compared with the field's type {kind!r}."
    return None


def _can_be(kind: DataType, value: Any) -> bool:
    if kind == Bool:
        return isinstance(value, bool)
    if kind == String:
        return isinstance(value, str)
    if kind == Bytes:
        return isinstance(value, bytes)
    if kind in (Date, Timestamp):
        return isinstance(value, dt.date) or (isinstance(value, str) and _is_iso(value))
    if kind.is_integer or kind.is_float or isinstance(kind, DecimalType):
        # Scalars of NumPy are numbers by their protocol, not by their class.
        is_number = isinstance(value, int | float | decimal.Decimal) or hasattr(value, "__float__")
        return is_number and not isinstance(value, bool)
    return True


def _is_iso(text: str) -> bool:
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
