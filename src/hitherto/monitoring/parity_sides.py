"""The two sides of parity on a real project: which rows to ask for, the lookup at an instant, what a push put ahead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from hitherto.definitions.feature_service import FeatureService
from hitherto.definitions.feature_view import FeatureView
from hitherto.encoding.row_codec import sequence_of
from hitherto.errors import ClockError
from hitherto.monitoring.parity import (
    Answers,
    Columns,
    EntityRows,
    Lookup,
    ParityReport,
    Pushed,
    Retrieve,
    ViewMarks,
    check_parity,
    choose_instants,
)
from hitherto.monitoring.samples import event_times, sample_keys
from hitherto.offline.duckdb.connection import Limits, connect
from hitherto.offline.plan import SegmentRead, visible_state
from hitherto.on_demand.functions import Functions
from hitherto.on_demand.samples import sample_columns
from hitherto.on_demand.values import python_values
from hitherto.online.plan import LookupPlan, plan_lookup
from hitherto.online.reader import lookup, prepare
from hitherto.online.store import OnlineStore
from hitherto.registry import ledger
from hitherto.registry.snapshot import Snapshot
from hitherto.registry.sqlite import Registry
from hitherto.timeline import MAX_INSTANT, to_datetime
from hitherto.types import INTEGER_RANGES, Bool, Bytes, DataType, Date, String, Timestamp

TIME = "__parity_time"
"""The time column of the entity rows; no user's column can have such a name."""
ATTEMPTS = 3

Features = Sequence[str] | FeatureService
RetrieveTable = Callable[[pa.Table, Features], tuple[Mapping[str, Any], pa.Table]]
"""(entity rows with times in `TIME`, features) -> (output column -> its values, statuses): what training answers."""


@dataclass(frozen=True)
class Project:
    """The parts of a project that are looked at."""

    registry: Registry
    root: Path
    """What relative source paths are relative to."""
    offline_path: Path
    limits: Limits
    now: int


def measure(
    project: Project,
    features: Features,
    *,
    store: OnlineStore,
    retrieve: RetrieveTable,
    sample: int | None,
    instants: int | Sequence[int],
    functions: Callable[[], Functions] | None = None,
) -> ParityReport:
    """Compare lookups with retrieval on keys that were published, on unknown ones and on null ones.

    Args:
        project: Where to look.
        features: References, or a feature service.
        store: The online store.
        retrieve: Point-in-time retrieval.
        sample: How many keys of each view; None is all.
        instants: How many instants to choose, or which.
        functions: Gives those of on-demand feature views.

    Raises:
        UnknownNameError, UsageError: The features are not served online.
        ClockError: An instant that was asked for is before a watermark.
        OnlineStoreError: The store does not answer.
    """
    report = ParityReport()
    for _ in range(ATTEMPTS):
        snapshot = project.registry.snapshot()
        plan = plan_lookup(snapshot, features, full_feature_names=True, functions=functions)
        looked = _look_offline(project, snapshot, plan, sample)
        report = _compared(project, plan, looked, store, lambda table: retrieve(table, features), instants)
        # A publish in between makes the sides talk of two states; that is no mismatch.
        if report.ok or project.registry.serial() == snapshot.serial:
            break
    return report


@dataclass(frozen=True)
class _Looked:
    """What the published rows say about where to look."""

    marks: Sequence[ViewMarks]
    rows: EntityRows
    kinds: Mapping[str, DataType]


def _compared(
    project: Project,
    plan: LookupPlan,
    looked: _Looked,
    store: OnlineStore,
    retrieve: Callable[[pa.Table], tuple[Mapping[str, Any], pa.Table]],
    instants: int | Sequence[int],
) -> ParityReport:
    chosen = _instants(plan, looked.marks, instants, project.now)
    outputs = {
        column.name: (column.reference.partition(":")[0], column.reference.rpartition(":")[2])
        for column in plan.columns
    }
    report = check_parity(
        looked.rows,
        chosen,
        features=outputs,
        retrieve=_retrieving(retrieve, looked.kinds),
        lookup=_looking_up(store, plan),
        pushed=_pushed(store, plan, _run_sequences(project.registry, plan), now=MAX_INSTANT),
    )
    pushing = {run.view for run in project.registry.unfinished_runs() if run.state == "pushing"}
    views = sorted(pushing & {read.projection.place.view for read in plan.reads})
    notes = [
        f"a run of feature view {view!r} is pushing: until it has published, lookups may be ahead" for view in views
    ]
    return report + ParityReport(notes=tuple(notes))


