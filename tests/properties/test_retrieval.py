"""Retrieval equals the reference (semantics 1-3): known time, ttl edges, ties, nulls, keys, time zones, duplicates, order."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hitherto.timeline import instant
from properties.histories import (
    CASES,
    LAST_TICK,
    SCENARIOS,
    Scenario,
    Step,
    Storage,
    chosen_seed,
    collect,
    histories,
    interesting_ticks,
)
from properties.repos import Question, Repo, assert_agree, entity_table, expected, retrieve

YEAR_1700 = instant("1700-01-01")


def questions_for(repo: Repo, rng: random.Random) -> list[Question]:
    """Every interesting instant of every history, some of them twice, and rows without a time, in any order."""
    listed = [
        Question(number, at)
        for number, history in enumerate(repo.histories)
        for at in interesting_ticks(repo.scenario, history)
    ]
    listed += rng.choices(listed, k=len(listed) // 10)
    listed += [Question(rng.randrange(len(repo.histories)), None) for _ in range(len(listed) // 100 + 1)]
    rng.shuffle(listed)
    return listed


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_retrieval_equals_the_reference(scenario: Scenario, tmp_path: Path) -> None:
    number = chosen_seed()
    rng = random.Random(number)
    repo = Repo(
        tmp_path / "repo", scenario, collect(histories(scenario), CASES // 2 // len(SCENARIOS), number=number), rng
    )
    end = rng.randint(LAST_TICK // 2, LAST_TICK)
    report, counts = repo.run(0, Step(None, end, LAST_TICK))
    run = report[repo.view.name]
    assert (run.rows_read, run.rows_written, run.rows_superseded, run.rows_quarantined) == tuple(vars(counts).values())
    questions = questions_for(repo, rng)
    storages: list[Storage] = ["us", "us_utc", "us_new_york"]
    if scenario.at(0) > YEAR_1700:  # nanoseconds in 64 bits begin in 1677
        storages.append("ns_utc")
    found = retrieve(repo, entity_table(repo, questions, storage=rng.choice(storages)))
    wanted = expected(repo, [repo.references[one.number].retrieve(repo.keys[one.number], one.at) for one in questions])
    assert_agree(repo, questions, found, wanted, what=f"PROPERTY_SEED={number}")
