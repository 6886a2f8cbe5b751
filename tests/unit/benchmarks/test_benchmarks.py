"""Every benchmark runs, at a size that says nothing about speed, and its results equal those of its peers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks import lookup, materialization, pairs, serving, startup, training_set


@pytest.fixture(autouse=True)
def _results_go_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pairs, "RESULTS", tmp_path / "results")


RUNS: dict[str, Callable[[Path], Path | None]] = {
    "training_set": lambda folder: training_set.run(folder, rows=500, keys=50, entities=100, pairs=1, memory=False),
    "materialization": lambda folder: materialization.run(folder, rows=500, keys=50, pairs=1, jobs=1),
    "lookup": lambda folder: lookup.run(folder, keys=50, pairs=1, rows=20),
    "startup": lambda folder: startup.run(pairs=1, ways={"import": ["-c", "import hitherto"]}),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_benchmark_writes_its_ratios_with_versions_and_machine(name: str, tmp_path: Path) -> None:
    written = RUNS[name](tmp_path)
    assert written is not None
    found: dict[str, Any] = json.loads(written.read_text())
    assert found["benchmark"] == name
    assert all(one["lowest"] <= one["ratio"] <= one["highest"] for one in found["comparisons"])
    assert found["machine"]["packages"]["duckdb"]


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_the_server_answers_the_benchmark_what_the_sdk_answers(tmp_path: Path) -> None:
    events = serving.make_events(tmp_path / "events.parquet", rows=500, keys=50)
    place = str(tmp_path / "lmdb" / "online" / "bench" / "fv" / "1.1")
    found, rates = serving.measure(
        "lmdb", tmp_path, place, events, "lmdb:///online", keys=50, pairs=1, seconds=1, sizes=(2,)
    )
    assert [one.task for one in found] == ["HTTP lookup, lmdb, 1 row"]
    assert rates["lmdb, 2 rows, requests/s"] > 0
