"""Windowed features of a training set, against the best query that a user could write by hand in DuckDB.

    python -m benchmarks.windows --size small

Full: 10 M events of 100 k keys, 1 M entity rows, three windows (1h, 1d, 7d), four functions (count, sum, mean, max). All sides start from
the entity rows in a Parquet file and end with a table that has every entity row, in its order, with twelve features. Counts and maxima are
compared for equality; sums and means within 1e-9 of themselves, since DuckDB's depend on the order in which its threads add. Three
queries are tried: a range join with aggregates, RANGE frames over events and entity rows together, and prefix sums joined as of both ends
of a window; the fastest here is the peer. Peak memory is that of a fresh process per side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.data import entity_rows, events
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


def run(size: str) -> Path:
    given = SIZES[size]
    record = Record("windows", size)
    source = events(given["rows"], given["keys"], features=2)
    asked = entity_rows(given["entities"], given["keys"])
    record.progress("building the segments")
    project = built(f"windows-{given['rows']}", [view(source)])
    with project.open() as store:
        ours = with_hitherto(store, asked)
        for way, query in WAYS.items():
            check_equal(ours, query(source, asked), way)
        record.progress("equal to all queries; measuring")
        sides = {"ours": timed(with_hitherto, store, asked)}
        sides |= {way: timed(query, source, asked) for way, query in WAYS.items()}
        taken = rounds(sides, given["pairs"])
    task = f"{len(WINDOWS)} windows, {len(FUNCTIONS)} functions, {given['rows']:,} events, {given['entities']:,} entity rows"
    best = min(WAYS, key=lambda way: sorted(taken[way])[len(taken[way]) // 2])
    record.pair(
        "windows.duckdb", task, taken["ours"], taken[best], against=f"DuckDB by hand ({best})", shape="times its time"
    )
    for way in WAYS:
        record.value(f"windows.by_hand.{way.replace(' ', '_')}", f"DuckDB by hand, {way}", taken[way], unit="s")
    peak = {
        "Hitherto": peak_megabytes(in_a_fresh_process, project.folder, asked),
        "DuckDB by hand": peak_megabytes(WAYS[best], source, asked),
    }
    for name, megabytes in peak.items():
        claim = "windows.peak" if name == "Hitherto" else "windows.peak.duckdb"
        record.value(claim, f"peak memory of a fresh process, {name}", [float(megabytes)], unit="MB")
    return record.write()


if __name__ == "__main__":
    command(__doc__, run)
