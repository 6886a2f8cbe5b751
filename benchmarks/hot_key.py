"""One key with very many versions: what it costs beside the same number of rows without such a key.

    python -m benchmarks.hot_key --size small

Full: 10 M source rows, of which 1 M are of one key; 1 M entity rows, of which 100 k ask for it. An inner join with arg_max would be
quadratic here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.by_hand import check_equal, duckdb_one_query
from benchmarks.data import entity_rows, events, feature_names
from benchmarks.pairs import rounds, timed
from benchmarks.project import built, view
from benchmarks.record import Record, command
from hitherto import FeatureStore

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"rows": 2_000, "keys": 100, "entities": 300, "hot": 500, "hot_entities": 30, "pairs": 1},
    "small": {
        "rows": 1_000_000,
        "keys": 100_000,
        "entities": 100_000,
        "hot": 100_000,
        "hot_entities": 10_000,
        "pairs": 5,
    },
    "full": {
        "rows": 10_000_000,
        "keys": 1_000_000,
        "entities": 1_000_000,
        "hot": 1_000_000,
        "hot_entities": 100_000,
        "pairs": 5,
    },
}
FEATURES = [f"fv:{name}" for name in feature_names(10)]


def training(store: FeatureStore, asked: Path) -> pa.Table:
    return store.get_historical_features(asked, FEATURES).to_arrow()


def run(size: str) -> Path:
    given = SIZES[size]
    record = Record("hot_key", size)
    rows, keys, entities = given["rows"], given["keys"], given["entities"]
    plain, hot = events(rows, keys), events(rows, keys, hot=given["hot"])
    asked, asked_hot = entity_rows(entities, keys), entity_rows(entities, keys, hot=given["hot_entities"])
    record.progress("building the segments")
    with (
        built(f"training-{rows}", [view("fv", plain)]).open() as without,
        built(f"hot-{rows}", [view("fv", hot)]).open() as with_hot,
    ):
        check_equal(training(with_hot, asked_hot), {"DuckDB": duckdb_one_query(hot, asked_hot)})
        record.progress("equal to DuckDB; measuring")
        sides = {
            "hot": timed(training, with_hot, asked_hot),
            "plain": timed(training, without, asked),
            "duckdb": timed(duckdb_one_query, hot, asked_hot),
        }
        taken = rounds(sides, given["pairs"])
    task = f"one key with {given['hot']:,} versions, asked for by {given['hot_entities']:,} of {entities:,} entity rows"
    record.pair(
        "hot_key", task, taken["hot"], taken["plain"], against="itself without a hot key", shape="times its time"
    )
    record.pair("hot_key.duckdb", task, taken["hot"], taken["duckdb"], against="DuckDB ASOF by hand")
    return record.write()


if __name__ == "__main__":
    command(__doc__, run)
