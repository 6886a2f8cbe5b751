"""Searching sorted entries against a plain loop: any keys, any distances, few or many entries, any number of threads."""

from __future__ import annotations

import bisect
import tracemalloc

import numpy as np
import pytest

from hitherto import search
from hitherto.search import Entries

LEAST, MOST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
KEYS = {
    "dense": list(range(40)),
    "one": [7],
    "with gaps": [3 * one * one for one in range(40)],
    "far apart": [-(10**15), -3, 0, 1, 2, 10**6, 10**17],
    "the whole range": [int(LEAST), -1, 0, 5, int(MOST)],
}


def by_hand(keys: list[int], times: list[int], key: int, time: int) -> int:
    place = bisect.bisect_right(list(zip(keys, times, strict=True)), (key, time)) - 1
    return place if place >= 0 and keys[place] == key else -1


def found(
    entries: Entries, keys: list[int], times: list[int], threads: int = 1, rows: np.ndarray | None = None
) -> tuple[list[int], list[int]]:
    rows, seen = np.full(len(keys), -1) if rows is None else rows, np.zeros(len(keys), dtype=np.int64)
    entries.find(np.array(keys, dtype=np.int64), np.array(times, dtype=np.int64), rows, seen, threads=threads)
    return rows.tolist(), seen.tolist()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("longest", [1, 5, 300])
@pytest.mark.parametrize("name", KEYS)
def test_each_request_finds_the_last_entry_of_its_key_by_its_time(
    name: str, longest: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "BLOCK", 64)
    rng = np.random.default_rng(len(name) + longest)
    # One key has many entries, the others few: both ways through `last_at_most`.
    counts = [longest if place == 0 else int(rng.integers(1, 4)) for place in range(len(KEYS[name]))]
    keys = [key for key, count in zip(KEYS[name], counts, strict=True) for _ in range(count)]
    times = [int(at) for count in counts for at in sorted(rng.choice(1_000, count, replace=False))]
    near = [min(max(key + by, int(LEAST)), int(MOST)) for key in KEYS[name] for by in (-1, 0, 0, 0, 1)]
    asked = [int(one) for one in rng.choice(np.array([*near, int(LEAST), int(MOST)], dtype=np.int64), 500)]
    at = [int(one) for one in rng.integers(-5, 1_005, 500)]
    entries = Entries(np.array(keys, dtype=np.int64), np.array(times, dtype=np.int64), 0)
    rows, seen = found(entries, asked, at, threads)
    assert rows == [by_hand(keys, times, *one) for one in zip(asked, at, strict=True)]
    assert seen == [times[row] if row >= 0 else 0 for row in rows]


def test_entries_stand_for_rows_and_what_was_found_before_stays() -> None:
    keys, times = np.array([1, 1, 2]), np.array([10, 20, 10])
    before = np.array([99, 99, 99])
    assert found(Entries(keys, times, np.array([7, 5, 6])), [1, 2, 3], [25, 5, 5], rows=before.copy())[0] == [5, 99, 99]
    assert found(Entries(keys, times, 100), [1, 2, 3], [15, 15, 15], rows=before.copy())[0] == [100, 102, 99]


def test_no_entries_and_no_requests() -> None:
    none = np.zeros(0, dtype=np.int64)
    assert found(Entries(none, none, 0), [1], [1])[0] == [-1]
    assert found(Entries(np.array([1]), np.array([1]), 0), [], [])[0] == []


@pytest.mark.parametrize(("gap", "held"), [(1, 5), (4, 17), (10**9, 29)])
def test_what_finds_the_keys_takes_little_beside_the_entries(gap: int, held: int) -> None:
    count = 100_000
    keys, times = np.arange(count) * gap, np.zeros(count, dtype=np.int64)
    tracemalloc.start()
    try:
        entries = Entries(keys, times, 0)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < held * count
    assert peak < 70 * count
    assert entries.times is times
