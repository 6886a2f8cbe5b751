"""Measuring side by side: A B A B ..., the ratio within each round, its median with its spread.

A side is a function that does the task once and returns how many seconds it took. `timed` makes one of a function that just
does it; a side that runs in another process brings the seconds from there.
"""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

Side = Callable[[], float]


@dataclass(frozen=True)
class Spread:
    """The median of some values, with the lowest and the highest of them."""

    median: float
    lowest: float
    highest: float
    count: int


def spread(values: list[float]) -> Spread:
    return Spread(median(values), min(values), max(values), len(values))


def rounds(sides: Mapping[str, Side], count: int, *, before: Callable[[], Any] | None = None) -> dict[str, list[float]]:
    """The seconds of each side in each round. Every other round goes through the sides backwards.

    Args:
        sides: Name -> side, ours first.
        count: How many rounds.
        before: Called before each measurement, not timed.
    """
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(count):
        for name in list(sides) if number % 2 == 0 else list(sides)[::-1]:
            if before is not None:
                before()
            gc.collect()
            taken[name].append(sides[name]())
    return taken


def timed(call: Callable[..., Any], *args: Any, of: int = 1) -> Side:
    """A side of a call that does not measure itself; `of` is how many tasks one call does."""

    def side() -> float:
        began = time.perf_counter()
        call(*args)
        return (time.perf_counter() - began) / of

    return side


def times_its_speed(ours: list[float], theirs: list[float]) -> list[float]:
    """In each round, the peer's time over ours: above 1 we are faster."""
    return [peer / mine for mine, peer in zip(ours, theirs, strict=True)]


def times_its_time(ours: list[float], theirs: list[float]) -> list[float]:
    """In each round, our time over the peer's: how many times its time we take."""
    return [mine / peer for mine, peer in zip(ours, theirs, strict=True)]


def peak_megabytes(call: Callable[..., Any], *args: Any) -> int:
    """The peak memory of a fresh process that makes one call; both must be importable by name."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak, call, args).result()


def _peak(call: Callable[..., Any], args: tuple[Any, ...]) -> int:
    call(*args)
    return peak_of_this_process()


def peak_of_this_process() -> int:
    """In MB. Not getrusage: its peak outlives exec, so a process would begin with its parent's."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024
