"""LookupPlan: all that a lookup needs and that does not depend on its rows, made once per list of features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from hitherto.definitions.aggregation import WindowedFeature
from hitherto.definitions.feature_service import FeatureService
from hitherto.encoding.key_codec import NO_KEY, column_encoder
from hitherto.encoding.row_codec import FORMAT, NULL, SEPARATOR, encode_fragment, row_decoder
from hitherto.encoding.staircase import StaircaseReader
from hitherto.errors import JoinKeyError, NameCollisionError, UsageError
from hitherto.online.store import Place
from hitherto.registry.references import RequestedView, resolve
from hitherto.registry.snapshot import Snapshot
from hitherto.types import DataType

if TYPE_CHECKING:
    from hitherto.on_demand.functions import Functions
    from hitherto.online.on_demand import OnDemandPlan

EPOCH_JSON = b'"1970-01-01T00:00:00Z"'
"""The event time of a row that is not there, as Feast gives it."""
ColumnEncoder = Callable[[Sequence[Any]], list[bytes | None]]


@dataclass(frozen=True)
class ServedProjection:
    """A feature view as one lookup reads it. Instants and durations are microseconds."""

    name: str
    """What feature references and full names call it."""
    place: Place
    keys: tuple[tuple[str, DataType], ...]
    """Entity column and type of each join key, in the view's order."""
    fields: tuple[tuple[str, DataType], ...]
    """All features; those of a view without aggregations in the order of the payload."""
    features: tuple[str, ...]
    """Which of them are asked for."""
    ttl: int | None = None
    online_retention: int | None = None
    watermark: int | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Feature -> what is answered where it has no value."""
    windowed: tuple[WindowedFeature, ...] = ()
    """How the features of aggregations are computed."""


@dataclass(frozen=True)
class Keying:
    """How keys are made from entity columns; all views of a plan that are joined alike share one, so it is done once."""

    encoders: Mapping[bool, tuple[tuple[str, ColumnEncoder], ...]]
    """For values from JSON (True) and from Python (False): entity column and encoder of each join key."""

    def encode(self, columns: Mapping[str, Sequence[Any]], *, json: bool) -> list[bytes | None]:
        """The keys, one per row; None where a part is null. A view without entities has one key for everybody."""
        encoders = self.encoders[json]
        if len(encoders) == 1:
            ((column, encode),) = encoders
            return encode(columns[column])
        if not encoders:
            return [NO_KEY]
        parts = zip(*(encode(columns[column]) for column, encode in encoders), strict=True)
        return [None if None in row else b"".join(row) for row in parts]


@dataclass(frozen=True)
class ViewRead:
    """One read of one view: how its keys are encoded and its values are picked apart."""

    projection: ServedProjection
    keyed: bool
    """Whether the view has keys; without, it has one row for everybody."""
    positions: tuple[int, ...]
    """Which parts the wanted features are."""
    width: int
    """How many parts the text of a row has: its event time and all its features."""
    absent: bytes
    """The stored value that stands for a row that is not there."""
    nulls: bytes
    """The payload of a row whose values may not be shown."""
    decode: Callable[[bytes], list[list[Any]]]
    """From the text of rows to the Python values of the wanted features."""
    age: int | None
    """The age from which on a row is not simply there, by ttl or retention, whichever is shorter."""
    steps: StaircaseReader | None = None
    """Of a windowed view: makes rows of its wanted features from stored values."""


@dataclass(frozen=True)
class FeatureColumn:
    """One feature column of the answer."""

    name: str
    reference: str
    kind: DataType
    view: int
    """Index of its read."""
    position: int
    """Index among that read's columns."""


@dataclass(frozen=True)
class Default:
    """What one column of the answer says where it has no value (semantics 4)."""

    column: int
    """Index among the plan's columns."""
    fragment: bytes
    value: Any
    """An answer gets a copy, which its caller may change."""
    kind: DataType


@dataclass(frozen=True)
class LookupPlan:
    """What a lookup reads and how its answer looks. Immutable, shared by all requests for these features."""

    reads: tuple[ViewRead, ...]
    keyings: tuple[Keying, ...]
    places: tuple[tuple[Place, int], ...]
    """For each read: where, and by which of the keyings."""
    columns: tuple[FeatureColumn, ...]
    outputs: tuple[tuple[str, int, int], ...]
    """Name, read and position of each of them."""
    parts: tuple[tuple[int, int], ...]
    """Read of each of them, and which part of its rows it is."""
    join_keys: Mapping[str, str]
    """Entity column -> a view that is joined by it."""
    names_json: bytes
    """The names of the feature columns, as the inside of a JSON list."""
    watermark: tuple[int, str] | None
    """The latest watermark among the views, and whose it is."""
    defaults: tuple[Default, ...]
    """Of the columns that have one."""
    on_demand: OnDemandPlan | None = None
    """What is computed from what was read; None where nothing is."""
    skeletons: dict[tuple[str, ...], list[bytes]] = field(default_factory=dict, compare=False, repr=False)
    """Entity columns in the order of a request -> what an answer in JSON is made of beside its values; see `online.answer`."""


