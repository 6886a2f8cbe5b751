"""The push alone: every key's row into the online store, against the fastest way to send the same bytes.

    python -m benchmarks.push --size small

Rows are encoded already, on both sides. Redis: against `redis-cli --pipe` with SET commands of the same keys and values, which is
handed a ready file; plain (a first load) and compare-and-set (each row wins only if it is newer). `redis-benchmark -t set -P 100` is
the context. LMDB: against a bare sorted append of ready pairs.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import lmdb
import pyarrow as pa

from benchmarks.data import few_events
from benchmarks.internals import count, encoded_rows, later, place
from benchmarks.pairs import rounds, timed
from benchmarks.project import built, make, view, work_folder
from benchmarks.record import Record, command
from benchmarks.servers import Redis, lacks, redis_server
from hitherto.online.store import OnlineStore

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"keys": 100, "growth": (50,), "pairs": 1},
    "small": {"keys": 100_000, "growth": (10_000,), "pairs": 5},
    "full": {"keys": 100_000, "growth": (1_000, 10_000, 1_000_000), "pairs": 7},
}
PIPE_BUFFER = 1 << 20


@dataclass
class Pushes:
    """One store under test: each load goes to a generation of its own, each later push is newer than all before."""

    store: OnlineStore
    batches: list[pa.RecordBatch]
    newer: list[pa.RecordBatch] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(100))

    def load(self) -> None:
        assert self.store.load(place(next(self._numbers)), iter(self.batches), token=1) == count(self.batches)

    def check(self) -> None:
        """What was loaded can be read."""
        at, batch = place(next(self._numbers)), self.batches[-1]
        self.store.load(at, iter(self.batches), token=1)
        keys, values = (column.cast(pa.binary()).to_pylist() for column in (batch.column("key"), batch.column("value")))
        assert self.store.read(at, keys) == values
        self.forget()

    def make_newer(self) -> None:
        number = next(self._numbers)
        self.newer = [later(batch, number) for batch in self.batches]

    def compare_and_set(self) -> None:
        assert self.store.push(place(1), iter(self.newer), token=1) == count(self.batches)

    def forget(self) -> None:
        for there in self.store.places("bench", "pushed"):
            self.store.drop(there)


def rows_of(keys: int) -> list[pa.RecordBatch]:
    """Encoded rows of so many keys, with ten features."""
    with built(f"push-{keys}", [view("fv", few_events(keys), online=True)]).open() as store:
        return encoded_rows(store, "fv")


def write_pipe_file(path: Path, redis: Redis) -> int:
    """All rows that are stored now as SET commands, for `redis-cli --pipe`; returns how many."""
    client = redis.client()
    keys = [key for key in client.scan_iter(count=10_000) if b"{" in key]
    with path.open("wb", buffering=PIPE_BUFFER) as file:
        for at in range(0, len(keys), 1_000):
            chunk = keys[at : at + 1_000]
            for key, value in zip(chunk, cast(list[bytes], client.mget(chunk)), strict=True):
                file.write(b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(value), value))
    return len(keys)


def piper(path: Path, redis: Redis) -> Callable[[], None]:
    def pipe() -> None:
        with path.open("rb") as file:
            line = ["redis-cli", "-s", str(redis.socket), "--pipe"]
            subprocess.run(line, stdin=file, check=True, stdout=subprocess.DEVNULL)

    return pipe


def push_to_redis(record: Record, redis: Redis, keys: int, *, pairs: int, growth: bool) -> None:
    folder = work_folder() / f"push-redis-{keys}"
    batches = rows_of(keys)
    with make(folder, [view("fv", few_events(keys), online=True)], online=redis.url) as store:
        ours = Pushes(store.online_store, batches)
        redis.client().flushall()
        ours.check()
        ours.load()
        piped = write_pipe_file(folder / "pipe", redis)
        assert piped == count(batches)
        pipe = piper(folder / "pipe", redis)
        load = rounds({"ours": timed(ours.load), "pipe": timed(pipe)}, pairs, before=lambda: redis.client().flushall())
        if growth:
            for name, seconds in (("Redis, load", load["ours"]), ("redis-cli --pipe", load["pipe"])):
                record.point("push.keys", name, keys, sorted(seconds)[len(seconds) // 2])
            return
        redis.client().flushall()
        ours.make_newer()
        ours.compare_and_set()
        newer = rounds({"ours": timed(ours.compare_and_set), "pipe": timed(pipe)}, pairs, before=ours.make_newer)
    task, against = f"{count(batches):,} keys of 10 features", "redis-cli --pipe of the same bytes"
    record.pair("push.redis", f"load {task} into Redis", load["ours"], load["pipe"], against=against)
    record.pair("push.redis.cas", f"compare and set {task} in Redis", newer["ours"], newer["pipe"], against=against)
    rates = [count(batches) / seconds for seconds in load["ours"]]
    record.value("push.redis.rate", f"load {task} into Redis", rates, unit="rows/s")
    line = f"redis-benchmark -s {redis.socket} -t set -P 100 -d 300 -n {max(1_000, 5 * keys)} -q --csv".split()
    told = subprocess.run(line, check=True, capture_output=True, text=True).stdout.splitlines()
    rate = float(told[-1].split(",")[1].strip('"'))
    record.value("push.redis.benchmark", "redis-benchmark -t set -P 100 -d 300, for context", [rate], unit="rows/s")


def push_to_lmdb(record: Record, keys: int, *, pairs: int, growth: bool) -> None:
    batches, bare = rows_of(keys), work_folder() / f"push-bare-{keys}"
    pairs_of_bytes = [
        pair
        for batch in batches
        for pair in zip(*(batch.column(name).cast(pa.binary()).to_pylist() for name in ("key", "value")), strict=True)
    ]

    def append() -> None:
        with (
            lmdb.open(str(bare), map_size=1 << 33, sync=False) as environment,
            environment.begin(write=True) as transaction,
        ):
            transaction.cursor().putmulti(pairs_of_bytes, append=True)
            environment.sync(True)

    with built(f"push-{keys}", []).open() as store:
        ours = Pushes(store.online_store, batches)
        ours.check()

        def clean() -> None:
            ours.forget()
            shutil.rmtree(bare, ignore_errors=True)

        load = rounds({"ours": timed(ours.load), "bare": timed(append)}, pairs, before=clean)
        clean()
        ours.make_newer()
        ours.compare_and_set()
        newer = rounds({"ours": timed(ours.compare_and_set)}, pairs, before=ours.make_newer)["ours"]
        ours.forget()
    if growth:
        record.point("push.keys", "LMDB, load", keys, sorted(load["ours"])[len(load["ours"]) // 2])
        return
    task = f"load {count(batches):,} keys of 10 features into LMDB"
    record.pair("push.lmdb", task, load["ours"], load["bare"], against="bare sorted append of ready pairs")
    record.value("push.lmdb.rate", task, [count(batches) / seconds for seconds in load["ours"]], unit="rows/s")
    task = f"compare and set {count(batches):,} keys of 10 features in LMDB"
    record.value("push.lmdb.cas.rate", task, [count(batches) / seconds for seconds in newer], unit="rows/s")


def run(size: str) -> Path:
    given = SIZES[size]
    record = Record("push", size)
    push_to_lmdb(record, given["keys"], pairs=given["pairs"], growth=False)
    without_redis = lacks("redis-server")
    if without_redis:
        record.note(without_redis)
    with redis_server(work_folder() / "push-server") if not without_redis else nullcontext() as redis:
        if redis:
            push_to_redis(record, redis, given["keys"], pairs=given["pairs"], growth=False)
        for keys in sorted({*given["growth"], given["keys"]}):
            record.progress(f"growth: {keys:,} keys")
            push_to_lmdb(record, keys, pairs=min(3, given["pairs"]), growth=True)
            if redis:
                shutil.rmtree(work_folder() / f"push-redis-{keys}", ignore_errors=True)
                push_to_redis(record, redis, keys, pairs=min(3, given["pairs"]), growth=True)
    return record.write()


if __name__ == "__main__":
    command(__doc__, run)
