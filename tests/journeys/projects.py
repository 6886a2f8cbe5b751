"""A small project that tests deliver files to, materialize, correct and ask: readings of sensors, in hours after START."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hitherto import Entity, FeatureStore, FeatureView, Field, ParquetSource
from hitherto.registry.records import Run
from hitherto.testing import FakeClock
from hitherto.types import Float64, String

START = datetime(2020, 1, 1, tzinfo=UTC)
SENSOR = Entity("sensor", join_keys={"sensor": String})
Row = tuple[Any, ...]
"""sensor, hours after START, value; then maybe a note."""


def hour(number: float) -> datetime:
    """An instant, in hours after START."""
    return START + timedelta(hours=number)


def micros(number: float) -> int:
    """The same as microseconds since 1970."""
    return (hour(number) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def table(rows: Iterable[Row], **extra: Sequence[Any]) -> pa.Table:
    """Rows as the source has them; more columns, by name, beside them."""
    listed = [(*row, *(None,) * (4 - len(row))) for row in rows]
    columns = {
        "sensor": pa.array([row[0] for row in listed], pa.string()),
        "at": pa.array([None if row[1] is None else hour(row[1]) for row in listed], pa.timestamp("us", "UTC")),
        "value": pa.array([row[2] for row in listed], pa.float64()),
        "note": pa.array([row[3] for row in listed], pa.string()),
    }
    return pa.table({**columns, **{name: pa.array(values) for name, values in extra.items()}})


def source(path: str = "data/*.parquet", **changes: Any) -> ParquetSource:
    """The source of readings."""
    return ParquetSource(path, **{"name": "readings", "timestamp_field": "at", **changes})


def view(name: str = "readings", **changes: Any) -> FeatureView:
    """The view of readings."""
    parts = {"entities": [SENSOR], "source": source(), "schema": [Field("value", Float64), Field("note", String)]}
    return FeatureView(name, **{**parts, **changes})


@dataclass
class Project:
    """A folder, a clock that stands, and the store on them."""

    folder: Path
    settings: str = ""
    clock: FakeClock = field(default_factory=lambda: FakeClock(hour(24)))
    store: FeatureStore = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        if not (self.folder / "hitherto.toml").exists():
            (self.folder / "hitherto.toml").write_text(f'project = "small"\n{self.settings}', encoding="utf-8")
        self.store = self.open()

    def open(self) -> FeatureStore:
        """The project as another process would open it, with the same clock."""
        return FeatureStore(self.folder, clock=self.clock)

    def reopen(self) -> None:
        """Go on in what stands for a new process."""
        self.store.close()
        self.store = self.open()

    def deliver(self, rows: Iterable[Row] | pa.Table, name: str = "a.parquet", **options: Any) -> Path:
        """Write a file of the source, in place of the one of its name."""
        path = self.folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"_{path.name}")
        pq.write_table(rows if isinstance(rows, pa.Table) else table(rows), temporary, **options)
        temporary.rename(path)
        # A file system may keep times so coarsely that two deliveries of one second look alike.
        Project._delivered = max(Project._delivered + 10**9, time.time_ns())
        os.utime(path, ns=(Project._delivered, Project._delivered))
        return path

    _delivered = 0

    def at(self, number: float) -> None:
        """Set the clock, in hours after START."""
        self.clock.set(hour(number))

    def history(
        self, *asked: tuple[Any, float | None], features: Sequence[str] = ("readings:value",), **options: Any
    ) -> list[Any]:
        """What a training set answers for (sensor, hour): one value each, or a tuple if several features are asked for."""
        training = self.store.get_historical_features(entity_rows(asked), features=list(features), **options)
        answered = training.to_arrow()
        columns = [answered.column(name).to_pylist() for name in training.features]
        return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))

    def lookup(self, *sensors: Any, features: Sequence[str] = ("readings:value",)) -> list[Any]:
        """What lookups answer now: one value each, or a tuple if several features are asked for."""
        answer = self.store.get_online_features(list(features), {"sensor": list(sensors)}).to_dict()
        del answer["sensor"]
        columns = list(answer.values())
        return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))

    def statuses(self, *sensors: Any, feature: str = "value", of: str = "readings") -> list[str]:
        """The statuses of lookups."""
        answer = self.store.get_online_features([f"{of}:{feature}"], {"sensor": list(sensors)})
        return [str(one) for one in answer.to_dict(include_metadata=True)[f"{feature}__status"]]

    def runs(self, of: str = "readings") -> list[Run]:
        """All runs of a view, oldest first."""
        return self.store.list_runs(feature_view=of)[::-1]

    def states(self, of: str = "readings") -> list[str]:
        """The states of all runs, oldest first."""
        return [run.state for run in self.runs(of)]

    def segment_files(self, of: str = "readings") -> list[str]:
        """The files of a view's segments."""
        return sorted(path.name for path in self.store.config.offline_path.glob(f"{of}/v*/*.duckdb"))

    def leftovers(self) -> list[str]:
        """Files that only a process in the middle of its work may have."""
        return leftovers(self.folder)


def entity_rows(asked: Sequence[tuple[Any, float | None]]) -> pa.Table:
    """(sensor, hour) as entity rows."""
    times = [None if at is None else hour(at) for _, at in asked]
    return pa.table(
        {
            "sensor": pa.array([sensor for sensor, _ in asked], pa.string()),
            "event_timestamp": pa.array(times, pa.timestamp("us", "UTC")),
        }
    )


def leftovers(folder: Path) -> list[str]:
    """Temporary files below a project's folder: of segments, exports, LMDB loads and the engine's spilling."""
    marks = (".tmp", ".wal", ".loading-", "duckdb_temp")
    below = (path for path in (folder / ".hitherto").rglob("*") if path.name != "tmp")
    # SQLite keeps its own -wal beside the registry, under another name.
    return sorted(str(path.relative_to(folder)) for path in below if any(mark in path.name for mark in marks))


def assert_parity(store: FeatureStore, features: Sequence[str], **options: Any) -> None:
    """Lookups equal retrieval, values and statuses, and most of them are there."""
    report = store.check_parity(list(features), **{"sample": None, **options})
    assert report.ok, str(report)
    assert report.present
