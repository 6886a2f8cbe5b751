"""How a training set grows: over rows, entity rows, keys, views, features and segments, one at a time, ours beside DuckDB by hand.

    python -m benchmarks.training_growth --size small

The base has 1 M source rows (full), a tenth as many keys and entity rows, 1 view of 10 features in 1 segment. Each point is the median of
three runs (at 50 M rows: one), after one whose result is compared; every point is a pair, but the claim is the curve. Peak memory is that of a fresh process.
Where memory_limit.py has run before, its projects are used again: ours then works under 2 GB from 10 M rows on, DuckDB without a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa

from benchmarks.by_hand import check_equal, duckdb_asof
from benchmarks.data import BEGIN, DAYS, END, entity_rows, events, feature_names
from benchmarks.pairs import peak_megabytes, rounds, timed
from benchmarks.project import Built, built, make, open_again, view, work_folder
from benchmarks.record import Record, command

RUNS = 3
LONG = 50_000_000
"""From so many rows on one run is measured, and memory_limit.py compares the result."""


@dataclass(frozen=True)
class Shape:
    """What is asked for."""

    rows: int
    keys: int
    entities: int
    views: int = 1
    features: int = 10
    segments: int = 1

    @property
    def names(self) -> list[str]:
        return ["fv"] if self.views == 1 else [f"v{number}" for number in range(self.views)]

    @property
    def source(self) -> Path:
        return events(self.rows, self.keys, features=self.features)

    @property
    def asked(self) -> Path:
        return entity_rows(self.entities, self.keys)


SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "base": Shape(2_000, 200, 200),
        "rows": (1_000, 2_000),
        "entities": (100,),
        "keys": (20,),
        "views": (2,),
        "features": (11,),
        "segments": (3,),
        "memory": False,
    },
    "small": {
        "base": Shape(100_000, 10_000, 10_000),
        "rows": (10_000, 100_000, 1_000_000),
        "entities": (1_000, 10_000, 100_000),
        "keys": (100, 10_000, 100_000),
        "views": (1, 5),
        "features": (10, 100),
        "segments": (1, 10),
        "memory": False,
    },
    "full": {
        "base": Shape(1_000_000, 100_000, 100_000),
        "rows": (100_000, 1_000_000, 10_000_000, 50_000_000),
        "entities": (1_000, 10_000, 100_000, 1_000_000),
        "keys": (100, 10_000, 100_000, 1_000_000),
        "views": (1, 5, 20),
        "features": (1, 10, 100),
        "segments": (1, 10, 100),
        "memory": True,
    },
}


def project(shape: Shape) -> Built:
    """Materialized; several segments are as many runs, each over its part of the 90 days."""
    views = [view(name, shape.source, features=shape.features) for name in shape.names]
    if shape.segments == 1:
        # The names are those of training_set and memory_limit, so that their projects are used again.
        plain = shape.views == 1 and shape.features == 10 and shape.keys * 10 == shape.rows
        limited = work_folder() / f"limited-{shape.rows}" / "built.json"
        if plain and limited.exists():
            return built(f"limited-{shape.rows}", views)
        extra = "" if plain else f"-{shape.keys}-{shape.views}-{shape.features}"
        return built(f"training-{shape.rows}{extra}", views)
    folder = work_folder() / f"segments-{shape.rows}-{shape.segments}"
    if not folder.exists():
        step = timedelta(days=DAYS) / shape.segments
        with make(folder, views) as store:
            for number in range(shape.segments - 1):
                store.materialize(BEGIN + number * step, BEGIN + (number + 1) * step)
            store.materialize(BEGIN + (shape.segments - 1) * step, END)
    return Built(folder, 0.0)


def training(folder: Path, shape: Shape) -> pa.Table:
    """In a project that is opened for it: what a job does."""
    features = [f"{name}:{feature}" for name in shape.names for feature in feature_names(shape.features)]
    with open_again(folder) as store:
        return store.get_historical_features(shape.asked, features, full_feature_names=shape.views > 1).to_arrow()


def by_hand(shape: Shape) -> pa.Table:
    return duckdb_asof(shape.source, shape.asked, views=shape.names, features=shape.features)


def measure(record: Record, curve: str, shapes: Sequence[tuple[int, Shape]], *, memory: bool) -> None:
    for x, shape in shapes:
        record.progress(f"{curve}: {x:,}")
        _ = shape.source, shape.asked
        at = project(shape)
        if shape.rows < LONG:
            check_equal(training(at.folder, shape), {"DuckDB": by_hand(shape)})
        sides = {"Hitherto": timed(training, at.folder, shape), "DuckDB by hand": timed(by_hand, shape)}
        for name, seconds in rounds(sides, RUNS if shape.rows < LONG else 1).items():
            record.point(f"training.{curve}", name, x, median(seconds))
        # Those of memory_limit are in its own series.
        if curve == "rows" and at.seconds and not at.folder.name.startswith("limited"):
            record.point("materialize.rows", "offline only", x, at.seconds)
        if memory and shape.rows < LONG:
            record.point(f"training.{curve}.memory", "Hitherto", x, peak_megabytes(training, at.folder, shape))
            record.point(f"training.{curve}.memory", "DuckDB by hand", x, peak_megabytes(by_hand, shape))


def run(size: str) -> Path:
    given = SIZES[size]
    base, memory = given["base"], given["memory"]
    record = Record("training_growth", size)
    of_rows = [(count, Shape(count, count // 10, count // 10)) for count in given["rows"]]
    measure(record, "rows", of_rows[:-1], memory=memory)
    for curve in ("entities", "keys", "views", "features", "segments"):
        shapes = [(count, replace(base, **{curve: count})) for count in given[curve]]
        measure(record, curve, shapes, memory=memory and curve == "views")
        record.write()  # what is there so far, should the time run out
    measure(record, "rows", of_rows[-1:], memory=memory)
    return record.write()


if __name__ == "__main__":
    command(__doc__, run)
