"""Lookups through the SDK, to a dict of Python values, against bare reads of as many keys in the same client, and against Feast.

    python -m benchmarks.lookup --size small

LMDB against `get` in one read transaction, Redis against MGET with redis-py; both peers throw the values away. Base: 1 view of 10
features. Beside it: 100 features, 5 views of 10, and the asynchronous call. Each measurement is some hundred requests one after
the other; Feast gets fewer, since one of its requests takes up to 10 ms.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import peers, reference
from benchmarks.bare import Read, lmdb_copy, lmdb_reader, redis_reader, some_of, some_users
from benchmarks.data import END, events, few_events
from benchmarks.pairs import Side, rounds, timed
from benchmarks.project import built, lookup_features, lookup_project, view, work_folder
from benchmarks.record import Record, command
from benchmarks.servers import Redis, lacks, redis_server
from hitherto import FeatureStore

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"keys": 50, "rows": 20, "pairs": 1, "feast": 0},
    "small": {"keys": 20_000, "rows": 5_000, "pairs": 5, "feast": 3},
    "full": {"keys": 100_000, "rows": 20_000, "pairs": 7, "feast": 5},
}
ROWS_PER_REQUEST = (1, 10, 100, 1_000)


@dataclass(frozen=True)
class Stored:
    """An online store under test: its name, a project whose rows are in it, and a bare reader of the same rows."""

    name: str
    store: FeatureStore
    keys: int
    bare_keys: list[bytes]
    read: Read

    def ours(self, users: list[list[int]], features: list[str], *, full_names: bool = False) -> Side:
        def look_up() -> None:
            for one in users:
                self.store.get_online_features(features, {"user_id": one}, full_feature_names=full_names).to_dict()

        return timed(look_up, of=len(users))

    def ours_async(self, users: list[list[int]], features: list[str]) -> Side:
        async def look_up() -> None:
            for one in users:
                (await self.store.get_online_features_async(features, {"user_id": one})).to_dict()

        return timed(lambda: asyncio.run(look_up()), of=len(users))

    def bare(self, size: int, count: int, *, views: int = 1) -> Side:
        asked = some_of(self.bare_keys, size * views, count)

        def read() -> None:
            for keys in asked:
                self.read(keys)

        return timed(read, of=len(asked))


def measure(record: Record, stored: Stored, *, rows: int, pairs: int) -> None:
    features, base = lookup_features(10, 1), stored.name.lower()
    for size in ROWS_PER_REQUEST:
        count = max(5, rows // (size + 3))
        users = some_users(stored.keys, size, count)
        sides = {
            "ours": stored.ours(users, features),
            "bare": stored.bare(size, count),
            "async": stored.ours_async(users, features),
        }
        for side in sides.values():
            side()
        taken = rounds(sides, pairs)
        task, against = f"SDK lookup, {stored.name}, {size} x 10 features, to dict", f"bare {bare_name(base)}"
        record.pair(
            f"lookup.{base}.{size}", task, taken["ours"], taken["bare"], against=against, shape="times its time"
        )
        task = f"async SDK lookup, {stored.name}, {size} x 10 features"
        record.pair(
            f"lookup.{base}.{size}.async",
            task,
            taken["async"],
            taken["ours"],
            against="the same, sync",
            shape="times its time",
        )
        for series, name in ((stored.name, "ours"), (f"bare {bare_name(base)}", "bare")):
            record.point("lookup.rows", series, size, sorted(taken[name])[pairs // 2] * 1e3)
    for features_count, views in ((100, 1), (50, 5)):
        for size in (1, 100):
            count = max(5, rows // (size + 3) // 5)
            users = some_users(stored.keys, size, count)
            wide = stored.ours(users, lookup_features(features_count, views), full_names=True)
            wide()
            taken = rounds({"wide": wide, "base": stored.ours(users, features)}, min(pairs, 5))
            task = f"SDK lookup, {stored.name}, {size} x {features_count} features of {views} views"
            claim = f"lookup.{base}.{size}.{features_count}x{views}"
            record.pair(
                claim, task, taken["wide"], taken["base"], against="10 features of 1 view", shape="times its time"
            )


def bare_name(base: str) -> str:
    return "get" if base == "lmdb" else "MGET, redis-py"


def against_feast(record: Record, stored: Stored, redis: Redis, source: Path, *, pairs: int) -> None:
    """Feast with its rows in the same Redis, beside ours."""
    features = lookup_features(10, 1)
    record.note(f"{pairs} pairs with Feast's SDK, of 10 to 200 requests each.")
    with peers.feast(work_folder() / "feast-lookup", "tuned", redis.port) as feast:
        feast.apply([("fv", source, 10)])
        feast.materialize()
        users = [*some_users(stored.keys, 100, 1)[0]]
        ours = stored.store.get_online_features(features, {"user_id": users}).to_dict()
        theirs = feast.values(users, features)
        assert ours == {name: theirs[name] for name in ours}, "Feast has other values"
        for size in ROWS_PER_REQUEST:
            asked = some_users(stored.keys, size, max(10, 400 // (size + 1)))
            feast.lookup(asked[:5], features)
            sides: dict[str, Side] = {
                "ours": stored.ours(asked * 5, features),
                "feast": partial(feast.lookup, asked, features),
            }
            taken = rounds(sides, pairs)
            task = f"SDK lookup, Redis, {size} x 10 features, to dict"
            record.pair(f"lookup.feast.{size}", task, taken["ours"], taken["feast"], against="Feast 0.67 SDK, tuned")
            record.point("lookup.rows", "Feast SDK, Redis", size, sorted(taken["feast"])[pairs // 2] * 1e3)


def check_values(store: FeatureStore, bare_keys: list[bytes], keys: int) -> None:
    """As many rows are stored as there are keys, and known and unknown keys answer as the reference does."""
    assert len(bare_keys) == keys, f"{len(bare_keys)} rows are stored instead of {keys}"
    answer = store.get_online_features(lookup_features(10, 1), {"user_id": [0, keys + 1]}).to_dict()
    assert answer["f0"][0] is not None
    assert answer["f0"][1] is None


def check_against_reference(online: str) -> None:
    source = events(reference.ROWS, reference.KEYS)
    asked = view("fv", source, online=True)
    with built(f"lookup-reference-{online.partition(':')[0]}", [asked], online=online).open() as store:
        reference.check_lookup(asked, store, source, range(reference.KEYS + 5), END)


def run(size: str) -> Path:
    given = SIZES[size]
    keys = given["keys"]
    record = Record("lookup", size)
    record.progress("building")
    check_against_reference("lmdb:///online")
    project = lookup_project(f"lookup-lmdb-{keys}", keys)
    bare_keys, read = lmdb_reader(lmdb_copy(project.folder, "fv", work_folder() / f"lookup-copy-{keys}"))
    with project.open() as store:
        check_values(store, bare_keys, keys)
        measure(record, Stored("LMDB", store, keys, bare_keys, read), rows=given["rows"], pairs=given["pairs"])
    if reason := lacks("redis-server"):
        record.note(reason)
        return record.write()
    with redis_server(work_folder() / "lookup-server") as redis:
        check_against_reference(redis.url)
        redis.client().flushall()
        project = lookup_project(f"lookup-redis-{keys}", keys, online=redis.url)
        bare_keys, read = redis_reader(redis, "fv")
        with project.open() as store:
            check_values(store, bare_keys, keys)
            stored = Stored("Redis", store, keys, bare_keys, read)
            measure(record, stored, rows=given["rows"] // 2, pairs=given["pairs"])
            if peers.python() is None or not given["feast"]:
                record.note(peers.WITHOUT)
            else:
                against_feast(record, stored, redis, few_events(keys), pairs=given["feast"])
    return record.write()


if __name__ == "__main__":
    command(__doc__, run)