def build_plan(
    projections: Sequence[ServedProjection],
    references: Sequence[tuple[str, str]] | None = None,
    *,
    full_feature_names: bool = False,
) -> LookupPlan:
    """The plan of a lookup.

    Args:
        projections: The views to read.
        references: (name of a projection, feature) in the order of the answer; by default that of the projections.
        full_feature_names: `view__feature` instead of `feature` (semantics 7).

    Raises:
        NameCollisionError: Two output columns would have one name; the message names both.
    """
    if references is None:
        references = [(one.name, feature) for one in projections for feature in one.features]
    if not references:
        raise UsageError('Ask for at least one feature: features=["view:feature", ...] or a feature service.')
    indexes = {one.name: index for index, one in enumerate(projections)}
    columns = []
    for name, feature in references:
        index = indexes[name]
        output = f"{name.partition('@')[0]}__{feature}" if full_feature_names else feature
        columns.append(stored_column(projections[index], index, feature, output))
    return assemble(projections, columns)


def stored_column(projection: ServedProjection, index: int, feature: str, output: str) -> FeatureColumn:
    """A feature of one of the views that a plan reads."""
    kind, position = dict(projection.fields)[feature], projection.features.index(feature)
    return FeatureColumn(output, f"{projection.name}:{feature}", kind, index, position)


def assemble(
    projections: Sequence[ServedProjection], columns: Sequence[FeatureColumn], on_demand: OnDemandPlan | None = None
) -> LookupPlan:
    """The plan that gives these columns. Those that are computed come as if from reads of their own, after the stored ones.

    Raises:
        NameCollisionError: Two output columns would have one name; the message names both.
    """
    join_keys = {column: one.name for one in reversed(projections) for column, _ in one.keys}
    _check_names(columns, join_keys)
    keys = list(dict.fromkeys(one.keys for one in projections))
    reads = tuple(read_of(one) for one in projections)
    every = [*projections, *(one.read.projection for one in (() if on_demand is None else on_demand.computed))]
    marks = [(one.watermark, one.name) for one in projections if one.watermark is not None]
    return LookupPlan(
        reads=reads,
        keyings=tuple(_keying(one) for one in keys),
        places=tuple((one.place, keys.index(one.keys)) for one in projections),
        columns=tuple(columns),
        outputs=tuple((column.name, column.view, column.position) for column in columns),
        parts=tuple(
            (column.view, reads[column.view].positions[column.position] if column.view < len(reads) else 1)
            for column in columns
        ),
        join_keys={column: join_keys[column] for one in projections for column, _ in one.keys},
        names_json=msgspec.json.encode([column.name for column in columns])[1:-1],
        watermark=max(marks, default=None),
        defaults=tuple(_defaults(every, columns)),
        on_demand=on_demand,
    )


def _defaults(projections: Sequence[ServedProjection], columns: Sequence[FeatureColumn]) -> Iterator[Default]:
    for number, column in enumerate(columns):
        value = projections[column.view].defaults.get(column.reference.rpartition(":")[2])
        if value is not None:
            yield Default(number, encode_fragment(column.kind, value), value, column.kind)


def plan_lookup(
    snapshot: Snapshot,
    features: Sequence[str] | FeatureService,
    *,
    full_feature_names: bool = False,
    functions: Callable[[], Functions] | None = None,
) -> LookupPlan:
    """The plan for feature references ("view:feature", "view@2:feature") or a feature service, as the snapshot serves them.

    `functions` gives those of on-demand feature views; it is asked only where there are any.

    Raises:
        UnknownNameError: A view, version or feature is not there; the message has the nearest name.
        NameCollisionError: Two output columns would have one name.
        FunctionError: The function of an on-demand feature view is not there, or not the one that was applied.
    """
    requested = resolve(snapshot, features, full_feature_names=full_feature_names)
    projections = [_project(snapshot.project, view) for view in requested.views]
    if requested.computations:
        # Imported by those who need it.
        from hitherto.online.on_demand import plan_on_demand

        return plan_on_demand(requested, projections, None if functions is None else functions())
    return build_plan(projections, requested.order, full_feature_names=full_feature_names)


