"""Repo: a feature repo in memory with a clock that stands still, for tests of a user's own features."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

import pyarrow as pa
import pyarrow.parquet as pq

from hitherto.config import Config
from hitherto.definitions.collection import Definitions
from hitherto.definitions.feature_service import FeatureService
from hitherto.definitions.feature_view import FeatureView
from hitherto.definitions.source import ParquetSource
from hitherto.errors import UnknownNameError, UsageError
from hitherto.feature_store import FeatureStore
from hitherto.materialization.report import MaterializationReport
from hitherto.offline.duckdb.connection import Limits
from hitherto.registry import discovery
from hitherto.registry.references import resolve
from hitherto.testing import rows as tables
from hitherto.testing.clock import FakeClock
from hitherto.testing.reading import Needs, needs
from hitherto.timeline import MIN_INSTANT, Interval, instant
from hitherto.training.training_set import TrainingSet
from hitherto.types import DataType

Entities = Mapping[str, Any] | Sequence[Mapping[str, Any]]
Features = Sequence[str] | FeatureService | str

_IN_MEMORY = Path("/dev/shm")  # noqa: S108  (a folder with a random name is made in it)
_ROOM = 256 << 20
_STAND_IN, _NEVER = "nothing.parquet", "9000-01-01"
_LIMITS = Limits(memory="2GB", threads=1, keep=True)


class Repo:
    """Definitions with a store of their own, whose sources hold what `load` puts there.

    What runs is what runs in production: the engine, the checks, the segments, the registry and the LMDB store, in a
    folder in memory that goes when the repo is closed. There is no network, and no file of the definitions' sources is read.

    Args:
        definitions: A repo's folder, or a list of definitions.
        now: Where the clock stands: an aware datetime, a date (midnight UTC) or an ISO 8601 string.
        feature_views: Only these are materialized and answer; all if not given. It saves time where a source feeds many.

    Raises:
        UnknownNameError: There is no such feature view.
        DefinitionError: With all problems of the definitions.
        InstantError: `now` is naive or unreadable.

    >>> from hitherto import Entity, FeatureView, Field, ParquetSource
    >>> from hitherto.types import Float64, String
    >>> airport = Entity("airport", join_keys={"airport": String})
    >>> reports = ParquetSource("s3://weather/reports", timestamp_field="at", known_after="30m")
    >>> weather = FeatureView("weather", entities=[airport], source=reports, schema=[Field("temp", Float64)])
    >>> with Repo([weather], now="2013-01-01T12:00Z") as repo:
    ...     repo.load("reports", [{"airport": "JFK", "at": "2013-01-01T12:00Z", "temp": 39.0}])
    ...     report = repo.advance("29m")
    ...     early = repo.lookup({"airport": "JFK"}, ["weather:temp"])
    ...     report = repo.advance("2m")
    ...     late = repo.lookup({"airport": "JFK"}, ["weather:temp"])
    >>> early, late
    ({'temp': None}, {'temp': 39.0})
    """

    def __init__(
        self,
        definitions: str | Path | Iterable[Any],
        *,
        now: datetime | date | str,
        feature_views: Sequence[str] | None = None,
    ) -> None:
        self.clock = FakeClock(now)
        """The clock that everything here reads."""
        found = _load(definitions)
        self._views = list(found.feature_views if feature_views is None else feature_views)
        for name in self._views:
            if name not in found.feature_views:
                raise UnknownNameError("feature view", name, found.feature_views)
        self._paths = {name: source.path for name, source in found.sources.items()}
        self._folder = _make_folder()
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, True)
        self._store = _Store(config=Config(project="test", repo_path=self._folder), clock=self.clock)
        self._definitions = _redirected(found)
        self._store.registry.apply(self._definitions, expected_serial=None, now=instant(self.clock()))
        self._store.functions.give(self._definitions.on_demand_feature_views.values())
        self._needs: dict[str, Needs] = {}
        self._loads: dict[str, int] = {}
        self._unread: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the store and remove its folder. Training sets keep their rows; what `explain` shows has to be asked for before."""
        self._store.close()
        self._remove()

    @property
    def now(self) -> datetime:
        """Where the clock stands."""
        return self.clock()

    @property
    def store(self) -> FeatureStore:
        """The FeatureStore itself, for all that is not here: `repo.store.get_historical_features(..., as_served=True)`."""
        return self._store

    # -- what comes in -------------------------------------------------------------------------------------------------

    def load(self, source: str | ParquetSource, rows: Any, *, partial: bool = False, replace: bool = False) -> None:
        """Put rows into a source, beside those that are there: late rows and corrections too. No view sees them before a run.

        Args:
            source: Its name, itself, or its path, which loads all sources that read this path.
            rows: A list of dicts, or a pandas, Polars or Arrow table, or a Path to Parquet. In dicts, texts are taken as
                instants and dates where the column is declared as one.
            partial: Whether columns may be absent: they are null then.
            replace: Whether the rows are all that the source has from now on: what was loaded before is gone. No rows empty it.

        Raises:
            UnknownNameError: There is no such source.
            UsageError: A column is missing that a view reads, or has no one type.
        """
        taken = tables.taken(rows)
        for name in self._sources_of(source):
            self._load(name, taken, partial=partial, replace=replace)

    def _load(self, name: str, rows: tables.Rows, *, partial: bool, replace: bool) -> None:
        what, folder = f"source {name!r}", self._folder / "sources" / name
        needed, kinds = self._needs_of(name), self._kinds_of(name)
        missing = tables.missing_columns(rows, needed.readers) if len(rows) else []
        if missing and not partial:
            raise UsageError(tables.complaint(missing, rows, what=what, readers=needed.readers))
        before = None if replace else _schema_of(folder)
        table = tables.with_nulls(tables.to_table(rows, what=what, kinds=kinds, before=before), needed.readers, kinds)
        if replace:
            shutil.rmtree(folder, ignore_errors=True)
        if table.num_rows:
            if before is not None and not isinstance(rows, pa.Table):
                table = _agreed(folder, before, table)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _STAND_IN).unlink(missing_ok=True)
            number = self._loads[name] = self._loads.get(name, 0) + 1
            pq.write_table(table, folder / f"{number:06d}.parquet")
        elif replace and name in self._loads:
            self._stand_in(name)
        else:
            return
        self._unread.add(name)

    def _sources_of(self, source: str | ParquetSource) -> list[str]:
        name = source.name if isinstance(source, ParquetSource) else source
        if name in self._paths:
            return [name]
        by_path = [one for one, path in self._paths.items() if path == name]
        if not by_path:
            raise UnknownNameError("source", name, self._paths)
        return by_path

    def _needs_of(self, name: str) -> Needs:
        if name not in self._needs:
            views = self._definitions.feature_views.values()
            readers = [(view, table) for view in views for table, one in view.all_sources.items() if one.name == name]
            self._needs[name] = needs(self._definitions.sources[name], readers)
        return self._needs[name]

    def _kinds_of(self, name: str) -> dict[str, DataType]:
        """The declared types of a source's columns, by any of the sources that read the same path: a file has one type for each."""
        same = [other for other, path in self._paths.items() if path == self._paths[name] and other != name]
        kinds = [self._needs_of(one).kinds for one in (*same, name)]
        return {column: kind for one in kinds for column, kind in one.items()}

    # -- time ----------------------------------------------------------------------------------------------------------

    def advance(self, by: timedelta | str) -> MaterializationReport:
        """Move the clock on, then materialize, as a pipeline would at that instant.

        Args:
            by: A timedelta, or "90s", "30m", "6h", "7d".

        Raises:
            MaterializationRejected, MaterializationFailed: A run was not published; `.report` tells all. The last good data serves on.
            InstantError: A step back.
        """
        self.clock.advance(by)
        return self.materialize()

    def materialize(self) -> MaterializationReport:
        """One incremental run, at the instant where the clock stands, of every view that something was loaded for.

        It publishes what became available before this instant (semantics 5): first what late rows changed, then what is new.

        Raises:
            MaterializationRejected, MaterializationFailed: A run was not published; `.report` tells all.
        """
        views = [name for name in self._views if self._is_loaded(self._definitions.feature_views[name])]
        for name in views:
            for source in self._definitions.feature_views[name].all_sources.values():
                if source.name not in self._loads:
                    self._stand_in(source.name)
        self._unread.clear()
        return self._store.materialize_incremental(feature_views=views)

    def _stand_in(self, source: str) -> None:
        """Give a source without rows, which is joined with others, a file to read: its only row is never available."""
        needed, folder = self._needs_of(source), self._folder / "sources" / source
        row = dict.fromkeys(self._definitions.sources[source].time_columns, _NEVER)
        table = tables.to_table([row], what=f"source {source!r}", kinds=needed.kinds)
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(tables.with_nulls(table, needed.readers, needed.kinds), folder / _STAND_IN)

    def _is_loaded(self, view: FeatureView) -> bool:
        return any(one.name in self._loads for one in view.all_sources.values())

    # -- what comes out ------------------------------------------------------------------------------------------------

    @overload
    def lookup(
        self, entity: Mapping[str, Any], features: Features, *, full_feature_names: bool = False
    ) -> dict[str, Any]: ...

    @overload
    def lookup(
        self, entity: Sequence[Mapping[str, Any]], features: Features, *, full_feature_names: bool = False
    ) -> list[dict[str, Any]]: ...

    def lookup(
        self, entity: Entities, features: Features, *, full_feature_names: bool = False
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """The values that a lookup gives now, by feature: one dict for one entity, a list for a list.

        Args:
            entity: An entity row, `{"aircraft": "N14228"}`, or a list of them: keys, and what the request says (RequestSource).
            features: References "view:feature", or a feature service (itself or its name).
            full_feature_names: Name values `view__feature`.

        Raises:
            UsageError: Rows were loaded that no run has read yet.
        """
        found = self._ask(entity, features, full_feature_names, suffix="")
        return found[0] if isinstance(entity, Mapping) else found

    @overload
    def statuses(
        self, entity: Mapping[str, Any], features: Features, *, full_feature_names: bool = False
    ) -> dict[str, str]: ...

    @overload
    def statuses(
        self, entity: Sequence[Mapping[str, Any]], features: Features, *, full_feature_names: bool = False
    ) -> list[dict[str, str]]: ...

    def statuses(
        self, entity: Entities, features: Features, *, full_feature_names: bool = False
    ) -> dict[str, str] | list[dict[str, str]]:
        """The same with the status of each value instead of the value: "PRESENT", "NOT_FOUND", ... (semantics 4)."""
        asked = self._ask(entity, features, full_feature_names, suffix="__status")
        found = [{name: str(status) for name, status in row.items()} for row in asked]
        return found[0] if isinstance(entity, Mapping) else found

    def _ask(
        self, entity: Entities, features: Features, full_feature_names: bool, *, suffix: str
    ) -> list[dict[str, Any]]:
        kinds = self._prepare(features)
        listed = [tables.read_texts(row, kinds) for row in ([entity] if isinstance(entity, Mapping) else entity)]
        if not listed:
            return []
        answer = self._store.get_online_features(features, listed, full_feature_names=full_feature_names)
        columns = answer.to_dict(include_metadata=bool(suffix))
        names = [column.name for column in answer.plan.columns]
        return [{name: columns[name + suffix][row] for name in names} for row in range(answer.rows)]

    def training_set(
        self, entity_rows: Any, features: Features, *, full_feature_names: bool = False, **options: Any
    ) -> TrainingSet:
        """Each entity row with what was known at its time: the TrainingSet of `FeatureStore.get_historical_features`, computed.

        Args:
            entity_rows: A list of dicts with the keys and `event_timestamp`, any frame, or SQL over the sources.
            features: References "view:feature", or a feature service (itself or its name).
            full_feature_names: Name columns `view__feature`.
            options: As there: `timestamp_field`, `as_of`, `as_served`, `missing`.

        Raises:
            UsageError: Rows were loaded that no run has read yet.
        """
        kinds = self._prepare(features)
        kinds[options.get("timestamp_field", "event_timestamp")] = tables.TIME
        if not isinstance(entity_rows, str):
            entity_rows = tables.to_table(tables.taken(entity_rows), what="the training set", kinds=kinds)
        found = self._store.get_historical_features(
            entity_rows, features, full_feature_names=full_feature_names, **options
        )
        found.to_arrow()
        return found

    def _prepare(self, features: Features) -> dict[str, DataType]:
        """Refuse to answer for rows that no run has read; views of sources without rows are published as empty.

        Returns:
            The types of the entity columns that are asked for: keys and request fields.
        """
        requested = resolve(self._store.registry.snapshot(), features, full_feature_names=True)
        kinds = dict(requested.computations.fields)
        for view in requested.views:
            kinds |= {view.key_columns[key]: kind for key, kind in view.served.definition.join_keys.items()}
            definition = view.served.definition
            if definition.name not in self._views:
                raise UsageError(
                    f"Feature view {definition.name!r} is not materialized here: Repo(..., feature_views={self._views!r}) "
                    "leaves it out. Add it, or leave feature_views= away."
                )
            unread = sorted(one.name for one in definition.all_sources.values() if one.name in self._unread)
            if unread:
                raise UsageError(
                    f"Rows were loaded for source {unread[0]!r}, and no run has read them yet, so that feature view "
                    f"{definition.name!r} cannot have them. Call repo.advance(...) or repo.materialize() first."
                )
            if view.served.watermark is None:
                self._publish_nothing(definition.name, view.served.version)
        return kinds

    def _publish_nothing(self, view: str, version: int) -> None:
        now = instant(self.clock())
        registry = self._store.registry
        run = registry.begin_run(view, version, Interval(MIN_INSTANT, now), began_at=now)
        registry.publish(run, segment=None, files=(), published_at=now, generation=0)
        self._store.forget_snapshot()


class _Store(FeatureStore):
    """A store whose engine goes from test to test: making a database takes longer than a test."""

    @property
    def _limits(self) -> Limits:
        return _LIMITS

    def forget_snapshot(self) -> None:
        """See the registry as it is at the next lookup."""
        self._snapshot = None


def _load(definitions: str | Path | Iterable[Any]) -> Definitions:
    if isinstance(definitions, str | Path):
        return discovery.load(Path(definitions))
    return discovery.collect(definitions)


def _redirected(found: Definitions) -> Definitions:
    """A copy whose sources lie in folders of the repo's own, named like themselves."""
    copied = copy.deepcopy([one for kind in vars(found).values() for one in kind.values()])
    for one in copied:
        if isinstance(one, ParquetSource):
            object.__setattr__(one, "path", f"sources/{one.name}")
    return discovery.collect(copied)


def _schema_of(folder: Path) -> Any:
    files = sorted(folder.glob("*.parquet"))
    return pq.read_schema(files[-1]) if files else None


def _agreed(folder: Path, before: pa.Schema, table: pa.Table) -> pa.Table:
    """The table beside a source's files: where some have whole numbers and others real ones, all get real ones.

    Files that disagree cannot be read together. Where a whole number is too large to be a real one, they are left so, and
    the run says what is the matter.
    """
    common = tables.in_common(before, table.schema)
    if not common:
        return table
    files = sorted(folder.glob("*.parquet"))
    try:
        written = [tables.retyped(pq.read_table(file, partitioning=None), common) for file in files]
        table = tables.retyped(table, common)
    except pa.ArrowInvalid:
        return table
    for file, rows in zip(files, written, strict=True):
        if rows.schema != pq.read_schema(file):
            pq.write_table(rows, file)
    return table


def _make_folder() -> Path:
    """A folder in memory where the system has such a place, with room in it; else where temporary files are."""
    in_memory = _IN_MEMORY.is_dir() and os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free > _ROOM
    return Path(tempfile.mkdtemp(prefix="hitherto-test-", dir=_IN_MEMORY if in_memory else None))
