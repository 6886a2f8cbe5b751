"""Running it: addresses, tokens, workers, signals; in processes of their own where those are the point."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn

from hitherto.config import Config
from hitherto.errors import ConfigError, InstantError, UsageError
from hitherto.serving.auth import create_token
from hitherto.serving.server import check_exposure, clock_at, run, running, worker_app
from unit.serving.servers import NOW, Client, make_store, wait_until


def config(tmp_path: Path, *, tokens: bool = False) -> Config:
    path = tmp_path / "tokens.json"
    if tokens:
        create_token(path, "one", "read")
    return Config(project="demo", repo_path=tmp_path, server={"tokens_file": path} if tokens else {})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_loopback_needs_no_tokens(tmp_path: Path, host: str):
    check_exposure(config(tmp_path), host, insecure=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_beyond_loopback_tokens_or_insecure_are_needed(tmp_path: Path, host: str):
    with pytest.raises(UsageError, match=r"--insecure"):
        check_exposure(config(tmp_path), host, insecure=False)
    check_exposure(config(tmp_path), host, insecure=True)
    check_exposure(config(tmp_path, tokens=True), host, insecure=False)


def test_headers_without_an_end_close_the_connection(client: Client):
    parts = urlsplit(client.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as flood:
        flood.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nx-long: ")
        flood.sendall(b"a" * 65_600)
        assert flood.recv(65_536).startswith(b"HTTP/1.1 400 ")
        with suppress(ConnectionResetError):
            assert flood.recv(65_536) == b""
    long = client.send("GET", "/health", headers={"x-long": "a" * 30_000})
    assert long.status == 200


def test_a_file_without_tokens_protects_nothing(tmp_path: Path):
    path = tmp_path / "tokens.json"
    path.write_text('{"format": 1, "tokens": []}', encoding="utf-8")
    settings = Config(project="demo", repo_path=tmp_path, server={"tokens_file": path})
    with pytest.raises(UsageError, match="the file of tokens has none"):
        check_exposure(settings, "0.0.0.0", insecure=False)


def test_run_refuses_before_it_listens(tmp_path: Path):
    make_store(tmp_path).close()
    with pytest.raises(UsageError, match="--insecure"):
        run(tmp_path, host="0.0.0.0", port=0)
    with pytest.raises(UsageError, match="at least one process"):
        run(tmp_path, workers=0)
    with pytest.raises(InstantError, match="--now"):
        run(tmp_path, now="noon")
    with pytest.raises(ConfigError, match=r"hitherto\.toml"):
        run(tmp_path / "nowhere")


def test_an_address_that_is_taken_is_said(tmp_path: Path):
    make_store(tmp_path).close()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen at 127.0.0.1, port {port}"):
            run(tmp_path, port=port)
    with pytest.raises(UsageError, match="cannot listen at no-such-host"):
        run(tmp_path, host="no-such-host.invalid", insecure=True)
    for port in (-1, 65_536):
        with pytest.raises(UsageError, match="is no port"):
            run(tmp_path, port=port)


def test_a_clock_that_is_set_stands_still():
    assert clock_at(None) is None
    clock = clock_at(NOW)
    assert clock is not None
    assert clock().isoformat() == "2013-01-01T13:00:00+00:00"


def test_an_ipv6_address_is_served(tmp_path: Path):
    if not socket.has_ipv6:
        pytest.skip("This machine has no IPv6.")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("This machine has no IPv6 loopback address.")
    with make_store(tmp_path) as store, running(store, host="::1") as url:
        assert url.startswith("http://[::1]:")
        assert Client(url).get("/health").status == 200


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def served(folder: Path, arguments: str) -> Iterator[tuple[Client, subprocess.Popen[bytes]]]:
    port = free_port()
    code = f"from hitherto.serving.server import run; run({str(folder)!r}, port={port}, now={NOW!r}, {arguments})"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stderr=log, env={**os.environ, "HITHERTO_SERVER__POLL_SECONDS": "0.05"}
        )
    client = Client(f"http://127.0.0.1:{port}")

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return client.get("/ready").status == 200
        except OSError:
            return False

    try:
        wait_until(answers, seconds=30)
        yield client, process
    finally:
        process.kill()
        process.wait(10)


def test_a_signal_ends_it_and_the_log_says_where_it_listened(tmp_path: Path):
    make_store(tmp_path).close()
    with served(tmp_path, "workers=1") as (client, process):
        assert client.lookup(["weather:dry"], station=["JFK"]).json["results"][1]["values"] == [True]
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    log = (tmp_path / "log").read_text()
    assert client.url in log
    assert "Traceback" not in log


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_process_begins_with_is_not_collected_while_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
):
    make_store(tmp_path).close()
    frozen: list[int] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: frozen.append(gc.get_freeze_count()))
    try:
        if workers == 1:
            run(tmp_path, port=0, now=NOW)
        else:
            told = {"repo_path": str(tmp_path), "env": None, "now": NOW, "allow_changed_functions": False}
            monkeypatch.setenv("_HITHERTO_WORKER", json.dumps(told))
            monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
            worker_app()
            frozen.append(gc.get_freeze_count())
    finally:
        gc.unfreeze()
    assert frozen[0] > len(gc.get_objects()) / 2


def test_several_workers_answer_and_their_metrics_add_up(tmp_path: Path):
    make_store(tmp_path).close()
    with served(tmp_path, "workers=2") as (client, process):
        for _ in range(40):
            assert client.lookup(["weather:dry"], station=["JFK"]).status == 200
        name = 'hitherto_requests_total{route="/get-online-features",status="200"} 40.0'
        # A worker hands on what it has counted with its next poll.
        wait_until(lambda: name in client.get("/metrics").body.decode())
        process.send_signal(signal.SIGTERM)
        process.wait(15)
    assert "Traceback" not in (tmp_path / "log").read_text()
