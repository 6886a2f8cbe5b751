"""FeatureStore: every verb of the product, each a short delegation to the room that does the work."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from hitherto.config import Config
from hitherto.definitions.collection import Definitions
from hitherto.definitions.entity import Entity
from hitherto.definitions.feature_service import FeatureService
from hitherto.definitions.feature_view import FeatureView
from hitherto.definitions.on_demand import OnDemandFeatureView, RequestSource
from hitherto.definitions.source import ParquetSource
from hitherto.errors import DefinitionError, HithertoError, Location, RunInProgressError, UnknownNameError
from hitherto.events import DefinitionsApplied, Observer, Observers
from hitherto.materialization.context import RunContext
from hitherto.offline.duckdb.connection import Limits, engine_of
from hitherto.registry import discovery
from hitherto.registry.diff import Plan
from hitherto.registry.records import Run, RunState, TrainingSetRecord
from hitherto.registry.snapshot import Snapshot
from hitherto.registry.sqlite import Registry
from hitherto.timeline import Clock, instant, system_clock

if TYPE_CHECKING:
    import pyarrow as pa

    from hitherto.lineage.graph import Lineage
    from hitherto.materialization.materialize import OnError
    from hitherto.materialization.report import MaterializationReport
    from hitherto.monitoring.doctor import DoctorReport
    from hitherto.monitoring.parity import ParityReport
    from hitherto.monitoring.parity_sides import Project
    from hitherto.monitoring.verification import VerificationReport
    from hitherto.on_demand.functions import Functions
    from hitherto.online.answer import Answer
    from hitherto.online.plan import LookupPlan, LookupPlans
    from hitherto.online.store import OnlineStore
    from hitherto.result import Result
    from hitherto.training.building import SavedTrainingSet, TrainingContext
    from hitherto.training.request import Missing
    from hitherto.training.training_set import TrainingSet

logger = logging.getLogger("hitherto")

Instant = datetime | date | str
T = TypeVar("T")
Objects = Iterable[Entity | ParquetSource | FeatureView | OnDemandFeatureView | RequestSource | FeatureService]


class FeatureStore:
    """One project: its definitions, its published data, its lookups.

    Args:
        repo_path: The folder with hitherto.toml and the definitions.
        env: Environment whose settings are laid over the others; HITHERTO_ENV if not given.
        clock: A callable that returns an aware datetime; the system's clock if not given (semantics 1).
        config: Settings built by hand, instead of a folder with hitherto.toml.
        observers: Who is told what happens (hitherto.events).

    Raises:
        ConfigError: A setting is wrong.

    A store is a context manager; `close()` ends its connections. Threads may share it.
    """

    def __init__(
        self,
        repo_path: str | Path | None = None,
        *,
        env: str | None = None,
        clock: Clock | None = None,
        config: Config | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.config = (
            config if config is not None else Config.load(repo_path if repo_path is not None else ".", env=env)
        )
        self.clock: Clock = clock or system_clock
        self._observers = Observers(tuple(observers))
        self._snapshot: Snapshot | None = None
        self._snapshot_until = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        for name in ("registry", "online_store"):
            part = self.__dict__.pop(name, None)
            if part is not None:
                part.close()
        context = self.__dict__.pop("context", None)
        if context is not None:
            context.engine.close()
        self.__dict__.pop("_training", None)

    # -- parts ---------------------------------------------------------------------------------------------------------

    @cached_property
    def registry(self) -> Registry:
        """What is deployed. Opening it first finishes runs whose process died (semantics 5)."""
        self.__dict__["registry"] = registry = Registry(self.config.registry_path, project=self.config.project)
        if registry.unfinished_runs():
            self._recover()
        return registry

    @cached_property
    def online_store(self) -> OnlineStore:
        """Where lookups are answered from."""
        from hitherto.online.stores import open_store

        config, password = self.config, self.config.online_password()
        return open_store(
            config.online_url,
            root=config.repo_path,
            username=config.online.username,
            password=password.get_secret_value() if password else None,
            timeout=config.online.timeout,
        )

    @cached_property
    def functions(self) -> Functions:
        """The functions of on-demand feature views: the repo's, loaded when first needed, and those that were applied as objects."""
        from hitherto.on_demand.functions import Functions

        return Functions(self.definitions)

    @cached_property
    def _lookup(self) -> Callable[..., Answer]:
        """`online.reader.lookup`, imported once: an import statement takes a microsecond each time, a twentieth of a lookup."""
        from hitherto.online.reader import lookup

        return lookup

    @cached_property
    def _lookup_plans(self) -> LookupPlans:
        from hitherto.online.plan import LookupPlans

        return LookupPlans()

    @cached_property
    def context(self) -> RunContext:
        """The parts as a run needs them."""
        return RunContext(
            project=self.config.project,
            root=self.config.repo_path,
            offline_path=self.config.offline_path,
            engine=engine_of(self._limits),
            registry=self.registry,
            open_online=lambda: self.online_store,
            clock=self.clock,
            observers=self._observers,
        )

    @cached_property
    def _training(self) -> TrainingContext:
        """The parts as training sets need them."""
        from hitherto.training.building import TrainingContext

        root, offline_path = self.config.repo_path, self.config.offline_path
        return TrainingContext(
            root, offline_path, self._limits, self.registry, self.clock, self._observers, self.functions
        )

    @property
    def _limits(self) -> Limits:
        config = self.config
        return Limits(memory=f"{config.memory_limit}B", threads=config.offline.threads, temp_directory=config.temp_path)

    def _recover(self) -> None:
        """Reading verbs work without the online store, so here its absence is only said; materialize insists."""
        from hitherto.materialization.recovery import recover

        try:
            recover(self.context)
        except HithertoError as error:
            logger.warning("An interrupted run could not be finished yet: %s", error)

    def observe(self, observer: Observer) -> None:
        """Tell one more observer what happens from now on."""
        self._observers = self._observers.with_observer(observer)
        for name in ("context", "_training"):
            self.__dict__.pop(name, None)

    # -- definitions ---------------------------------------------------------------------------------------------------

    def definitions(self, objects: Objects | None = None) -> Definitions:
        """The repo's definitions, or these objects', checked across each other. Raises DefinitionError with all problems."""
        return discovery.load(self.config.repo_path) if objects is None else discovery.collect(objects)

    def check(self, objects: Objects | None = None, *, run_transforms: bool = False) -> Definitions:
        """The definitions, after a look at every source too; nothing is written.

        Args:
            objects: Definitions from a notebook, instead of the repo's.
            run_transforms: Also run each transform, some times on parts of its rows: one that sees the future, or further
                back than its lookback, is a problem. Without it only names and types of the sources are read.

        Raises:
            DefinitionError: All problems at once: of the definitions, and of the sources of the views that are sound otherwise.
        """
        from hitherto.materialization.source_check import checked

        def load() -> Definitions:
            return self.definitions(objects)

        return checked(load, root=self.config.repo_path, limits=self._limits, run_transforms=run_transforms)

    def plan(self, objects: Objects | None = None) -> Plan:
        """What `apply` would change, what has to be computed, who is affected (semantics 6).

        Raises:
            DefinitionError: All problems of the repo, with file and line; those of new and changed views with their sources too.
        """
        from hitherto.materialization.source_check import check_changed

        try:
            wanted = self.definitions(objects)
        except DefinitionError:
            wanted = self.check(objects)  # says what is wrong with the sources too
        plan = self.registry.plan(wanted)
        check_changed(plan, wanted, root=self.config.repo_path, limits=self._limits)
        return plan

    def apply(self, objects: Objects | None = None, *, plan: Plan | None = None, allow_remove: bool = False) -> Plan:
        """Set the registry to what the repo says, or to these objects.

        Args:
            objects: Definitions from a notebook, instead of the repo's.
            plan: A plan that was looked at; the registry must not have moved since.
            allow_remove: Whether definitions that have data may go.

        Returns:
            The plan that was carried out.

        Raises:
            DefinitionError: Something is wrong with the definitions; nothing was changed.
            RegistryConflict: The registry has moved since the plan.
        """
        done = plan if plan is not None else self.plan(objects)
        wanted = self.definitions(objects)
        self.registry.apply(wanted, expected_serial=done.serial, now=self._now(), allow_remove=allow_remove)
        self._snapshot = None
        if wanted.on_demand_feature_views:
            self.functions.give(wanted.on_demand_feature_views.values())
        lines = tuple(
            f"{change.action} {change.kind} {change.name!r}" for change in done.changes if change.action != "unchanged"
        )
        self._observers.notify(DefinitionsApplied(self.config.project, self.registry.serial(), lines))
        return done

    # -- materialization -----------------------------------------------------------------------------------------------

    def materialize(
        self,
        start: Instant | None = None,
        end: Instant | None = None,
        *,
        feature_views: Sequence[str] | None = None,
        on_error: OnError = "raise",
    ) -> MaterializationReport:
        """Compute, check and publish `[start, end)` in available time (semantics 5).

        Args:
            start: The earliest row of each source if not given.
            end: The clock's now if not given; it cannot be in the future.
            feature_views: Only these; all if not given.
            on_error: "raise", or "report" to get the report whatever happened.

        Raises:
            MaterializationRejected, MaterializationFailed: After all views are done, with `.report`.
            IntervalError: The interval is reversed, or ends in the future.
        """
        return self._materialize(start, end, feature_views, on_error, incremental=False)

    def materialize_incremental(
        self, end: Instant | None = None, *, feature_views: Sequence[str] | None = None, on_error: OnError = "raise"
    ) -> MaterializationReport:
        """Recompute what late or changed files made stale, then go on from where each view stands to `end`."""
        return self._materialize(None, end, feature_views, on_error, incremental=True)

    def _materialize(
        self,
        start: Instant | None,
        end: Instant | None,
        feature_views: Sequence[str] | None,
        on_error: OnError,
        *,
        incremental: bool,
    ) -> MaterializationReport:
        from hitherto.materialization import materialize as work

        bounds = {
            name: None if value is None else instant(value, what=name)
            for name, value in (("start", start), ("end", end))
        }
        wanted = work.request(self.context, start=bounds["start"], end=bounds["end"], incremental=incremental)
        try:
            return work.materialize(
                self.context, work.newest_versions(self.context, feature_views), wanted, on_error=on_error
            )
        finally:
            # Who publishes sees it at once; others within the poll interval.
            self._snapshot = None

    def push(self, feature_view: str, rows: Any) -> int:
        """Write rows to the online store at once, ahead of the next run (semantics 4).

        Args:
            feature_view: Its name.
            rows: A frame with the columns of the view's source (of its transform's result, if it has one). All rows must
                be available by now and pass the view's row checks.

        Returns:
            How many rows were newer than what was stored. An older row never replaces a newer one; a replay does nothing.
        """
        from hitherto.materialization.pushing import push

        return push(self.context, self.registry.snapshot().view(feature_view), rows)

    # -- training ------------------------------------------------------------------------------------------------------

    def get_historical_features(
        self,
        entity_df: Any,
        features: Sequence[str] | FeatureService | str,
        *,
        full_feature_names: bool = False,
        timestamp_field: str = "event_timestamp",
        as_of: Instant | None = None,
        as_served: bool = False,
        missing: Missing = "error",
    ) -> TrainingSet:
        """Each entity row with what was known at its time, never later (semantics 3). Lazy.

        Args:
            entity_df: A pandas, Polars or PyArrow table, a DuckDB relation, a Path to Parquet, or SQL over the sources by name.
            features: References "view:feature", or a feature service (itself or its name).
            full_feature_names: Name columns `view__feature`.
            timestamp_field: The column of times.
            as_of: The store as it was published then.
            as_served: For each row only what a run had published by its time: what a lookup then was given.
            missing: "error", or "null" for rows that need ranges that no run has published.

        Raises:
            UnknownNameError, NameCollisionError, JoinKeyError, KeyTypeError: The request does not fit; names the object.
            NotMaterializedError: When the result is asked for and a row needs a range that no run has published.
        """
        from hitherto.training.building import Options, build

        at = None if as_of is None else instant(as_of, what="as_of")
        options = Options(full_feature_names, timestamp_field, at, as_served, missing)
        return build(self._training, entity_df, features, options)

    def get_training_set(self, name: str, version: int | None = None) -> SavedTrainingSet:
        """A saved training set; `.recreate()` builds it again and compares."""
        from hitherto.training.building import load

        return load(self._training, name, version)

    def read(self, feature_view: str | FeatureView, start: Instant | None = None, end: Instant | None = None) -> Result:
        """The published rows of a view that became available in `[start, end)`, for exploring."""
        from hitherto.training.reading import read

        begin = None if start is None else instant(start, what="start")
        return read(self._training, feature_view, begin, None if end is None else instant(end, what="end"))

    def read_latest(self, view_or_service: str | FeatureService | FeatureView, at: Instant | None = None) -> Result:
        """The row of every key that a lookup at that instant would give, for batch scoring."""
        from hitherto.training.reading import read_latest

        return read_latest(self._training, view_or_service, None if at is None else instant(at, what="at"))

    # -- lookups -------------------------------------------------------------------------------------------------------

    def get_online_features(
        self,
        features: Sequence[str] | FeatureService | str,
        entity_rows: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]],
        *,
        full_feature_names: bool = False,
    ) -> Answer:
        """The latest values of each entity row's keys, with a status each (semantics 4).

        Args:
            features: References "view:feature", or a feature service (itself or its name).
            entity_rows: Rows `[{"airport": "JFK"}, ...]`, or columns `{"airport": ["JFK", ...]}`.
            full_feature_names: Name values `view__feature`.

        Raises:
            UnknownNameError, JoinKeyError, KeyTypeError: The request does not fit.
            ClockError: The clock is before what is published.
            OnlineStoreUnavailable: The store does not answer in time.
        """
        plan = self._lookup_plan(features, full_feature_names)
        return self._lookup(self.online_store, plan, entity_rows, now=self._now())

    async def get_online_features_async(
        self,
        features: Sequence[str] | FeatureService | str,
        entity_rows: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]],
        *,
        full_feature_names: bool = False,
    ) -> Answer:
        """The same without blocking the event loop."""
        from hitherto.online.reader import lookup_async

        plan = self._lookup_plan(features, full_feature_names)
        return await lookup_async(self.online_store, plan, entity_rows, now=self._now())

    def _lookup_plan(self, features: Sequence[str] | FeatureService | str, full_feature_names: bool) -> LookupPlan:
        snapshot = self._current_snapshot()
        wanted = snapshot.feature_service(features) if isinstance(features, str) else features
        return self._lookup_plans.get(
            snapshot, wanted, full_feature_names=full_feature_names, functions=lambda: self.functions
        )

    def _current_snapshot(self) -> Snapshot:
        """What is deployed, asked again after a fraction of a second: a lookup takes less time than asking SQLite."""
        now = monotonic()
        if self._snapshot is None or now >= self._snapshot_until:
            self._snapshot, self._snapshot_until = self.registry.snapshot(), now + self.config.server.poll_seconds
        return self._snapshot

    def _now(self) -> int:
        return instant(self.clock(), what="clock")

    # -- trust ---------------------------------------------------------------------------------------------------------

    def lineage(self, name: str | None = None) -> Lineage:
        """Where a thing comes from and what depends on it; everything without a name.

        Args:
            name: A feature view, `view@2`, feature service, source, training set, run, segment, or source file.

        Raises:
            UnknownNameError: With the nearest known name.
        """
        from hitherto.lineage.recorded import of_registry

        whole = of_registry(self.registry)
        return whole if name is None else whole.around(name)

    def check_parity(
        self,
        features: Sequence[str] | FeatureService | str,
        *,
        instants: int | Sequence[Instant] = 5,
        sample: int | None = 1000,
    ) -> ParityReport:
        """Whether lookups equal retrieval, values and statuses, bit for bit (semantics 4).

        Args:
            features: References "view:feature", or a feature service (itself or its name).
            instants: How many instants to choose, from the watermark on and around the edges of ttl; or which.
            sample: How many keys of each view, beside unknown and null ones; None is all.

        Raises:
            UnknownNameError, UsageError: The features are not there, or not served online.
            ClockError: An instant is before the watermark.
            OnlineStoreUnavailable: The store does not answer in time.
        """
        from hitherto.monitoring.parity_sides import measure

        wanted = self.registry.snapshot().feature_service(features) if isinstance(features, str) else features
        chosen = instants if isinstance(instants, int) else [instant(one, what="instant") for one in instants]
        return measure(
            self._looked_at(),
            wanted,
            store=self.online_store,
            retrieve=self._retrieved,
            sample=sample,
            instants=chosen,
            functions=lambda: self.functions,
        )

    def verify(self, *, sample: int | None = 1000, instants: int = 5) -> VerificationReport:
        """Whether what is stored is what was published, and is served so: hashes, ledger, runs, parity, training sets.

        Args:
            sample: How many keys of each view to look up; None is all.
            instants: At how many instants.

        Raises:
            RegistryError: The registry cannot be read. All else is in the report.
        """
        from hitherto.monitoring.verification import verify

        return verify(
            self._looked_at(),
            measure=lambda references: self.check_parity(references, instants=instants, sample=sample),
            recreate=lambda record: self.get_training_set(record.name, record.version).recreate(),
        )

    def doctor(self) -> DoctorReport:
        """Whether this machine, the settings and the stores can do the work, and what to do where they cannot."""
        from hitherto.monitoring.doctor import diagnose

        now, is_running = self._now(), self._is_running
        return diagnose(self.config, now=now, open_online=lambda: self.online_store, is_running=is_running)

    def _is_running(self, feature_view: str) -> bool:
        from hitherto.materialization.lock import view_lock

        try:
            with view_lock(self.config.offline_path, feature_view):
                return False
        except RunInProgressError:
            return True

    def _looked_at(self) -> Project:
        from hitherto.monitoring.parity_sides import Project

        return Project(self.registry, self.config.repo_path, self.config.offline_path, self._limits, self._now())

    def _retrieved(
        self, entity: pa.Table, features: Sequence[str] | FeatureService
    ) -> tuple[Mapping[str, Any], pa.Table]:
        """Values and statuses of entity rows, for parity: lookups do not know of ranges that were never published."""
        from hitherto.monitoring.parity_sides import TIME
        from hitherto.training.building import answers

        return answers(self._training, entity, features, timestamp_field=TIME)

    # -- what there is -------------------------------------------------------------------------------------------------

    def list_entities(self) -> list[Entity]:
        """What is deployed."""
        return list(self.registry.snapshot().definitions.entities.values())

    def list_sources(self) -> list[ParquetSource]:
        """What is deployed."""
        return list(self.registry.snapshot().definitions.sources.values())

    def list_feature_views(self) -> list[FeatureView]:
        """What is deployed."""
        return list(self.registry.snapshot().definitions.feature_views.values())

    def list_on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """What is deployed: path and hash of each function, no code."""
        return list(self.registry.snapshot().definitions.on_demand_feature_views.values())

    def list_feature_services(self) -> list[FeatureService]:
        """What is deployed."""
        return list(self.registry.snapshot().definitions.feature_services.values())

    def list_runs(self, *, feature_view: str | None = None, state: RunState | None = None) -> list[Run]:
        """Runs, the newest first."""
        return list(self.registry.runs(view=feature_view, state=state))

    def list_training_sets(self) -> list[TrainingSetRecord]:
        """Saved training sets."""
        return list(self.registry.training_sets())

    def get_entity(self, name: str) -> Entity:
        """The deployed entity of a name. Raises UnknownNameError."""
        return _named("entity", name, self.registry.snapshot().definitions.entities)

    def get_source(self, name: str) -> ParquetSource:
        """The deployed source of a name. Raises UnknownNameError."""
        return _named("source", name, self.registry.snapshot().definitions.sources)

    def get_feature_view(self, name: str) -> FeatureView:
        """The deployed feature view of a name. Raises UnknownNameError."""
        view = _named("feature view", name, self.registry.snapshot().definitions.feature_views)
        # The registry keeps places relative to the repo; `view.preview()` has to find its source from anywhere.
        at = view.location
        return view if at is None else replace(view, location=Location(str(self.config.resolve(at.file)), at.line))

    def get_on_demand_feature_view(self, name: str) -> OnDemandFeatureView:
        """The deployed on-demand feature view of a name. Raises UnknownNameError."""
        return _named("on-demand feature view", name, self.registry.snapshot().definitions.on_demand_feature_views)

    def get_feature_service(self, name: str) -> FeatureService:
        """The deployed feature service of a name. Raises UnknownNameError."""
        return _named("feature service", name, self.registry.snapshot().definitions.feature_services)

    def get_run(self, run_id: str) -> Run:
        """A run. Raises UnknownNameError."""
        return self.registry.run(run_id)


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise UnknownNameError(kind, name, known)
    return known[name]
