"""The settings in force: each says where it comes from; a secret only says that it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from hitherto.config import Config
from hitherto.monitoring.settings import HIDDEN, Setting, settings_in_force

FILE = """
project = "small"
[online]
url = "redis://host:6379/0"
[env.prod.online]
url = "redis://me:hunter2@prod:6379/0"
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "hitherto.toml").write_text(FILE)
    return tmp_path


def in_force(config: Config) -> dict[str, Setting]:
    return {one.name: one for one in settings_in_force(config)}


def test_settings_come_from_the_file_or_are_defaults(repo: Path):
    found = in_force(Config.load(repo))
    assert found["project"].origin == "hitherto.toml"
    assert found["online.url"] == Setting("online.url", "redis://host:6379/0", "hitherto.toml")
    assert found["offline.path"].origin == "default"
    assert "online.password" not in found
    assert str(found["project"]) == "project = small (hitherto.toml)"


def test_an_environments_table_is_named_and_its_password_hidden(repo: Path):
    found = in_force(Config.load(repo, env="prod"))
    assert found["online.url"].origin == "hitherto.toml, [env.prod.online]"
    assert found["online.password"] == Setting("online.password", HIDDEN, "hitherto.toml, [env.prod.online]")
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("name", "value"),
    [("HITHERTO_ONLINE__TIMEOUT", "3"), ("hitherto_online__timeout", "3"), ("HITHERTO_ONLINE", '{"timeout": 3}')],
)
def test_a_variable_is_named(repo: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    monkeypatch.setenv(name, value)
    assert in_force(Config.load(repo))["online.timeout"] == Setting("online.timeout", "3.0", name.upper())


def test_settings_built_by_hand_say_so(repo: Path, tmp_path: Path):
    found = in_force(Config(project="other", repo_path=repo))
    assert found["project"].origin == "given in Python"
    assert found["online.url"].origin == "default"


def test_a_file_that_broke_after_it_was_read_is_not_quoted(repo: Path):
    config = Config.load(repo)
    (repo / "hitherto.toml").write_text("project = [")
    assert in_force(config)["project"].origin == "given in Python"
