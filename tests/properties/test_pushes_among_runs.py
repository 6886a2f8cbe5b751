"""Pushes between runs, through the facade: lookups equal the reference after each push and each run (semantics 4)."""

from __future__ import annotations

import random
from pathlib import Path

from hitherto.testing import read_row
from properties.histories import (
    ANCHOR_TICK,
    CASES,
    LAST_TICK,
    SCENARIOS,
    STEPS,
    SourceRow,
    Step,
    chosen_seed,
    collect,
    histories,
)
from properties.repos import Question, Repo, assert_agree, expected, look_up, source_columns, source_table

# The first run, one that goes on, one over everything again, one that goes on. All but the first say where they start: an
# incremental run leaves keys alone, and what was pushed for them, that have no row in the ranges it computes.
RUNS = (Step(None, 8, 9), Step(8, 14, 15), Step(ANCHOR_TICK, 14, 17), Step(14, 20, LAST_TICK))
assert len(RUNS) == STEPS


def test_lookups_after_pushes_and_runs_equal_the_reference(tmp_path: Path) -> None:
    number, scenario = chosen_seed(), SCENARIOS[1]
    found = collect(histories(scenario, steps=STEPS), CASES // 10, number=number)
    repo = Repo(tmp_path / "repo", scenario, found, random.Random(number))
    for step, what in enumerate(RUNS):
        repo.run(step, what)
        assert_lookups(repo, scenario.at(what.clock), f"PROPERTY_SEED={number}, after run {step}")
        for again in range(2):
            push(repo, what.clock)
            assert_lookups(repo, scenario.at(what.clock), f"PROPERTY_SEED={number}, after push {again} of run {step}")


def push(repo: Repo, clock: int) -> None:
    """For a third of the keys a row that is available by now: one of the source's, or a value that no source has."""
    listed, stored = [], 0
    for number in repo.rng.sample(range(len(repo.keys)), len(repo.keys) // 3):
        event = repo.rng.randint(0, clock)
        row = SourceRow(event, repo.rng.choice([None, 0, 9]), repo.rng.randint(event, clock), (float(clock), "pushed"))
        row = repo.rng.choice([row, *repo.histories[number]])
        columns = source_columns(repo.scenario, repo.keys[number], row)
        whole = read_row(repo.view, columns)
        if whole is not None and whole.available <= repo.scenario.at(clock):
            listed.append(columns)
            stored += repo.references[number].push(columns)
    assert repo.store.push(repo.view.name, source_table(repo.scenario, listed, repo.rng)) == stored


def assert_lookups(repo: Repo, now: int, told: str) -> None:
    questions = [Question(number, now) for number in range(len(repo.histories))]
    wanted = [repo.references[one.number].lookup(repo.keys[one.number], now) for one in questions]
    found = look_up(repo, [one.number for one in questions])
    assert_agree(repo, questions, found, expected(repo, wanted), what=told)
