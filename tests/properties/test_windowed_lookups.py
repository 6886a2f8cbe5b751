"""Lookups of windowed views equal brute force between publishes (semantics 4, 11), to the microsecond at which a row leaves a window.

Histories go through several runs: late rows, corrections, rows that are masked, keys that vanish. After each run every key is looked up at
every instant from the watermark on at which any answer changes, and a microsecond before and after.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hitherto.timeline import to_datetime
from properties.histories import (
    CASES,
    STEPS,
    Scenario,
    Step,
    chosen_seed,
    collect,
    histories,
    interesting_ticks,
    schedules,
)
from properties.repos import Question, Repo, assert_agree, expected, look_up
from properties.windowed import SERVED
from unit.serving.servers import running_valkey


def assert_lookups_agree(repo: Repo, told: str) -> int:
    """Compare every key at every instant at which anything changes until after the last row has gone; how many values were there."""
    watermark = max(one.watermark() or 0 for one in repo.references)
    changes = {at for history in repo.histories for at in interesting_ticks(repo.scenario, history)}
    numbers = list(range(len(repo.histories)))
    present = 0
    for at in sorted(one for one in changes | {watermark} if one >= watermark):
        repo.clock.set(to_datetime(at))
        found = look_up(repo, numbers)
        wanted = expected(repo, [repo.references[one].lookup(repo.keys[one], at) for one in numbers])
        assert_agree(repo, [Question(one, at) for one in numbers], found, wanted, what=told)
        present += sum(statuses.count("PRESENT") for _, statuses in found)
    return present


def run_and_compare(scenario: Scenario, folder: Path, *, cases: int, settings: str = "") -> None:
    """Four runs of a repo, after each of which all lookups are what brute force says."""
    number = chosen_seed()
    rng = random.Random(number)
    schedule: tuple[Step, ...] = rng.choice(collect(schedules(), 30, number=number))
    found = collect(histories(scenario, steps=STEPS), cases, number=number)
    repo = Repo(folder, scenario, found, rng, settings)
    present = 0
    for step, what in enumerate(schedule):
        repo.run(step, what)
        present += assert_lookups_agree(repo, f"PROPERTY_SEED={number}, after run {step} of {schedule}")
    assert present


@pytest.mark.parametrize("scenario", SERVED, ids=str)
def test_lookups_equal_brute_force_after_every_run(scenario: Scenario, tmp_path: Path) -> None:
    run_and_compare(scenario, tmp_path / "repo", cases=CASES // 25 // len(SERVED))


def test_lookups_from_valkey_equal_brute_force_after_every_run(tmp_path: Path) -> None:
    with running_valkey() as url:
        settings = f'[online]\nurl = "{url}"\n'
        run_and_compare(SERVED[1], tmp_path / "repo", cases=CASES // 50 // len(SERVED), settings=settings)
