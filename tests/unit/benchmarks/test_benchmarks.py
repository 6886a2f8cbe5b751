"""Benchmarks run, at a size that says nothing about speed, and their results equal those of their peers."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from benchmarks import data, peers, project, record


@pytest.fixture(autouse=True)
def _files_go_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(data, "FOLDER", tmp_path / "data")
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setenv("BENCH_WORK", str(tmp_path / "work"))
    project.work_folder.cache_clear()


def test_peers_that_are_named_and_not_there_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_PEERS", "/nowhere/python")
    with pytest.raises(SystemExit, match=r"BENCH_PEERS=/nowhere/python: there is no python with Feast"):
        peers.make()


@pytest.mark.parametrize("name", ["hot_key", "on_demand", "push", "startup", "windows"])
def test_a_benchmark_writes_what_it_found_with_versions_and_machine(name: str) -> None:
    written = importlib.import_module(f"benchmarks.{name}").run("tiny")
    found: dict[str, Any] = json.loads(written.read_text())
    assert found["benchmark"] == name
    assert found["measured"]
    assert all(one["lowest"] <= one["value"] <= one["highest"] for one in found["measured"])
    assert found["machine"]["packages"]["duckdb"]


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_the_server_answers_the_benchmark_what_the_sdk_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import serving

    # Redis is measured the same way; one start of a server is enough here.
    monkeypatch.setattr(serving, "lacks", lambda program: None if program == "wrk" else "left out")
    found = json.loads(serving.run("tiny").read_text())
    assert {one["claim"] for one in found["measured"]} >= {"http.floor.lmdb", "http.p99.lmdb", "http.core.lmdb"}
    assert found["notes"] == ["left out"]


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_windowed_lookups_are_measured_where_they_equal_training_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import windowed_lookups

    monkeypatch.setattr(windowed_lookups, "lacks", lambda program: None if program == "wrk" else "left out")
    found = json.loads(windowed_lookups.run("tiny").read_text())
    assert {one["claim"] for one in found["measured"]} >= {
        "windowed.http.lmdb",
        "windowed.sdk.lmdb.1",
        "windowed.bytes.windowed",
    }


def test_data_are_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    def made(folder: Path) -> list[Any]:
        monkeypatch.setattr(data, "FOLDER", folder)
        with duckdb.connect() as con:
            return con.sql(f"select * from '{data.events(500, 50, hot=20)}' order by all").fetchall()

    once, again = made(tmp_path / "a"), made(tmp_path / "b")
    assert once == again
    assert sum(row[0] == data.HOT for row in once) == 20
