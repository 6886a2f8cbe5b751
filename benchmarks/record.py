"""What a benchmark found, as lines on the terminal and as JSON in results/, with versions and machine.

There are two sizes: "small" says whether all runs and how it feels, "full" is what docs/benchmarks.md shows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.pairs import spread, times_its_speed, times_its_time
from hitherto import __version__

RESULTS = Path(__file__).parent / "results"
SIZES = ("small", "full")
PACKAGES = ("duckdb", "pyarrow", "polars", "pandas", "lmdb", "redis", "hiredis", "fastapi", "uvicorn", "uvloop")
SHAPES = {"times its speed": times_its_speed, "times its time": times_its_time}


@dataclass(frozen=True)
class Measured:
    """One figure: the median of some rounds with its spread, and, where a peer was measured beside it, both sides' medians.

    `claim` is its name; benchmarks/targets.py names what is wanted of some. Seconds of sides are of one task.
    """

    claim: str
    task: str
    against: str
    unit: str
    value: float
    lowest: float
    highest: float
    rounds: int
    ours: float | None = None
    theirs: float | None = None

    def __str__(self) -> str:
        sides = f"  ours {_shown(self.ours)}, theirs {_shown(self.theirs)}" if self.ours and self.theirs else ""
        against = f" against {self.against}" if self.against else ""
        return f"  {self.task}{against}: {self.value:.3g} ({self.lowest:.3g} to {self.highest:.3g}) {self.unit}{sides}"


class Record:
    """Collects what one benchmark finds.

    Args:
        name: The benchmark's name; the file is results/NAME.SIZE.json.
        size: "small" or "full".
    """

    def __init__(self, name: str, size: str) -> None:
        self.name, self.size = name, size
        self.measured: list[Measured] = []
        self.curves: dict[str, dict[str, list[list[float]]]] = {}
        self.notes: list[str] = []
        self._began = time.monotonic()
        # A run that fails leaves no figures of an earlier one behind.
        self._path.unlink(missing_ok=True)
        self._load = os.getloadavg()
        print(f"== {name} ({size})", flush=True)

    @property
    def _path(self) -> Path:
        return RESULTS / f"{self.name}.{self.size}.json"

    def pair(
        self,
        claim: str,
        task: str,
        ours: list[float],
        theirs: list[float],
        *,
        against: str,
        shape: str = "times its speed",
    ) -> Measured:
        """Ours against a peer: the ratio of each round, its median, lowest and highest."""
        ratio, mine, peers = spread(SHAPES[shape](ours, theirs)), spread(ours), spread(theirs)
        return self._add(
            Measured(
                claim,
                task,
                against,
                shape,
                ratio.median,
                ratio.lowest,
                ratio.highest,
                ratio.count,
                mine.median,
                peers.median,
            )
        )

    def value(self, claim: str, task: str, values: list[float], *, unit: str, against: str = "") -> Measured:
        """A figure of its own."""
        of = spread(values)
        return self._add(Measured(claim, task, against, unit, of.median, of.lowest, of.highest, of.count))

    def _add(self, one: Measured) -> Measured:
        print(one, flush=True)
        self.measured.append(one)
        return one

    def point(self, curve: str, series: str, x: float, y: float) -> None:
        """One point of a curve that benchmarks/curves.py draws."""
        self.curves.setdefault(curve, {}).setdefault(series, []).append([x, y])
        print(f"  {curve}, {series}: {x:,.6g} -> {y:.4g}", flush=True)

    def note(self, text: str) -> None:
        """Something a reader must know: what was left out, and why."""
        print(f"  note: {text}", flush=True)
        self.notes.append(text)

    def progress(self, text: str) -> None:
        """What is being done now."""
        print(f"  [{time.monotonic() - self._began:5.0f} s] {text}", flush=True)

    def write(self) -> Path:
        RESULTS.mkdir(exist_ok=True)
        found = {
            "benchmark": self.name,
            "size": self.size,
            "seconds": round(time.monotonic() - self._began),
            "measured": [asdict(one) for one in self.measured],
            "curves": self.curves,
            "notes": self.notes,
            "machine": {**machine(), "load_average_before": [round(one, 2) for one in self._load]},
        }
        self._path.write_text(json.dumps(_rounded(found), indent=1) + "\n")
        print(f"  [{time.monotonic() - self._began:5.0f} s] written to {self._path.name}", flush=True)
        return self._path


def command(doc: str | None, run: Callable[[str], Any], argv: Iterable[str] | None = None) -> None:
    """The command line that all benchmarks have: --size small|full."""
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", choices=SIZES, default="small")
    end_well_when_told_to()
    run(options.parse_args(argv if argv is None else list(argv)).size)


def end_well_when_told_to() -> None:
    """Told to end, a program ends its servers too: the blocks that began them are left as on any error."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def machine() -> dict[str, Any]:
    """Where and with what it was measured."""
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    return {
        "cpu": cpu or platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory) / 2**20, 1),
        "load_average": [round(one, 2) for one in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "hitherto": __version__,
        "packages": {name: _version(name) for name in PACKAGES},
        "programs": {"redis-server": _told("redis-server", "--version"), "wrk": _told("wrk", "-v")},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _told(*line: str) -> str | None:
    try:
        told = subprocess.run(line, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    # "Redis server v=7.0.15 sha=...", "wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 ...": the first with a point in it.
    found = re.search(r"\d+\.[\w.+-]+", told.stdout + told.stderr)
    return found[0] if found else None


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _shown(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"
