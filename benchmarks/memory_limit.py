"""Five times the rows under a memory limit of 2 GB: does it finish, and does time grow faster than the rows?

    python -m benchmarks.memory_limit --size small

Full: 10 M against 50 M source rows (with a tenth of them as keys and as entity rows), both under memory_limit = "2GB". Three rounds:
one takes over 20 s. Growth is the ratio of times over the ratio of rows: 1.0 is linear. Peaks are those of fresh processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.by_hand import check_equal, duckdb_one_query
from benchmarks.data import entity_rows, events, feature_names
from benchmarks.pairs import peak_megabytes, rounds, timed
from benchmarks.project import built, open_again, view, work_folder
from benchmarks.record import Record, command
from hitherto import FeatureStore

LIMIT = "2GB"
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"rows": 2_000, "times": 5, "pairs": 1},
    "small": {"rows": 400_000, "times": 5, "pairs": 3},
    "full": {"rows": 10_000_000, "times": 5, "pairs": 3},
}
FEATURES = [f"fv:{name}" for name in feature_names(10)]


def training(store: FeatureStore, asked: Path) -> pa.Table:
    return store.get_historical_features(asked, FEATURES).to_arrow()


def in_a_fresh_process(project: Path, asked: Path) -> None:
    with open_again(project) as store:
        training(store, asked)


def materialize_in_a_fresh_process(rows: int) -> None:
    built(f"limited-{rows}", [view("fv", events(rows, rows // 10))], memory_limit=LIMIT)


def run(size: str) -> Path:
    given = SIZES[size]
    record = Record("memory_limit", size)
    work_folder()  # made here, before processes are started that use it
    small, large = given["rows"], given["rows"] * given["times"]
    for rows in (small, large):
        events(rows, rows // 10), entity_rows(rows // 10, rows // 10)
        record.progress(f"materializing {rows:,} rows under {LIMIT}")
        peak = peak_megabytes(materialize_in_a_fresh_process, rows)
        project = built(f"limited-{rows}", [])
        record.point("memory.rows", f"materialize under {LIMIT}", rows, peak)
        record.point("materialize.rows", f"offline only, under {LIMIT}", rows, project.seconds)
        record.value(f"memory_limit.materialize.{rows}", f"materialize {rows:,} rows", [project.seconds], unit="s")
    asked = {rows: entity_rows(rows // 10, rows // 10) for rows in (small, large)}
    projects = {rows: built(f"limited-{rows}", []) for rows in (small, large)}
    with projects[small].open() as few, projects[large].open() as many:
        check_equal(training(few, asked[small]), {"DuckDB": duckdb_one_query(events(small, small // 10), asked[small])})
        check_equal(
            training(many, asked[large]), {"DuckDB": duckdb_one_query(events(large, large // 10), asked[large])}
        )
        record.progress("equal to DuckDB; measuring")
        sides = {"large": timed(training, many, asked[large]), "small": timed(training, few, asked[small], of=1)}
        taken = rounds(sides, given["pairs"])
    growth = [slow / quick / given["times"] for slow, quick in zip(taken["large"], taken["small"], strict=True)]
    task = f"training set from {large:,} rows under {LIMIT}"
    against = f"itself at {small:,} rows"
    record.value("memory_limit.growth", task, growth, unit="times the rows' growth", against=against)
    for rows, seconds in ((small, taken["small"]), (large, taken["large"])):
        record.value(f"memory_limit.training.{rows}", f"training set, {rows // 10:,} entity rows", seconds, unit="s")
        peak = peak_megabytes(in_a_fresh_process, projects[rows].folder, asked[rows])
        record.point("memory.rows", f"training set under {LIMIT}", rows, peak)
    return record.write()


if __name__ == "__main__":
    command(__doc__, run)