class LookupPlans:
    """The plans of one snapshot, each built at its first use; a new snapshot starts afresh."""

    def __init__(self, *, limit: int = 1024) -> None:
        self._limit = limit
        self._plans: tuple[Any, dict[Any, LookupPlan]] = (None, {})

    def get(
        self,
        snapshot: Snapshot,
        features: Sequence[str] | FeatureService,
        *,
        full_feature_names: bool = False,
        functions: Callable[[], Functions] | None = None,
    ) -> LookupPlan:
        """See `plan_lookup`."""
        serial, plans = self._plans
        if serial != snapshot.serial:
            plans = {}
            self._plans = (snapshot.serial, plans)
        name = (tuple(features) if isinstance(features, list) else features, full_feature_names)
        try:
            plan = plans.get(name)
        except TypeError:  # what cannot be remembered is no list of texts: planning says what is wrong with it
            return plan_lookup(snapshot, features, full_feature_names=full_feature_names, functions=functions)
        if plan is None:
            if len(plans) >= self._limit:
                plans.clear()
            plan = plans[name] = plan_lookup(
                snapshot, features, full_feature_names=full_feature_names, functions=functions
            )
        return plan


def _project(project: str, requested: RequestedView) -> ServedProjection:
    served = requested.served
    view = served.definition
    if not view.online:
        raise UsageError(f"Feature view {view.name!r} is not served online: it is defined with online=False.")
    return ServedProjection(
        name=requested.name,
        place=Place(project, view.name, served.version, served.generation),
        keys=tuple((requested.key_columns[key], kind) for key, kind in view.join_keys.items()),
        fields=tuple((one.name, one.dtype) for one in view.features),
        features=requested.features,
        ttl=view.ttl_micros,
        online_retention=view.online_retention_micros,
        watermark=served.watermark,
        defaults=view.defaults,
        windowed=view.windowed,
    )


def read_of(one: ServedProjection) -> ViewRead:
    """How the rows of a view are read."""
    steps = _steps(one) if one.windowed else None
    if steps is not None:
        # Its rows are made, of what is wanted only.
        kinds = dict(one.fields)
        one = replace(one, fields=tuple((name, kinds[name]) for name in one.features))
    positions = {name: index for index, (name, _) in enumerate(one.fields)}
    kinds = dict(one.fields)
    nulls = SEPARATOR.join([NULL] * len(one.fields))
    return ViewRead(
        projection=one,
        keyed=bool(one.keys),
        positions=tuple(1 + positions[feature] for feature in one.features),
        width=1 + len(one.fields),
        absent=SEPARATOR.join((FORMAT + b"0" * 64, EPOCH_JSON, nulls)),
        nulls=nulls,
        decode=row_decoder([kinds[name] for name in one.features], [positions[name] for name in one.features]),
        age=min((age for age in (one.ttl, one.online_retention) if age is not None), default=None),
        steps=steps,
    )


def _steps(one: ServedProjection) -> StaircaseReader:
    tracks = list(dict.fromkeys(feature.track for feature in one.windowed))
    features = {feature.name: feature for feature in one.windowed}
    wanted = [features[name] for name in one.features]
    return StaircaseReader(
        len(tracks),
        [
            (tracks.index(feature.track), feature.window, encode_fragment(feature.dtype, feature.of_nothing))
            for feature in wanted
        ],
    )


def _keying(keys: Sequence[tuple[str, DataType]]) -> Keying:
    return Keying(
        {
            json: tuple((column, column_encoder(kind, key=column, json=json)) for column, kind in keys)
            for json in (False, True)
        }
    )


def _check_names(columns: Sequence[FeatureColumn], join_keys: Mapping[str, str]) -> None:
    owners = {column: f"the entity column {column!r} (a join key of {view!r})" for column, view in join_keys.items()}
    for column in columns:
        owner = f"the feature {column.reference!r}"
        if column.name in owners:
            twice = owners[column.name] == owner
            hint = (
                "ask for it once" if twice else "use full_feature_names=True, or .with_name(...) in a feature service"
            )
            raise NameCollisionError(
                f"Two columns of the answer would be called {column.name!r}: {owners[column.name]} and {owner}; {hint}."
            )
        owners[column.name] = owner


def check_columns(plan: LookupPlan, given: Sequence[str]) -> None:
    """Refuse entity columns that are missing, that no view uses, or that would hide a feature. Raises JoinKeyError."""
    if given == [*plan.join_keys]:
        return
    for column, view in plan.join_keys.items():
        if column not in given:
            raise JoinKeyError(f"The join key {column!r} is missing: feature view {view!r} is looked up by it.")
    if len(given) == len(plan.join_keys):
        return
    if plan.join_keys:
        extra = next(column for column in given if column not in plan.join_keys)
        known = ", ".join(map(repr, plan.join_keys))
        raise JoinKeyError(f"{extra!r} is not a join key of these features; they are looked up by {known}.")
    # Views without entities: any column only says how many rows there are.
    _check_names(plan.columns, dict.fromkeys(given, "the request"))
