"""The tail of latencies: at half the maximum rate, in an open loop; the same during a publish; and the cold start of a server.

    python -m benchmarks.publishing --size small

Requests: 100 keys x 50 features of 5 views, at half of what wrk's closed loop reached. Rounds of three: nothing else; during a whole
materialization of the five views in another process, as it comes (both cores are its own too); the same with `nice -n 19`. Each goes on
for as long as the materialization takes, which has changed source files to publish every time. The cold start is from the start of
the process to the first answer.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.data import END, events, few_events
from benchmarks.internals import token as new_token
from benchmarks.load import OpenLoop, asked, post, wrk
from benchmarks.pairs import spread
from benchmarks.project import VIEWS, Built, lookup_features, make, view, work_folder
from benchmarks.record import Record, command
from benchmarks.servers import free_port, hitherto_serve, lacks, redis_server, server
from benchmarks.serving import Serving, serving

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"keys": 50, "pairs": 1, "seconds": 1, "starts": 1},
    "small": {"keys": 10_000, "pairs": 1, "seconds": 2, "starts": 3},
    "full": {"keys": 20_000, "pairs": 5, "seconds": 6, "starts": 5},
}
NICE = ["nice", "-n", "19"]


def prepared(name: str, keys: int, online: str) -> tuple[Built, itertools.cycle[Path]]:
    """A project whose source is a file that can be replaced, and the files that take turns there."""
    folder = work_folder() / name
    versions = itertools.cycle([few_events(keys), events(3 * keys, keys, in_turn=True)])
    source = work_folder() / f"{name}-source.parquet"
    replace_source(source, next(versions))
    with make(folder, [view(one, source, online=True) for one in VIEWS], online=online) as store:
        store.materialize(end=END)
    return Built(folder, 0.0), versions


def replace_source(source: Path, version: Path) -> None:
    copied = source.with_suffix(".part")
    shutil.copyfile(version, copied)
    copied.rename(source)


def materialize(folder: Path, before: Sequence[str]) -> subprocess.Popen[bytes]:
    """A whole materialization by the command line."""
    program = [sys.executable, "-m", "hitherto", "--repo", str(folder), "--now", END.isoformat(), "materialize"]
    return subprocess.Popen([*before, *program], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def during(
    ours: Serving, what: Any, rate: float, folder: Path, before: Sequence[str]
) -> tuple[dict[str, float], float]:
    """Latencies while a materialization runs, and how long that was."""
    client = OpenLoop(ours.server.port, what, rate=rate, seconds=60, token=ours.token)
    time.sleep(0.5)  # the client connects
    began = time.perf_counter()
    job = materialize(folder, before)
    _, told = job.communicate(timeout=120)
    seconds = time.perf_counter() - began
    client.stop()
    assert job.returncode == 0, told.decode()
    return client.result(), seconds


def tell_failures(record: Record, where: str, result: dict[str, float]) -> None:
    if lost := result["failed"] + result["unanswered"]:
        record.note(f"{where}: {lost:,.0f} of {result['sent']:,.0f} requests were not answered with 200 in time.")


def half_of_the_maximum(ours: Serving, what: Any, seconds: int) -> float:
    return wrk(ours.server.port, what, seconds=seconds, token=ours.token).rate / 2


def publishing(
    record: Record, name: str, project: Built, versions: Any, *, keys: int, pairs: int, seconds: int
) -> None:
    source = work_folder() / f"{project.folder.name}-source.parquet"
    what = asked(keys, 100, lookup_features(50, 5))
    base, task = name.lower(), f"HTTP lookup, {name}, 5 views x 100 keys x 50 features"
    with serving(name, project, keys) as ours:
        rate = half_of_the_maximum(ours, what, seconds)
        record.value(f"publish.rate.{base}", f"{task}, half of the maximum rate", [rate], unit="requests/s")
        found: dict[str, list[float]] = {"quiet": [], "publish": [], "niced": []}
        lasting = float(seconds)
        for _ in range(pairs):
            for how, before in (("publish", []), ("niced", NICE)):
                replace_source(source, next(versions))
                result, lasting = during(ours, what, rate, project.folder, before)
                found[how].append(result["p99"])
                tell_failures(record, f"{name}, {how}", result)
            client = OpenLoop(
                ours.server.port, what, rate=rate, seconds=min(20, max(seconds, lasting)), token=ours.token
            )
            result = client.result()
            found["quiet"].append(result["p99"])
            tell_failures(record, f"{name}, quiet", result)
    for how, text in (("publish", "during a materialization"), ("niced", "during a materialization with nice -n 19")):
        record.pair(
            f"publish.{how}.{base}",
            f"{task}, p99 at half the maximum rate {text}",
            [one / 1e3 for one in found[how]],
            [one / 1e3 for one in found["quiet"]],
            against="the same without",
            shape="times its time",
        )


def tail(record: Record, name: str, project: Built, *, keys: int, pairs: int, seconds: int) -> None:
    """One row, at half the maximum rate."""
    what = asked(keys, 1, lookup_features(10, 1))
    with serving(name, project, keys) as ours:
        rate = half_of_the_maximum(ours, what, seconds)
        results = [
            OpenLoop(ours.server.port, what, rate=rate, seconds=seconds, token=ours.token).result()
            for _ in range(pairs)
        ]
    task = f"HTTP lookup, {name}, 1 row, open loop at half the maximum rate ({rate:,.0f}/s)"
    for quantile in ("p50", "p99", "p999"):
        record.value(
            f"tail.{quantile}.{name.lower()}", f"{task}: {quantile}", [one[quantile] for one in results], unit="ms"
        )


def cold_start(record: Record, name: str, project: Built, *, keys: int, starts: int) -> None:
    what = asked(keys, 1, lookup_features(10, 1))
    tokens, taken = project.folder / "tokens.json", []
    token = new_token(tokens)
    for _ in range(starts):
        port = free_port()
        began = time.perf_counter()
        line = hitherto_serve(project.folder, port, now=END.isoformat())
        with server(line, port, environment={"HITHERTO_SERVER__TOKENS_FILE": str(tokens)}):
            post(port, what.first, token)
            taken.append(time.perf_counter() - began)
    record.value(f"cold_start.{name.lower()}", f"cold start, {name}: process to first answer", taken, unit="s")
    assert spread(taken).highest < 60


def measure(record: Record, name: str, online: str, **given: Any) -> None:
    keys, pairs, seconds = given["keys"], given["pairs"], given["seconds"]
    record.progress(f"building, {name}")
    project, versions = prepared(f"publishing-{name.lower()}", keys, online)
    cold_start(record, name, project, keys=keys, starts=given["starts"])
    tail(record, name, project, keys=keys, pairs=pairs, seconds=seconds)
    publishing(record, name, project, versions, keys=keys, pairs=pairs, seconds=seconds)


def run(size: str) -> Path:
    given = SIZES[size]
    record = Record("publishing", size)
    if reason := lacks("wrk"):
        record.note(reason)
        return record.write()
    record.note(f"{given['pairs']} rounds: one takes a materialization of five views in each of three ways.")
    measure(record, "LMDB", "lmdb:///online", **given)
    if reason := lacks("redis-server"):
        record.note(reason)
        return record.write()
    with redis_server(work_folder() / "publishing-server") as redis:
        measure(record, "Redis", redis.url, **given)
    return record.write()


if __name__ == "__main__":
    command(__doc__, run)
