"""Plan + entity rows -> answers, one view after the other: so that only one view's rows are held at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitherto.offline.duckdb import windowed
from hitherto.offline.duckdb.connection import Limits, working
from hitherto.offline.duckdb.point_in_time import EXPIRED, FOUND, Requests, Winners
from hitherto.offline.duckdb.point_in_time import retrieve as retrieve_view
from hitherto.offline.plan import Default, RetrievalPlan, ViewRead
from hitherto.training.coverage import Coverage, ViewCoverage, needs_missing, refuse_missing
from hitherto.training.defaults import filled
from hitherto.training.entity_rows import engine_rows
from hitherto.training.request import Missing

if TYPE_CHECKING:
    import duckdb

PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE = "PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"
ERROR = "ERROR"


@dataclass(frozen=True)
class Computed:
    """A column of on-demand features."""

    values: pa.Array
    errors: np.ndarray
    """Which rows the function failed for."""
    null_times: np.ndarray
    """Which rows it was not called for: they have no time."""
    default: Default | None

    @property
    def filled(self) -> pa.Array:
        """The values, with the default where there is none."""
        return filled(self.values, self.default)

    @property
    def statuses(self) -> pa.Array:
        """The status of each row, as a lookup at its time gives it."""
        names = pa.array([PRESENT, NULL_VALUE, NOT_FOUND, ERROR])
        null = np.asarray(self.values.is_null())
        return names.take(pa.array(np.select([self.null_times, self.errors, null], [2, 3, 1], 0)))


@dataclass(frozen=True)
class Answer:
    """What a retrieval found: feature columns as they are stored, and per view the winners they came from."""

    columns: Mapping[str, pa.ChunkedArray | pa.Array]
    winners: Mapping[str, Winners]
    times: np.ndarray
    """The entity rows' times, int64 microseconds; meaningless where `null_times`."""
    null_times: np.ndarray
    missing: Mapping[str, np.ndarray]
    """Per view: which rows need a range that no run has published, and were answered with null."""
    coverage: Coverage
    computed: Mapping[str, Computed] = field(default_factory=dict)
    """The columns that were computed from others."""

    def values(
        self, plan: RetrievalPlan, outputs: Sequence[str] | None = None
    ) -> dict[str, pa.ChunkedArray | pa.Array]:
        """The output columns in the order asked, with defaults where there is no value (semantics 4)."""
        # With as_served, a feature that no version had has no column.
        nothing, defaults = pa.nulls(len(self.times)), plan.defaults
        return {
            name: self.computed[name].filled
            if name in self.computed
            else filled(self.columns.get(name, nothing), defaults.get(name))
            for name in (plan.outputs if outputs is None else outputs)
        }

    def statuses(self, plan: RetrievalPlan, outputs: Sequence[str] | None = None) -> pa.Table:
        """Per feature and row the status that a lookup at the row's time would give (semantics 4)."""
        outputs = plan.outputs if outputs is None else outputs
        names = pa.array([NOT_FOUND, PRESENT, OUTSIDE_MAX_AGE, NULL_VALUE])
        owner = {output: read.name for read in plan.reads for output in read.outputs}
        columns = []
        for output in outputs:
            if output in self.computed:
                columns.append(self.computed[output].statuses)
                continue
            state = self.winners[owner[output]].state
            null = np.asarray(self.columns[output].is_null())
            columns.append(names.take(pa.array(np.where((state == FOUND) & null, 3, state))))
        return pa.Table.from_arrays(columns, names=list(outputs))


def retrieve(plan: RetrievalPlan, entity: pa.Table, *, limits: Limits, missing: Missing) -> Answer:
    """Answer every view of the plan for the entity rows.

    Raises:
        NotMaterializedError: A row needs a range that no run has published, and `missing` is "error".
        UnknownNameError, JoinKeyError, KeyTypeError: The entity rows do not fit.
    """
    rows = engine_rows(entity, timestamp_field=plan.timestamp_field, keys=plan.key_types, views=plan.view_names)
    requests = Requests(rows)
    columns: dict[str, pa.ChunkedArray | pa.Array] = {}
    winners: dict[str, Winners] = {}
    coverage: dict[str, ViewCoverage] = {}
    # What is refused for one view is refused before the others are read.
    asking = {name: _Asking(reads[-1], requests) for name, reads in plan.views.items()}
    gaps = {name: one.missing(missing) for name, one in asking.items()}
    with working(limits) as con:
        for name, reads in plan.views.items():
            found = _merged([_retrieved(con, read, requests, limits) for read in reads])
            winners[name] = _hidden(found, gaps[name]) if gaps[name].any() else found
            columns.update(zip(winners[name].values.column_names, winners[name].values.columns, strict=True))
            coverage[name] = asking[name].coverage(name, winners[name], gaps[name])
    return Answer(columns, winners, requests.times, requests.null_times, gaps, Coverage(coverage))


