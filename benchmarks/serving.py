"""Lookups over HTTP, one worker, tokens and metrics on, against the floor of a bare ASGI server; wrk with 16 connections.

python -m benchmarks.serving --keys 100000
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.data import END, FEATURES, make_events, make_store
from benchmarks.pairs import Comparison, summarise, write
from benchmarks.servers import redis_is_installed, redis_server
from hitherto import FeatureStore
from hitherto.serving.auth import create_token

SIZES = (1, 10, 100)
ROOT = Path(__file__).parent.parent
SCRIPT = Path(__file__).with_name("lookup.lua")
SERVE = "import sys; from hitherto.serving.server import run; run(sys.argv[1], port=int(sys.argv[2]), now=sys.argv[3])"


@dataclass(frozen=True)
class Measured:
    """What wrk says: requests per second, and the 99th percentile of the latency in milliseconds."""

    rate: float
    p99: float


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def process(command: list[str], port: int, environment: dict[str, str]) -> Iterator[None]:
    """A server in a process of its own, once it listens."""
    with subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.DEVNULL
    ) as running:
        try:
            for _ in range(400):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield
        finally:
            running.terminate()


def wrk(port: int, *, rows: int, keys: int, seconds: int, token: str) -> Measured:
    environment = {**os.environ, "ROWS": str(rows), "KEYS": str(keys), "TOKEN": token}
    command = ["wrk", "-t1", "-c16", f"-d{seconds}s", "--latency", "-s", str(SCRIPT), f"http://127.0.0.1:{port}"]
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in told, told
    assert "Socket errors" not in told, told
    (rate,), ((p99, unit),) = (
        re.findall(r"Requests/sec:\s+([\d.]+)", told),
        re.findall(r"99%\s+([\d.]+)(us|ms|s)", told),
    )
    return Measured(float(rate), float(p99) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit])


def check(port: int, token: str, store: FeatureStore, users: list[int]) -> None:
    """The server gives what the SDK gives."""
    body = msgspec.json.encode({"features": FEATURES, "entities": {"user_id": users}})
    request = urllib.request.Request(f"http://127.0.0.1:{port}/get-online-features", body)
    request.add_header("authorization", f"Bearer {token}")
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request) as response:
        answer = msgspec.json.decode(response.read())
    columns = [column["values"] for column in answer["results"]]
    assert (
        dict(zip(answer["metadata"]["feature_names"], columns, strict=True))
        == store.get_online_features(FEATURES, {"user_id": users}).to_dict()
    )


def measure(
    kind: str, folder: Path, place: str, events: Path, online: str, **given: Any
) -> tuple[list[Comparison], dict[str, float]]:
    """Pairs of runs against our server and the floor, then our server with more rows per request."""
    keys, pairs, seconds, sizes = (given[name] for name in ("keys", "pairs", "seconds", "sizes"))
    ours, bare = free_port(), free_port()
    tokens = folder / f"{kind}-tokens.json"
    token = create_token(tokens, "bench", "read")
    with ExitStack() as running:
        store = running.enter_context(make_store(folder / kind, events, online=online))
        store.materialize(end=END)
        serve = ["-c", SERVE, str(folder / kind), str(ours), END.isoformat()]
        running.enter_context(process(serve, ours, {"HITHERTO_SERVER__TOKENS_FILE": str(tokens)}))
        running.enter_context(process(["-m", "benchmarks.floor", kind, str(bare), place], bare, {}))
        check(ours, token, store, [1, 2, keys + 5, 3])
        found = []
        for number in range(pairs):
            order = (ours, bare) if number % 2 == 0 else (bare, ours)
            got = {port: wrk(port, rows=1, keys=keys, seconds=seconds, token=token) for port in order}
            found.append((got[ours], got[bare]))
        rates = {f"{kind}, 1 row, p99 ms": max(mine.p99 for mine, _ in found)}
        for rows in sizes:
            rates[f"{kind}, {rows} rows, requests/s"] = wrk(
                ours, rows=rows, keys=keys, seconds=seconds, token=token
            ).rate
    times = [(1 / mine.rate, 1 / floor.rate) for mine, floor in found]
    print(rates)
    return [summarise(f"HTTP lookup, {kind}, 1 row", times, against="bare ASGI + one GET")], rates


def run(folder: Path, *, keys: int, pairs: int, seconds: int) -> Path | None:
    if shutil.which("wrk") is None:
        print("wrk is not installed: HTTP is left out")
        return None
    events = make_events(folder / "events.parquet", rows=10 * keys, keys=keys)
    given = {"keys": keys, "pairs": pairs, "seconds": seconds, "sizes": SIZES}
    place = str(folder / "lmdb" / "online" / "bench" / "fv" / "1.1")
    found, rates = measure("lmdb", folder, place, events, "lmdb:///online", **given)
    if redis_is_installed():
        with redis_server(folder) as at:
            more, more_rates = measure("redis", folder, str(at), events, f"unix://{at}", **given)
        found, rates = found + more, rates | more_rates
    return write("serving", {"keys": keys}, found, measured=rates)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--keys", type=int, default=100_000)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--seconds", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), keys=given.keys, pairs=given.pairs, seconds=given.seconds)


if __name__ == "__main__":
    main()
