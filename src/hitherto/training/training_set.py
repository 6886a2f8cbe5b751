"""TrainingSet: entity rows with what was known at their times. Lazy: nothing is read before the first result is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from hitherto.errors import UnknownNameError, UsageError
from hitherto.events import Observers, TrainingSetBuilt
from hitherto.offline.content_hash import hash_table
from hitherto.offline.duckdb import point_in_time, windowed_sql
from hitherto.offline.duckdb.connection import Limits
from hitherto.offline.plan import RetrievalPlan, in_force
from hitherto.registry.records import TrainingSetRecord
from hitherto.result import Result
from hitherto.timeline import to_datetime
from hitherto.training import explanation, leakage, on_demand
from hitherto.training.coverage import Coverage
from hitherto.training.explanation import Explanation, ViewExplanation
from hitherto.training.leakage import FeatureLeakage, LeakageReport
from hitherto.training.on_demand import OnDemandRequest
from hitherto.training.request import Missing
from hitherto.training.retrieval import Answer, retrieve


@dataclass(frozen=True)
class TrainingRequest:
    """All that decides the content of a training set."""

    entity: pa.Table
    plan: RetrievalPlan
    missing: Missing
    label_paths: tuple[str, ...] = ()
    """Paths of the sources that the entity rows were selected from, where they came as SQL."""
    on_demand: OnDemandRequest | None = None
    """What is computed after the retrieval, if anything is."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The feature columns, in the order asked."""
        return self.plan.outputs if self.on_demand is None else self.on_demand.outputs


def answered(request: TrainingRequest, *, limits: Limits) -> Answer:
    """What a request is answered with: retrieved, then computed."""
    found = retrieve(request.plan, request.entity, limits=limits, missing=request.missing)
    return found if request.on_demand is None else on_demand.compute(request.on_demand, request.plan, found)


