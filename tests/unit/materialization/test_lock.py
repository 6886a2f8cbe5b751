"""The lock of a view: one holder, released with its process, and places that cannot hold one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hitherto.errors import RunInProgressError, StorageError
from hitherto.materialization.lock import view_lock
from journeys.projects import Project, view

HOLD = "import sys, fcntl; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"


def test_another_process_that_holds_it_is_told_of_and_its_death_frees_it(tmp_path: Path) -> None:
    (tmp_path / "readings").mkdir()
    command = [sys.executable, "-c", HOLD, str(tmp_path / "readings" / "run.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with (
            pytest.raises(RunInProgressError, match="'readings' is being materialized by another process. Wait"),
            view_lock(tmp_path, "readings"),
        ):
            pass
        process.kill()
    with view_lock(tmp_path, "readings"):
        pass


def test_it_is_freed_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), view_lock(tmp_path, "readings"):
        raise ValueError("mine")
    with view_lock(tmp_path, "readings"), view_lock(tmp_path, "others"):
        pass


def test_a_folder_that_cannot_be_made_fails_the_view_with_a_remedy(project: Project) -> None:
    project.deliver([("a", 1, 1.0)])
    project.store.apply([view(), view("others")])
    offline = project.store.config.offline_path
    offline.mkdir(parents=True, exist_ok=True)
    (offline / "readings").write_text("in the way")
    with (
        pytest.raises(StorageError, match=r"readings cannot be written: .*offline\.path"),
        view_lock(offline, "readings"),
    ):
        pass
    report = project.store.materialize(on_error="report")
    assert (report["readings"].state, report["others"].state) == ("failed", "published")
