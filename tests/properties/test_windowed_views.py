"""Windowed views equal brute force (semantics 11): ties, nulls, late and corrected events, both edges of each window, empty windows.

Histories go through real runs, and every interesting instant is asked for: each event and available time, where each row leaves each window, and
a microsecond before and after. Values are compared bit for bit, sums too.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hitherto.timeline import to_datetime
from properties.histories import (
    CASES,
    LAST_TICK,
    STEPS,
    Scenario,
    Step,
    chosen_seed,
    collect,
    histories,
    interesting_ticks,
    schedules,
)
from properties.repos import Question, Repo, assert_agree, entity_table, expected, retrieve
from properties.windowed import WINDOWED


def questions_for(repo: Repo, instants: tuple[int, ...] = ()) -> list[Question]:
    """Every interesting instant of every history, and rows without a time, in any order."""
    listed = [
        Question(number, at)
        for number, history in enumerate(repo.histories)
        for at in interesting_ticks(repo.scenario, history, instants)
    ]
    listed += [Question(repo.rng.randrange(len(repo.histories)), None) for _ in range(len(listed) // 100 + 1)]
    repo.rng.shuffle(listed)
    return listed


def answers(repo: Repo, questions: list[Question], **options: object) -> list[tuple[bytes, tuple[str, ...]]]:
    """What the reference says."""
    return expected(
        repo, [repo.references[one.number].retrieve(repo.keys[one.number], one.at, **options) for one in questions]
    )


@pytest.mark.parametrize("scenario", WINDOWED, ids=str)
def test_training_sets_equal_brute_force(scenario: Scenario, tmp_path: Path) -> None:
    number = chosen_seed()
    rng = random.Random(number)
    found = collect(histories(scenario), CASES // 10 // len(WINDOWED), number=number)
    repo = Repo(tmp_path / "repo", scenario, found, rng)
    report, counts = repo.run(0, Step(None, rng.randint(LAST_TICK // 2, LAST_TICK), LAST_TICK))
    run = report[repo.view.name]
    assert (run.rows_read, run.rows_written, run.rows_superseded, run.rows_quarantined) == tuple(vars(counts).values())
    questions = questions_for(repo)
    told = f"PROPERTY_SEED={number}"
    assert_agree(repo, questions, retrieve(repo, entity_table(repo, questions)), answers(repo, questions), what=told)
    # Few keys of many, and in few instants: other ways to read.
    few = [one for one in questions if one.number % 9 == 1 and one.at is not None][:40]
    assert_agree(repo, few, retrieve(repo, entity_table(repo, few)), answers(repo, few), what=f"few keys, {told}")


@pytest.mark.parametrize("scenario", WINDOWED, ids=str)
def test_training_sets_as_of_and_as_served_equal_brute_force(scenario: Scenario, tmp_path: Path) -> None:
    number = chosen_seed()
    rng = random.Random(number)
    schedule = rng.choice(collect(schedules(), 30, number=number))
    found = collect(histories(scenario, steps=STEPS), CASES // 40 // len(WINDOWED), number=number)
    repo = Repo(tmp_path / "repo", scenario, found, rng)
    for step, what in enumerate(schedule):
        _, counts = repo.run(step, what)
        assert counts.rows_read == counts.rows_written + counts.rows_superseded + counts.rows_quarantined
    publishes = tuple(scenario.at(what.clock) for what in schedule)
    questions = questions_for(repo, publishes)
    entity_rows = entity_table(repo, questions)
    for as_of, as_served in [(None, False), (None, True), *((at - rng.randint(0, 1), False) for at in publishes[1:])]:
        told = f"PROPERTY_SEED={number}, as_of={as_of}, as_served={as_served}, runs {schedule}"
        options = {"as_of": None if as_of is None else to_datetime(as_of), "as_served": as_served}
        wanted = answers(repo, questions, as_of=as_of, as_served=as_served)
        assert_agree(repo, questions, retrieve(repo, entity_rows, **options), wanted, what=told)
