"""Ranges that no run has published: an entity row that needs one is an error that names it, or null and counted (semantics 3)."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from hitherto import NotMaterializedError
from hitherto.timeline import rfc3339
from properties.histories import (
    CASES,
    LAST_TICK,
    SCENARIOS,
    Scenario,
    Step,
    chosen_seed,
    collect,
    histories,
    interesting_ticks,
)
from properties.repos import Question, Repo, assert_agree, entity_table, expected, retrieve
from properties.windowed import WINDOWED

# Two holes: what comes before tick 6, and [9, 14).
WITH_HOLES = (Step(6, 9, 9), Step(14, 18, 20))


def questions_of(repo: Repo) -> list[Question]:
    listed = [
        Question(n, at) for n, history in enumerate(repo.histories) for at in interesting_ticks(repo.scenario, history)
    ]
    listed += [Question(n, None) for n in range(5)]
    repo.rng.shuffle(listed)
    return listed


@pytest.mark.parametrize("scenario", [*SCENARIOS, *WINDOWED], ids=str)
def test_rows_that_need_a_missing_range_are_refused_or_null_and_the_others_equal_the_reference(
    scenario: Scenario, tmp_path: Path
) -> None:
    number = chosen_seed()
    # A windowed view has thirty features and more.
    cases = CASES // 40 if scenario.windows else CASES // 8
    found = collect(histories(scenario), cases // len(SCENARIOS), number=number)
    repo = Repo(tmp_path / "repo", scenario, found, random.Random(number))
    for step in WITH_HOLES:
        repo.run(0, step)
    missing = repo.references[0].missing(repo.file_ranges(0))
    assert [rfc3339(one.end) for one in missing] == [rfc3339(scenario.at(tick)) for tick in (6, 14)]

    asked = questions_of(repo)
    needing = [one for one in asked if repo.references[one.number].needs(repo.keys[one.number], one.at, missing)]
    assert needing
    with pytest.raises(NotMaterializedError, match="history") as refused:
        retrieve(repo, entity_table(repo, needing[:1]))
    assert any(rfc3339(one.start) in str(refused.value) for one in missing)

    free = [one for one in asked if one not in set(needing)]
    wanted = expected(repo, [repo.references[one.number].retrieve(repo.keys[one.number], one.at) for one in free])
    assert_agree(repo, free, retrieve(repo, entity_table(repo, free)), wanted, what=f"PROPERTY_SEED={number}")

    both = dict(zip(free, wanted, strict=True))
    nothing = expected(repo, [repo.references[0].retrieve(repo.keys[0], None)])[0]
    everything = [both.get(one, nothing) for one in asked]
    found_all = retrieve(repo, entity_table(repo, asked), missing="null")
    assert_agree(repo, asked, found_all, everything, what=f"PROPERTY_SEED={number}, missing='null'")


@pytest.mark.parametrize("scenario", [SCENARIOS[1], WINDOWED[1]], ids=str)
def test_coverage_counts_what_was_found_expired_missing_and_null(scenario: Scenario, tmp_path: Path) -> None:
    number = chosen_seed()
    found = collect(histories(scenario), CASES // 80 if scenario.windows else CASES // 16, number=number)
    repo = Repo(tmp_path / "repo", scenario, found, random.Random(number))
    for step in WITH_HOLES:
        repo.run(0, step)
    missing = repo.references[0].missing(repo.file_ranges(0))
    asked = questions_of(repo)
    counts: Counter[str] = Counter()
    for one in asked:
        reference, key = repo.references[one.number], repo.keys[one.number]
        if None in key or one.at is None:
            counts["null_keys" if None in key else "null_times"] += 1
        elif reference.needs(key, one.at, missing):
            counts["missing"] += 1
        else:
            statuses = reference.retrieve(key, one.at).statuses
            counts["expired"] += "OUTSIDE_MAX_AGE" in statuses
            counts["found"] += bool({"PRESENT", "NULL_VALUE"} & set(statuses))
    training = repo.store.get_historical_features(entity_table(repo, asked), features=repo.features, missing="null")
    coverage = training.coverage[repo.view.name]
    assert {name: getattr(coverage, name) for name in counts} == dict(counts), number
    assert coverage.rows == len(asked)


def test_a_view_that_was_never_materialized_is_refused(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "repo", SCENARIOS[0], [], random.Random(0))
    repo.deliver(0)
    with pytest.raises(NotMaterializedError, match="never been materialized"):
        retrieve(repo, entity_table(repo, [Question(0, SCENARIOS[0].at(LAST_TICK))]))
