"""Runs over deliveries that add, replace and remove files: training sets and lookups equal the reference after each publish."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hitherto.timeline import to_datetime
from properties.histories import (
    CASES,
    SCENARIOS,
    STEPS,
    Scenario,
    Step,
    chosen_seed,
    collect,
    histories,
    interesting_ticks,
    schedules,
)
from properties.repos import Question, Repo, assert_agree, entity_table, expected, look_up, retrieve


def build(folder: Path, scenario: Scenario, number: int) -> tuple[Repo, tuple[Step, ...]]:
    rng = random.Random(number)
    schedule = rng.choice(collect(schedules(), 30, number=number))
    found = collect(histories(scenario, steps=STEPS), CASES // 8 // len(SCENARIOS), number=number)
    return Repo(folder / "repo", scenario, found, rng), schedule


def all_questions(repo: Repo, instants: tuple[int, ...]) -> list[Question]:
    listed = [
        Question(number, at)
        for number, history in enumerate(repo.histories)
        for at in interesting_ticks(repo.scenario, history, instants)
    ]
    repo.rng.shuffle(listed)
    return listed


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_training_sets_and_lookups_equal_the_reference_after_each_publish(scenario: Scenario, tmp_path: Path) -> None:
    number = chosen_seed()
    repo, schedule = build(tmp_path, scenario, number)
    for step, what in enumerate(schedule):
        repo.run(step, what)
        told = f"PROPERTY_SEED={number}, after run {step} of {schedule}"
        questions = all_questions(repo, ())
        wanted = expected(
            repo, [repo.references[one.number].retrieve(repo.keys[one.number], one.at) for one in questions]
        )
        assert_agree(
            repo, questions, retrieve(repo, entity_table(repo, questions)), wanted, what=f"Training set, {told}"
        )
        watermark = repo.references[0].watermark()
        assert watermark is not None
        until = scenario.at(schedule[step + 1].clock if step + 1 < len(schedule) else what.clock + 9)
        for now in (watermark, scenario.at(what.clock), until - 1):
            assert_lookups(repo, max(now, watermark), told)
        repo.clock.set(to_datetime(scenario.at(what.clock)))


def assert_lookups(repo: Repo, now: int, told: str) -> None:
    """Parity law: a lookup equals the reference's lookup, and that equals retrieval at T = now."""
    repo.clock.set(to_datetime(now))
    questions = [Question(number, now) for number in range(len(repo.histories))]
    repo.rng.shuffle(questions)
    answers = [repo.references[one.number].lookup(repo.keys[one.number], now) for one in questions]
    retrieved = [repo.references[one.number].retrieve(repo.keys[one.number], now) for one in questions]
    assert expected(repo, answers) == expected(repo, retrieved)
    assert_agree(
        repo,
        questions,
        look_up(repo, [one.number for one in questions]),
        expected(repo, answers),
        what=f"Lookup, {told}",
    )


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_as_of_and_as_served_equal_the_reference(scenario: Scenario, tmp_path: Path) -> None:
    number = chosen_seed()
    repo, schedule = build(tmp_path, scenario, number)
    for step, what in enumerate(schedule):
        repo.run(step, what)
    publishes = tuple(scenario.at(what.clock) for what in schedule)
    questions = all_questions(repo, publishes)
    entity_rows = entity_table(repo, questions)
    # Before the first publish everything is missing; that is another test's matter.
    instants = sorted({at + offset for at in publishes for offset in (-1, 0, 1)})[1:]
    for as_of, as_served in [(None, True), *((at, False) for at in instants)]:
        wanted = expected(
            repo,
            [
                repo.references[one.number].retrieve(repo.keys[one.number], one.at, as_of=as_of, as_served=as_served)
                for one in questions
            ],
        )
        options = {"as_of": None if as_of is None else to_datetime(as_of), "as_served": as_served}
        found = retrieve(repo, entity_rows, **options)
        assert_agree(repo, questions, found, wanted, what=f"PROPERTY_SEED={number}, {options}, runs {schedule}")
