"""Offline reads without entity rows: `FeatureStore.read` and `read_latest`."""

from __future__ import annotations

from pathlib import Path

from hitherto.definitions.feature_service import FeatureService
from hitherto.definitions.feature_view import FeatureView
from hitherto.errors import IntervalError, NameCollisionError, NotMaterializedError, UnknownNameError, UsageError
from hitherto.offline.duckdb import reading, windowed
from hitherto.offline.duckdb.connection import connect
from hitherto.offline.plan import SegmentRead, visible_state
from hitherto.registry import ledger
from hitherto.registry.references import refuse_entity_collisions, resolve
from hitherto.registry.sqlite import Registry
from hitherto.result import Result
from hitherto.timeline import MAX_INSTANT, MIN_INSTANT, Interval, instant
from hitherto.training import request
from hitherto.training.building import TrainingContext
from hitherto.training.defaults import filled_table, of_view


def read(context: TrainingContext, what: str | FeatureView, start: int | None, end: int | None) -> Result:
    """The published rows of a view available in [start, end)."""
    view, state = published(context, what.name if isinstance(what, FeatureView) else what)
    begin, until = start if start is not None else MIN_INSTANT, end if end is not None else MAX_INSTANT + 1
    if begin >= until:
        raise IntervalError("The interval is empty or reversed: its start must be before its end.")
    with connect(context.limits) as con:
        return Result(reading.read(con, view, state, None if start is None and end is None else Interval(begin, until)))


def read_latest(context: TrainingContext, what: str | FeatureService | FeatureView, at: int | None) -> Result:
    """For each key the row that a lookup at an instant would give; of a windowed view, its features at that instant.

    A service is read view by view; its views must then share their key columns. Where two features have one name, all are
    called `view__feature`.
    """
    moment = at if at is not None else instant(context.clock(), what="clock")
    snapshot = context.registry.snapshot()
    services = snapshot.definitions.feature_services
    if isinstance(what, str) and what not in services:
        if what.partition("@")[0] not in {**snapshot.views, **snapshot.definitions.on_demand_feature_views}:
            raise UnknownNameError("feature view or feature service", what, [*snapshot.views, *services])
        return _latest(context, what, moment)
    if isinstance(what, FeatureView):
        return _latest(context, what.name, moment)
    service = services[what] if isinstance(what, str) else what
    return _latest_of_service(context, service, moment)


def _latest(context: TrainingContext, name: str, at: int) -> Result:
    view, state = published(context, name)
    with connect(context.limits) as con:
        if view.aggregations:
            latest = windowed.read_latest(con, view, state, at=at, limits=context.limits)
        else:
            latest = reading.read_latest(con, view, state, at=at)
    return Result(filled_table(latest, of_view(view)))


def _latest_of_service(context: TrainingContext, service: FeatureService, at: int) -> Result:
    """The views of a service side by side, one row for each key that any of them has."""
    snapshot = context.registry.snapshot()
    try:
        requested = resolve(snapshot, service)
    except NameCollisionError:
        requested = resolve(snapshot, service, full_feature_names=True)
    if requested.computations:
        computed = requested.computations.views[-1].view.name
        raise UsageError(
            f"Feature service {service.name!r} takes on-demand feature view {computed!r}, which is computed for the rows of a request; "
            "use get_historical_features, or read its other views one by one."
        )
    keys = list(requested.views[0].key_columns.values())
    refuse_entity_collisions(requested.outputs, keys)
    tables = []
    for view in requested.views:
        columns = list(view.key_columns.values())
        if columns != keys:
            raise UsageError(
                f"Feature service {service.name!r} joins views with different keys ({', '.join(keys)}; {', '.join(columns)}), "
                "so there is no one row per key. Read its views one by one."
            )
        latest = _latest(context, view.served.definition.name, at).to_arrow()
        tables.append(latest.select([*view.key_columns, *view.features]).rename_columns([*keys, *view.outputs]))
    with connect(context.limits) as con:
        found = reading.side_by_side(con, tables, keys).select([*keys, *requested.outputs])
    # Again: a key that only one of the views has is null in the others.
    return Result(filled_table(found, [one for view in requested.views for one in request.defaults(view)]))


def published(context: TrainingContext, name: str) -> tuple[FeatureView, tuple[SegmentRead, ...]]:
    """A view's serving definition and state. Raises NotMaterializedError before its first publish."""
    served = context.registry.snapshot().view(name)
    if served.watermark is None:
        raise NotMaterializedError(
            f"Feature view {name!r} has never been materialized. Run: hitherto materialize --view {name}"
        )
    return served.definition, state_of(context.registry, served.definition.name, served.version, context.offline_path)


def state_of(registry: Registry, view: str, version: int, offline_path: Path) -> tuple[SegmentRead, ...]:
    """The published state of a view version."""
    return visible_state(
        ledger.pieces(registry.publications(view, version)), registry.segments(view, version), offline_path
    )
