"""Processes to be killed in the middle of a run.

    python killed.py

reads lines `FOLDER TURN`, starts for each a process of its own that materializes that folder over and over, correcting its file
each time, and prints the process's id. The processes are forked from this one, which has loaded everything and opened nothing:
a start then takes milliseconds, and fifty can be killed within a minute.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import duckdb
import lmdb
import pyarrow.parquet  # loaded before anything is forked

from hitherto.materialization import materialize
from hitherto.online import stores
from journeys.projects import Project, view

LOADED = (duckdb, lmdb, pyarrow.parquet, materialize, stores)


def rows(turn: int) -> list[tuple[str, float, float]]:
    """What the source holds in a turn: three of four keys, the newest value of each says the turn."""
    keys = [f"k{number}" for number in range(4) if number != turn % 4]
    return [(key, hours, turn + hours / 100) for key in keys for hours in (1, 2, 3)]


def work(folder: Path, turn: int) -> None:
    """Materialize one turn after the other, for ever."""
    project = Project(folder)
    while True:
        project.deliver(rows(turn))
        project.at(24 + turn)
        project.store.apply([view()])
        project.store.materialize_incremental()
        turn += 1


def say(word: str) -> None:
    """Tell the test, at once."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    """Start a process for each line."""
    say("ready")
    for line in sys.stdin:
        folder, turn = line.rsplit(" ", 1)
        child = os.fork()
        if not child:
            os.setsid()
            work(Path(folder), int(turn))
        say(str(child))
        os.waitpid(child, 0)
        say("gone")


if __name__ == "__main__":
    main()
