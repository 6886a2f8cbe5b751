"""Plan + entity rows -> answers, one view after the other: several ASOF joins in one query need many times the memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitherto.offline.duckdb import point_in_time
from hitherto.offline.duckdb.connection import Limits, connect
from hitherto.offline.duckdb.point_in_time import EXPIRED, FOUND, Winners
from hitherto.offline.plan import RetrievalPlan, ViewRead
from hitherto.training.coverage import Coverage, ViewCoverage, needs_missing, refuse_missing
from hitherto.training.entity_rows import engine_rows
from hitherto.training.request import Missing

PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE = "PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"


@dataclass(frozen=True)
class Answer:
    """What a retrieval found: feature columns, and per view the winners they came from."""

    columns: Mapping[str, pa.ChunkedArray | pa.Array]
    winners: Mapping[str, Winners]
    times: np.ndarray
    """The entity rows' times, int64 microseconds; meaningless where `null_times`."""
    null_times: np.ndarray
    missing: Mapping[str, np.ndarray]
    """Per view: which rows need a range that no run has published, and were answered with null."""
    coverage: Coverage

    def statuses(self, plan: RetrievalPlan) -> pa.Table:
        """Per feature and row the status that a lookup at the row's time would give (semantics 4)."""
        names = pa.array([NOT_FOUND, PRESENT, OUTSIDE_MAX_AGE, NULL_VALUE])
        owner = {output: read.name for read in plan.reads for output in read.outputs}
        columns = []
        for output in plan.outputs:
            state = self.winners[owner[output]].state
            null = np.asarray(self.columns[output].is_null())
            columns.append(names.take(pa.array(np.where((state == FOUND) & null, 3, state))))
        return pa.Table.from_arrays(columns, names=list(plan.outputs))


def retrieve(plan: RetrievalPlan, entity: pa.Table, *, limits: Limits, missing: Missing) -> Answer:
    """Answer every view of the plan for the entity rows.

    Raises:
        NotMaterializedError: A row needs a range that no run has published, and `missing` is "error".
        UnknownNameError, JoinKeyError, KeyTypeError: The entity rows do not fit.
    """
    rows = engine_rows(entity, timestamp_field=plan.timestamp_field, keys=plan.key_types, views=plan.view_names)
    time = rows.column("__time")
    null_times = np.asarray(time.is_null())
    micros = pc.fill_null(time.cast(pa.int64()), 0).to_numpy()
    columns: dict[str, pa.ChunkedArray | pa.Array] = {}
    winners: dict[str, Winners] = {}
    coverage: dict[str, ViewCoverage] = {}
    # What is refused for one view is refused before the others are read.
    asking = {name: _Asking(reads[-1], rows, micros, null_times) for name, reads in plan.views.items()}
    gaps = {name: one.missing(missing) for name, one in asking.items()}
    with connect(limits) as con:
        point_in_time.register(con, rows)
        for name, reads in plan.views.items():
            found = _merged([point_in_time.retrieve(con, read, rows.num_rows) for read in reads])
            winners[name] = _hidden(found, gaps[name]) if gaps[name].any() else found
            columns.update(zip(winners[name].values.column_names, winners[name].values.columns, strict=True))
            coverage[name] = asking[name].coverage(name, winners[name], gaps[name])
    return Answer(columns, winners, micros, null_times, gaps, Coverage(coverage))


class _Asking:
    """The entity rows as one view sees them: which of them ask for anything, and whether it was ever published."""

    def __init__(self, read: ViewRead, rows: pa.Table, micros: np.ndarray, null_times: np.ndarray) -> None:
        self.read, self.micros = read, micros
        self.null_keys = np.zeros(len(micros), dtype=bool)
        for column in read.key_columns.values():
            self.null_keys |= np.asarray(rows.column(column).is_null())
        self.null_times = null_times & ~self.null_keys
        self.asks = ~(null_times | self.null_keys)

    def missing(self, missing: Missing) -> np.ndarray:
        """Which rows need what was never published; refused here unless nulls are asked for."""
        read = self.read
        if read.as_served:
            return np.zeros(len(self.micros), dtype=bool)
        never = read.watermark is None
        ttl = read.ttl[0].micros if read.ttl else None
        needs = self.asks & (True if never else needs_missing(self.micros, read.missing, ttl))
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
    merged = parts[-1]
    if len(parts) == 1:
        return merged
    outputs: dict[str, pa.DataType] = {}
    for part in parts:
        for column in part.values.schema:
            outputs[column.name] = _wider(outputs.get(column.name, column.type), column.type)
    state = np.zeros_like(merged.state)
    columns: dict[str, pa.Array] = {name: pa.nulls(len(state), kind) for name, kind in outputs.items()}
    event = created = available = pa.nulls(len(state), pa.timestamp("us"))
    runs = pa.nulls(len(state), pa.string())
    for part in parts:
        mine = pa.array(part.state > 0)
        state = np.where(part.state > 0, part.state, state)
        for name in part.values.column_names:
            columns[name] = pc.if_else(mine, part.values.column(name).cast(outputs[name]), columns[name])
        event, created = pc.if_else(mine, part.event, event), pc.if_else(mine, part.created, created)
        available, runs = pc.if_else(mine, part.available, available), pc.if_else(mine, part.run_ids, runs)
    return Winners(pa.table(columns), state, event, created, available, runs)


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type of both; where versions differ, plans allow only widths of integers or of floats."""
    return one if one == other or one.bit_width > other.bit_width else other


def _hidden(found: Winners, rows: np.ndarray) -> Winners:
    """The same without an answer for some rows."""
    hide = pa.array(rows)

    def cleared(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        return pc.if_else(hide, pa.scalar(None, column.type), column)

    values = pa.Table.from_arrays([cleared(column) for column in found.values.columns], names=found.values.column_names)
    state = np.where(rows, np.int8(0), found.state)
    return Winners(
        values, state, cleared(found.event), cleared(found.created), cleared(found.available), cleared(found.run_ids)
    )
