"""What must change nothing: the order of rows, files and row groups, the number of threads, rows of the future."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hitherto.timeline import to_datetime
from properties.histories import (
    ANCHOR_TICK,
    CASES,
    LAST_TICK,
    SCENARIOS,
    History,
    Scenario,
    SourceRow,
    Step,
    chosen_seed,
    collect,
    histories,
)
from properties.repos import Question, Repo, entity_table, payloads
from properties.windowed import WINDOWED

SOME = (*SCENARIOS[:3], *WINDOWED[:3])
RUN = Step(None, LAST_TICK, 3 * LAST_TICK)


def trained(repo: Repo, questions: Sequence[Question]) -> tuple[str, list[bytes]]:
    """A training set's content hash, and its values as bytes."""
    training = repo.store.get_historical_features(entity_table(repo, questions), features=repo.features)
    rows = payloads(repo, training.to_arrow())
    return training.save("independence").content_hash, rows


def drawn(scenario: Scenario, number: int) -> tuple[list[History], list[Question]]:
    found = collect(histories(scenario), CASES // 40, number=number)
    rng = random.Random(number)
    questions = [
        Question(key, scenario.at(rng.randint(-1, LAST_TICK - 1))) for key in range(1, len(found) + 1) for _ in range(4)
    ]
    return found, questions


def built(folder: Path, scenario: Scenario, listed: Sequence[History], seed: int, **options: Any) -> Repo:
    repo = Repo(folder, scenario, listed, random.Random(seed), **options)
    repo.run(0, RUN)
    return repo


@pytest.mark.parametrize("scenario", SOME, ids=str)
def test_the_order_of_rows_files_and_row_groups_and_the_threads_change_no_value_and_no_hash(
    scenario: Scenario, tmp_path: Path
) -> None:
    number = chosen_seed()
    found, questions = drawn(scenario, number)
    results = [
        trained(
            built(
                tmp_path / f"threads{threads}",
                scenario,
                found,
                seed,
                extra_settings=f"[offline]\nthreads = {threads}\n",
            ),
            questions,
        )
        for seed, threads in ((1, 1), (2, 2), (3, 5))
    ]
    assert results[1] == results[0], number
    assert results[2] == results[0], number


@pytest.mark.parametrize("scenario", SOME, ids=str)
def test_rows_available_after_every_entity_row_change_no_value_and_no_hash(scenario: Scenario, tmp_path: Path) -> None:
    number = chosen_seed()
    found, questions = drawn(scenario, number)
    later = LAST_TICK + 1
    created = 0 if scenario.created else None
    known = later if scenario.known == "column" else None
    values = (None,) * len(scenario.kinds)
    with_future = [(*history, SourceRow(later, created, known, values)) for history in found]
    if scenario.known == "column":
        # It happened long before, and nobody knew.
        with_future = [(*history, SourceRow(LAST_TICK - 3, created, known, values)) for history in with_future]
    few, more = (
        Repo(tmp_path / "few", scenario, found, random.Random(1)),
        Repo(tmp_path / "more", scenario, with_future, random.Random(1)),
    )
    few.run(0, RUN)
    more.run(0, Step(None, 2 * LAST_TICK, 3 * LAST_TICK))
    assert trained(more, questions) == trained(few, questions), number


@pytest.mark.parametrize("scenario", SOME, ids=str)
def test_the_same_source_again_publishes_nothing_new(scenario: Scenario, tmp_path: Path) -> None:
    number = chosen_seed()
    found, questions = drawn(scenario, number)
    repo = built(tmp_path / "repo", scenario, found, 1)
    before = trained(repo, questions)
    segments = list((tmp_path / "repo").rglob("*.duckdb"))
    for name in sorted((tmp_path / "repo" / "source").iterdir()):
        name.unlink()
    repo._written = {}
    repo.deliver(0)  # the same rows in another order: other files
    start, end = (to_datetime(scenario.at(tick)) for tick in (ANCHOR_TICK + scenario.known_after, LAST_TICK))
    repo.store.materialize(start, end)
    repo.store.materialize_incremental(end)
    assert trained(repo, questions) == before, number
    assert sorted((tmp_path / "repo").rglob("*.duckdb")) == sorted(segments)


def test_nans_of_different_bits_are_one_value_and_one_hash(tmp_path: Path) -> None:
    # Rows that tie in everything but the bits of a NaN are equal rows: which one stays must not show.
    scenario = SCENARIOS[0]
    quiet, other = (struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in (0x7FF8 << 48, 0xFFF8 << 48 | 1))
    tie = (SourceRow(3, None, None, (quiet,)), SourceRow(3, None, None, (other,)))
    numbers = [(SourceRow(3, None, None, (0.1 * n,)),) for n in range(40)]
    questions = [Question(key, scenario.at(5)) for key in range(1, 81)]
    results = [
        trained(built(tmp_path / name, scenario, [*numbers, *[history] * 40], seed=1), questions)
        for name, history in (("both", tie), ("quiet", tie[:1]), ("other", tie[1:]))
    ]
    assert results[0] == results[1] == results[2]
