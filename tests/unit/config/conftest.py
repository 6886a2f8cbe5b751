"""A repo with a hitherto.toml, and an environment without HITHERTO_* variables."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hitherto.config import Config


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("HITHERTO_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Config]:
    """Writes a hitherto.toml and loads it."""

    def write_and_load(text: str = 'project = "flights"', *, env: str | None = None) -> Config:
        (tmp_path / "hitherto.toml").write_text(text, encoding="utf-8")
        return Config.load(tmp_path, env=env)

    return write_and_load