def _retrieved(con: duckdb.DuckDBPyConnection, read: ViewRead, requests: Requests, limits: Limits) -> Winners:
    how = windowed.retrieve if read.view.aggregations else retrieve_view
    return how(con, read, requests, limits=limits)


class _Asking:
    """The entity rows as one view sees them: which of them ask for anything, and whether it was ever published."""

    def __init__(self, read: ViewRead, requests: Requests) -> None:
        self.read, self.micros = read, requests.times
        self.null_keys = requests.null_keys(read)
        self.null_times = requests.null_times & ~self.null_keys
        self.asks = ~(requests.null_times | self.null_keys)

    def missing(self, missing: Missing) -> np.ndarray:
        """Which rows need what was never published; refused here unless nulls are asked for."""
        read = self.read
        if read.as_served:
            return np.zeros(len(self.micros), dtype=bool)
        never = read.watermark is None
        # Rows of a windowed view count as long as its longest window, which is its online retention.
        limits = read.online_retention if read.view.aggregations else read.ttl
        ttl = limits[0].micros if limits else None
        needs: np.ndarray = self.asks & (True if never else needs_missing(self.micros, read.missing, ttl))
        if missing == "error" and (needs.any() or never):
            refuse_missing(read.view.name, read.missing, int(needs.sum()), never=never, as_of=read.as_of)
        return needs

    def coverage(self, name: str, found: Winners, gaps: np.ndarray) -> ViewCoverage:
        """Every row counts once: found, expired, without a key, without a time, missing, or simply not there."""
        watermark = self.read.watermark
        return ViewCoverage(
            view=name,
            rows=len(self.micros),
            found=int((found.state == FOUND).sum()),
            expired=int((found.state == EXPIRED).sum()),
            null_keys=int(self.null_keys.sum()),
            null_times=int(self.null_times.sum()),
            after_watermark=0 if watermark is None else int((self.asks & (self.micros >= watermark)).sum()),
            missing=int(gaps.sum()),
        )


def _merged(parts: Sequence[Winners]) -> Winners:
    """One answer from the versions that served one after the other: each row is answered by the one that served it."""
    if len(parts) == 1:
        return parts[0]
    outputs: dict[str, pa.DataType] = {}
    for part in parts:
        for column in part.values.schema:
            outputs[column.name] = _wider(outputs.get(column.name, column.type), column.type)
    state = np.zeros_like(parts[0].state)
    columns: dict[str, pa.Array] = {name: pa.nulls(len(state), kind) for name, kind in outputs.items()}
    for part in parts:
        mine = pa.array(part.state > 0)
        state = np.where(part.state > 0, part.state, state)
        for name in part.values.column_names:
            columns[name] = pc.if_else(mine, part.values.column(name).cast(outputs[name]), columns[name])

    def trace() -> pa.Table:
        merged = parts[0].traced
        for part in parts[1:]:
            mine = pa.array(part.state > 0)
            pairs = zip(part.traced.columns, merged.columns, strict=True)
            merged = pa.table([pc.if_else(mine, one, other) for one, other in pairs], names=merged.column_names)
        return merged

    return Winners(pa.table(columns), state, trace)


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type of both; where versions differ, plans allow only widths of integers or of floats."""
    return one if one == other or one.bit_width > other.bit_width else other


def _hidden(found: Winners, rows: np.ndarray) -> Winners:
    """The same without an answer for some rows."""
    hide = pa.array(rows)

    def cleared(table: pa.Table) -> pa.Table:
        columns = [pc.if_else(hide, pa.scalar(None, column.type), column) for column in table.columns]
        return pa.Table.from_arrays(columns, names=table.column_names)

    state = np.where(rows, np.int8(0), found.state)
    return Winners(cleared(found.values), state, lambda: cleared(found.traced))
