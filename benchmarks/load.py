"""Asking a server over HTTP: single answers, wrk's closed loop, and the open loop."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bare import some_users
from benchmarks.project import work_folder
from benchmarks.servers import ROOT

SCRIPT = Path(__file__).with_name("lookup.lua")
MOST_ARE_GOOD = 0.999
MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclass(frozen=True)
class Asked:
    """Requests of one kind: a file with a body in each line."""

    bodies: Path
    rows: int

    @property
    def first(self) -> bytes:
        with self.bodies.open("rb") as file:
            return file.readline()


def asked(keys: int, rows: int, features: Sequence[str]) -> Asked:
    """Some hundred requests for random keys, two of a hundred unknown."""
    folder = work_folder() / "bodies"
    folder.mkdir(exist_ok=True)
    path = folder / f"{keys}-{rows}-{len(features)}-{features[0].partition(':')[0]}-{features[-1].partition(':')[0]}"
    # Several views have features of one name.
    full = len({one.partition(":")[0] for one in features}) > 1
    with path.open("w") as file:
        for users in some_users(keys, rows, max(30, min(2_000, 20_000 // rows))):
            body = {"features": list(features), "entities": {"user_id": users}, "full_feature_names": full}
            file.write(json.dumps(body, separators=(",", ":")) + "\n")
    return Asked(path, rows)


@dataclass(frozen=True)
class Rate:
    """What wrk says: requests per second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


def wrk(
    port: int, what: Asked, *, seconds: int, connections: int = 16, token: str | None = None, strict: bool = True
) -> Rate:
    """A run of wrk on one thread. Only answers of 2xx count. `strict`: more than one in a thousand of others, or any error of
    a connection, is an error.
    """
    environment = {**os.environ, "BODIES": str(what.bodies), **({"TOKEN": token} if token else {})}
    line = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{min(seconds, 30)}s",
        "--timeout",
        "10s",
        "--latency",
        "-s",
        str(SCRIPT),
    ]
    told = subprocess.run(
        [*line, f"http://127.0.0.1:{port}"], env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert not strict or "Socket errors" not in told, told
    refused = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", told))
    found = {name: _milliseconds(told, name) for name in ("50%", "99%")}
    (rate,), (answered,) = re.findall(r"Requests/sec:\s+([\d.]+)", told), re.findall(r"(\d+) requests in", told)
    good = 1 - refused / max(1, int(answered))
    assert not strict or good > MOST_ARE_GOOD, told
    return Rate(float(rate) * good, found["50%"], found["99%"])


def _milliseconds(told: str, quantile: str) -> float:
    ((number, unit),) = re.findall(rf"{quantile}\s+([\d.]+)(us|ms|s|m)\b", told)
    return float(number) * MILLISECONDS[unit]


class OpenLoop:
    """A run of the open-loop client in a process of its own, until its time is over or `stop` is called."""

    def __init__(self, port: int, what: Asked, *, rate: float, seconds: float, token: str | None = None) -> None:
        self._stop = work_folder() / f"stop-{port}-{id(self)}"
        environment = {**os.environ, "STOP": str(self._stop), **({"TOKEN": token} if token else {})}
        line = [sys.executable, "-m", "benchmarks.open_loop", str(port), str(rate), str(seconds)]
        with what.bodies.open() as bodies:
            self._process = subprocess.Popen(
                line, cwd=ROOT, env=environment, stdin=bodies, stdout=subprocess.PIPE, text=True
            )

    def stop(self) -> None:
        self._stop.touch()

    def result(self) -> dict[str, float]:
        """Its quantiles in milliseconds, and how many requests were `sent`, `unanswered`, or `failed`: answered with another
        status than 200.
        """
        told, _ = self._process.communicate(timeout=120)
        self._stop.unlink(missing_ok=True)
        found: dict[str, float] = json.loads(told)
        return found


def post(port: int, body: bytes, token: str | None = None) -> dict[str, Any]:
    """One answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/get-online-features", body)
    request.add_header("content-type", "application/json")
    if token:
        request.add_header("authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, Any] = json.loads(response.read())
    return answer


def values(answer: dict[str, Any]) -> dict[str, list[Any]]:
    """The columns of an answer, as to_dict() gives them."""
    columns = [column["values"] for column in answer["results"]]
    return dict(zip(answer["metadata"]["feature_names"], columns, strict=True))
