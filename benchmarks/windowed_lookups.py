"""Lookups of windowed features against lookups of plain ones, from one store, by one server.

    python -m benchmarks.windowed_lookups --size small

Both views are of the same users: ten plain columns; and counts, sums and means over 1, 7 and 30 days and the last five values, ten
features too, of 30 rows in the longest window. The same requests in turn, 1 row each, 16 connections, 1 worker, wrk on one thread of the
same machine; then through the SDK. Beside it: what a key takes in the store, how long its steps take to make and to load, and
how a lookup's time grows with the rows of a window.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.bare import some_users
from benchmarks.data import END, events, few_events
from benchmarks.internals import encoded_rows, place
from benchmarks.internals import token as new_token
from benchmarks.load import Rate, asked, wrk
from benchmarks.pairs import Side, rounds, timed
from benchmarks.project import Built, built, lookup_features, view, work_folder
from benchmarks.record import Record, command
from benchmarks.servers import free_port, hitherto_serve, lacks, redis_server, server
from benchmarks.serving import rates
from hitherto import Aggregation, Entity, FeatureStore, FeatureView, ParquetSource
from hitherto.types import Int64

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"keys": 50, "pairs": 1, "seconds": 1, "rows": 20, "long": (100,)},
    "small": {"keys": 5_000, "pairs": 3, "seconds": 1, "rows": 5_000, "long": (100, 1_000)},
    "full": {"keys": 100_000, "pairs": 5, "seconds": 3, "rows": 20_000, "long": (100, 1_000, 10_000)},
}
ROWS_OF_A_KEY = 90
"""In 90 days."""
WINDOWS = ("1d", "7d", "30d")
PLAIN = lookup_features(10, 1)
WINDOWED = [
    *(f"windowed:f1_{one}_{length}" for one in ("count", "sum", "mean") for length in WINDOWS),
    "windowed:f1_last_5",
]


def windowed(name: str, source: Path) -> FeatureView:
    functions = [Aggregation("f1", one, windows=WINDOWS) for one in ("count", "sum", "mean")]
    return FeatureView(
        name,
        entities=[Entity("user", join_keys={"user_id": Int64})],
        source=ParquetSource(str(source.absolute()), name=f"{name}_events", timestamp_field="event_timestamp"),
        aggregations=[*functions, Aggregation("f1", "last", n=5)],
    )


def project(name: str, keys: int, long: tuple[int, ...], *, online: str) -> Built:
    views = [view("fv", few_events(keys), online=True)]
    views.append(windowed("windowed", events(ROWS_OF_A_KEY * keys, keys, features=2, in_turn=True)))
    # So many rows in 30 days.
    views += [windowed(f"long_{rows}", events(3 * rows * 100, 100, features=2, in_turn=True)) for rows in long]
    return built(name, views, online=online)


def over_http(record: Record, name: str, made: Built, keys: int, *, pairs: int, seconds: int) -> None:
    tokens = made.folder / "tokens.json"
    token, port = new_token(tokens), free_port()
    line = hitherto_serve(made.folder, port, now=END.isoformat(), workers=1)
    with server(line, port, environment={"HITHERTO_SERVER__TOKENS_FILE": str(tokens)}):
        sides: dict[str, Callable[[], Rate]] = {
            what: partial(wrk, port, asked(keys, 1, features), seconds=seconds, token=token)
            for what, features in (("windowed", WINDOWED), ("plain", PLAIN))
        }
        for side in sides.values():
            side()
        taken, tails = rates(sides, pairs)
    task = f"HTTP lookup of 10 windowed features, {name}, 1 row, 16 connections, 1 worker"
    base = f"windowed.http.{name.lower()}"
    record.pair(base, f"{task}: requests/s", taken["windowed"], taken["plain"], against="10 plain features")
    record.value(f"{base}.rate", task, [1 / one for one in taken["windowed"]], unit="requests/s")
    record.value(f"{base}.p99", f"{task}: p99 at full rate", tails["windowed"], unit="ms")


def looking_up(store: FeatureStore, features: list[str], users: list[list[int]]) -> Side:
    def look_up() -> None:
        for one in users:
            store.get_online_features(features, {"user_id": one}).to_dict()

    return timed(look_up, of=len(users))


def by_sdk(record: Record, name: str, store: FeatureStore, given: dict[str, Any]) -> None:
    for size in (1, 100):
        users = some_users(given["keys"], size, max(5, given["rows"] // (size + 3)))
        sides = {
            "windowed": looking_up(store, WINDOWED, users),
            "plain": looking_up(store, PLAIN, users),
        }
        for side in sides.values():
            side()
        taken = rounds(sides, given["pairs"])
        record.pair(
            f"windowed.sdk.{name.lower()}.{size}",
            f"SDK lookup of 10 windowed features, {name}, {size} rows",
            taken["windowed"],
            taken["plain"],
            against="10 plain features",
            shape="times its time",
        )
    for rows in given["long"]:
        features = [one.replace("windowed:", f"long_{rows}:") for one in WINDOWED]
        users = some_users(100, 1, 500)
        taken = rounds({"ours": looking_up(store, features, users)}, given["pairs"])
        record.point("windowed.long", f"SDK, {name}, 1 key", rows, 1e6 * min(taken["ours"]))


def what_keys_take(record: Record, name: str, store: FeatureStore, given: dict[str, Any]) -> None:
    """Bytes of a key, and the time to make and to load its steps."""
    for what in ("windowed", *(f"long_{rows}" for rows in given["long"])):
        batches = encoded_rows(store, what)
        keys = sum(batch.num_rows for batch in batches)
        sizes = np.concatenate([pc.binary_length(batch.column("value")).to_numpy() for batch in batches])
        record.value(f"windowed.bytes.{what}", f"bytes of a key, {what}", [float(sizes.mean())], unit="bytes")
        if what == "windowed":
            sides = {
                "steps": timed(encoded_rows, store, what, of=keys),
                "load": timed(lambda rows: store.online_store.load(place(1), rows, token=1), batches, of=keys),
            }
            for side, seconds in rounds(sides, given["pairs"]).items():
                task = "to make the steps of a key" if side == "steps" else f"to load a key, {name}"
                record.value(f"windowed.{side}.{name.lower()}", task, [1e6 * one for one in seconds], unit="us")
            store.online_store.drop(place(1))


def measure(record: Record, name: str, made: Built, given: dict[str, Any]) -> None:
    with made.open() as store:
        check(store, given["keys"])
        what_keys_take(record, name, store, given)
        by_sdk(record, name, store, given)
    if reason := lacks("wrk"):
        record.note(reason)
        return
    over_http(record, name, made, given["keys"], pairs=given["pairs"], seconds=given["seconds"])


def check(store: FeatureStore, keys: int) -> None:
    """What is measured is right: lookups equal a training set at the same instant, and most values are there."""
    users = list(range(0, keys, max(1, keys // 20)))
    found = store.get_online_features(WINDOWED, {"user_id": users}).to_dict()
    rows = pa.table({"user_id": users, "event_timestamp": pa.array([END] * len(users), pa.timestamp("us", "UTC"))})
    training = store.get_historical_features(rows, WINDOWED).to_arrow()
    assert all(training.column(name).to_pylist() == found[name] for name in found if name != "user_id")
    assert sum(None in column for column in found.values()) < len(found)


def run(size: str) -> Path:
    given = SIZES[size]
    keys, long = given["keys"], given["long"]
    record = Record("windowed_lookups", size)
    record.progress("building")
    measure(record, "LMDB", project(f"windowed-lmdb-{keys}", keys, long, online="lmdb:///online"), given)
    if reason := lacks("redis-server"):
        record.note(reason)
        return record.write()
    with redis_server(work_folder() / "windowed-server") as redis:
        made = project(f"windowed-redis-{keys}", keys, long, online=redis.url)
        measure(record, "Redis", made, given)
    return record.write()


if __name__ == "__main__":
    command(__doc__, run)
