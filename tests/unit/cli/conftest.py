"""A command line that runs in this process, and a repo that `hitherto init` wrote, applied and materialized."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hitherto.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a call of the command line gave."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that it is."""
        return json.loads(self.out)


Hitherto = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As wide as the manual's, whatever the person who runs the tests has."""
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def hitherto(capsys: pytest.CaptureFixture[str]) -> Hitherto:
    """Runs a command: hitherto("plan", "--check", repo=path)."""

    def run(*arguments: str, repo: Path | None = None) -> Outcome:
        capsys.readouterr()
        code = main([*(["--repo", str(repo)] if repo else []), *arguments])
        told = capsys.readouterr()
        return Outcome(code, told.out, told.err)

    return run


@pytest.fixture(scope="session")
def materialized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample repo after init, apply and materialize; only to be read."""
    repo = tmp_path_factory.mktemp("cli") / "sensors"
    for command in ("init", "apply", "materialize"):
        assert main(["--repo", str(repo), command]) == 0
    return repo


@pytest.fixture
def repo(materialized: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(materialized, tmp_path / "sensors"))


@pytest.fixture
def edit(repo: Path) -> Callable[[str, str], None]:
    """Changes the definitions of `repo`: edit(before, after)."""

    def change(before: str, after: str) -> None:
        path = repo / "definitions.py"
        text = path.read_text(encoding="utf-8")
        assert before in text
        path.write_text(text.replace(before, after), encoding="utf-8")

    return change
