"""A whole materialization, offline and online, against Feast; what checks cost; what one more percent of rows costs; bytes per row.

    python -m benchmarks.materialization --size small

Ours reads Parquet, checks it, writes and proves a segment, profiles, pushes every key's newest row, reads it back and publishes. Feast
checks nothing and keeps nothing offline. Both write to the same redis-server over TCP, emptied before each run. Full: 1 M rows,
100 k keys, 10 features; three pairs with Feast, whose runs take over 10 s.
"""

from __future__ import annotations

import itertools
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.data import BEGIN, DAYS, END, events, feature_names
from benchmarks.pairs import Side, rounds
from benchmarks.project import bytes_on_disk, make, view, work_folder
from benchmarks.record import Record, command
from benchmarks.servers import Redis, lacks, redis_server
from hitherto import FeatureStore

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"rows": 2_000, "keys": 100, "pairs": 1, "feast": 0, "growth": (1_000,)},
    "small": {"rows": 200_000, "keys": 20_000, "pairs": 3, "feast": 1, "growth": (20_000,)},
    "full": {
        "rows": 1_000_000,
        "keys": 100_000,
        "pairs": 5,
        "feast": 3,
        "growth": (10_000, 100_000, 1_000_000, 10_000_000),
    },
}
NUMBERS = itertools.count()
LAST_PERCENT = BEGIN + timedelta(days=DAYS) * 0.99
"""From here on there is one percent of the rows."""


def whole(source: Path, online: str, *, checks: bool = True, offline_only: bool = False) -> float:
    """Seconds of the first materialization of a new project."""
    folder = work_folder() / f"materialized-{next(NUMBERS)}"
    with make(folder, [view("fv", source, checks=checks, online=not offline_only)], online=online) as store:
        began = time.perf_counter()
        report = store.materialize(end=END)
        seconds = time.perf_counter() - began
        assert report.ok
    shutil.rmtree(folder)
    return seconds


def check_against_feast(store: FeatureStore, feast: peers.Feast, keys: int) -> None:
    """Both answer the same for some keys, of which the last is unknown."""
    users = [*range(0, keys, max(1, keys // 50)), keys * 2]
    features = [f"fv:{name}" for name in feature_names(10)]
    ours, theirs = store.get_online_features(features, {"user_id": users}).to_dict(), feast.values(users, features)
    assert ours == {name: theirs[name] for name in ours}, "Feast has other values"


def against_feast(record: Record, source: Path, redis: Redis, *, keys: int, pairs: int) -> None:
    record.note(f"{pairs} pairs with Feast: one of its runs takes over 10 s in full size.")
    folder = work_folder() / "feast-materialization"
    with (
        peers.feast(folder / "plain", "as-it-comes", redis.port) as plain,
        peers.feast(folder / "tuned", "tuned", redis.port) as tuned,
    ):
        for feast in (plain, tuned):
            feast.apply([("fv", source, 10)])
            redis.client().flushall()
            feast.materialize()
            with make(work_folder() / f"equal-{next(NUMBERS)}", [view("fv", source, online=True)]) as store:
                store.materialize(end=END)
                check_against_feast(store, feast, keys)
        record.value("bytes.redis.feast", "Feast in Redis, per key", [redis.used_memory() / keys], unit="bytes")
        record.progress("equal to Feast; measuring")
        sides: dict[str, Side] = {
            "ours": lambda: whole(source, redis.tcp_url),
            "tuned": tuned.materialize,
            "plain": plain.materialize,
        }
        taken = rounds(sides, pairs, before=lambda: redis.client().flushall())
    task = "whole materialization, checks on, into Redis"
    record.pair("materialize.feast.tuned", task, taken["ours"], taken["tuned"], against="Feast 0.67, tuned")
    record.pair("materialize.feast.plain", task, taken["ours"], taken["plain"], against="Feast 0.67, as it comes")


def checks_on_and_off(record: Record, source: Path, *, pairs: int) -> None:
    sides: dict[str, Side] = {
        "on": lambda: whole(source, "lmdb:///online"),
        "off": lambda: whole(source, "lmdb:///online", checks=False),
        "offline": lambda: whole(source, "lmdb:///online", offline_only=True),
    }
    taken = rounds(sides, pairs)
    record.value("materialize.lmdb", "whole materialization, checks on, into LMDB", taken["on"], unit="s")
    task = "seven row checks on six features"
    record.pair("materialize.checks", task, taken["on"], taken["off"], against="without checks", shape="times its time")
    task = "with the push to LMDB"
    record.pair(
        "materialize.online", task, taken["on"], taken["offline"], against="offline only", shape="times its time"
    )


def incremental(record: Record, source: Path, *, pairs: int) -> None:
    """The last percent of the rows after the first 99, beside doing all."""
    more, everything = [], []
    for _ in range(pairs):
        folder = work_folder() / f"incremental-{next(NUMBERS)}"
        with make(folder, [view("fv", source, checks=True, online=True)]) as store:
            store.materialize(end=LAST_PERCENT)
            began = time.perf_counter()
            report = store.materialize_incremental(end=END)
            more.append(time.perf_counter() - began)
            assert report.ok
        shutil.rmtree(folder)
        everything.append(whole(source, "lmdb:///online"))
    task = "incremental materialization, 1 % new rows"
    record.pair("materialize.incremental", task, more, everything, against="all of it", shape="times its time")


def bytes_per_row(record: Record, source: Path, redis: Redis | None, *, rows: int, keys: int) -> None:
    folder = work_folder() / f"bytes-{next(NUMBERS)}"
    with make(folder, [view("fv", source, online=True)]) as store:
        store.materialize(end=END)
    segments = sum(file.stat().st_size for file in folder.rglob("*.duckdb"))
    sizes = {
        "the source Parquet, per row": source.stat().st_size / rows,
        "DuckDB segment, per row": segments / rows,
        "LMDB, per key": bytes_on_disk(folder / "online") / keys,
    }
    if redis:
        redis.client().flushall()
        before = redis.used_memory()
        with make(
            work_folder() / f"bytes-{next(NUMBERS)}", [view("fv", source, online=True)], online=redis.url
        ) as store:
            store.materialize(end=END)
        sizes["Redis, per key"] = (redis.used_memory() - before) / keys
        redis.client().flushall()
    for where, size in sizes.items():
        record.value(f"bytes.{where.split(',')[0]}", where, [size], unit="bytes")


def run(size: str) -> Path:
    given = SIZES[size]
    record = Record("materialization", size)
    source = events(given["rows"], given["keys"])
    checks_on_and_off(record, source, pairs=given["pairs"])
    incremental(record, source, pairs=given["pairs"])
    for rows in given["growth"]:
        of_rows = events(rows, rows // 10)
        record.point("materialize.rows", "whole, into LMDB", rows, whole(of_rows, "lmdb:///online"))
    if reason := lacks("redis-server"):
        record.note(reason)
        bytes_per_row(record, source, None, rows=given["rows"], keys=given["keys"])
    else:
        with redis_server(work_folder() / "materialization-server") as redis:
            bytes_per_row(record, source, redis, rows=given["rows"], keys=given["keys"])
            if peers.python() is None or not given["feast"]:
                record.note(peers.WITHOUT)
            else:
                against_feast(record, source, redis, keys=given["keys"], pairs=given["feast"])
    return record.write()


if __name__ == "__main__":
    command(__doc__, run)
