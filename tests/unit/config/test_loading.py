"""Where settings come from: the file, an environment's tables, variables; and what is said when they are wrong."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from hitherto.config import Config
from hitherto.errors import ConfigError

Load = Callable[..., Config]

WITH_PROD = """
project = "flights"
[online]
url = "lmdb:///.hitherto/online"
timeout = "1s"
[env.prod.online]
url = "redis://redis:6379/0"
[env.dev]
"""


def test_the_file_says_what_it_says(load: Load, tmp_path: Path):
    settings = load('project = "flights"\n[offline]\nthreads = 3\n[server]\nmax_entities = 7')
    assert (settings.project, settings.offline.threads, settings.server.max_entities) == ("flights", 3, 7)
    assert settings.repo_path == tmp_path
    assert settings.env is None


def test_an_environment_lays_its_settings_over_the_others(load: Load):
    settings = load(WITH_PROD, env="prod")
    assert settings.online_url == "redis://redis:6379/0"
    assert settings.online.timeout == 1.0
    assert settings.env == "prod"


def test_an_environment_may_change_the_project(load: Load):
    assert load('project = "flights"\n[env.test]\nproject = "flights_test"', env="test").project == "flights_test"


def test_the_environment_can_be_chosen_by_a_variable_and_the_argument_wins(load: Load, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HITHERTO_ENV", "prod")
    assert load(WITH_PROD).env == "prod"
    assert load(WITH_PROD, env="dev").env == "dev"


def test_variables_override_everything(load: Load, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HITHERTO_ONLINE__URL", "redis://elsewhere:1/0")
    monkeypatch.setenv("HITHERTO_OFFLINE__THREADS", "2")
    monkeypatch.setenv("HITHERTO_PROJECT", "renamed")
    settings = load(WITH_PROD, env="prod")
    assert settings.online_url == "redis://elsewhere:1/0"
    assert settings.offline.threads == 2
    assert settings.project == "renamed"
    assert settings.online.timeout == 1.0


def test_a_whole_table_can_be_one_variable(load: Load, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HITHERTO_ONLINE", '{"url": "redis://elsewhere", "timeout": 3}')
    assert load(WITH_PROD).online.timeout == 3.0


def test_an_empty_variable_says_nothing(load: Load, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HITHERTO_ONLINE__URL", "")
    monkeypatch.setenv("HITHERTO_ENV", "")
    assert load(WITH_PROD).online_url.startswith("lmdb:")


def test_variables_that_kubernetes_makes_are_not_settings(load: Load, monkeypatch: pytest.MonkeyPatch):
    for name in (
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
        "PORT",
        "PORT_6566_TCP",
        "PORT_6566_TCP_ADDR",
        "PORT_6566_TCP_PROTO",
    ):
        monkeypatch.setenv(f"HITHERTO_{name}", "10.0.0.1")
    assert load().project == "flights"


@pytest.mark.parametrize("base", ['password_file = "base.password"', 'url = "redis://me:base@host"'])
def test_a_password_from_above_replaces_the_way_in_from_below(load: Load, monkeypatch: pytest.MonkeyPatch, base: str):
    monkeypatch.setenv("HITHERTO_ONLINE__PASSWORD", "s3cret")
    settings = load(f'project = "flights"\n[online]\n{base}')
    secret = settings.online_password()
    assert secret is not None
    assert secret.get_secret_value() == "s3cret"
    assert settings.online.username is None


def test_a_url_with_a_password_replaces_a_password_file(load: Load, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HITHERTO_ONLINE__URL", "redis://me:s3cret@host")
    settings = load('project = "flights"\n[online]\nusername = "other"\npassword_file = "base.password"')
    assert settings.online.password_file is None
    assert settings.online.username == "me"


def test_another_url_without_a_password_keeps_the_password_file(load: Load, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HITHERTO_ONLINE__URL", "redis://replica")
    settings = load('project = "flights"\n[online]\nurl = "redis://host"\npassword_file = "redis.password"')
    assert settings.online.password_file == Path("redis.password")


# Refusals


def test_a_folder_without_the_file_is_an_error_that_tells_how_to_make_one(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"There is no hitherto\.toml in .*hitherto init"):
        Config.load(tmp_path)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path):
    (tmp_path / "hitherto.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        Config.load(tmp_path)


def test_a_file_that_is_not_text_is_an_error(tmp_path: Path):
    (tmp_path / "hitherto.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        Config.load(tmp_path)


def test_a_file_that_is_not_toml_is_an_error_with_its_line(load: Load):
    with pytest.raises(ConfigError, match=r"is not valid TOML: .*line 2"):
        load('project = "flights"\nonline = = 3')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('projct = "flights"', r"hitherto\.toml: projct is no setting\. Did you mean 'project'\?"),
        ("", r"hitherto\.toml: project is missing"),
        ('project = "a"\n[online]\nulr = 1', r"hitherto\.toml: online\.ulr is no setting\. Did you mean 'url'\?"),
        ('project = "a"\nrepo_path = "x"', r"hitherto\.toml: repo_path is no setting"),
        ('project = "a"\n[online]\ntimeout = "x"', r"hitherto\.toml: online\.timeout: it is a number of seconds"),
        ('project = "a"\nenv = 3', r"hitherto\.toml: env is a table of tables"),
        ('project = "a"\n[env]\nprod = 3', r"hitherto\.toml: env\.prod is a table, not a value"),
        ('project = "a"\nonline = "redis://h"', r"hitherto\.toml: online is a table, not a value: write \[online\]"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(load: Load, text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        load(text)


def test_a_wrong_setting_of_an_environment_is_found_before_that_is_chosen(load: Load):
    with pytest.raises(
        ConfigError, match=r"^hitherto\.toml: env\.prod\.online\.ulr is no setting\. Did you mean 'url'\?$"
    ):
        load('project = "flights"\n[env.prod.online]\nulr = "redis://redis"')


def test_a_wrong_setting_below_is_named_once_and_not_blamed_on_environments(load: Load):
    with pytest.raises(ConfigError) as caught:
        load('project = "flights"\n[offline]\nthreads = 0\n[env.prod.online]\ntimeout = 3\n[env.dev]', env="prod")
    assert str(caught.value).startswith("hitherto.toml: offline.threads: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("by_variable", [True, False])
def test_an_unknown_environment_is_an_error_with_the_nearest(
    load: Load, monkeypatch: pytest.MonkeyPatch, by_variable: bool
):
    if by_variable:
        monkeypatch.setenv("HITHERTO_ENV", "prdo")
    with pytest.raises(ConfigError, match=r"environment 'prdo' has no table in .* Did you mean 'prod'") as caught:
        load(WITH_PROD, env=None if by_variable else "prdo")
    assert ("HITHERTO_ENV" in str(caught.value)) == by_variable


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("HITHERTO_PROJEKT", "x", r"^HITHERTO_PROJEKT is no setting\. Did you mean 'HITHERTO_PROJECT'\?"),
        ("HITHERTO_ONLINE__ULR", "x", r"^HITHERTO_ONLINE__ULR is no setting\. Did you mean 'url'\?"),
        ("HITHERTO_ONLINE__TIMEOUT", "s3cret", r"^HITHERTO_ONLINE__TIMEOUT: it is a number of seconds"),
        ("HITHERTO_OFFLINE__THREADS", "s3cret", r"^HITHERTO_OFFLINE__THREADS: input should be a valid integer"),
        ("HITHERTO_ONLINE__URL", "http://me:s3cret@host", r"^HITHERTO_ONLINE__URL: it begins with one of"),
        ("HITHERTO_ONLINE__URL", "redis://me:s3cret@host:x", r"^HITHERTO_ONLINE__URL: .*HOST:PORT"),
        ("HITHERTO_ONLINE", "{s3cret", r"^HITHERTO_ONLINE cannot be read: a whole table is a JSON object"),
    ],
)
def test_a_wrong_variable_is_named_and_its_value_is_not_shown(
    load: Load, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message) as caught:
        load()
    # With every exception that a log would print beside it.
    assert "s3cret" not in "".join(traceback.format_exception_only(caught.value) + _contexts(caught.value))


def _contexts(error: BaseException) -> list[str]:
    chain = []
    following = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    while following is not None:
        chain += traceback.format_exception_only(following)
        following = following.__cause__ or following.__context__
    return chain


def test_all_problems_of_file_environments_and_variables_come_at_once(load: Load, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HITHERTO_FOO", "1")
    with pytest.raises(ConfigError) as caught:
        load('[server]\nx = 1\n[env.prod.online]\ntimeout = 0\n[env.dev.online]\nurl = "x"', env="prod")
    text = str(caught.value)
    assert text.startswith("5 problems in the settings:")
    for part in ("HITHERTO_FOO", "project is missing", "server.x", "env.prod.online.timeout", "env.dev.online.url"):
        assert part in text
