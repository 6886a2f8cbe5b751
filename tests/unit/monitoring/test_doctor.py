"""The doctor: every part of the environment has a line; what is wrong says what to do; nothing is touched, no secret told."""

from __future__ import annotations

import json
import os
from collections import namedtuple
from pathlib import Path

import pytest

from hitherto.config import Config
from hitherto.errors import OnlineStoreUnavailable
from hitherto.feature_store import FeatureStore
from hitherto.monitoring import doctor
from hitherto.monitoring.doctor import DoctorReport, diagnose
from hitherto.online.embedded.store import LmdbOnlineStore
from hitherto.online.store import OnlineStore
from hitherto.timeline import Interval, instant
from unit.monitoring.small_store import new_project, open_project

NOON = instant("2020-01-01T12:00:00Z")
Usage = namedtuple("Usage", "total used free")


def diagnosed(config: Config, *, now: int = NOON, running: bool = False) -> DoctorReport:
    folder = config.repo_path / ".hitherto" / "online"
    return diagnose(config, now=now, open_online=lambda: LmdbOnlineStore(folder), is_running=lambda view: running)


def test_a_sound_project_is_well(store: FeatureStore):
    report = store.doctor()
    assert report.ok
    assert {one.state for one in report.diagnoses} == {"ok"}
    assert report["registry"].finding.endswith(f"serial {store.registry.serial()}")
    assert "duckdb 2." in report["libraries"].finding
    assert json.loads(json.dumps(report.to_json()))["ok"]
    assert "settings in force" in report._repr_html_()


def test_a_new_project_is_told_the_first_command_and_nothing_is_made(tmp_path: Path):
    config = Config(project="small", repo_path=tmp_path)
    report = diagnosed(config)
    assert report.ok
    assert report["registry"].state == "warning"
    assert report["registry"].remedy == "run: hitherto apply"
    assert not config.registry_path.exists()
    assert not config.offline_path.exists()


def test_views_that_never_ran_are_named(tmp_path: Path):
    with new_project(tmp_path / "project") as fresh:
        report = fresh.doctor()
    assert report["views"].state == "warning"
    assert "everybody, offline_only, pairs, users" in report["views"].finding


def test_a_clock_before_the_watermark_is_a_problem_with_a_remedy(root: Path):
    with open_project(root, "2019-12-31T00:00:00Z") as store:
        report = store.doctor()
    assert not report.ok
    assert "lookups are refused" in report["clock"].finding
    assert "--now" in report["clock"].remedy


def test_a_registry_that_is_no_registry_is_a_problem(store: FeatureStore):
    store.close()
    store.config.registry_path.write_bytes(b"this is not SQLite" * 100)
    report = diagnosed(store.config)
    assert report["registry"].state == "problem"
    assert "damaged" in report["registry"].finding


def test_a_run_that_died_is_a_warning_and_one_under_way_is_not(store: FeatureStore):
    run = store.registry.begin_run("users", 1, Interval(0, 1), began_at=0)
    dead, alive = diagnosed(store.config), diagnosed(store.config, running=True)
    assert dead["runs"].state == "warning"
    assert f"{run.run_id} of feature view 'users' stopped in state planned" in dead["runs"].finding.removeprefix("run ")
    assert alive["runs"].state == "ok"
    assert run.run_id in alive["runs"].finding
    # Looking is not recovering.
    assert store.registry.run(run.run_id).state == "planned"


def test_the_store_itself_knows_whether_a_view_is_being_materialized(store: FeatureStore):
    from hitherto.materialization.lock import view_lock

    store.registry.begin_run("users", 1, Interval(0, 1), began_at=0)
    with view_lock(store.config.offline_path, "users"):
        assert store.doctor()["runs"].state == "ok"
    assert store.doctor()["runs"].state == "warning"


@pytest.mark.parametrize(
    "left",
    [
        "offline/users/v1/r000099.duckdb.tmp",
        "offline/tmp/duckdb_temp_storage-0.tmp",
        "online/small/users/.loading-1-x/data.mdb",
    ],
)
def test_temporary_files_that_no_run_uses_are_a_warning(store: FeatureStore, root: Path, left: str):
    path = root / ".hitherto" / left
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 2048)
    line = store.doctor()["temporary files"]
    assert line.state == "warning"
    assert line.finding.startswith("1 left over, 2.0 KiB: ")
    store.registry.begin_run("users", 1, Interval(0, 1), began_at=0)
    assert diagnosed(store.config, running=True)["temporary files"].state == "ok"


def test_an_online_store_that_does_not_answer_is_a_problem(store: FeatureStore):
    def down() -> OnlineStore:
        raise OnlineStoreUnavailable("The online store at host:6379 cannot be reached.")

    line = diagnose(store.config, now=NOON, open_online=down)["online store"]
    assert (line.state, line.finding) == ("problem", "The online store at host:6379 cannot be reached.")


def test_an_online_store_without_what_is_published_is_a_problem(store: FeatureStore, tmp_path: Path):
    report = diagnose(store.config, now=NOON, open_online=lambda: LmdbOnlineStore(tmp_path / "another"))
    assert report["online rows"].state == "problem"
    assert "users" in report["online rows"].finding
    assert "offline_only" not in report["online rows"].finding
    assert not (tmp_path / "another" / store.config.project).exists()


def test_an_online_store_that_may_lose_rows_is_a_warning(store: FeatureStore):
    class Evicting(LmdbOnlineStore):
        def warnings(self) -> tuple[str, ...]:
            return ("The online store may evict rows. Set maxmemory-policy noeviction there.",)

    report = diagnose(
        store.config, now=NOON, open_online=lambda: Evicting(store.config.repo_path / ".hitherto" / "online")
    )
    assert [one.state for one in report.diagnoses if one.what == "online store"] == ["ok", "warning"]
    assert report.ok


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path):
    (tmp_path / "locked").mkdir(mode=0o500)
    config = Config(project="small", repo_path=tmp_path, offline={"path": "locked/offline"})
    assert diagnosed(config)["offline path"].state == "problem"


def test_a_path_through_a_file_is_a_problem(tmp_path: Path):
    (tmp_path / "file").write_text("")
    config = Config(project="small", repo_path=tmp_path, offline={"path": "file/offline"})
    line = diagnosed(config)["offline path"]
    assert line.state == "problem"
    assert "offline.path" in line.remedy


@pytest.mark.parametrize(("free", "state"), [(1 << 20, "problem"), (1 << 29, "warning"), (1 << 40, "ok")])
def test_little_disk_is_a_warning_and_none_a_problem(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch, free: int, state: str
):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: Usage(1 << 41, 0, free))
    assert store.doctor()["offline path"].state == state


def test_a_memory_limit_that_leaves_nothing_is_a_warning(tmp_path: Path):
    config = Config(project="small", repo_path=tmp_path, offline={"memory_limit": "100%"})
    assert diagnosed(config)["memory"].state == "warning"
    assert diagnosed(Config(project="small", repo_path=tmp_path))["memory"].state == "ok"


def test_missing_libraries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "NEEDED", ("duckdb", "no-such-library"))
    line = diagnosed(Config(project="small", repo_path=tmp_path))["libraries"]
    assert line.state == "problem"
    assert line.finding.startswith("no-such-library missing")


def test_no_secret_is_told(tmp_path: Path):
    online = {"url": "redis://me:hunter2@host:6379/0"}
    report = diagnosed(Config(project="small", repo_path=tmp_path, online=online))
    assert "hunter2" not in f"{report}{report.to_json()}{report._repr_html_()}"
    assert "redis://host:6379/0" in str(report)
