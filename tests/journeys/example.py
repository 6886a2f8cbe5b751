"""The example repo in a folder of its own, with its data as it is or as a test wants it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hitherto import FeatureStore
from hitherto.testing import FakeClock
from hitherto.timeline import MIN_INSTANT, Interval, instant

REPO = Path(__file__).resolve().parents[2] / "feature_repo"
Change = Callable[[pa.Table], pa.Table]
TIMES = {"flights": ("scheduled_departure", "departed_at"), "weather": ("observed_at",)}
"""The columns that sources take as event times. A flight may leave before its schedule."""


def copy(folder: Path, *, settings: str = "", changes: Mapping[str, Change] | None = None) -> Path:
    """A copy of the repo; `changes` maps names of files to what becomes of their rows."""
    shutil.copytree(REPO, folder, ignore=shutil.ignore_patterns(".hitherto", "__pycache__"))
    with (folder / "hitherto.toml").open("a", encoding="utf-8") as file:
        file.write(settings)
    for name, change in (changes or {}).items():
        deliver(folder, name, change(shipped(name)))
    return folder


def shipped(name: str) -> pa.Table:
    """A file of the example as it is."""
    return pq.read_table(REPO / "data" / f"{name}.parquet")


def deliver(folder: Path, name: str, table: pa.Table) -> None:
    """Put a file in place of the one of its name."""
    path = folder / "data" / f"{name}.parquet"
    pq.write_table(table, path.with_name("_new"))
    path.with_name("_new").rename(path)


def scatter(folder: Path, name: str, table: pa.Table, *, files: int, rng: random.Random) -> None:
    """The same rows in any order, in a folder of several files with small row groups."""
    path = folder / "data" / f"{name}.parquet"
    path.unlink()
    path.mkdir()
    shuffled = table.take(pa.array(rng.sample(range(len(table)), len(table))))
    size = -(-len(table) // files)
    for number in range(files):
        pq.write_table(shuffled.slice(number * size, size), path / f"{number}.parquet", row_group_size=997)


def before(name: str, end: str) -> Change:
    """Only rows that happened before an instant, by any of their times."""
    return lambda table: table.filter(between(table, name, Interval(MIN_INSTANT, instant(end))))


def between(table: pa.Table, name: str, interval: Interval) -> pa.ChunkedArray:
    """Which rows happened in an interval."""
    inside = []
    for column in TIMES[name]:
        micros = table.column(column).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        inside.append(pc.and_(pc.greater_equal(micros, interval.start), pc.less(micros, interval.end)))
    return pc.fill_null(reduce(pc.or_kleene, inside), False)


def open_store(folder: Path, now: str) -> tuple[FeatureStore, FakeClock]:
    """The store, at an instant."""
    clock = FakeClock(now)
    return FeatureStore(folder, clock=clock), clock
