"""Lookups over HTTP, tokens and metrics on, against the floor of a bare ASGI server and against Feast's server.

    python -m benchmarks.serving --size small

Base: 1 row of 10 features, 16 connections, 1 worker; wrk on one thread of the same machine. The floor (floor.py) reads one ready value
from the same store and sends as many bytes, and does nothing else. Feast's server as it comes and tuned, against Redis, with the same
requests; the better of the two counts. Then one dimension at a time: rows per request, features, views, connections, workers; and
requests per second of processor time, from which the cores for a billion lookups a day follow.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.bare import lmdb_copy
from benchmarks.data import END, few_events
from benchmarks.internals import token as new_token
from benchmarks.load import Rate, asked, post, values, wrk
from benchmarks.pairs import rounds
from benchmarks.project import Built, lookup_features, lookup_project, work_folder
from benchmarks.record import Record, command
from benchmarks.servers import Redis, Server, free_port, hitherto_serve, lacks, redis_server, server

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"keys": 50, "pairs": 1, "seconds": 1, "feast": 0, "curve_seconds": 0},
    "small": {"keys": 20_000, "pairs": 3, "seconds": 1, "feast": 1, "curve_seconds": 1},
    "full": {"keys": 100_000, "pairs": 5, "seconds": 3, "feast": 3, "curve_seconds": 2},
}
ROWS = (1, 10, 100, 1_000)
CONNECTIONS = (1, 16, 64)
LEAST_RATE = 0.1
TUNED = ["--no-access-log", "--max-requests", "0", "--max-requests-jitter", "0", "--registry_ttl_sec", "600"]
"""Beside the tuned settings: no log line per request, and no restart of the worker after a thousand requests."""


@dataclass(frozen=True)
class Serving:
    """Our server under test."""

    name: str
    server: Server
    token: str
    keys: int

    def wrk(self, seconds: int, *, rows: int = 1, features: int = 10, views: int = 1, connections: int = 16) -> Rate:
        what = asked(self.keys, rows, lookup_features(features, views))
        return wrk(self.server.port, what, seconds=seconds, connections=connections, token=self.token)


@contextmanager
def serving(name: str, project: Built, keys: int, *, workers: int = 1) -> Iterator[Serving]:
    """A project, served, with tokens on. It answers what the SDK answers, or this is an error."""
    tokens = project.folder / "tokens.json"
    token, port = new_token(tokens), free_port()
    line = hitherto_serve(project.folder, port, now=END.isoformat(), workers=workers)
    with server(line, port, environment={"HITHERTO_SERVER__TOKENS_FILE": str(tokens)}) as running:
        found = Serving(name, running, token, keys)
        check(found, project)
        yield found


def check(found: Serving, project: Built) -> None:
    features = lookup_features(10, 1)
    entities = {"user_id": [*range(0, found.keys, max(1, found.keys // 20)), found.keys + 5]}
    body = json.dumps({"features": features, "entities": entities}).encode()
    answer = values(post(found.server.port, body, found.token))
    with project.open() as store:
        assert answer == store.get_online_features(features, entities).to_dict()


@contextmanager
def floor(kind: str, place: str) -> Iterator[int]:
    """A bare server over a store; gives its port."""
    port = free_port()
    with server([sys.executable, "-m", "benchmarks.floor", kind, str(port), place], port):
        yield port


def rates(sides: dict[str, Callable[[], Rate]], count: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds per request, and the 99th percentile in milliseconds, of each side in each round."""
    tails: dict[str, list[float]] = {name: [] for name in sides}

    def side(name: str) -> Callable[[], float]:
        def measure() -> float:
            found = sides[name]()
            tails[name].append(found.p99)
            # Feast's server as it comes ends its worker after a thousand requests; a run may fall into the restart.
            return 1 / max(found.rate, LEAST_RATE)

        return measure

    return rounds({name: side(name) for name in sides}, count), tails


def against_floor(record: Record, ours: Serving, floor_port: int, *, pairs: int, seconds: int) -> None:
    what = asked(ours.keys, 1, lookup_features(10, 1))
    ours.wrk(1), wrk(floor_port, what, seconds=1)
    used = []

    def measure() -> Rate:
        before = ours.server.cpu_seconds()
        found = ours.wrk(seconds)
        used.append(found.rate * seconds / max(1e-9, ours.server.cpu_seconds() - before))
        return found

    taken, tails = rates({"ours": measure, "floor": lambda: wrk(floor_port, what, seconds=seconds)}, pairs)
    base, task = ours.name.lower(), f"HTTP lookup, {ours.name}, 1 row, 16 connections, 1 worker"
    record.pair(
        f"http.floor.{base}",
        f"{task}: requests/s",
        taken["ours"],
        taken["floor"],
        against="a bare ASGI server, ready bytes",
    )
    record.value(f"http.rate.{base}", task, [1 / one for one in taken["ours"]], unit="requests/s")
    record.value(f"http.p99.{base}", f"{task}: p99 at full rate", tails["ours"], unit="ms")
    record.value(f"http.p99.floor.{base}", f"{task}: p99 of the bare server at full rate", tails["floor"], unit="ms")
    record.value(f"http.core.{base}", task, used, unit="requests per core-second")
    a_day = [1e9 / 86_400 / one for one in used]
    record.value(f"http.billion.{base}", "processor time for 10^9 lookups a day, evenly spread", a_day, unit="cores")


