"""Training sets against what a user would write by hand: DuckDB's ASOF join and Polars' join_asof on the source Parquet.

    python -m benchmarks.training_set --rows 1000000 --entities 100000

All start from the entity rows in a Parquet file and end with an Arrow table: every entity row, in its order, with ten features.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa

from benchmarks.data import COLUMNS, END, FEATURES, KINDS, make_entity_rows, make_events, make_store
from benchmarks.pairs import compare, peak_megabytes, seconds, write
from hitherto import FeatureStore
from hitherto.config import Config


def with_hitherto(store: FeatureStore, entities: Path) -> pa.Table:
    return store.get_historical_features(entities, FEATURES).to_arrow()


def with_duckdb(events: Path, entities: Path) -> pa.Table:
    with duckdb.connect() as con:
        con.execute("set enable_progress_bar = false")
        return con.sql(
            f"select e.* exclude (__row), {COLUMNS} from (select *, row_number() over () as __row from '{entities}') e "
            f"asof left join '{events}' s on e.user_id = s.user_id and e.event_timestamp >= s.event_timestamp order by __row"
        ).to_arrow_table()


def with_polars(events: Path, entities: Path) -> pa.Table:
    rows = pl.scan_parquet(entities).with_row_index("__row").sort("event_timestamp")
    found = rows.join_asof(
        pl.scan_parquet(events).drop("created").sort("event_timestamp"), on="event_timestamp", by="user_id"
    )
    with warnings.catch_warnings():
        # That it cannot check the order by group; both sides have just been sorted.
        warnings.simplefilter("ignore", UserWarning)
        return found.sort("__row").drop("__row").collect().to_arrow()


def fresh_hitherto(project: Path, entities: Path) -> pa.Table:
    """The same in a process that has just begun: for its peak memory."""
    return with_hitherto(FeatureStore(config=Config(project="bench", repo_path=project), clock=lambda: END), entities)


def check_equal(ours: pa.Table, *others: pa.Table) -> None:
    """All rows, in the same order, with the same values."""
    for other in others:
        assert ours.num_rows == other.num_rows
        for name in ("user_id", "row_id", "label", *KINDS):
            mine, theirs = (table.column(name).combine_chunks() for table in (ours, other))
            assert mine.equals(theirs.cast(mine.type)), name


def run(folder: Path, *, rows: int, keys: int, entities: int, pairs: int, memory: bool = True) -> Path:
    events = make_events(folder / "events.parquet", rows=rows, keys=keys)
    asked = make_entity_rows(folder / "entities.parquet", rows=entities, keys=keys)
    store = make_store(folder / "project", events)
    building = seconds(lambda: store.materialize(end=END))
    check_equal(with_hitherto(store, asked), with_duckdb(events, asked), with_polars(events, asked))
    task = f"training set, {rows:,} rows, {entities:,} entities"
    ways = {"hand-written DuckDB ASOF": with_duckdb, "Polars join_asof": with_polars}
    found = [
        compare(
            task,
            lambda: with_hitherto(store, asked),
            lambda way=way: way(events, asked),
            against=name,
            pairs=pairs,
        )
        for name, way in ways.items()
    ]
    saved = found[0].peer_seconds - found[0].ours_seconds
    paid_back = building / saved if saved > 0 else None
    after = f"paid back after {paid_back:.1f} training sets" if paid_back else "never paid back at this size"
    print(f"building segments and online store once: {building:.2f} s, {after}")
    peaks = {}
    if memory:
        peaks = {name: peak_megabytes(way, events, asked) for name, way in ways.items()}
        peaks["hitherto"] = peak_megabytes(fresh_hitherto, folder / "project", asked)
        print("peak memory of a fresh process, MB:", peaks)
    size = {"rows": rows, "entities": entities}
    return write("training_set", size, found, building_seconds=building, paid_back_after=paid_back, peak_mb=peaks)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--keys", type=int, help="a tenth of the rows if not given")
    options.add_argument("--entities", type=int, default=100_000)
    options.add_argument("--pairs", type=int, default=5)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(
            Path(folder),
            rows=given.rows,
            keys=given.keys or given.rows // 10,
            entities=given.entities,
            pairs=given.pairs,
        )


if __name__ == "__main__":
    main()
