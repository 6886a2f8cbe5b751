from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import hitherto as package
from hitherto.cli import app, faults

SRC = Path(app.__file__).parents[2]


def test_verify_compares_and_says_that_all_is_well(hitherto, materialized):
    told = hitherto("verify", "--sample", "3", "--instants", "2", repo=materialized)
    assert told.code == 0
    assert "values and statuses equal" in told.out
    document = hitherto("verify", "--sample", "3", "--instants", "2", "--json", repo=materialized).document
    assert document["ok"] is True
    assert document["parity"]["checked"] == document["parity"]["equal"] > 0


def test_verify_is_one_when_what_is_stored_has_changed(hitherto, repo):
    segment = next((repo / ".hitherto" / "offline").rglob("*.duckdb"))
    content = bytearray(segment.read_bytes())
    content[-1] ^= 1
    segment.chmod(0o644)
    segment.write_bytes(content)
    told = hitherto("verify", repo=repo)
    assert told.code == faults.SAID_NO
    assert segment.name in told.out


def test_doctor_examines_without_showing_secrets(hitherto, materialized, monkeypatch):
    monkeypatch.setenv("HITHERTO_ONLINE__PASSWORD", "hunter2")
    told = hitherto("doctor", repo=materialized)
    assert told.code == 0
    assert "registry" in told.out
    assert "hunter2" not in told.out + told.err
    assert hitherto("doctor", "--json", repo=materialized).document["ok"] is True


def test_doctor_is_three_when_a_store_does_not_answer(hitherto, materialized, monkeypatch):
    monkeypatch.setenv("HITHERTO_ONLINE__URL", "redis://127.0.0.1:1/0")
    assert hitherto("doctor", repo=materialized).code == faults.ENVIRONMENT


def test_a_token_is_shown_once_and_kept_hashed(hitherto, repo):
    (repo / "hitherto.toml").write_text('project = "sensors"\n[server]\ntokens_file = ".hitherto/tokens.json"\n')
    told = hitherto("token", "create", "notebook", "--scope", "write", repo=repo)
    token = told.out.strip()
    assert told.code == 0
    assert token not in (repo / ".hitherto" / "tokens.json").read_text()
    assert "Authorization: Bearer" in told.err
    document = hitherto("token", "create", "other", "--json", repo=repo).document
    assert document["scope"] == "read"
    assert document["token"] != token


def test_a_token_needs_a_file_and_a_known_scope(hitherto, materialized):
    told = hitherto("token", "create", "notebook", repo=materialized)
    assert told.code == faults.USAGE
    assert "tokens_file" in told.err
    assert hitherto("token", "create", "notebook", "--scope", "all", repo=materialized).code == faults.USAGE


def test_version_names_what_it_is_built_on(hitherto):
    assert hitherto("version").out.split()[:2] == ["hitherto", package.__version__]
    assert {"hitherto", "python", "duckdb", "pyarrow"} <= set(hitherto("version", "--json").document)


def test_serve_refuses_to_be_reached_from_elsewhere_without_tokens(hitherto, materialized):
    pytest.importorskip("uvicorn", reason="the server is an extra")
    told = hitherto("serve", "--host", "0.0.0.0", "--port", "0", repo=materialized)
    assert told.code == faults.USAGE
    assert "--insecure" in told.err


def test_serve_answers_at_its_own_time_until_it_is_told_to_stop(materialized):
    pytest.importorskip("uvicorn", reason="the server is an extra")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    call = ["--repo", str(materialized), "serve", "--port", str(port), "--now", "2040-01-01"]
    code = f"import sys; from hitherto.cli import main; sys.exit(main({call!r}))"
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            assert "2040-01-01" in _ready(port, process)
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


def _ready(port: int, process: subprocess.Popen[bytes]) -> str:
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            assert process.poll() is None, "the server ended"
            time.sleep(0.05)
    raise AssertionError("the server does not answer")