def against_feast(record: Record, ours: Serving, redis: Redis, *, pairs: int, seconds: int) -> None:
    record.note(f"{pairs} pairs with Feast's server for each number of rows.")
    found = peers.python()
    assert found is not None
    features = lookup_features(10, 1)
    with ExitStack() as running:
        ports = {}
        for kind in ("as-it-comes", "tuned"):
            folder = work_folder() / f"feast-serving-{kind}"
            with peers.feast(folder, kind, redis.port) as feast:
                feast.apply([("fv", few_events(ours.keys), 10)])
                feast.materialize()
            ports[kind] = free_port()
            line = [str(found.with_name("feast")), "serve", "--port", str(ports[kind]), "--workers", "1"]
            running.enter_context(server([*line, *(TUNED if kind == "tuned" else [])], ports[kind], folder=folder))
            what = asked(ours.keys, 10, features)
            mine, theirs = values(post(ours.server.port, what.first, ours.token)), values(post(ports[kind], what.first))
            assert mine == {name: theirs[name] for name in mine}, "Feast has other values"
        for rows in (1, 10, 100):
            what = asked(ours.keys, rows, features)
            sides: dict[str, Callable[[], Rate]] = {
                "ours": partial(ours.wrk, seconds, rows=rows),
                **{kind: partial(wrk, port, what, seconds=seconds, strict=False) for kind, port in ports.items()},
            }
            taken, _ = rates(sides, pairs)
            better = [min(both) for both in zip(taken["as-it-comes"], taken["tuned"], strict=True)]
            task = f"HTTP lookup, Redis, {rows} x 10 features, 1 worker: requests/s"
            record.pair(
                f"http.feast.{rows}", task, taken["ours"], better, against="Feast 0.67's server, the better one"
            )
            for kind in ports:
                record.pair(
                    f"http.feast.{rows}.{kind}", task, taken["ours"], taken[kind], against=f"Feast's server, {kind}"
                )
            record.point("http.rows", "Feast's server, Redis", rows, 1 / sorted(better)[len(better) // 2])


def one_dimension_at_a_time(record: Record, ours: Serving, floor_port: int, *, seconds: int) -> None:
    for rows in ROWS:
        record.point("http.rows", ours.name, rows, ours.wrk(seconds, rows=rows).rate)
    for connections in CONNECTIONS:
        what = asked(ours.keys, 1, lookup_features(10, 1))
        found = ours.wrk(seconds, connections=connections)
        record.point("http.connections", ours.name, connections, found.rate)
        record.point("http.connections.p99", ours.name, connections, found.p99)
        bare = wrk(floor_port, what, seconds=seconds, connections=connections)
        record.point("http.connections", f"the floor, {ours.name}", connections, bare.rate)
    for features, views in ((100, 1), (50, 5)):
        for rows in (1, 100):
            found = ours.wrk(seconds, rows=rows, features=features, views=views)
            task = f"HTTP lookup, {ours.name}, {rows} x {features} features of {views} views"
            claim = f"http.{ours.name.lower()}.{rows}.{features}x{views}"
            record.value(claim, task, [found.rate], unit="requests/s")


def two_workers(record: Record, name: str, project: Built, keys: int, *, seconds: int) -> None:
    with serving(name, project, keys, workers=2) as ours:
        found = ours.wrk(seconds, connections=64)
    task = f"HTTP lookup, {name}, 1 row, 64 connections, 2 workers (wrk and the store share the cores)"
    record.value(f"http.{name.lower()}.workers", task, [found.rate], unit="requests/s")


def measure(
    record: Record, name: str, project: Built, bare: tuple[str, str], redis: Redis | None, **given: Any
) -> None:
    seconds = given["curve_seconds"]
    with serving(name, project, given["keys"]) as ours, floor(*bare) as floor_port:
        against_floor(record, ours, floor_port, pairs=given["pairs"], seconds=given["seconds"])
        if seconds:
            one_dimension_at_a_time(record, ours, floor_port, seconds=seconds)
        if redis and given["feast"] and peers.python():
            try:
                against_feast(record, ours, redis, pairs=given["feast"], seconds=given["seconds"])
            except RuntimeError as error:
                record.note(f"Feast's server is left out: {error}")
        elif redis:
            record.note(peers.WITHOUT)
    if seconds:
        two_workers(record, name, project, given["keys"], seconds=seconds)


def run(size: str) -> Path:
    given = SIZES[size]
    keys = given["keys"]
    record = Record("serving", size)
    if reason := lacks("wrk"):
        record.note(reason)
        return record.write()
    record.progress("building")
    project = lookup_project(f"lookup-lmdb-{keys}", keys)
    copied = lmdb_copy(project.folder, "fv", work_folder() / f"serving-copy-{keys}")
    measure(record, "LMDB", project, ("lmdb", str(copied)), None, **given)
    if reason := lacks("redis-server"):
        record.note(reason)
        return record.write()
    with redis_server(work_folder() / "serving-server") as redis:
        project = lookup_project(f"serving-redis-{keys}", keys, online=redis.url)
        measure(record, "Redis", project, ("redis", str(redis.socket)), redis, **given)
    return record.write()


if __name__ == "__main__":
    command(__doc__, run)
