"""A training set after materialization, against what a user would do instead: DuckDB by hand, Polars, Feast.

    python -m benchmarks.training_set --size small

Full: 10 M source rows of 10 features, 1 M keys, 1 M entity rows. All sides start from the entity rows in a Parquet file and end
with a table (Feast: a pandas frame) that has every entity row, in its order, with ten features. Feast gives them in another order,
so its rows are compared by row number. Peak memory is that of a fresh process per side.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks import peers, reference
from benchmarks.by_hand import check_equal, duckdb_one_query, polars_asof
from benchmarks.data import BEGIN, END, entity_rows, events, feature_names
from benchmarks.pairs import peak_megabytes, rounds, timed
from benchmarks.project import built, open_again, view, work_folder
from benchmarks.record import Record, command
from hitherto import FeatureStore

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"rows": 2_000, "keys": 100, "entities": 300, "pairs": 1, "feast": 0},
    "small": {"rows": 1_000_000, "keys": 100_000, "entities": 100_000, "pairs": 5, "feast": 3},
    "full": {"rows": 10_000_000, "keys": 1_000_000, "entities": 1_000_000, "pairs": 5, "feast": 3},
}
FEATURES = [f"fv:{name}" for name in feature_names(10)]
OUTPUTS: dict[str, Callable[[Any], Any]] = {
    "Arrow": lambda found: found.to_arrow(),
    "Polars": lambda found: found.to_polars(),
    "pandas": lambda found: found.to_pandas(),
}


def with_hitherto(store: FeatureStore, entities: Path, into: str = "Arrow") -> Any:
    return OUTPUTS[into](store.get_historical_features(entities, FEATURES))


def in_a_fresh_process(project: Path, entities: Path, into: str) -> Any:
    with open_again(project) as store:
        return with_hitherto(store, entities, into)


def check_against_reference() -> None:
    source = events(reference.ROWS, reference.KEYS)
    asked = entity_rows(reference.ENTITY_ROWS, reference.KEYS)
    with built("training-reference", [view("fv", source)]).open() as store:
        answer = with_hitherto(store, asked)
        reference.check_training(view("fv", source), answer, source, asked, [(BEGIN, END, END)])


def measure_feast(record: Record, store: FeatureStore, source: Path, asked: Path, *, pairs: int, features: int) -> int:
    """Pairs against Feast, both into pandas; returns Feast's peak memory in MB. Redis is not needed for training sets."""
    folder = work_folder() / "feast-training"
    with peers.feast(folder, "tuned", 6379) as feast:
        feast.apply([("fv", source, features)])
        record.progress("Feast: equality")
        feast.train(asked, FEATURES, folder / "result.parquet")
        theirs = pq.read_table(folder / "result.parquet").sort_by("row_id")
        ours = with_hitherto(store, asked).sort_by("row_id")
        check_equal(ours, {"Feast": theirs}, ["user_id", "row_id", "label", *feature_names(10)])
        sides = {
            "ours": timed(with_hitherto, store, asked, "pandas"),
            "feast": lambda: feast.train(asked, FEATURES),
        }
        taken = rounds(sides, pairs)
    record.pair(
        "training.feast", "training set into pandas", taken["ours"], taken["feast"], against="Feast 0.67, DuckDB store"
    )
    with peers.feast(folder, "tuned", 6379) as fresh:
        fresh.train(asked, FEATURES)
        return fresh.peak_mb


def run(size: str) -> Path:
    given = SIZES[size]
    record = Record("training_set", size)
    check_against_reference()
    source = events(given["rows"], given["keys"])
    asked = entity_rows(given["entities"], given["keys"])
    record.progress("building the segments")
    project = built(f"training-{given['rows']}", [view("fv", source)])
    with project.open() as store:
        check_equal(
            with_hitherto(store, asked),
            {"DuckDB": duckdb_one_query(source, asked), "Polars": polars_asof(source, asked)},
        )
        record.progress("equal to DuckDB and Polars; measuring")
        sides = {
            "ours": timed(with_hitherto, store, asked),
            "duckdb": timed(duckdb_one_query, source, asked),
            "polars": timed(polars_asof, source, asked),
        }
        taken = rounds(sides, given["pairs"])
        task = f"training set, {given['rows']:,} source rows, {given['entities']:,} entity rows"
        record.pair(
            "training.duckdb", task, taken["ours"], taken["duckdb"], against="DuckDB ASOF by hand, on the Parquet"
        )
        record.pair("training.polars", task, taken["ours"], taken["polars"], against="Polars join_asof, on the Parquet")
        outputs = rounds({name: timed(with_hitherto, store, asked, name) for name in OUTPUTS}, min(3, given["pairs"]))
        for name, seconds in outputs.items():
            record.value(f"training.into.{name}", f"training set into {name}", seconds, unit="s")
        peak = {
            "Hitherto": peak_megabytes(in_a_fresh_process, project.folder, asked, "Arrow"),
            "Hitherto, into pandas": peak_megabytes(in_a_fresh_process, project.folder, asked, "pandas"),
            "DuckDB by hand": peak_megabytes(duckdb_one_query, source, asked),
            "Polars": peak_megabytes(polars_asof, source, asked),
        }
        if peers.python() is None or not given["feast"]:
            record.note(peers.WITHOUT)
        else:
            record.note(f"{given['feast']} pairs with Feast: one of its training sets takes 15 s and more.")
            peak["Feast"] = measure_feast(record, store, source, asked, pairs=given["feast"], features=10)
            share = peak["Hitherto, into pandas"] / peak["Feast"]
            record.value(
                "training.feast.memory", "peak memory, into pandas", [share], unit="of its memory", against="Feast 0.67"
            )
    for name, megabytes in peak.items():
        record.value(f"training.peak.{name}", f"peak memory of a fresh process, {name}", [float(megabytes)], unit="MB")
    pay_back(record, project.seconds, taken)
    return record.write()


def pay_back(record: Record, building: float, taken: dict[str, list[float]]) -> None:
    """After how many training sets building the segments once has saved more than it took."""
    record.value(
        "training.building", "building the segments, once: read, check, sort, prove, profile", [building], unit="s"
    )
    saved = [theirs - ours for ours, theirs in zip(taken["ours"], taken["duckdb"], strict=True)]
    if min(saved) <= 0:
        record.note("In some rounds our training set was not faster, so building the segments is not paid back there.")
    counts = [building / one for one in saved if one > 0]
    if counts:
        against = "DuckDB ASOF by hand"
        record.value(
            "training.paid_back", "segments are paid back after", counts, unit="training sets", against=against
        )


if __name__ == "__main__":
    command(__doc__, run)
