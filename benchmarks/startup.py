"""What a start costs: imports and `hitherto --help` as seconds on top of a bare Python, and the apply of 200 views.

python -m benchmarks.startup --size small
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.data import events
from benchmarks.pairs import rounds, timed
from benchmarks.project import make, open_again, view, work_folder
from benchmarks.record import Record, command

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"pairs": 1, "ways": 1, "views": 3, "applies": 1},
    "small": {"pairs": 11, "ways": 4, "views": 200, "applies": 3},
    "full": {"pairs": 11, "ways": 4, "views": 200, "applies": 5},
}
BARE = ["-c", "pass"]
WAYS = {
    "import": ("`import hitherto`", ["-c", "import hitherto"]),
    "help": ("`hitherto --help`", ["-c", "from hitherto.cli import main; main(['--help'])"]),
    "version": ("`hitherto version`", ["-c", "from hitherto.cli import main; main(['version'])"]),
    "store": ("`from hitherto import FeatureStore`", ["-c", "from hitherto import FeatureStore"]),
}


def start(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def added(ours: list[float], bare: list[float]) -> list[float]:
    """In each round, the seconds on top of a bare Python."""
    return [mine - one for mine, one in zip(ours, bare, strict=True)]


def apply_views(record: Record, count: int, times: int) -> None:
    """So many views of ten features, into an empty registry, and once more with nothing changed."""
    views = [view(f"v{number}", events(2_000, 100)) for number in range(count)]
    first, again = [], []
    for number in range(times):
        folder = work_folder() / f"apply-{count}-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        with make(folder, []) as store:
            began = time.perf_counter()
            store.apply(views)
            first.append(time.perf_counter() - began)
        with open_again(folder) as store:
            began = time.perf_counter()
            store.apply(views)
            again.append(time.perf_counter() - began)
    record.value("startup.apply", f"apply {count} views", first, unit="s")
    record.value("startup.apply.again", f"apply {count} views, nothing changed", again, unit="s")


def run(size: str) -> Path:
    given = SIZES[size]
    record = Record("startup", size)
    ways = dict(list(WAYS.items())[: given["ways"]])
    sides = {name: timed(start, arguments) for name, (_, arguments) in ways.items()}
    for side in sides.values():
        side()
    taken = rounds({**sides, "bare": timed(start, BARE)}, given["pairs"])
    for name, (task, _) in ways.items():
        seconds = added(taken[name], taken["bare"])
        record.value(f"startup.{name}", task, seconds, unit="s more", against="`python -c pass`")
    apply_views(record, given["views"], given["applies"])
    return record.write()


if __name__ == "__main__":
    command(__doc__, run)
