"""Definitions as short lines, `label -> text`: what a plan compares and shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from hitherto.definitions.aggregation import Aggregation, WindowedFeature
from hitherto.definitions.entity import Entity
from hitherto.definitions.expectation import Expectation
from hitherto.definitions.feature_service import FeatureService
from hitherto.definitions.feature_view import FeatureView, FeatureViewProjection
from hitherto.definitions.field import Field
from hitherto.definitions.on_demand import OnDemandFeatureView, OnDemandProjection
from hitherto.definitions.source import ParquetSource
from hitherto.timeline import duration_text

Lines = dict[str, str]
ORDER = "order of "
"""How the lines begin that tell an order of names."""
_HASH_SHOWN = 24


def describe(definition: Entity | ParquetSource | FeatureView | OnDemandFeatureView | FeatureService) -> Lines:
    """All that can differ between two definitions of one name, except where they stand.

    Two definitions are equal when their lines are; what is not set has no line.
    """
    if isinstance(definition, Entity):
        return _entity(definition)
    if isinstance(definition, ParquetSource):
        return _source(definition)
    if isinstance(definition, FeatureView):
        return _view(definition)
    if isinstance(definition, OnDemandFeatureView):
        return _on_demand_view(definition)
    return _service(definition)


def check_text(expectation: Expectation) -> str:
    """A check in few words: `between(-40, 120) quarantine`."""
    share = "" if expectation.at_least is None else f" at_least={expectation.at_least:g}"
    return f"{expectation.name} {expectation.severity}{share}"


def computation(feature: WindowedFeature) -> str:
    """How a feature is computed, in few words: `percentile(amount, p=0.95) over 1h`."""
    parameters = "".join(
        f", {name}={value:g}" for name, value in (("n", feature.n), ("p", feature.p)) if value is not None
    )
    over = "all rows" if feature.window is None else duration_text(timedelta(microseconds=feature.window))
    return f"{feature.function}({feature.column}{parameters}) over {over}"


def _entity(entity: Entity) -> Lines:
    keys = {f"join key {key}": repr(kind) for key, kind in entity.join_keys.items()}
    return {**keys, **_order("join keys", entity.join_keys), **_people(entity)}


def _source(source: ParquetSource) -> Lines:
    return {**_rows(source), **_set({"description": source.description, "owner": source.owner})}


def _rows(source: ParquetSource) -> Lines:
    """What decides which rows a source has, and when they are known."""
    return _set(
        {
            "path": source.path,
            "timestamp_field": source.timestamp_field,
            "created_timestamp_field": source.created_timestamp_field,
            "known_timestamp_field": source.known_timestamp_field,
            "known_after": _duration(source.delay) if source.delay else None,
        }
    )


def _sources(view: FeatureView) -> Lines:
    """A view's source; of a joined view each by the name that the transform reads, and whose time rules hold."""
    if view.sources is None:
        return {"source": view.source.name, **{f"source {label}": text for label, text in _rows(view.source).items()}}
    lines = {"times as in": next(iter(view.sources))}
    for name, source in view.sources.items():
        lines[f"source {name}"] = source.name
        lines |= {f"source {name} {label}": text for label, text in _rows(source).items()}
    return lines


def _view(view: FeatureView) -> Lines:
    lines = {f"key {key}": repr(kind) for key, kind in view.join_keys.items()}
    lines |= _order("keys", view.join_keys)
    lines |= _set({"entities": ", ".join(entity.name for entity in view.entities)})
    lines |= _sources(view)
    label = "column" if view.aggregations else "feature"
    for field in view.schema:
        lines |= _field(field, label)
    for one in view.aggregations:
        lines |= _aggregation(one, view)
    lines |= _order("features", view.feature_names)
    return (
        lines
        | _set(
            {
                "transform": None if view.transform is None else str(view.transform).strip(),
                **_lookback(view),
                "ttl": _duration(view.ttl),
                "online": str(view.online).lower(),
                "online_retention": _duration(view.online_retention),
                "checks": "; ".join(check_text(one) for one in view.expect),
            }
        )
        | _people(view)
    )


def _aggregation(aggregation: Aggregation, view: FeatureView) -> Lines:
    kinds = {one.name: one.dtype for one in view.schema}
    lines: Lines = {}
    for one in aggregation.features(kinds[aggregation.column]):
        lines[f"feature {one.name}"] = f"{one.dtype!r}, {computation(one)}"
        lines |= _set(
            {
                f"default of {one.name}": _default(aggregation.default),
                f"description of {one.name}": aggregation.description,
                f"tags of {one.name}": _tags(aggregation.tags),
            }
        )
    return lines


def _field(field: Field, label: str) -> Lines:
    column = f" from {field.source_column}" if field.column != field.name else ""
    return {
        f"{label} {field.name}": f"{field.dtype!r}{column}",
        **_set(
            {
                f"checks of {field.name}": "; ".join(check_text(one) for one in field.expect),
                f"default of {field.name}": _default(field.default),
                f"description of {field.name}": field.description,
                f"tags of {field.name}": _tags(field.tags),
            }
        ),
    }


def _on_demand_view(view: OnDemandFeatureView) -> Lines:
    lines = {f"input {one.name}": _projection(one) for one in view.projections}
    for source in view.request_sources:
        for field in source.schema:
            lines |= _field(field, f"request {source.name} field")
        lines |= _order(f"request fields of {source.name}", source.feature_names)
        lines |= _set({f"description of {source.name}": source.description})
    lines |= _order("inputs", [one.name for one in (*view.projections, *view.request_sources)])
    for field in view.schema:
        lines |= _field(field, "feature")
    lines |= _order("features", view.feature_names)
    lines |= {"mode": view.mode, "function": view.import_path, "parameters": ", ".join(view.parameters)}
    # Of the hash so much that two functions do not share it.
    return lines | {"source of the function": f"sha256 {view.source_hash[:_HASH_SHOWN]}"} | _people(view)


def _service(service: FeatureService) -> Lines:
    lines = {f"view {one.name}": _projection(one) for one in service.projections}
    return {**lines, **_order("views", [one.name for one in service.projections]), **_people(service)}


def _projection(projection: FeatureViewProjection | OnDemandProjection) -> str:
    # The features stand in full, because the view's own are what is taken without a choice.
    text = ", ".join(projection.feature_names)
    if projection.alias is not None:
        text += f" of {projection.view.name}"
    mapped = ", ".join(f"{key} from {column}" for key, column in projection.join_key_map.items() if key != column)
    return f"{text} ({mapped})" if mapped else text


def _people(definition: Any) -> Lines:
    return _set({"description": definition.description, "owner": definition.owner, "tags": _tags(definition.tags)})


def _order(label: str, names: Any) -> Lines:
    """The order of names; only where there are several to order."""
    listed = list(names)
    return {f"{ORDER}{label}": ", ".join(listed)} if len(listed) > 1 else {}


def _tags(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(tags.items()))


def _default(value: Any) -> str | None:
    return None if value is None else repr(value)


def _set(lines: Mapping[str, str | None]) -> Lines:
    return {label: text for label, text in lines.items() if text}


def _lookback(view: FeatureView) -> dict[str, str | None]:
    if not isinstance(view.lookback, Mapping):
        return {"lookback": _duration(view.lookback)}
    return {f"lookback of {name}": _duration(one) or "to the beginning" for name, one in view.lookback.items()}


def _duration(value: Any) -> str | None:
    return duration_text(value) if isinstance(value, timedelta) else None
