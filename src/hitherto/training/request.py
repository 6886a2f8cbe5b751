"""Request -> plan: which segments answer which view, as published now, at an instant, or as each row was served."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hitherto.definitions.feature_view import FeatureView
from hitherto.errors import UsageError
from hitherto.offline.plan import AgeLimit, Default, RetrievalPlan, SegmentRead, ViewRead, served_states, visible_state
from hitherto.registry import ledger
from hitherto.registry.records import DefinitionChange, ViewVersion
from hitherto.registry.references import Requested, RequestedView
from hitherto.registry.sqlite import Registry
from hitherto.timeline import rfc3339
from hitherto.training.coverage import missing_ranges
from hitherto.types import DataType, Float32, Float64

Missing = Literal["error", "null"]


@dataclass(frozen=True)
class AsAsked:
    """How a training set looks at the store: as published now, as published at `as_of`, or row by row `as_served`."""

    as_of: int | None = None
    as_served: bool = False
    missing: Missing = "error"

    def __post_init__(self) -> None:
        if self.as_of is not None and self.as_served:
            raise UsageError("Give as_of or as_served, not both: as_served already looks at each row's own time.")
        if self.missing not in ("error", "null"):
            raise UsageError(f'missing={self.missing!r} is neither "error" nor "null".')


def build_plan(
    registry: Registry, requested: Requested, asked: AsAsked, *, offline_path: Path, timestamp_field: str
) -> RetrievalPlan:
    """What to read for a resolved request.

    Raises:
        KeyTypeError: Two views take one entity column as different types.
    """
    reads = [read for view in requested.views for read in _reads(registry, view, asked, offline_path)]
    plan = RetrievalPlan(tuple(reads), timestamp_field, requested.stored_outputs)
    # Asked here so that it refuses before anything is read.
    _ = plan.key_types
    return plan


def _reads(registry: Registry, view: RequestedView, asked: AsAsked, offline_path: Path) -> list[ViewRead]:
    name = view.served.definition.name
    pinned = "@" in view.name
    versions = [one for one in registry.view_versions(name) if not pinned or one.version == view.served.version]
    if asked.as_served:
        changes = registry.definition_changes(name)
        served = [one for one in versions if one.serving_from is not None] or [_version(versions, view.served.version)]
        _refuse_mixed(view, served)
        return [_served_read(registry, view, one, changes, offline_path) for one in served]
    if asked.as_of is not None:
        return [_read_as_of(registry, view, versions, asked.as_of, offline_path)]
    return [_read_now(registry, view, _version(versions, view.served.version), offline_path)]


def _version(versions: Sequence[ViewVersion], number: int) -> ViewVersion:
    return next(one for one in versions if one.version == number)


def _read_now(registry: Registry, view: RequestedView, version: ViewVersion, offline_path: Path) -> ViewRead:
    return _at(registry, view, version, view.served.definition, offline_path, as_of=None)


def _read_as_of(
    registry: Registry, view: RequestedView, versions: Sequence[ViewVersion], as_of: int, offline_path: Path
) -> ViewRead:
    """The version that served then, with the definition that was applied then."""
    serving = [
        one
        for one in versions
        if one.serving_from is not None
        and one.serving_from <= as_of
        and (one.serving_until is None or as_of < one.serving_until)
    ]
    version = serving[0] if serving else versions[0]
    changes = [
        one for one in _changes(registry.definition_changes(version.view), version.version) if one.applied_at <= as_of
    ]
    definition = changes[-1].definition if changes else version.definition
    absent = [feature for feature in view.features if feature not in definition.feature_names]
    if absent:
        raise UsageError(
            f"Feature view {version.view!r} had no feature {absent[0]!r} at {rfc3339(as_of)}: version {version.version} served then. "
            f"Name a version that has it, for example '{version.view}@{versions[-1].version}:{absent[0]}'."
        )
    return _at(registry, view, version, definition, offline_path, as_of=as_of)


def _at(
    registry: Registry,
    view: RequestedView,
    version: ViewVersion,
    definition: FeatureView,
    offline_path: Path,
    *,
    as_of: int | None,
) -> ViewRead:
    publications = registry.publications(version.view, version.version)
    segments = registry.segments(version.view, version.version)
    state = visible_state(ledger.pieces(publications, as_of=as_of), segments, offline_path)
    return ViewRead(
        name=view.name,
        view=definition,
        version=version.version,
        key_columns=_key_columns(view, definition),
        features=view.features,
        outputs=view.outputs,
        segments=state,
        ttl=(AgeLimit(None, definition.ttl_micros),),
        online_retention=(AgeLimit(None, definition.online_retention_micros),),
        watermark=ledger.watermark(publications, as_of=as_of),
        as_of=as_of,
        missing=missing_ranges(publications, registry.observations(version.view, version.version), as_of=as_of),
        defaults=defaults(view, definition),
    )


def _served_read(
    registry: Registry,
    view: RequestedView,
    version: ViewVersion,
    changes: Sequence[DefinitionChange],
    offline_path: Path,
) -> ViewRead:
    """All that lookups saw of one version while it served, with the ttl of each time. What it did not have is null."""
    publications = registry.publications(version.view, version.version)
    state: tuple[SegmentRead, ...] = served_states(
        ledger.history(publications),
        registry.segments(version.view, version.version),
        offline_path,
        since=version.serving_from,
        until=version.serving_until,
    )
    had = [
        (feature, output)
        for feature, output in zip(view.features, view.outputs, strict=True)
        if feature in version.definition.feature_names
    ]
    return ViewRead(
        name=view.name,
        view=version.definition,
        version=version.version,
        key_columns=_key_columns(view, version.definition),
        features=tuple(feature for feature, _ in had),
        outputs=tuple(output for _, output in had),
        segments=state,
        ttl=_limits(changes, version, lambda one: one.ttl_micros),
        online_retention=_limits(changes, version, lambda one: one.online_retention_micros),
        watermark=ledger.watermark(publications),
        as_served=True,
        defaults=defaults(view),
    )


def defaults(view: RequestedView, definition: FeatureView | None = None) -> tuple[Default, ...]:
    """The defaults of a request's outputs, by the definition that serves now or by another one."""
    definition = definition or view.served.definition
    return tuple(
        Default(output, field.dtype, field.default)
        for feature, output in zip(view.features, view.outputs, strict=True)
        if (field := definition.field(feature)) is not None and field.default is not None
    )


