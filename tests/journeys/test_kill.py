"""kill -9 in a run, fifty times: the next command recovers by itself, values are right, nothing stays behind (semantics 5)."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from journeys import killed
from journeys.projects import Project, assert_parity, view

KILLS = 25
"""In each of two tests, so that two workers share them."""
FRESH_EVERY = 5
LONGEST = 1.0
"""Seconds until the kill: a run on so little data takes a fifth to a half of it, so that kills fall into the next ones, too."""


class Nursery:
    """Starts and kills processes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._expect("ready")

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def _expect(self, word: str) -> None:
        assert self._line() == word

    def start_and_kill(self, folder: Path, turn: int, *, after: float) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{folder} {turn}\n")
        self.process.stdin.flush()
        child = int(self._line())
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        self._expect("gone")


@contextmanager
def nursery() -> Iterator[Nursery]:
    tests = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent / "src")])}
    # Coverage of a process that is killed is never written.
    environment.pop("COVERAGE_PROCESS_START", None)
    process = subprocess.Popen(
        [sys.executable, str(tests / "journeys" / "killed.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield Nursery(process)
    finally:
        process.kill()
        process.communicate()


def turn_of(project: Project, values: list[float | None]) -> int | None:
    """The turn that an answer for all four keys comes from: one turn for all of them, and its missing key missing."""
    turns = {int(value) for value in values if value is not None}
    if not turns:
        return None
    (turn,) = turns
    wanted = {key: value for key, _, value in killed.rows(turn)}
    assert values == [wanted.get(f"k{number}") for number in range(4)]
    return turn


def delivered_turn(project: Project) -> int | None:
    path = project.folder / "data" / "a.parquet"
    return int(pq.read_table(path)["value"][0].as_py()) if path.exists() else None


def check(project: Project, before: int | None, *, parity: bool) -> tuple[int | None, str]:
    """The project as the next command finds it. Returns the turn that is published after it, and how the last run ended."""
    delivered = delivered_turn(project)
    if delivered is None:
        return before, "nothing delivered"
    project.at(24 + delivered)
    keys = [f"k{number}" for number in range(4)]
    states = project.states()
    assert set(states) <= {"published", "failed"}
    if "published" in states:
        published = turn_of(project, project.lookup(*keys))
        assert published == turn_of(project, project.history(*((key, 24 + delivered) for key in keys)))
        assert published is not None
        assert published in (delivered, delivered - 1)
        assert before is None or published >= before
        if parity:
            assert_parity(project.store, ["readings:value"])
    ending = states[-1] if states else "no run"
    project.store.apply([view()])
    project.store.materialize_incremental()
    assert turn_of(project, project.lookup(*keys)) == delivered
    assert turn_of(project, project.history(*((key, 24 + delivered) for key in keys))) == delivered
    assert project.leftovers() == []
    return delivered, ending


@pytest.mark.slow
@pytest.mark.parametrize("half", [1, 2])
def test_after_kill_9_at_any_moment_the_next_command_recovers_and_values_are_right(half: int, tmp_path: Path) -> None:
    seed = random.getrandbits(32)
    rng = random.Random(seed)
    endings: dict[str, int] = {}
    folder, published = tmp_path / "0", None
    with nursery() as processes:
        for number in range(KILLS):
            if number % FRESH_EVERY == 0:
                # A first load, into nothing.
                shutil.rmtree(folder, ignore_errors=True)
                folder, published = tmp_path / str(number), None
            turn = 0 if published is None else published + 1
            processes.start_and_kill(folder, turn, after=rng.uniform(0.02, LONGEST))
            project = Project(folder)
            try:
                published, ending = check(project, published, parity=number % FRESH_EVERY == 3)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, kill {number}: {error}") from error
            finally:
                project.store.close()
            endings[ending] = endings.get(ending, 0) + 1
    # Kills fell before, into and behind runs; else the test would prove little.
    assert endings.get("failed", 0) >= 1, endings
    assert endings.get("published", 0) >= 1, endings
