"""An open-loop client: requests go out when they are due, however late answers are, and latency counts from when they were due.

    python -m benchmarks.open_loop PORT RATE SECONDS < BODIES

wrk is closed-loop: it waits for an answer before it sends again, so a server that stands still is asked less, and its tail looks better
than users find it. This client sends on a fixed schedule over up to 64 connections to 127.0.0.1; a request that finds all of them
busy waits, and its wait counts. The timers' resolution of a millisecond is in the figures. At most 20,000 requests a second, for 60
seconds at most; TOKEN in the environment is the bearer token, and a file named in STOP ends it once it is there.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import httptools
import uvloop

CONNECTIONS, HIGHEST_RATE, LONGEST_SECONDS = 64, 20_000, 60


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load, self._due, self._parser = load, 0.0, httptools.HttpResponseParser(self)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self, due: float, request: bytes) -> None:
        self._due, self._parser = due, httptools.HttpResponseParser(self)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._load.answered(self, self._due, self._parser.get_status_code())


class Load:
    """The schedule, the connections that are free, the requests that wait for one, and how long each took."""

    def __init__(self, requests: list[bytes], rate: float, seconds: float) -> None:
        self.requests, self.rate, self.seconds = requests, rate, seconds
        self.free: deque[Connection] = deque()
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.taken: list[float] = []
        self.sent = self.failed = 0

    def answered(self, connection: Connection, due: float, status: int) -> None:
        self.taken.append(time.perf_counter() - due)
        self.failed += status != 200
        if self.waiting:
            connection.send(*self.waiting.popleft())
        else:
            self.free.append(connection)

    def ask(self, due: float) -> None:
        request = self.requests[self.sent % len(self.requests)]
        self.sent += 1
        if self.free:
            self.free.popleft().send(due, request)
        else:
            self.waiting.append((due, request))

    def told_to_stop(self, stop: Path | None) -> bool:
        # Not at every turn: a look at the file system costs as much as a request.
        return stop is not None and self.sent % 16 == 0 and stop.exists()

    async def run(self, port: int, stop: Path | None) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            self.free.append((await loop.create_connection(lambda: Connection(self), "127.0.0.1", port))[1])
        begin = time.perf_counter()
        while (now := time.perf_counter()) < begin + self.seconds:
            while (due := begin + self.sent / self.rate) <= now:
                self.ask(due)
            if self.told_to_stop(stop):
                break
            await asyncio.sleep(max(0.0005, due - time.perf_counter()))
        self.lasted = time.perf_counter() - begin
        for _ in range(500):  # what is on its way may take five seconds more
            if len(self.taken) >= self.sent:
                break
            await asyncio.sleep(0.01)


def quantile(taken: list[float], share: float) -> float:
    """In milliseconds; `taken` is sorted."""
    return taken[min(len(taken) - 1, int(len(taken) * share))] * 1e3


def main() -> None:
    port, rate, seconds = (
        int(sys.argv[1]),
        min(float(sys.argv[2]), HIGHEST_RATE),
        min(float(sys.argv[3]), LONGEST_SECONDS),
    )
    token, stop = os.environ.get("TOKEN"), os.environ.get("STOP")
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = f"POST /get-online-features HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n{authorization}"
    requests = [
        f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode() for body in sys.stdin.read().splitlines() if body
    ]
    load = Load(requests, rate, seconds)
    uvloop.run(load.run(port, Path(stop) if stop else None))
    taken = sorted(load.taken)
    answer = {
        "sent": load.sent,
        "unanswered": load.sent - len(taken),
        "failed": load.failed,
        "rate": load.sent / load.lasted,
        **{
            name: quantile(taken, share) for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0))
        },
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
