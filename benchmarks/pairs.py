"""Measuring side by side: A B A B ..., the ratio within each pair, its median with its spread; results as JSON."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from hitherto import __version__

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("duckdb", "pyarrow", "polars", "lmdb", "redis", "hiredis", "fastapi", "uvicorn")


@dataclass(frozen=True)
class Comparison:
    """Ours against a peer on one task. Times are medians in seconds; the ratio is the peer's time over ours, pair by pair."""

    task: str
    peer: str
    ours_seconds: float
    peer_seconds: float
    ratio: float
    lowest: float
    highest: float
    pairs: int

    def __str__(self) -> str:
        return (
            f"{self.task:44} ours {_shown(self.ours_seconds):>9}   {self.peer:34} {_shown(self.peer_seconds):>9}   "
            f"ratio {self.ratio:6.2f} ({self.lowest:.2f} to {self.highest:.2f}, {self.pairs} pairs)"
        )


def compare(
    task: str,
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    *,
    against: str,
    pairs: int = 5,
    of: int = 1,
    before: Callable[[], Any] | None = None,
) -> Comparison:
    """Run pairs, ours first in one and the peer first in the next, and print what came out.

    Args:
        task: What is done.
        ours, peer: Do it.
        against: The peer's name.
        pairs: How many.
        of: How many tasks one call does; times are of one task.
        before: Called before each measurement, not timed.
    """
    times: list[tuple[float, float]] = []
    for number in range(pairs):
        order = (ours, peer) if number % 2 == 0 else (peer, ours)
        found = {way: seconds(way, before=before) / of for way in order}
        times.append((found[ours], found[peer]))
    return summarise(task, times, against=against)


def summarise(task: str, times: list[tuple[float, float]], *, against: str) -> Comparison:
    """The comparison of measured pairs (ours, the peer's), printed."""
    ratios = [peer / ours for ours, peer in times]
    result = Comparison(
        task,
        against,
        median(ours for ours, _ in times),
        median(peer for _, peer in times),
        median(ratios),
        min(ratios),
        max(ratios),
        len(times),
    )
    print(result, flush=True)
    return result


def seconds(call: Callable[[], Any], *, before: Callable[[], Any] | None = None) -> float:
    """How long a call takes."""
    if before is not None:
        before()
    gc.collect()
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def peak_megabytes(call: Callable[..., Any], *args: Any) -> int:
    """The peak memory of a fresh process that makes one call; both must be importable by name."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak, call, args).result()


def _peak(call: Callable[..., Any], args: tuple[Any, ...]) -> int:
    call(*args)
    # Not getrusage: its peak outlives exec, so a process would begin with its parent's.
    status = dict(line.split(":", 1) for line in _lines("/proc/self/status"))
    return int(status["VmHWM"].split()[0]) // 1024 if status else 0


def write(name: str, size: dict[str, int], comparisons: list[Comparison], **facts: Any) -> Path:
    """Write what was measured, with versions and machine, to results/NAME-SIZE.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{'-'.join([name, *(f'{count}{what}' for what, count in size.items())])}.json"
    found = {
        "benchmark": name,
        "size": size,
        "comparisons": [{key: _rounded(value) for key, value in asdict(one).items()} for one in comparisons],
        **{key: _rounded(value) for key, value in facts.items()},
        "machine": machine(),
    }
    path.write_text(json.dumps(found, indent=2) + "\n")
    return path


def machine() -> dict[str, Any]:
    """Where and with what it was measured. The load average says who else was at work."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    return {
        "cpu": cpu or platform.processor(),
        "cores": os.cpu_count(),
        "load_average": [round(one, 2) for one in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "hitherto": __version__,
        "packages": {name: version(name) for name in PACKAGES},
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _shown(value: float) -> str:
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1e3:.1f} ms" if value >= 1e-3 else f"{value * 1e6:.1f} us"
