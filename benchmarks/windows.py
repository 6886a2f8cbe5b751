"""Windowed features of a training set, against the best query that a user could write by hand in DuckDB.

    python -m benchmarks.windows --size small

Full: 10 M events of 100 k keys, 1 M entity rows, three windows (1h, 1d, 7d), four functions (count, sum, mean, max). All sides start from
the entity rows in a Parquet file and end with a table that has every entity row, in its order, with twelve features. Counts and maxima are
compared for equality; sums and means within 1e-9 of themselves, since DuckDB's depend on the order in which its threads add. Three
queries are run once: a range join with aggregates, RANGE frames over events and entity rows together, and prefix sums joined as of both
ends of a window; the fastest of them is the peer, and once more on events that are sorted by key and time. Peak memory is that of a fresh process per side.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import reference
from benchmarks.data import BEGIN, END, clustered, entity_rows, events
from benchmarks.pairs import peak_megabytes, rounds, timed
from benchmarks.project import built, open_again
from benchmarks.record import Record, command
from benchmarks.windows_by_hand import FUNCTIONS, WAYS, WINDOWS, names
from hitherto import Aggregation, Entity, FeatureStore, FeatureView, ParquetSource
from hitherto.types import Int64

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"rows": 2_000, "keys": 100, "entities": 300, "pairs": 1},
    "small": {"rows": 1_000_000, "keys": 10_000, "entities": 100_000, "pairs": 5},
    "full": {"rows": 10_000_000, "keys": 100_000, "entities": 1_000_000, "pairs": 5},
}
FEATURES = [f"windows:{name}" for name in names()]


def view(source: Path) -> FeatureView:
    return FeatureView(
        "windows",
        entities=[Entity("user", join_keys={"user_id": Int64})],
        source=ParquetSource(str(source.absolute()), name="window_events", timestamp_field="event_timestamp"),
        aggregations=[Aggregation("f1", function, windows=list(WINDOWS)) for function in FUNCTIONS],
        online=False,
    )


def with_hitherto(store: FeatureStore, asked: Path) -> pa.Table:
    return store.get_historical_features(asked, FEATURES).to_arrow()


def in_a_fresh_process(project: Path, asked: Path) -> pa.Table:
    with open_again(project) as store:
        return with_hitherto(store, asked)


def check_against_reference() -> None:
    """Bit for bit, at a size that plain Python can do."""
    source, asked = (
        events(reference.ROWS, reference.KEYS, features=2),
        entity_rows(reference.ENTITY_ROWS, reference.KEYS),
    )
    with built("windows-reference", [view(source)]).open() as store:
        reference.check_training(view(source), with_hitherto(store, asked), source, asked, [(BEGIN, END, END)])


def check_equal(ours: pa.Table, theirs: pa.Table, way: str) -> None:
    """Equal everywhere; sums and means nearly."""
    assert ours.num_rows == theirs.num_rows, way
    for name in ["user_id", "row_id", *names()]:
        mine, other = (table.column(name).combine_chunks() for table in (ours, theirs))
        if "sum" not in name and "mean" not in name:
            assert mine.equals(other.cast(mine.type)), f"{way} has other values of {name}"
            continue
        assert mine.is_null().equals(other.is_null()), f"{way} has other nulls of {name}"
        left, right = (np.asarray(one.fill_null(0.0)) for one in (mine, other))
        # Differences of prefix sums are as far off as the sums themselves, which grow to some thousands here.
        assert np.allclose(left, right, rtol=1e-9, atol=1e-6), f"{way} has other values of {name}"


def once(query: Callable[[Path, Path], pa.Table], source: Path, asked: Path) -> tuple[float, pa.Table]:
    """The seconds of one run, and what it gave."""
    began = time.perf_counter()
    found = query(source, asked)
    return time.perf_counter() - began, found


def run(size: str) -> Path:
    given = SIZES[size]
    record = Record("windows", size)
    check_against_reference()
    source = events(given["rows"], given["keys"], features=2)
    asked = entity_rows(given["entities"], given["keys"])
    record.progress("building the segments")
    project = built(f"windows-{given['rows']}", [view(source)])
    with project.open() as store:
        ours = with_hitherto(store, asked)
        seconds: dict[str, float] = {}
        for way, query in WAYS.items():
            seconds[way], theirs = once(query, source, asked)
            check_equal(ours, theirs, way)
            record.value(f"windows.by_hand.{way.replace(' ', '_')}", f"DuckDB by hand, {way}", [seconds[way]], unit="s")
        best = min(seconds, key=lambda way: seconds[way])
        record.progress(f"equal to all queries, of which the {best} is the fastest; measuring")
        sides = {
            "ours": timed(with_hitherto, store, asked),
            "duckdb": timed(WAYS[best], source, asked),
            "clustered": timed(WAYS[best], clustered(source), asked),
        }
        taken = rounds(sides, given["pairs"])
    task = f"3 windows, 4 functions, {given['rows']:,} events, {given['entities']:,} entity rows"
    for side, claim, where in (
        ("duckdb", "windows.duckdb", "on the Parquet"),
        ("clustered", "windows.duckdb.clustered", "on Parquet sorted by key and time"),
    ):
        against = f"DuckDB by hand ({best}), {where}"
        record.pair(claim, task, taken["ours"], taken[side], against=against, shape="times its time")
    peak = {
        "windows.peak": ("Hitherto", peak_megabytes(in_a_fresh_process, project.folder, asked)),
        "windows.peak.duckdb": ("DuckDB by hand", peak_megabytes(WAYS[best], source, asked)),
    }
    for claim, (name, megabytes) in peak.items():
        record.value(claim, f"peak memory of a fresh process, {name}", [float(megabytes)], unit="MB")
    return record.write()


if __name__ == "__main__":
    command(__doc__, run)
