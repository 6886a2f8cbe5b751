"""What settings mean: defaults, paths, URLs, secrets, memory."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from hitherto.config import Config, memory
from hitherto.config.settings import known_settings, split_credentials
from hitherto.errors import ConfigError


def config(**tables: object) -> Config:
    return Config(project="flights", repo_path="/srv/flights", **tables)


def test_a_project_name_is_all_that_is_needed():
    settings = config()
    assert settings.registry_path == Path("/srv/flights/.hitherto/registry.db")
    assert settings.offline_path == Path("/srv/flights/.hitherto/offline")
    assert settings.temp_path == Path("/srv/flights/.hitherto/offline/tmp")
    assert settings.online_url == "lmdb:////srv/flights/.hitherto/online"
    assert settings.tokens_path is None
    assert settings.online_password() is None
    assert settings.offline.threads is None


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///x/registry.db", "/srv/flights/x/registry.db"),
        ("sqlite:////var/lib/registry.db", "/var/lib/registry.db"),
        ("sqlite:///my%20registry.db", "/srv/flights/my registry.db"),
    ],
)
def test_three_slashes_are_relative_to_the_repo_and_four_absolute(url: str, path: str):
    assert config(registry={"url": url}).registry_path == Path(path)
    online = config(online={"url": url.replace("sqlite", "lmdb")}).online_url
    assert online == "lmdb:///" + path.replace(" ", "%20")


def test_a_resolved_lmdb_url_resolves_to_itself():
    once = config(online={"url": "lmdb:///my%20store"}).online_url
    assert config(online={"url": once}).online_url == once


@pytest.mark.parametrize("url", ["redis://redis:6379/0", "rediss://redis/1", "unix:///run/redis.sock?db=1"])
def test_urls_of_servers_stay_as_they_are(url: str):
    assert config(online={"url": url}).online_url == url


def test_relative_paths_start_from_the_repo_and_absolute_ones_stay():
    settings = config(
        offline={"path": "/data", "temp_directory": "spill"}, server={"tokens_file": "tokens.json"}, online={}
    )
    assert settings.offline_path == Path("/data")
    assert settings.temp_path == Path("/srv/flights/spill")
    assert settings.tokens_path == Path("/srv/flights/tokens.json")


def test_a_later_change_of_directory_does_not_move_the_repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    settings = Config(project="flights", repo_path="repo")
    monkeypatch.chdir("/")
    assert settings.repo_path == tmp_path / "repo"


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        config().online.url = "redis://elsewhere"


def test_settings_given_in_python_do_not_listen_to_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HITHERTO_ONLINE__URL", "redis://elsewhere")
    assert config().online_url.startswith("lmdb:")


# Secrets


@pytest.mark.parametrize(
    ("url", "clean", "found"),
    [
        ("redis://host:6379/0", "redis://host:6379/0", {}),
        ("redis://me:s3cret@host:6379/0", "redis://host:6379/0", {"username": "me", "password": "s3cret"}),
        ("rediss://:s%40cret@host", "rediss://host", {"password": "s@cret"}),
        ("unix:///run/redis.sock?db=1&password=s3cret", "unix:///run/redis.sock?db=1", {"password": "s3cret"}),
        ("unix://me@/run/redis.sock", "unix:///run/redis.sock", {"username": "me"}),
        ("lmdb:///odd@name", "lmdb:///odd@name", {}),
    ],
)
def test_credentials_are_moved_out_of_a_url(url: str, clean: str, found: dict[str, str]):
    assert split_credentials(url) == (clean, found)


def test_a_password_in_the_url_works_and_is_never_shown():
    settings = config(online={"url": "redis://me:s3cret@host:6379/0"})
    assert settings.online.username == "me"
    secret = settings.online_password()
    assert secret is not None
    assert secret.get_secret_value() == "s3cret"
    assert settings.online_url == "redis://host:6379/0"
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(secret)):
        assert "s3cret" not in shown


def test_a_password_file_is_read_without_its_line_end(tmp_path: Path):
    (tmp_path / "redis.password").write_text("s3cret \n")
    settings = Config(project="flights", repo_path=tmp_path, online={"password_file": "redis.password"})
    secret = settings.online_password()
    assert secret is not None
    assert secret.get_secret_value() == "s3cret "
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"", "is empty"), (b"\n", "is empty"), (b"\xff\xfe", "not UTF-8")]
)
def test_a_password_file_that_cannot_be_used_is_an_error_with_its_path(
    tmp_path: Path, content: bytes | None, reason: str
):
    if content is not None:
        (tmp_path / "redis.password").write_bytes(content)
    settings = Config(project="flights", repo_path=tmp_path, online={"password_file": "redis.password"})
    with pytest.raises(ConfigError, match=reason) as caught:
        settings.online_password()
    assert str(tmp_path / "redis.password") in str(caught.value)


@pytest.mark.parametrize(
    "online",
    [
        {"password": "s3cret", "password_file": "redis.password"},
        {"url": "redis://:s3cret@host", "password_file": "redis.password"},
        {"url": "redis://:s3cret@host", "password": "s3cret2"},
        {"url": "redis://me@host", "username": "you"},
    ],
)
def test_two_ways_in_are_refused_without_showing_either(online: dict[str, str]):
    with pytest.raises(ConfigError, match="leave one of them out") as caught:
        config(online=online)
    assert "s3cret" not in str(caught.value)


# Refusals


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"registry": {"url": "postgres://host/db"}}, r"registry\.url: it is sqlite:///PATH"),
        ({"registry": {"url": "sqlite:///"}}, r"registry\.url: it is sqlite:///PATH"),
        ({"registry": {"url": "sqlite://registry.db"}}, r"registry\.url: it is sqlite:///PATH"),
        ({"online": {"url": "lmdb://store"}}, r"online\.url: it is lmdb:///PATH"),
        ({"online": {"url": "http://host"}}, r"online\.url: it begins with one of lmdb://, redis://"),
        ({"online": {"url": "redis://"}}, r"online\.url: it begins with one of"),
        ({"online": {"url": "redis://host:99999/0"}}, r"online\.url: .*up to 65535"),
        ({"online": {"url": "redis://[broken"}}, r"online\.url: .*HOST:PORT"),
        ({"online": {"url": 3}}, r"online\.url: input should be a valid string"),
        ({"online": {"timeout": 0}}, r"online\.timeout: input should be greater than 0"),
        ({"online": {"timeout": "soon"}}, r'online\.timeout: it is a number of seconds or a text such as "500ms"'),
        ({"online": {"timeout": float("inf")}}, r"online\.timeout: input should be a finite number"),
        ({"offline": {"threads": 0}}, r"offline\.threads: input should be greater than or equal to 1"),
        ({"offline": {"memory_limit": "lots"}}, r'offline\.memory_limit: it is a size such as "2GB"'),
        ({"offline": {"memory_limit": "150%"}}, r"offline\.memory_limit: a share of the memory is 1 % to 100 %"),
        ({"offline": {"memory_limit": "1KB"}}, r"offline\.memory_limit: below 16 MiB"),
        ({"server": {"max_entities": 0}}, r"server\.max_entities: input should be greater than 0"),
        ({"server": {"max_entitis": 1}}, r"server\.max_entitis is no setting\. Did you mean 'max_entities'\?"),
        ({"onlin": {}}, r"onlin is no setting\. Did you mean 'online'\?"),
        ({"online": "redis://host"}, r"online is a table, not a value: write \[online\]"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_should_be(tables: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        config(**tables)


@pytest.mark.parametrize("name", ["Flights", "a__b", "", "9lives", "x" * 64, "with space"])
def test_a_project_is_named_like_everything_else(name: str):
    with pytest.raises(ConfigError, match="a project's name is lower-case"):
        Config(project=name)


def test_a_project_is_needed():
    with pytest.raises(ConfigError, match=r"project is missing\. Add a line such as project ="):
        Config()


def test_all_wrong_settings_come_at_once():
    with pytest.raises(ConfigError) as caught:
        config(online={"timeout": -1}, offline={"threads": "many"}, server={"x": 1})
    lines = str(caught.value).splitlines()
    assert lines[0] == "3 problems in the settings:"
    assert len(lines) == 4


# Sizes and times


@pytest.mark.parametrize(("text", "seconds"), [(3, 3.0), ("1.5", 1.5), ("500ms", 0.5), ("1m30s", 90.0)])
def test_a_time_is_seconds_or_a_duration(text: object, seconds: float):
    assert config(online={"timeout": text}).online.timeout == seconds


@pytest.mark.parametrize(("text", "size"), [("2GB", 2 * 10**9), ("512MiB", 2**29), ("1.5GiB", 3 * 2**29)])
def test_a_memory_limit_is_a_size(text: str, size: int):
    assert config(offline={"memory_limit": text}).memory_limit == size


def test_a_memory_limit_is_a_share_of_what_there_is_and_60_percent_by_default():
    assert config().memory_limit == memory.available() * 60 // 100
    assert config(offline={"memory_limit": "25 %"}).memory_limit == memory.available() // 4


def test_a_body_limit_is_bytes_or_a_size():
    assert config(server={"max_body_bytes": 1000}).server.max_body_bytes == 1000
    assert config(server={"max_body_bytes": "4MiB"}).server.max_body_bytes == 4 * 2**20


# Listing


def test_every_setting_says_what_it_means():
    described = dict(known_settings())
    assert {"project", "registry.url", "offline.memory_limit", "online.password_file", "server.tokens_file"} <= set(
        described
    )
    assert all(text.endswith(".") for text in described.values())


def test_settings_travel_to_another_process_with_their_secrets():
    settings = config(online={"url": "redis://me:s3cret@host"})
    assert pickle.loads(pickle.dumps(settings)) == settings
