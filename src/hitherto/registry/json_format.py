"""Definitions as JSON and back: the only serialiser. No pickle, no code.

Types are written as their `repr`, durations as microseconds, other values of checks with a tag (`{"$date": "2013-01-01"}`).
A service names its views, and so does an on-demand view; everything else stands by itself. Locations are kept, and are no part of any comparison or hash.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hitherto.definitions.aggregation import Aggregation
from hitherto.definitions.collection import Definitions
from hitherto.definitions.entity import Entity
from hitherto.definitions.expectation import Expectation
from hitherto.definitions.feature_service import FeatureService
from hitherto.definitions.feature_view import FeatureView, FeatureViewProjection
from hitherto.definitions.field import Field
from hitherto.definitions.on_demand import OnDemandFeatureView, OnDemandProjection, RequestSource
from hitherto.definitions.problems import collecting
from hitherto.definitions.source import ParquetSource
from hitherto.errors import Location, RegistryError
from hitherto.registry.json_values import read_value, write_value
from hitherto.timeline import micros
from hitherto.types import parse

Definition = (
    Entity
    | ParquetSource
    | Field
    | Expectation
    | Aggregation
    | FeatureView
    | FeatureViewProjection
    | RequestSource
    | OnDemandFeatureView
    | OnDemandProjection
    | FeatureService
)
Document = dict[str, Any]


def to_json(definition: Definition | Definitions, *, locations: bool = True) -> Document:
    """A definition as a JSON document.

    Args:
        definition: Any definition, or all of a repo.
        locations: Whether file and line go with it.

    Raises:
        DefinitionError: A check has a value that JSON cannot hold.

    >>> to_json(ParquetSource("clicks.parquet", timestamp_field="at"), locations=False)["name"]
    'clicks'
    """
    if isinstance(definition, Definitions):
        return _definitions_to_json(definition, locations)
    kind, write = _WRITERS[type(definition)]
    document: Document = {"kind": kind, **write(definition, locations)}
    if locations and definition.location is not None:
        document["location"] = {"file": definition.location.file, "line": definition.location.line}
    return document


def from_json(document: Mapping[str, Any], *, views: Views | None = None) -> Any:
    """The definition that `to_json` wrote.

    Args:
        document: What `to_json` returned, also after a trip through JSON text.
        views: Where a service, an on-demand view or a projection finds the views that it names.

    Raises:
        RegistryError: The document is not a definition.
    """
    # What was accepted when it was applied stays readable when a later version is stricter.
    with collecting():
        try:
            if document["kind"] == "definitions":
                return _definitions_from_json(document)
            return _READERS[document["kind"]](document, views or {})
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise RegistryError(
                f"A stored definition cannot be read ({type(error).__name__}: {error}). "
                "It may come from a newer Hitherto, or the registry was edited."
            ) from error


def dumps(value: Any, *, canonical: bool = True) -> str:
    """JSON text without spaces. Canonical: keys sorted, so that equal values are equal texts; else in their order."""
    return json.dumps(value, sort_keys=canonical, separators=(",", ":"), ensure_ascii=False, default=_plain_mapping)


def _plain_mapping(value: Any) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a value of type {type(value).__name__} cannot be stored as JSON")


def version_key(view: FeatureView) -> str:
    """Canonical text of everything that starts a new version when it changes (semantics 6).

    Schema (names, types and columns, in order), aggregations, keys, sources' paths and time columns, known-time rules,
    transform, lookback.
    """
    document: Document = {
        "schema": [[one.name, repr(one.dtype), one.column] for one in view.schema],
        "keys": [[key, repr(kind)] for key, kind in view.join_keys.items()],
        "source": _rows_key(view.source),
        "transform": None if view.transform is None else str(view.transform).strip(),
        "lookback": _lookback(view),
    }
    # Only where there are any: the text of every other view stays what it always was.
    if view.windowed:
        document["aggregations"] = [
            [one.name, one.column, one.function, one.window, one.n, one.p, repr(one.dtype)] for one in view.windowed
        ]
    # After the first they have no order.
    if view.sources is not None:
        document["sources"] = {name: _rows_key(source) for name, source in view.sources.items()}
    return dumps(document)


def _rows_key(source: ParquetSource) -> Document:
    """What decides which rows a source has, and when they are known."""
    return {
        "path": source.path,
        "timestamp_field": source.timestamp_field,
        "created_timestamp_field": source.created_timestamp_field,
        "known_timestamp_field": source.known_timestamp_field,
        # No delay and a delay of nothing are the same rule.
        "known_after": micros(source.delay),
    }


def comparable(definition: Definition) -> str:
    """Canonical text of all that `==` compares: everything but the locations."""
    return dumps(to_json(definition, locations=False))


def definitions_hash(definitions: Definitions | Iterable[Definition]) -> str:
    """SHA-256 over definitions, whatever their order, without their locations."""
    if isinstance(definitions, Definitions):
        definitions = (
            *definitions.entities.values(),
            *definitions.sources.values(),
            *definitions.feature_views.values(),
            *definitions.on_demand_feature_views.values(),
            *definitions.feature_services.values(),
        )
    return hashlib.sha256("\n".join(sorted(comparable(one) for one in definitions)).encode()).hexdigest()


# -- writing ---------------------------------------------------------------------------------------------------------


def _definitions_to_json(definitions: Definitions, locations: bool) -> Document:
    return {
        "kind": "definitions",
        "entities": [to_json(one, locations=locations) for one in definitions.entities.values()],
        "sources": [to_json(one, locations=locations) for one in definitions.sources.values()],
        "feature_views": [to_json(one, locations=locations) for one in definitions.feature_views.values()],
        "on_demand_feature_views": [
            to_json(one, locations=locations) for one in definitions.on_demand_feature_views.values()
        ],
        "feature_services": [to_json(one, locations=locations) for one in definitions.feature_services.values()],
    }


def _write_entity(entity: Entity, locations: bool) -> Document:
    return {
        "name": entity.name,
        # A list, because the order of the keys is part of the definition and sorted keys would lose it.
        "join_keys": [[key, repr(kind)] for key, kind in entity.join_keys.items()],
        "description": entity.description,
        "owner": entity.owner,
        "tags": dict(entity.tags),
    }


def _write_source(source: ParquetSource, locations: bool) -> Document:
    return {
        "name": source.name,
        "path": source.path,
        "timestamp_field": source.timestamp_field,
        "created_timestamp_field": source.created_timestamp_field,
        "known_timestamp_field": source.known_timestamp_field,
        "known_after": _duration(source.known_after),
        "description": source.description,
        "owner": source.owner,
    }


def _write_field(field: Field, locations: bool) -> Document:
    return {
        "name": field.name,
        "dtype": repr(field.dtype),
        "source_column": field.source_column,
        "expect": [to_json(one, locations=locations) for one in field.expect],
        **_write_default(field, f"field {field.name!r}"),
        "description": field.description,
        "tags": dict(field.tags),
    }


def _write_expectation(expectation: Expectation, locations: bool) -> Document:
    return {
        "check": expectation.kind,
        "params": [
            [name, write_value(value, f"expect.{expectation.kind}", expectation.location)]
            for name, value in expectation.params
        ],
        "severity": expectation.severity,
        "at_least": expectation.at_least,
    }


def _write_aggregation(aggregation: Aggregation, locations: bool) -> Document:
    return {
        "column": aggregation.column,
        "function": aggregation.function,
        "windows": None if aggregation.windows is None else list(aggregation.windows),
        "n": aggregation.n,
        "p": aggregation.p,
        "dtype": None if aggregation.dtype is None else repr(aggregation.dtype),
        "name": aggregation.name,
        **_write_default(aggregation, f"aggregation of {aggregation.column!r}"),
        "description": aggregation.description,
        "tags": dict(aggregation.tags),
    }


def _write_view(view: FeatureView, locations: bool) -> Document:
    aggregations = [to_json(one, locations=locations) for one in view.aggregations]
    return {
        "name": view.name,
        "entities": [to_json(one, locations=locations) for one in view.entities],
        **_write_sources(view, locations),
        "schema": [to_json(one, locations=locations) for one in view.schema],
        **({"aggregations": aggregations} if aggregations else {}),
        "ttl": _duration(view.ttl),
        "transform": None if view.transform is None else str(view.transform),
        "lookback": _lookback(view),
        "online": view.online,
        "online_retention": _duration(view.online_retention),
        "expect": [to_json(one, locations=locations) for one in view.expect],
        "description": view.description,
        "owner": view.owner,
        "tags": dict(view.tags),
    }


def _write_sources(view: FeatureView, locations: bool) -> Document:
    """One source as it is; several as pairs, because sorted keys would lose which is the first. The others have no order."""
    if view.sources is None:
        return {"source": to_json(view.source, locations=locations)}
    first, *others = view.sources
    pairs = [[name, to_json(view.sources[name], locations=locations)] for name in (first, *sorted(others))]
    return {"sources": pairs}


def _write_projection(projection: FeatureViewProjection, locations: bool) -> Document:
    return {
        "view": projection.view.name,
        "alias": projection.alias,
        "join_key_map": dict(projection.join_key_map),
        "features": None if projection.features is None else list(projection.features),
    }


def _write_request_source(source: RequestSource, locations: bool) -> Document:
    return {
        "name": source.name,
        "schema": [to_json(one, locations=locations) for one in source.schema],
        "description": source.description,
    }


def _write_on_demand_view(view: OnDemandFeatureView, locations: bool) -> Document:
    return {
        "name": view.name,
        "sources": [to_json(one, locations=locations) for one in (*view.projections, *view.request_sources)],
        "schema": [to_json(one, locations=locations) for one in view.schema],
        "mode": view.mode,
        "parameters": list(view.parameters),
        "import_path": view.import_path,
        "source_hash": view.source_hash,
        "description": view.description,
        "owner": view.owner,
        "tags": dict(view.tags),
    }


def _write_on_demand_projection(projection: OnDemandProjection, locations: bool) -> Document:
    return {"view": projection.name, "features": None if projection.features is None else list(projection.features)}


def _write_service(service: FeatureService, locations: bool) -> Document:
    return {
        "name": service.name,
        "features": [to_json(one, locations=locations) for one in service.projections],
        "description": service.description,
        "owner": service.owner,
        "tags": dict(service.tags),
    }


_WRITERS: dict[type, tuple[str, Callable[[Any, bool], Document]]] = {
    Entity: ("entity", _write_entity),
    ParquetSource: ("source", _write_source),
    Field: ("field", _write_field),
    Expectation: ("expectation", _write_expectation),
    Aggregation: ("aggregation", _write_aggregation),
    FeatureView: ("feature_view", _write_view),
    FeatureViewProjection: ("projection", _write_projection),
    RequestSource: ("request_source", _write_request_source),
    OnDemandFeatureView: ("on_demand_feature_view", _write_on_demand_view),
    OnDemandProjection: ("on_demand_projection", _write_on_demand_projection),
    FeatureService: ("feature_service", _write_service),
}


def _lookback(view: FeatureView) -> int | dict[str, int | None] | None:
    if not isinstance(view.lookback, Mapping):
        return _duration(view.lookback)
    return {name: _duration(one) for name, one in view.lookback.items()}


def _duration(value: Any) -> int | None:
    return micros(value) if isinstance(value, dt.timedelta) else None


def _write_default(definition: Field | Aggregation, what: str) -> Document:
    """Only where there is one, so that the text of a definition without it is what it was before there were defaults."""
    if definition.default is None:
        return {}
    return {"default": write_value(definition.default, what, definition.location)}


# -- reading ---------------------------------------------------------------------------------------------------------

Views = Mapping[str, FeatureView | OnDemandFeatureView]


def _definitions_from_json(document: Mapping[str, Any]) -> Definitions:
    views = {one["name"]: _read_view(one, {}) for one in document["feature_views"]}
    on_demand = _on_demand_views_from_json(document["on_demand_feature_views"], views)
    every: Views = {**views, **on_demand}
    return Definitions(
        entities={one["name"]: _read_entity(one, {}) for one in document["entities"]},
        sources={one["name"]: _read_source(one, {}) for one in document["sources"]},
        feature_views=views,
        on_demand_feature_views=on_demand,
        feature_services={one["name"]: _read_service(one, every) for one in document["feature_services"]},
    )


def _on_demand_views_from_json(
    documents: Iterable[Mapping[str, Any]], views: Mapping[str, FeatureView]
) -> dict[str, OnDemandFeatureView]:
    """On-demand views in the order of their documents, each read after those that it is built on."""
    waiting = {one["name"]: one for one in documents}
    every: dict[str, FeatureView | OnDemandFeatureView] = dict(views)
    read: dict[str, OnDemandFeatureView] = {}
    while len(read) < len(waiting):
        ready = [
            name
            for name, one in waiting.items()
            if name not in read and all(source.get("view") in (None, *every) for source in one["sources"])
        ]
        if not ready:
            raise ValueError("on-demand feature views are built on each other, or on views that are not there")
        for name in ready:
            every[name] = read[name] = _read_on_demand_view(waiting[name], every)
    return {name: read[name] for name in waiting}


def _location(document: Mapping[str, Any]) -> Location | None:
    place = document.get("location")
    return None if place is None else Location(place["file"], place["line"])


def _read_duration(value: int | None) -> dt.timedelta | None:
    return None if value is None else dt.timedelta(microseconds=value)


def _read_lookback(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return _read_duration(value)
    return {name: _read_duration(one) for name, one in value.items()}


def _read_entity(document: Mapping[str, Any], views: Views) -> Entity:
    return Entity(
        document["name"],
        join_keys={key: parse(kind) for key, kind in document["join_keys"]},
        description=document["description"],
        owner=document["owner"],
        tags=document["tags"],
        location=_location(document),
    )


def _read_source(document: Mapping[str, Any], views: Views) -> ParquetSource:
    return ParquetSource(
        document["path"],
        timestamp_field=document["timestamp_field"],
        created_timestamp_field=document["created_timestamp_field"],
        known_timestamp_field=document["known_timestamp_field"],
        known_after=_read_duration(document["known_after"]),
        name=document["name"],
        description=document["description"],
        owner=document["owner"],
        location=_location(document),
    )


def _read_field(document: Mapping[str, Any], views: Views) -> Field:
    return Field(
        document["name"],
        parse(document["dtype"]),
        source_column=document["source_column"],
        expect=[_read_expectation(one, views) for one in document["expect"]],
        default=read_value(document.get("default")),
        description=document["description"],
        tags=document["tags"],
        location=_location(document),
    )


def _read_expectation(document: Mapping[str, Any], views: Views) -> Expectation:
    return Expectation(
        document["check"],
        tuple((name, read_value(value)) for name, value in document["params"]),
        document["severity"],
        document["at_least"],
        location=_location(document),
    )


def _read_aggregation(document: Mapping[str, Any], views: Views) -> Aggregation:
    return Aggregation(
        document["column"],
        document["function"],
        windows=document["windows"],
        n=document["n"],
        p=document["p"],
        dtype=None if document["dtype"] is None else parse(document["dtype"]),
        name=document["name"],
        default=read_value(document.get("default")),
        description=document["description"],
        tags=document["tags"],
        location=_location(document),
    )


def _read_view(document: Mapping[str, Any], views: Views) -> FeatureView:
    return FeatureView(
        document["name"],
        entities=[_read_entity(one, views) for one in document["entities"]],
        **_read_sources(document),
        schema=[_read_field(one, views) for one in document["schema"]],
        aggregations=[_read_aggregation(one, views) for one in document.get("aggregations", ())],
        ttl=_read_duration(document["ttl"]),
        transform=document["transform"],
        lookback=_read_lookback(document["lookback"]),
        online=document["online"],
        online_retention=_read_duration(document["online_retention"]),
        expect=[_read_expectation(one, views) for one in document["expect"]],
        description=document["description"],
        owner=document["owner"],
        tags=document["tags"],
        location=_location(document),
    )


def _read_sources(document: Mapping[str, Any]) -> dict[str, Any]:
    if "sources" in document:
        return {"sources": {name: _read_source(one, {}) for name, one in document["sources"]}}
    return {"source": _read_source(document["source"], {})}


def _read_projection(document: Mapping[str, Any], views: Views) -> FeatureViewProjection:
    features, view = document["features"], views[document["view"]]
    if not isinstance(view, FeatureView):
        raise TypeError(f"{view.name!r} is no feature view")
    return FeatureViewProjection(
        view,
        alias=document["alias"],
        join_key_map=document["join_key_map"],
        features=None if features is None else tuple(features),
        location=_location(document),
    )


def _read_request_source(document: Mapping[str, Any], views: Views) -> RequestSource:
    return RequestSource(
        document["name"],
        schema=[_read_field(one, views) for one in document["schema"]],
        description=document["description"],
        location=_location(document),
    )


def _read_on_demand_view(document: Mapping[str, Any], views: Views) -> OnDemandFeatureView:
    return OnDemandFeatureView(
        document["name"],
        sources=[from_json(one, views=views) for one in document["sources"]],
        schema=[_read_field(one, views) for one in document["schema"]],
        mode=document["mode"],
        parameters=document["parameters"],
        import_path=document["import_path"],
        source_hash=document["source_hash"],
        description=document["description"],
        owner=document["owner"],
        tags=document["tags"],
        location=_location(document),
    )


def _read_on_demand_projection(document: Mapping[str, Any], views: Views) -> OnDemandProjection:
    features, view = document["features"], views[document["view"]]
    if not isinstance(view, OnDemandFeatureView):
        raise TypeError(f"{view.name!r} is no on-demand feature view")
    return OnDemandProjection(view, None if features is None else tuple(features), location=_location(document))


def _read_service(document: Mapping[str, Any], views: Views) -> FeatureService:
    return FeatureService(
        document["name"],
        features=[from_json(one, views=views) for one in document["features"]],
        description=document["description"],
        owner=document["owner"],
        tags=document["tags"],
        location=_location(document),
    )


_READERS: dict[str, Callable[[Mapping[str, Any], Views], Any]] = {
    "entity": _read_entity,
    "source": _read_source,
    "field": _read_field,
    "expectation": _read_expectation,
    "aggregation": _read_aggregation,
    "feature_view": _read_view,
    "projection": _read_projection,
    "request_source": _read_request_source,
    "on_demand_feature_view": _read_on_demand_view,
    "on_demand_projection": _read_on_demand_projection,
    "feature_service": _read_service,
}
