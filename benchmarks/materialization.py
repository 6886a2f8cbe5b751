"""Materialization: the whole job, and the push alone against the fastest way to send the same bytes.

    python -m benchmarks.materialization --rows 1000000

The whole job reads Parquet, checks, writes and proves a segment, profiles, pushes every key's winner, reads back, publishes.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb
import pyarrow as pa
import redis

from benchmarks.data import END, make_events, make_store
from benchmarks.pairs import Comparison, compare, seconds, write
from benchmarks.servers import redis_is_installed, redis_server
from hitherto import FeatureStore
from hitherto.materialization.runner import current_state
from hitherto.offline.duckdb import online_rows
from hitherto.offline.duckdb.connection import connect
from hitherto.online.batches import pieces
from hitherto.online.redis.bulk import frame_rows
from hitherto.online.store import OnlineStore, Place

PIPE_ROWS = 2_000


def encoded_rows(store: FeatureStore, sequence: int) -> list[pa.RecordBatch]:
    """Every key's winner as a run would push it."""
    (version,) = store.registry.view_versions("fv")
    state = current_state(store.context, version)
    with connect(store.context.limits) as con:
        rows = online_rows.all_winners(con, version.definition, state, sequence=sequence, keep_from=None)
        return list(rows)


def whole_job(folder: Path, events: Path, online: str, *, rows: int, times: int) -> float:
    """Rows per second of the first materialization of a new project; the best of some."""
    taken = []
    for number in range(times):
        with make_store(folder / f"{online.partition(':')[0]}{number}", events, online=online) as store:
            taken.append(seconds(lambda store=store: store.materialize(end=END)))
    print(
        f"whole job, {rows:,} rows into {online.partition(':')[0]}: {min(taken):.2f} s, {rows / min(taken):,.0f} rows/s"
    )
    return rows / min(taken)


class Pushes:
    """One store under test: each load goes to a generation of its own, each push is newer than all before."""

    def __init__(self, name: str, online: OnlineStore, batches: Sequence[pa.RecordBatch]) -> None:
        self.name, self.online, self.batches = name, online, batches
        self._generations = itertools.count(100)

    def load(self) -> Place:
        place = Place("bench", "pushed", 1, next(self._generations))
        assert self.online.load(place, iter(self.batches), token=1) == _rows(self.batches)
        return place

    def check(self) -> None:
        """What was loaded can be read."""
        place, batch = self.load(), self.batches[-1]
        keys, values = (column.cast(pa.binary()).to_pylist() for column in (batch.column("key"), batch.column("value")))
        assert self.online.read(place, keys) == values
        self.forget()

    def compare_and_set(self, place: Place) -> int:
        return self.online.push(place, iter(self.batches), token=1)

    def forget(self) -> None:
        for place in self.online.places("bench", "pushed"):
            self.online.drop(place)


def _rows(batches: Sequence[pa.RecordBatch]) -> int:
    return sum(batch.num_rows for batch in batches)


def pipe_file(path: Path, batches: Sequence[pa.RecordBatch]) -> Path:
    """The same rows in the protocol, as SETs, for `redis-cli --pipe`."""
    place = Place("bench", "piped", 1, 1)
    with path.open("wb") as file:
        for batch in pieces(batches, rows=PIPE_ROWS):
            # The bytes of an MSET without its head are key, value, key, value; each pair becomes a command of its own.
            body = frame_rows(place, batch).split(b"\r\n", 3)[3].split(b"\r\n")[:-1]
            for at in range(0, len(body), 4):
                file.write(b"\r\n".join((b"*3", b"$3", b"SET", *body[at : at + 4], b"")))
    return path


