"""Every windowed function on generated histories: the engine against plain Python, bit for bit.

Packed: each history is a key, so that one question to the engine answers many. PROPERTY_CASES says how many per function (2,000 if
it does not), PROPERTY_SEED repeats a failure.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hitherto.definitions.aggregation import WindowedFeature
from hitherto.testing.aggregates import WindowRow, aggregate, rows_of_window
from hitherto.types import DataType
from hitherto.windows import requests
from hitherto.windows.kernel import FUNCTIONS
from hitherto.windows.requests import NEVER, Answers, Rows, answer
from properties.histories import CASES, chosen_seed
from vectors import same
from window_values import NUMERIC, VALUES, result_type

TICK, LAST_TICK = 1_000_000, 12
WINDOWS = (1, 3 * TICK, 7 * TICK, None)
QUESTIONS = [(one, None, None) for one in FUNCTIONS if one != "percentile"]
QUESTIONS += [("last", 1, None), ("last", 3, None), *(("percentile", None, p) for p in (0.0, 0.25, 0.9, 1.0))]
# Rows of the key that has many, among histories with a few.
HOT = 120


@dataclass(frozen=True)
class Times:
    """What the times of histories are like."""

    late: bool
    """Rows are known later than their events, each by its own delay."""
    ending: bool
    """Rows are masked, and others take their places."""
    versions: bool
    """Rows of one event time are versions of one event."""


@dataclass(frozen=True)
class History:
    """One key's rows, in the order of rows, and when it is asked about."""

    rows: list[WindowRow]
    asked: list[int]


@pytest.fixture(autouse=True)
def _few_rows_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "CHUNK", 97)
    monkeypatch.setattr(requests, "SPELLED", 61)


@pytest.mark.parametrize(("function", "n", "p"), QUESTIONS)
def test_every_window_of_every_history_is_what_plain_python_says(
    function: str, n: int | None, p: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = chosen_seed()
    rng = random.Random(f"{number} {function} {n} {p}")
    names = [name for name, (kind, _) in VALUES.items() if kind.is_number or function not in NUMERIC]
    ways = [Times(*way) for way in product((False, True), repeat=3)]
    for times in ways:
        kind, make = VALUES[rng.choice(names)]
        # Rows that are spelled out, and without that.
        monkeypatch.setattr(requests, "PATIENCE", rng.choice([0, 1_000]))
        monkeypatch.setattr(requests, "STEPS", rng.choice([0, 1, 16]))
        found = [history(rng, make, times, HOT if one == 0 else 8) for one in range(CASES // len(ways))]
        features = [
            WindowedFeature(f"f{place}", "value", function, window, n, p, result_type(function, kind, n))
            for place, window in enumerate(rng.sample(WINDOWS, rng.randint(1, 4)))
        ]
        longest = rng.choice([None, max((one.window or 0) for one in features)])
        longest = None if any(one.window is None for one in features) else longest
        assert_agree(found, kind, features, longest, times, told=f"PROPERTY_SEED={number}, {function}, {kind}, {times}")


def history(rng: random.Random, make: Any, times: Times, most: int) -> History:
    rows = [row for _ in range(rng.randint(0, most)) for row in events(rng, make, times)]
    # The order of rows: by event, created, available time; those that agree in all keep the order in which they came.
    created = [rng.randint(0, 2) if times.versions else 0 for _ in rows]
    rows = [
        row for _, row in sorted(zip(created, rows, strict=True), key=lambda one: (one[1].event, one[0], one[1].start))
    ]
    near = [rng.choice(instants(rng.choice(rows))) if rows else 0 for _ in range(5)]
    return History(rows, [at + rng.choice([-1, 0, 0, 1]) for at in [*near, rng.randint(-TICK, 20 * TICK)]])


def instants(row: WindowRow) -> list[int]:
    """Where what a window has can change: a row comes, goes, or leaves it."""
    leaves = [row.event + window for window in WINDOWS if window]
    return [row.event, row.start, *leaves, *([] if row.end is None else [row.end])]


def events(rng: random.Random, make: Any, times: Times) -> Iterator[WindowRow]:
    """A row, and sometimes the one that takes its place when it goes."""
    event = rng.randint(0, LAST_TICK) * TICK
    start = event + (rng.choice([0, 0, 1, 1, 4]) * TICK if times.late else 0)
    ends = times.ending and rng.random() < 0.3
    end = start + rng.randint(0, 4) * TICK if ends else None
    yield WindowRow(event, start, end, None if rng.random() < 0.2 else make(rng))
    if end is not None and rng.random() < 0.7:
        yield WindowRow(event, end, None, make(rng))


def assert_agree(
    found: list[History],
    kind: DataType,
    features: list[WindowedFeature],
    longest: int | None,
    times: Times,
    told: str,
) -> None:
    asked = [(key, at) for key, one in enumerate(found) for at in one.asked]
    random.Random(len(asked)).shuffle(asked)
    answers = ask(found, kind, features, longest, times, asked)
    columns = [column.to_pylist() for column in answers.features]
    for place, (key, at) in enumerate(asked):
        rows = found[key].rows
        there = rows_of_window(rows, at, longest, versions=times.versions)
        assert bool(there) == bool(answers.found[place]), (told, rows, at)
        assert not there or there[-1].event == answers.events[place], (told, rows, at)
        for feature, column in zip(features, columns, strict=True):
            values = [row.value for row in rows_of_window(rows, at, feature.window, versions=times.versions)]
            wanted = aggregate(feature.function, values, kind, n=feature.n, p=feature.p)
            assert same(column[place], wanted), (told, rows, at, feature, column[place], wanted)


def ask(
    found: list[History],
    kind: DataType,
    features: list[WindowedFeature],
    longest: int | None,
    times: Times,
    asked: list[tuple[int, int]],
) -> Answers:
    # Keys far apart, some of which have no rows.
    rows = [(key * 1_000 - 5, row) for key, one in enumerate(found) for row in one.rows]
    column = pa.array([row.value for _, row in rows], kind.arrow)
    middle = len(rows) // 2
    given = Rows(
        np.array([key for key, _ in rows], dtype=np.int64),
        np.array([row.event for _, row in rows], dtype=np.int64),
        {"value": pa.chunked_array([column[:middle], column[middle:]])},
        np.array([row.start for _, row in rows], dtype=np.int64) if times.late or times.ending else None,
        np.array([NEVER if row.end is None else row.end for _, row in rows], dtype=np.int64) if times.ending else None,
        times.versions,
    )
    keys = np.array([key * 1_000 - 5 for key, _ in asked], dtype=np.int64)
    return answer(given, keys, np.array([at for _, at in asked], dtype=np.int64), features, longest=longest, threads=2)
