"""The floor for HTTP lookups: the same server without anything of ours. One key read from the store, ready bytes out.

python -m benchmarks.floor lmdb PORT FOLDER | redis PORT SOCKET
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import hiredis
import lmdb
import redis
import uvicorn

BODY = b"x" * 900
"""As long as an answer with ten features of one row."""
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
Get = Callable[[], Awaitable[Any]]


class Pipeline(asyncio.Protocol):
    """One connection to Redis that all requests share: what is asked in one turn of the loop goes out together."""

    def __init__(self) -> None:
        self._reader, self._waiting, self._out = hiredis.Reader(), deque[asyncio.Future[Any]](), list[bytes]()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._waiting.popleft().set_result(reply)

    def ask(self, command: bytes) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        if not self._out:
            loop.call_soon(self._flush)
        self._out.append(command)
        self._waiting.append(loop.create_future())
        return self._waiting[-1]

    def _flush(self) -> None:
        self._transport.write(b"".join(self._out))
        self._out.clear()


def lmdb_get(folder: str) -> Get:
    environment = lmdb.open(folder, readonly=True, readahead=False)

    with environment.begin() as transaction:
        key = next(transaction.cursor().iternext(values=False))

    async def get() -> Any:
        with environment.begin() as transaction:
            return transaction.get(key)

    return get


def redis_get(socket: str) -> Get:
    connection: list[Any] = []
    with redis.Redis(unix_socket_path=socket) as client:
        key = next(key for key in client.scan_iter(match="bench:fv:*") if b"{" in key)
    command = b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key)

    async def get() -> Any:
        if not connection:
            connection.append((await asyncio.get_running_loop().create_unix_connection(Pipeline, socket))[1])
        return await connection[0].ask(command)

    return get


def floor_app(get: Get) -> Any:
    """The app: it reads the body, reads the store, and answers."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await get()
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": BODY})

    return app


if __name__ == "__main__":
    kind, port, place = sys.argv[1:]
    get = {"lmdb": lmdb_get, "redis": redis_get}[kind](place)
    uvicorn.run(
        floor_app(get),
        port=int(port),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="error",
    )
