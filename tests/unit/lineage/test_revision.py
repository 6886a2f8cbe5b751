from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hitherto.lineage.revision import git_revision


def test_outside_of_git_there_is_no_revision_and_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("git was asked")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert git_revision(tmp_path) is None


def test_a_repo_in_a_folder_of_a_checkout_has_its_commit(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        return subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True, text=True
        ).stdout

    git("init")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.py").write_text("x = 1\n")
    git("add", ".")
    git("commit", "-m", "one")
    commit = git("rev-parse", "HEAD").strip()
    assert git_revision(tmp_path / "deep") == commit
    (tmp_path / "deep" / "a.py").write_text("x = 2\n")
    assert git_revision.__wrapped__(tmp_path / "deep") == f"{commit}+changes"
