"""Build, save, load and re-create training sets: the room's entry for the facade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from hitherto import frames
from hitherto.definitions.feature_service import FeatureService
from hitherto.errors import UsageError, VerificationError
from hitherto.events import Observers, TrainingSetSaved
from hitherto.offline.duckdb.connection import Limits, connect
from hitherto.on_demand.functions import Functions
from hitherto.registry.records import Edge, Segment, TrainingSetRecord
from hitherto.registry.references import refuse_entity_collisions, resolve
from hitherto.registry.sqlite import Registry
from hitherto.sources.selection import select, tables_of
from hitherto.timeline import Clock, instant
from hitherto.training import manifest, on_demand
from hitherto.training.entity_rows import check_columns
from hitherto.training.request import AsAsked, Missing, build_plan
from hitherto.training.training_set import TrainingRequest, TrainingSet, answered
from hitherto.types import is_name


@dataclass(frozen=True)
class TrainingContext:
    """The project's parts as training sets need them."""

    root: Path
    offline_path: Path
    limits: Limits
    registry: Registry
    clock: Clock
    observers: Observers
    functions: Functions


@dataclass(frozen=True)
class Options:
    """How a training set is asked for (interface, get_historical_features)."""

    full_feature_names: bool = False
    timestamp_field: str = "event_timestamp"
    as_of: int | None = None
    as_served: bool = False
    missing: Missing = "error"


def build(
    context: TrainingContext, entity_df: Any, features: Sequence[str] | FeatureService | str, options: Options
) -> TrainingSet:
    """A lazy training set. All that can be refused without reading segments is refused here."""
    asked = AsAsked(options.as_of, options.as_served, options.missing)
    requested = resolve(context.registry.snapshot(), features, full_feature_names=options.full_feature_names)
    entity, paths = _entity_table(context, entity_df)
    refuse_entity_collisions(requested.outputs, entity.column_names)
    plan = build_plan(
        context.registry, requested, asked, offline_path=context.offline_path, timestamp_field=options.timestamp_field
    )
    check_columns(entity, timestamp_field=plan.timestamp_field, keys=plan.key_types, views=plan.view_names)
    computed = on_demand.request_of(requested, entity, context.functions)
    request = TrainingRequest(entity, plan, options.missing, paths, computed)
    return _training_set(context, request)


def answers(
    context: TrainingContext, entity: pa.Table, features: Sequence[str] | FeatureService, *, timestamp_field: str
) -> tuple[Mapping[str, Any], pa.Table]:
    """Values and statuses of entity rows, for parity: lookups do not know of ranges that were never published."""
    request = build(context, entity, features, Options(True, timestamp_field)).request
    plan = replace(request.plan, reads=tuple(replace(read, missing=()) for read in request.plan.reads))
    answer = answered(replace(request, plan=plan, missing="null"), limits=context.limits)
    return answer.values(plan, request.outputs), answer.statuses(plan, request.outputs)


def _training_set(context: TrainingContext, request: TrainingRequest) -> TrainingSet:
    return TrainingSet(
        request,
        limits=context.limits,
        save=lambda built, name, description: _save(context, built, name, description),
        observers=context.observers,
    )


def _entity_table(context: TrainingContext, entity_df: Any) -> tuple[pa.Table, tuple[str, ...]]:
    """The entity rows, and the paths of the sources they were selected from if they came as SQL."""
    if not isinstance(entity_df, str):
        return frames.to_arrow(entity_df), ()
    sources = context.registry.snapshot().definitions.sources
    with connect(context.limits) as con:
        rows = select(con, entity_df, sources, root=context.root)
    # By path: one table may be two sources, which tell its times differently.
    return rows, tuple(sources[name].path for name in tables_of(entity_df, sources))


def _save(context: TrainingContext, built: TrainingSet, name: str, description: str) -> TrainingSetRecord:
    if not is_name(name):
        raise UsageError(
            f"{name!r} is not a name for a training set: lower-case letters, digits and single underscores, a letter first."
        )
    content = built.content_hash
    kept = f"training_sets/{name}/{content[:16]}.arrow"
    manifest.write_entity_rows(built.request.entity, context.offline_path / kept)
    described = manifest.describe(
        built.request,
        entity_path=kept,
        offline_path=context.offline_path,
        segments=_segments(context, built),
        registry_serial=context.registry.serial(),
    )
    versions = dict.fromkeys((read.view.name, read.version) for read in built.request.plan.reads)
    edges = [Edge("view_version", f"{view}@{version}", "training_set", "") for view, version in versions]
    if built.request.on_demand is not None:
        computed = built.request.on_demand.computations.views
        edges += [Edge("on_demand_view", one.view.name, "training_set", "") for one in computed]
    used = dict.fromkeys(one.run_id for read in built.request.plan.reads for one in read.segments)
    edges += [Edge("segment", run_id, "training_set", "", run_id) for run_id in used]
    record = context.registry.save_training_set(
        name, description, instant(context.clock(), what="clock"), content, len(built), described, edges=edges
    )
    context.observers.notify(TrainingSetSaved(record.name, record.version, record.rows, record.content_hash))
    return record


def _segments(context: TrainingContext, built: TrainingSet) -> dict[str, Segment]:
    found: dict[str, Segment] = {}
    for read in built.request.plan.reads:
        segments = context.registry.segments(read.view.name, read.version)
        found.update({segment.run_id: segment for segment in segments.values()})
    return found


@dataclass(frozen=True)
class SavedTrainingSet:
    """A training set as it was saved; `record` holds its manifest and content hash."""

    record: TrainingSetRecord
    context: TrainingContext

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def version(self) -> int:
        """Its version, counted from 1 under its name."""
        return self.record.version

    def recreate(self) -> TrainingSet:
        """Build it again from the pinned segments and compare.

        Raises:
            VerificationError: A pinned part is gone or has changed, or the result differs from what was saved.
        """
        request = manifest.load_request(
            self.record.manifest, offline_path=self.context.offline_path, functions=self.context.functions
        )
        built = _training_set(self.context, request)
        if built.content_hash != self.record.content_hash:
            raise VerificationError(
                f"Training set {self.record.name!r} version {self.record.version} was built again and differs from what was saved: "
                f"content hash {built.content_hash}, saved {self.record.content_hash}."
            )
        return built


def load(context: TrainingContext, name: str, version: int | None) -> SavedTrainingSet:
    """A saved training set. Raises UnknownNameError."""
    return SavedTrainingSet(context.registry.training_set(name, version), context)