def push_to_redis(folder: Path, store: FeatureStore, socket: Path, *, pairs: int) -> list[Comparison]:
    rows = encoded_rows(store, 1)
    ours, piped, client = (
        Pushes("Redis", store.online_store, rows),
        pipe_file(folder / "pipe", rows),
        redis.Redis(unix_socket_path=str(socket)),
    )
    ours.check()

    def pipe() -> None:
        with piped.open("rb") as file:
            subprocess.run(
                ["redis-cli", "-s", str(socket), "--pipe"], stdin=file, check=True, stdout=subprocess.DEVNULL
            )

    def clean() -> None:
        ours.forget()
        client.flushall()

    count = _rows(rows)
    found = [
        compare(
            f"load {count:,} keys into Redis", ours.load, pipe, against="redis-cli --pipe", pairs=pairs, before=clean
        )
    ]
    clean()
    place = Place("bench", "pushed", 1, 1)
    newer = itertools.count(2)
    batches: list[list[pa.RecordBatch]] = [[]]

    def newer_rows() -> None:
        # Every row must win again: the same rows, a second later each time.
        batches[0] = [_later(batch, next(newer)) for batch in rows]

    def push() -> None:
        assert store.online_store.push(place, iter(batches[0]), token=1) == count

    newer_rows()
    push()
    found.append(
        compare(
            f"compare and set {count:,} keys in Redis",
            push,
            pipe,
            against="redis-cli --pipe",
            pairs=pairs,
            before=newer_rows,
        )
    )
    clean()
    return found


def _later(batch: pa.RecordBatch, number: int) -> pa.RecordBatch:
    import pyarrow.compute as pc

    values = batch.column("value").cast(pa.large_binary())
    # The header begins with the format, then 16 digits of event time: a later event is a greater row.
    changed = pc.binary_replace_slice(values, 1, 17, b"9%015x" % number)
    return pa.record_batch({"key": batch.column("key"), "value": changed})


def push_to_lmdb(folder: Path, store: FeatureStore, *, pairs: int) -> list[Comparison]:
    rows = encoded_rows(store, 1)
    ours = Pushes("LMDB", store.online_store, rows)
    ours.check()
    cells = [
        (key, value)
        for batch in rows
        for key, value in zip(
            *(column.cast(pa.binary()).to_pylist() for column in (batch.column("key"), batch.column("value"))),
            strict=True,
        )
    ]
    bare = folder / "bare"

    def append() -> None:
        with (
            lmdb.open(str(bare), map_size=1 << 32, sync=False) as environment,
            environment.begin(write=True) as transaction,
        ):
            transaction.cursor().putmulti(cells, append=True)
            environment.sync(True)

    def clean() -> None:
        ours.forget()
        shutil.rmtree(bare, ignore_errors=True)

    task = f"load {_rows(rows):,} keys into LMDB"
    return [compare(task, ours.load, append, against="bare sorted append of ready tuples", pairs=pairs, before=clean)]


def run(folder: Path, *, rows: int, keys: int, pairs: int, jobs: int = 3) -> Path:
    events = make_events(folder / "events.parquet", rows=rows, keys=keys)
    rates: dict[str, Any] = {"lmdb": whole_job(folder, events, "lmdb:///online", rows=rows, times=jobs)}
    with FeatureStore(folder / "lmdb0", clock=lambda: END) as store:
        found = push_to_lmdb(folder, store, pairs=pairs)
    if redis_is_installed():
        with redis_server(folder) as socket:
            online = f"unix://{socket}"
            rates["redis"] = whole_job(folder, events, online, rows=rows, times=jobs)
            with FeatureStore(folder / "unix0", clock=lambda: END) as store:
                found += push_to_redis(folder, store, socket, pairs=pairs)
    else:
        print("redis-server is not installed: Redis is left out")
    return write(
        "materialization", {"rows": rows}, found, rows_per_second={name: round(rate) for name, rate in rates.items()}
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--keys", type=int, help="a tenth of the rows if not given")
    options.add_argument("--pairs", type=int, default=5)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), rows=given.rows, keys=given.keys or given.rows // 10, pairs=given.pairs)


if __name__ == "__main__":
    main()
