"""Training sets under the rules of time (ttl, known time, as served), against DuckDB by hand with the same rule.

    python -m benchmarks.training_times --size small

The plain training set is the base; each rule is one change. `as served` asks what a lookup at the row's time was given: the source
is published day by day, an hour after the day's end, and each row sees only what was published by then.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks import reference
from benchmarks.by_hand import check_equal, duckdb_asof, duckdb_known, duckdb_one_query
from benchmarks.data import BEGIN, DAYS, END, entity_rows, events, feature_names
from benchmarks.pairs import rounds, timed
from benchmarks.project import Built, built, make, view, work_folder
from benchmarks.record import Record, command
from hitherto import FeatureStore
from hitherto.testing import FakeClock

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"rows": 2_000, "keys": 100, "entities": 300, "pairs": 1, "every_days": 30},
    "small": {"rows": 200_000, "keys": 20_000, "entities": 20_000, "pairs": 5, "every_days": 10},
    "full": {"rows": 1_000_000, "keys": 100_000, "entities": 100_000, "pairs": 5, "every_days": 3},
}
TTL_DAYS = 7
DELAY = timedelta(hours=1)
FEATURES = [f"fv:{name}" for name in feature_names(10)]


def published_in_steps(
    name: str, source: Path, every: timedelta
) -> tuple[Built, list[tuple[datetime, datetime, datetime]]]:
    """A project whose runs each cover some days and publish an hour later; with its runs (start, end, published at)."""
    folder, clock, runs = work_folder() / name, FakeClock(BEGIN), []
    store = make(folder, [view("fv", source, ttl=None)], clock=clock)
    start = BEGIN
    while start < BEGIN + timedelta(days=DAYS):
        runs.append((start, start + every, start + every + DELAY))
        clock.set(start + every + DELAY)
        store.materialize(start, start + every)
        start += every
    store.close()
    return Built(folder, 0.0), runs


def training(store: FeatureStore, asked: Path, *, as_served: bool = False) -> pa.Table:
    return store.get_historical_features(asked, FEATURES, as_served=as_served, missing="null").to_arrow()


def served_from(every: timedelta) -> str:
    """SQL of the instant from which a row was served: an hour after the end of its interval."""
    step = f"interval {every.days} day"
    return f"time_bucket({step}, event_timestamp, timestamp '{BEGIN:%Y-%m-%d}') + {step} + interval {DELAY.seconds // 3600} hour"


def check_against_reference() -> None:
    source, asked = events(reference.ROWS, reference.KEYS), entity_rows(reference.ENTITY_ROWS, reference.KEYS)
    whole = [(BEGIN, END, END)]
    views = {"ttl": view("fv", source, ttl=f"{TTL_DAYS}d"), "known": view("fv", source, known=True, ttl=None)}
    for name, asked_view in views.items():
        with built(f"times-reference-{name}", [asked_view]).open() as store:
            reference.check_training(asked_view, training(store, asked), source, asked, whole)
    project, runs = published_in_steps("times-reference-served", source, timedelta(days=30))
    with project.open() as store:
        served = training(store, asked, as_served=True)
        reference.check_training(view("fv", source, ttl=None), served, source, asked, runs, as_served=True)


def run(size: str) -> Path:
    given = SIZES[size]
    record = Record("training_times", size)
    check_against_reference()
    record.progress("equal to the reference; building")
    every = timedelta(days=given["every_days"])
    source = events(given["rows"], given["keys"])
    asked = entity_rows(given["entities"], given["keys"])
    steps, _ = published_in_steps("times-served", source, every)
    # Rule -> (its project, whether to ask as served, the same by hand)
    rules = {
        "plain": (built("times-plain", [view("fv", source)]), False, partial(duckdb_one_query, source, asked)),
        "ttl": (
            built("times-ttl", [view("fv", source, ttl=f"{TTL_DAYS}d")]),
            False,
            partial(duckdb_asof, source, asked, ttl_days=TTL_DAYS),
        ),
        "known time": (
            built("times-known", [view("fv", source, known=True)]),
            False,
            partial(duckdb_known, source, asked),
        ),
        "as served": (steps, True, partial(duckdb_known, source, asked, served_from(every))),
    }
    for rule, (project, as_served, by_hand) in rules.items():
        with project.open() as store:
            check_equal(training(store, asked, as_served=as_served), {"DuckDB": by_hand()})
            ours = timed(lambda store=store, served=as_served: training(store, asked, as_served=served))
            taken = rounds({"ours": ours, "duckdb": timed(by_hand)}, given["pairs"])
        record.pair(
            f"training.times.{rule}", f"training set, {rule}", taken["ours"], taken["duckdb"], against="DuckDB by hand"
        )
    return record.write()


if __name__ == "__main__":
    command(__doc__, run)