def _key_columns(view: RequestedView, definition: FeatureView) -> dict[str, str]:
    """The keys of one version, mapped as the request maps those of the version that serves now."""
    return {key: view.key_columns.get(key, key) for key in definition.join_keys}


def _refuse_mixed(view: RequestedView, versions: Sequence[ViewVersion]) -> None:
    """Refuse versions whose keys or features of one name have types that no one column can hold."""
    for what, names in (("join key", tuple(view.key_columns)), ("feature", view.features)):
        for name in names:
            kinds = {one.version: kind for one in versions if (kind := _type_of(one.definition, name)) is not None}
            if len(set(kinds.values())) < 2 or (
                what == "feature" and len({_family(one) for one in kinds.values()}) == 1
            ):
                continue
            told = ", ".join(f"{kind!r} in version {number}" for number, kind in kinds.items())
            last = versions[-1]
            raise UsageError(
                f"The {what} {name!r} of feature view {last.view!r} is {told}: as_served cannot answer from both in one column. "
                f"Name a version, for example '{last.view}@{last.version}:{view.features[0]}'."
            )


def _type_of(definition: FeatureView, name: str) -> DataType | None:
    field = definition.field(name)
    return field.dtype if field is not None else definition.join_keys.get(name)


def _family(kind: DataType) -> object:
    """Integers are widened to each other, and so are floats; any other type is alone."""
    return "integer" if kind.is_integer else "float" if kind in (Float32, Float64) else kind


def _changes(changes: Sequence[DefinitionChange], version: int) -> list[DefinitionChange]:
    """The changes of one version by their instants; of several at one instant the last, which is the one that stayed."""
    last = {one.applied_at: one for one in changes if one.version == version}
    return [last[at] for at in sorted(last)]


def _limits(
    changes: Sequence[DefinitionChange], version: ViewVersion, of: Callable[[FeatureView], int | None]
) -> tuple[AgeLimit, ...]:
    mine = _changes(changes, version.version)
    if not mine:
        return (AgeLimit(None, of(version.definition)),)
    return (AgeLimit(None, of(mine[0].definition)), *(AgeLimit(one.applied_at, of(one.definition)) for one in mine[1:]))
