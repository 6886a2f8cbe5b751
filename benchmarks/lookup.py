"""Lookups through the SDK, to a dict of Python values, against bare reads of the same keys in the same client.

    python -m benchmarks.lookup --keys 100000

LMDB against `get` in one read transaction, Redis against MGET with redis-py; the peers throw the values away.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import lmdb
import redis

from benchmarks.data import END, FEATURES, KINDS, make_events, make_store
from benchmarks.pairs import Comparison, compare, write
from benchmarks.servers import redis_is_installed, redis_server
from hitherto import FeatureStore
from hitherto.encoding.key_codec import encode_key
from hitherto.online.redis.keyspace import row_keys
from hitherto.online.store import Place
from hitherto.types import Int64

SIZES = (1, 10, 100)
PLACE = Place("bench", "fv", 1, 1)
Users = list[int]


def check(store: FeatureStore, events: Path, users: Users) -> None:
    """The newest row of each key, as the source has it."""
    with duckdb.connect() as con:
        rows = con.execute(
            f"select {', '.join(KINDS)} from (select unnest(?) as user_id, generate_subscripts(?, 1) as n) left join "
            f"(select * from '{events}' qualify row_number() over (partition by user_id order by event_timestamp desc) = 1) "
            "using (user_id) order by n",
            [users, users],
        ).fetchall()
    answer = store.get_online_features(FEATURES, {"user_id": users}).to_dict()
    assert list(zip(*(answer[name] for name in KINDS), strict=True)) == rows


def requests(keys: int, size: int, count: int) -> list[Users]:
    """So many requests of some random keys: more than fit the processor's caches."""
    chosen = random.Random(size)
    return [[chosen.randrange(keys) for _ in range(size)] for _ in range(count)]


def measure(
    name: str,
    store: FeatureStore,
    bare: Callable[[list[bytes]], Any],
    *,
    stored_keys: Callable[[list[bytes]], list[bytes]] = list,
    asked_keys: int,
    pairs: int,
    rows: int,
) -> list[Comparison]:
    """Compare for each size of request, with so many rows for each measurement."""
    found = []
    for size in SIZES:
        asked = requests(asked_keys, size, max(8, rows // (size + 3)))
        stored = [stored_keys([encode_key([Int64], [user]) for user in users]) for users in asked]

        def ours(asked: list[Users] = asked) -> None:
            for users in asked:
                store.get_online_features(FEATURES, {"user_id": users}).to_dict()

        def theirs(stored: list[list[bytes]] = stored) -> None:
            for entity_keys in stored:
                bare(entity_keys)

        ours(), theirs()
        task = f"lookup, {name}, {size} rows"
        found.append(compare(task, ours, theirs, against="bare read", pairs=pairs, of=len(asked)))
    return found


def lmdb_reader(folder: Path) -> Callable[[list[bytes]], Sequence[bytes | None]]:
    """One read transaction per request, as a lookup needs it; the environment is the store's own, closed there."""
    environment = lmdb.open(str(folder), readonly=True, lock=True, readahead=False)

    def read(keys: list[bytes]) -> Sequence[bytes | None]:
        with environment.begin() as transaction:
            return [transaction.get(key) for key in keys]

    return read


def run(folder: Path, *, keys: int, pairs: int, rows: int = 20_000) -> Path:
    events = make_events(folder / "events.parquet", rows=10 * keys, keys=keys)
    # Keys beyond the known ones are asked for too: one in fifty.
    asked = int(keys * 1.02)
    with make_store(folder / "lmdb", events) as store:
        store.materialize(end=END)
        check(store, events, requests(asked, 100, 1)[0])
    # The same environment cannot be open twice in one process, so the peer reads a copy.
    copied = folder / "copy"
    lmdb.open(str(folder / "lmdb" / "online" / "bench" / "fv" / "1.1"), readonly=True).copy(_made(copied), compact=True)
    with FeatureStore(folder / "lmdb", clock=lambda: END) as store:
        found = measure("LMDB", store, lmdb_reader(copied), asked_keys=asked, pairs=pairs, rows=rows)
    if redis_is_installed():
        with redis_server(folder) as socket, make_store(folder / "redis", events, online=f"unix://{socket}") as store:
            store.materialize(end=END)
            check(store, events, requests(asked, 100, 1)[0])
            client = redis.Redis(unix_socket_path=str(socket))
            found += measure(
                "Redis",
                store,
                client.mget,
                stored_keys=lambda entity_keys: row_keys(PLACE, entity_keys),
                asked_keys=asked,
                pairs=pairs,
                rows=rows // 2,
            )
    return write("lookup", {"keys": keys}, found)


def _made(folder: Path) -> str:
    folder.mkdir()
    return str(folder)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--keys", type=int, default=100_000)
    options.add_argument("--pairs", type=int, default=15)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), keys=given.keys, pairs=given.pairs)


if __name__ == "__main__":
    main()