def _instants(plan: LookupPlan, marks: Sequence[ViewMarks], instants: int | Sequence[int], now: int) -> Sequence[int]:
    if isinstance(instants, int):
        return choose_instants(marks, now=now, count=instants)
    for one in instants:
        if plan.watermark is not None and one < plan.watermark[0]:
            raise ClockError(plan.watermark[1], to_datetime(one), to_datetime(plan.watermark[0]))
    return tuple(sorted(set(instants)))


# -- what to ask for ---------------------------------------------------------------------------------------------------


def _look_offline(project: Project, snapshot: Snapshot, plan: LookupPlan, sample: int | None) -> _Looked:
    """The marks of every view, and entity rows with keys of every view."""
    marks: list[ViewMarks] = []
    known: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    kinds: dict[str, DataType] = {}
    with connect(project.limits) as con:
        for read in plan.reads:
            one = read.projection
            view = snapshot.versions[one.place.view, one.place.version].definition
            state = state_of(project, view, one.place.version)
            windows = sorted({feature.window for feature in one.windowed if feature.window is not None})
            marks.append(ViewMarks(one.watermark, one.ttl, event_times(con, view, state), tuple(windows)))
            columns = tuple(column for column, _ in one.keys)
            kinds.update(one.keys)
            if columns:
                found = sample_keys(con, view, _all_segments(project, view, one.place.version), limit=sample)
                keys = zip(*(column.to_pylist() for column in found.columns), strict=True)
                known[columns] = list(dict.fromkeys((*known.get(columns, ()), *keys)))
    rows = entity_rows(known, kinds)
    fields = (
        {}
        if plan.on_demand is None
        else {name: one for name, one in plan.on_demand.fields.items() if name not in kinds}
    )
    return _Looked(marks, _with_request_fields(rows, fields), kinds | fields)


def _with_request_fields(rows: EntityRows, fields: Mapping[str, DataType]) -> EntityRows:
    """The rows with request fields, whose values are made up: whatever is asked with, both sides have to say the same."""
    made, count = sample_columns(fields)
    values = {name: python_values(fields[name], column) for name, column in made.items()}
    columns = {name: [values[name][row % count] for row in range(rows.count)] for name in fields}
    return EntityRows({**rows.columns, **columns}, rows.count)


def state_of(project: Project, view: FeatureView, version: int) -> tuple[SegmentRead, ...]:
    """The published state of a view version."""
    publications = project.registry.publications(view.name, version)
    segments = project.registry.segments(view.name, version)
    return visible_state(ledger.pieces(publications), segments, project.offline_path)


def _all_segments(project: Project, view: FeatureView, version: int) -> tuple[SegmentRead, ...]:
    """Every segment that a view version ever published, hidden ones included, as far as their files are there."""
    publications = project.registry.publications(view.name, version)
    segments = project.registry.segments(view.name, version)
    # Keys ask for the files only: which of a segment's rows were visible when does not matter.
    ever = {one.segment_id: one for one in ledger.history(publications) if one.segment_id is not None}
    reads = visible_state(ever.values(), segments, project.offline_path)
    return tuple(read for read in reads if read.path.exists())


