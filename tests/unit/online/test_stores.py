"""Which store a URL means."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hitherto.errors import ConfigError
from hitherto.online.stores import LOADERS, open_store


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("lmdb:///.hitherto/online", "LmdbOnlineStore('/repo/.hitherto/online')"),
        ("lmdb:////var/online", "LmdbOnlineStore('/var/online')"),
        ("lmdb:////var/my%20data", "LmdbOnlineStore('/var/my data')"),
        ("redis://me:secret@localhost:6379/0", "RedisOnlineStore('localhost:6379')"),
        ("rediss://localhost:6380", "RedisOnlineStore('localhost:6380')"),
        ("unix:///run/redis.sock?db=1", "RedisOnlineStore('/run/redis.sock')"),
    ],
)
def test_a_url_opens_its_store_and_shows_no_secret(url: str, shown: str) -> None:
    store = open_store(url, root=Path("/repo"), username="me", password="secret")
    assert repr(store) == shown
    store.close()


@pytest.mark.parametrize(
    "url", ["lmbd:///x", "postgres://u:secret@h", "online", "", "lmdb://host/x", "lmdb:///", "redis://h:port"]
)
def test_a_url_that_means_no_store_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_store(url, root=Path("/repo"))
    assert "secret" not in str(refused.value)


def test_the_nearest_scheme_is_suggested() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'lmdb'?"):
        open_store("lmbd:///x", root=Path("/repo"))


def test_no_client_is_loaded_before_it_is_needed() -> None:
    script = "import sys, hitherto.online.stores, hitherto.online.reader; print([name for name in ('redis', 'lmdb', 'pyarrow', 'duckdb') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix"])
def test_a_missing_client_is_named_with_its_install_line(scheme: str) -> None:
    assert scheme in LOADERS
    script = (
        "import sys, pathlib; sys.modules['redis'] = None\n"
        "from hitherto.errors import MissingExtraError\n"
        "from hitherto.online.stores import open_store\n"
        f"try: open_store('{scheme}:///x', root=pathlib.Path('.'))\n"
        "except MissingExtraError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "redis is not installed. Install it with: pip install 'hitherto[redis]'"
