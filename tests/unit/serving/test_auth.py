"""Tokens: shown once, kept as hashes, scoped, and taken away by an edit of the file."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from hitherto.errors import ConfigError, StorageError, UsageError
from hitherto.serving.auth import ADMIN, READ, WRITE, Token, Tokens, create_token, load_tokens
from hitherto.serving.problems import Refusal
from hitherto.serving.server import running
from unit.serving.servers import Client, make_store, wait_until


def bearer(token: str) -> bytes:
    return b"Bearer " + token.encode()


def test_a_token_has_256_random_bits_and_only_its_hash_is_kept(tmp_path: Path):
    path = tmp_path / "secrets" / "tokens.json"
    made = [create_token(path, f"client-{number}", "read") for number in range(3)]
    assert len(set(made)) == 3
    for token in made:
        secret = token.split("_", 2)[2]
        assert len(secret) == 43
        assert secret not in path.read_text(encoding="utf-8")
    assert {token.name for token in load_tokens(path).values()} == {"client-0", "client-1", "client-2"}


def test_only_the_owner_may_read_the_file(tmp_path: Path):
    path = tmp_path / "tokens.json"
    create_token(path, "one", "read")
    path.chmod(0o644)
    create_token(path, "two", "read")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_token_is_found_and_nothing_like_it_is(tmp_path: Path):
    path = tmp_path / "tokens.json"
    token = create_token(path, "one", "read")
    tokens = Tokens(path)
    found = tokens.find(bearer(token))
    assert found is not None
    assert found.name == "one"
    assert tokens.find(b"bEARER  " + token.encode() + b" ") is not None
    other = token[:-1] + ("A" if token[-1] != "A" else "B")
    unknown = token.replace(token.split("_")[1], "0" * 12)
    for wrong in (
        other,
        unknown,
        token[:-1],
        token + "x",
        "",
        "hitherto",
        "hitherto__",
        "hitherto_\xff_x",
        found.sha256,
    ):
        assert tokens.find(b"Bearer " + wrong.encode("latin-1")) is None
    assert tokens.find(b"Basic " + token.encode()) is None
    assert tokens.find(token.encode()) is None
    assert tokens.find(None) is None


@pytest.mark.parametrize(("scope", "allowed"), [("read", {READ}), ("write", {WRITE}), ("admin", {READ, WRITE, ADMIN})])
def test_admin_may_do_all_and_write_does_not_include_read(scope: str, allowed: set[str]):
    token = Token("0" * 12, "one", scope, "0" * 64)  # type: ignore[arg-type]  # parametrized over the scopes
    assert {one for one in (READ, WRITE, ADMIN) if token.allows(one)} == allowed
    assert token.allows(None)


def test_without_a_file_everything_is_allowed():
    tokens = Tokens(None)
    assert not tokens.needed
    tokens.reload()
    tokens.check(None, ADMIN)


def test_a_missing_token_is_401_and_a_wrong_scope_403(tmp_path: Path):
    path = tmp_path / "tokens.json"
    token = create_token(path, "one", "read")
    tokens = Tokens(path)
    with pytest.raises(Refusal) as missing:
        tokens.check(None, READ)
    assert (missing.value.status, missing.value.headers["www-authenticate"]) == (401, "Bearer")
    with pytest.raises(Refusal) as wrong:
        tokens.check(bearer(token), WRITE)
    assert wrong.value.status == 403
    assert wrong.value.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="write"'


def test_two_commands_at_once_lose_no_token(tmp_path: Path):
    path = tmp_path / "tokens.json"
    threads = [threading.Thread(target=create_token, args=(path, f"n{number}", "read")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(load_tokens(path)) == 8


def test_a_name_is_taken_once_and_a_scope_is_one_of_three(tmp_path: Path):
    path = tmp_path / "tokens.json"
    create_token(path, "one", "read")
    with pytest.raises(UsageError, match="already"):
        create_token(path, "one", "write")
    with pytest.raises(UsageError, match="Did you mean 'read'"):
        create_token(path, "two", "reed")  # type: ignore[arg-type]  # what a command line may be given
    with pytest.raises(UsageError, match="cannot name a token"):
        create_token(path, "two\nlines", "read")
    assert len(load_tokens(path)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"tokens": []}',
        '{"format": 2, "tokens": []}',
        '{"format": 1, "tokens": {}}',
        '{"format": 1, "tokens": [7]}',
        '{"format": 1, "tokens": [{"id": "0123456789ab", "name": "one", "scope": "all", "sha256": "%s"}]}' % ("0" * 64),
        '{"format": 1, "tokens": [{"id": "0123456789ab", "name": "one", "scope": "read", "sha256": "short"}]}',
    ],
)
def test_a_file_that_is_no_file_of_tokens_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "tokens.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"tokens_file"):
        load_tokens(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="there is no file"):
        Tokens(tmp_path / "tokens.json")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="cannot be written"):
        create_token(tmp_path / "file" / "tokens.json", "one", "read")


def test_a_changed_file_is_read_again_and_a_broken_one_changes_nothing(tmp_path: Path):
    path = tmp_path / "tokens.json"
    first = create_token(path, "one", "read")
    tokens = Tokens(path)
    second = create_token(path, "two", "read")
    assert tokens.find(bearer(second)) is None
    tokens.reload()
    assert tokens.find(bearer(second)) is not None
    path.write_text("{", encoding="utf-8")
    tokens.reload()
    assert tokens.problem is not None
    assert tokens.find(bearer(first)) is not None
    path.unlink()
    tokens.reload()
    assert tokens.find(bearer(first)) is not None
    third = create_token(path, "three", "read")
    tokens.reload()
    assert tokens.problem is None
    assert tokens.find(bearer(first)) is None
    assert tokens.find(bearer(third)) is not None


def test_each_route_asks_for_its_scope_and_a_token_can_be_taken_away(tmp_path: Path):
    path = tmp_path / "tokens.json"
    scopes = ("read", "write", "admin")
    made = {scope: create_token(path, f"for-{scope}", scope) for scope in scopes}
    with make_store(tmp_path / "repo", tokens_file=path) as store, running(store) as url:
        clients = {None: Client(url), **{scope: Client(url, token) for scope, token in made.items()}}
        asked = {"features": ["weather:dry"], "entities": {"station": ["JFK"]}}
        push = {"feature_view": "weather", "rows": []}

        def statuses(method: str, name: str, document: object = None) -> list[int]:
            body = None if document is None else json.dumps(document).encode()
            header = {"content-type": "application/json"}
            return [one.send(method, name, body, header).status for one in clients.values()]

        assert statuses("POST", "/get-online-features", asked) == [401, 200, 403, 200]
        assert statuses("GET", "/feature-views") == [401, 200, 403, 200]
        assert statuses("GET", "/feature-views/weather") == [401, 200, 403, 200]
        assert statuses("GET", "/feature-services") == [401, 200, 403, 200]
        assert statuses("POST", "/push", push) == [401, 403, 200, 200]
        assert statuses("POST", "/refresh") == [401, 403, 403, 200]
        assert statuses("GET", "/metrics") == [401, 200, 200, 200]
        assert statuses("GET", "/nothing") == [401, 404, 403, 404]
        for name in ("/health", "/ready", "/docs", "/docs/docs.js", "/openapi.json"):
            assert statuses("GET", name) == [200, 200, 200, 200]

        document = json.loads(path.read_text(encoding="utf-8"))
        document["tokens"] = [one for one in document["tokens"] if one["scope"] != "read"]
        replaced = path.with_name("new")
        replaced.write_text(json.dumps(document), encoding="utf-8")
        os.replace(replaced, path)
        wait_until(lambda: clients["read"].post("/get-online-features", asked).status == 401)
        assert clients["admin"].post("/get-online-features", asked).status == 200