class TrainingSet(Result):
    """The entity rows, in their order, with their features (semantics 3).

    `to_pandas()`, `to_polars()`, `to_arrow()`, `to_batches()`, `write_parquet(path)` and `head()` give the rows.
    """

    def __init__(
        self,
        request: TrainingRequest,
        *,
        limits: Limits,
        save: Callable[[TrainingSet, str, str], TrainingSetRecord],
        observers: Observers,
    ) -> None:
        super().__init__()
        self._request = request
        self._limits = limits
        self._save = save
        self._observers = observers
        self._answer: Answer | None = None

    def _retrieved(self) -> Answer:
        if self._answer is None:
            began = time.perf_counter()
            request = self._request
            self._answer = answered(request, limits=self._limits)
            seconds = time.perf_counter() - began
            self._observers.notify(TrainingSetBuilt(request.entity.num_rows, request.outputs, seconds))
        return self._answer

    def _compute(self) -> pa.Table:
        entity, answer = self._request.entity, self._retrieved()
        features = {name: _utc(column) for name, column in answer.values(self._request.plan, self.features).items()}
        columns = [*entity.columns, *features.values()]
        return pa.Table.from_arrays(columns, names=[*entity.column_names, *features])

    @property
    def request(self) -> TrainingRequest:
        """What was asked: entity rows, plan, and how missing ranges are treated."""
        return self._request

    @property
    def features(self) -> tuple[str, ...]:
        """The feature columns, in the order asked."""
        return self._request.outputs

    @property
    def content_hash(self) -> str:
        """SHA-256 of the rows: equal for equal content, whatever runs, files, threads or batches made it."""
        return hash_table(self.to_arrow())

    def statuses(self) -> pa.Table:
        """Per feature and row: PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE or ERROR (semantics 4)."""
        return self._retrieved().statuses(self._request.plan, self.features)

    @property
    def coverage(self) -> Coverage:
        """Per view: rows found, expired, without key or time, after the watermark, missing."""
        return self._retrieved().coverage

    def sql(self) -> str:
        """The same answer as SQL, view by view: what decides a value, as one statement that can be run by hand.

        It reads the entity rows as a table `__entity_rows` with a row number `__row` and a time `__time`. A retrieval finds
        the same rows faster, by searching what the segments hold sorted.
        """
        parts = []
        for read in self._request.plan.reads:
            how = windowed_sql.sql if read.view.aggregations else point_in_time.sql
            body = how(read) if read.segments else ["-- nothing is published: all nulls"]
            parts.append(f"-- feature view {read.name}, version {read.version}\n" + ";\n".join(body) + ";")
        if self._request.on_demand is not None:
            views = self._request.on_demand.computations.views
            parts += [f"-- on-demand feature view {one.view.name}: {on_demand.described(one)}" for one in views]
        return "\n\n".join(parts)

    def explain(self, row: int = 0) -> Explanation:
        """How one row (counted from 0) was answered. Raises UsageError for a row that is not there."""
        count = self._request.entity.num_rows
        if not -count <= row < count:
            raise UsageError(f"There is no row {row}: the training set has {count:,} rows, counted from 0.")
        row %= count
        answer = self._retrieved()
        null_time = bool(answer.null_times[row])
        time = None if null_time else to_datetime(int(answer.times[row]))
        statuses, table = self.statuses(), self.to_arrow()
        views = [self._explain_view(name, row, answer, statuses, table) for name in self._request.plan.views]
        if self._request.on_demand is not None:
            views += on_demand.explain(self._request.on_demand, answer, row, table, statuses)
        return Explanation(row, time, tuple(views))

    def _explain_view(
        self, name: str, row: int, answer: Answer, statuses: pa.Table, table: pa.Table
    ) -> ViewExplanation:
        reads = self._request.plan.views[name]
        found = answer.winners[name]
        traced = found.traced.slice(row, 1)
        run_id = traced.column("run_id")[0].as_py()
        read = next((one for one in reads if any(part.run_id == run_id for part in one.segments)), reads[-1])
        key = {key: self._request.entity.column(column)[row].as_py() for key, column in read.key_columns.items()}
        event, created, available = (_instant(traced.column(name)) for name in ("event", "created", "available"))
        null_time = bool(answer.null_times[row])
        age = None if event is None or null_time else to_datetime(int(answer.times[row])) - event
        outputs = [output for output in self.features if any(output in one.outputs for one in reads)]
        return ViewExplanation(
            view=name,
            key=key,
            values={output: table.column(output)[row].as_py() for output in outputs},
            statuses={output: statuses.column(output)[row].as_py() for output in outputs},
            event_time=event,
            created_time=created,
            available_time=available,
            age=age,
            run_id=run_id,
            segment=next((str(one.path.name) for part in reads for one in part.segments if one.run_id == run_id), None),
            rule=explanation.rule(
                state=int(found.state[row]),
                age=age,
                ttl=in_force(read.ttl, int(answer.times[row])),
                retention=in_force(read.online_retention, int(answer.times[row])),
                window=read.view.longest_window,
                windowed=bool(read.view.aggregations),
                null_time=null_time,
                # NaN is how pandas writes a null among its floats.
                null_key=any(value is None or value != value for value in key.values()),
                missing=bool(answer.missing[name][row]),
            ),
        )

    def leakage_report(self, *, label: str) -> LeakageReport:
        """Features that look as if they had seen the label. Raises UnknownNameError if the label is no column."""
        table, answer = self.to_arrow(), self._retrieved()
        if label not in table.column_names:
            raise UnknownNameError("column", label, table.column_names, where="the training set (label)")
        found = []
        for name, reads in self._request.plan.views.items():
            winners = answer.winners[name]
            valid = winners.state == point_in_time.FOUND
            event = winners.traced.column("event").cast(pa.int64()).fill_null(0).to_numpy()
            zero = float((event[valid] == answer.times[valid]).mean()) if valid.any() else 0.0
            paths = {source.path for source in reads[-1].view.all_sources.values()}
            same = not paths.isdisjoint(self._request.label_paths)
            for output in (one for one in reads[-1].outputs if one in self.features):
                found.append(
                    FeatureLeakage(output, name, zero, leakage.auc(table.column(output), table.column(label)), same)
                )
        found.sort(key=lambda one: -max(one.auc or 0.5, 1 - (one.auc or 0.5)))
        return LeakageReport(label, tuple(found))

    def save(self, name: str, *, description: str = "") -> TrainingSetRecord:
        """Pin it under a name: manifest, entity rows and content hash, so that it can be built again and compared.

        Raises:
            UsageError: The name is none (semantics 7).
            StorageError: The entity rows cannot be written.
        """
        return self._save(self, name, description)


def _utc(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return column.cast(pa.timestamp("us", tz="UTC")) if pa.types.is_timestamp(column.type) else column


def _instant(column: pa.ChunkedArray) -> datetime | None:
    value = column.cast(pa.int64())[0].as_py()
    return None if value is None else to_datetime(value)