def entity_rows(
    known: Mapping[tuple[str, ...], Sequence[tuple[Any, ...]]], kinds: Mapping[str, DataType]
) -> EntityRows:
    """Rows in which every known key of every view stands at least once, then unknown and null keys, then a duplicate.

    Args:
        known: Key columns of a view -> keys that it has.
        kinds: Entity column -> type.
    """
    if not kinds:
        return EntityRows({}, 1)
    rows: list[dict[str, Any]] = []
    waiting = [columns for columns in known if known[columns]]
    while waiting:
        # Views that share no column stand side by side in one block of rows.
        block: list[tuple[str, ...]] = []
        for columns in waiting:
            if not set(columns) & {column for other in block for column in other}:
                block.append(columns)
        waiting = [columns for columns in waiting if columns not in block]
        rows += _block(block, known)
    unknown = {column: _unknown(kind) for column, kind in kinds.items()}
    filled = [{**unknown, **row} for row in rows]
    first = filled[0] if filled else unknown
    filled += [unknown, *({**first, column: None} for column in kinds), dict.fromkeys(kinds), first]
    return EntityRows({column: [row[column] for row in filled] for column in kinds}, len(filled))


def _block(
    block: Sequence[tuple[str, ...]], known: Mapping[tuple[str, ...], Sequence[tuple[Any, ...]]]
) -> list[dict[str, Any]]:
    longest = max(len(known[columns]) for columns in block)
    return [
        {
            column: value
            for columns in block
            for column, value in zip(columns, known[columns][number % len(known[columns])], strict=True)
        }
        for number in range(longest)
    ]


def _unknown(kind: DataType) -> Any:
    """A key that nobody is likely to have."""
    if kind in INTEGER_RANGES:
        return INTEGER_RANGES[kind][0]
    odd: dict[DataType, Any] = {
        Bool: False,
        String: "no such key \N{SNOWMAN}",
        Bytes: b"\x00no such key\xff",
        Date: date(1583, 1, 1),
        Timestamp: datetime(1583, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    }
    return odd[kind]


# -- whom to ask -------------------------------------------------------------------------------------------------------


def _retrieving(
    retrieve: Callable[[pa.Table], tuple[Mapping[str, Any], pa.Table]], kinds: Mapping[str, DataType]
) -> Retrieve:
    def asked(columns: Columns, instants: Sequence[int]) -> Answers:
        arrays = {name: pa.array(values, kinds[name].arrow) for name, values in columns.items()}
        arrays[TIME] = pa.array(instants, pa.int64()).cast(pa.timestamp("us", "UTC"))
        values, statuses = retrieve(pa.table(arrays))
        return Answers(
            {name: values[name].to_pylist() for name in statuses.column_names},
            {name: statuses.column(name).to_pylist() for name in statuses.column_names},
        )

    return asked


def _looking_up(store: OnlineStore, plan: LookupPlan) -> Lookup:
    def asked(columns: Columns, now: int) -> Answers:
        answer = lookup(store, plan, columns, now=now)
        values = answer.to_dict()
        return Answers(
            {column.name: values[column.name] for column in plan.columns},
            {column.name: answer.statuses(column) for column in plan.columns},
        )

    return asked


def _run_sequences(registry: Registry, plan: LookupPlan) -> dict[str, frozenset[int]]:
    """View -> the sequences of all its runs in the online store; any other one is a push's."""
    views = {read.projection.place.view for read in plan.reads}
    return {view: frozenset(run.online_sequence for run in registry.runs(view=view)) for view in views}


def _pushed(store: OnlineStore, plan: LookupPlan, sequences: Mapping[str, frozenset[int]], *, now: int) -> Pushed:
    places = {read.projection.name: number for number, read in enumerate(plan.reads)}

    def length(columns: Columns) -> int:
        return max((len(values) for values in columns.values()), default=1)

    def asked(view: str, columns: Columns) -> Sequence[bool]:
        if view not in places:
            # Computed: ahead where any row that went into it is.
            every = [asked(name, columns) for name in places]
            return [any(row) for row in zip(*every, strict=True)] if every else [False] * length(columns)
        number = places[view]
        read = plan.reads[number]
        count = length(columns)
        request = prepare(plan, columns, now=now)
        place, keys = request.reads[number]
        rows = request.spread[number] if read.projection.keys else None
        of_runs = sequences[place.view]
        found = [value is not None and sequence_of(value) not in of_runs for value in store.read(place, keys)]
        if not read.projection.keys:
            return found * count
        ahead = [False] * count
        for row, one in zip(rows if rows is not None else range(count), found, strict=True):
            ahead[row] = one
        return ahead

    return asked
