"""One connection, call by call: what it does while lookups wait, the app works, or the client takes no answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from hitherto import FeatureStore
from hitherto.online.store import OnlineStore, Read
from hitherto.serving.app import ServerApp, create_app
from hitherto.serving.direct import DirectProtocol
from hitherto.serving.lookup import LookupRoute
from hitherto.serving.server import _UVICORN
from unit.serving.test_direct import request

LOOKUP = request()
OTHER = request(b"", method="GET", path="/other")


def rows(count: int) -> Any:
    return {"features": ["weather:temperature"], "entities": {"station": ["JFK"] * count}}


class Held:
    """The store, whose answers wait until they are let go."""

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self._held: list[Callable[[], None]] = []
        self.holds = True

    def ask(self, reads: Sequence[Read], done: Callable[[Any], None]) -> None:
        if self.holds:
            self._held.append(lambda: self._store.ask(reads, done))
        else:
            self._store.ask(reads, done)

    def let_go(self) -> None:
        held, self._held = self._held, []
        for answer in held:
            answer()


class Written(asyncio.Transport):
    """Where answers go."""

    def __init__(self) -> None:
        super().__init__()
        self.data, self.closed, self.reads = b"", False, True

    @property
    def statuses(self) -> list[bytes]:
        return re.findall(rb"HTTP/1.1 (\d+)", self.data)

    def write(self, data: Any) -> None:
        self.data += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


class Late:
    """An app that answers when it is told to; lookups go past it."""

    def __init__(self, lookup: LookupRoute) -> None:
        self.lookup, self.goes_on = lookup, asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.goes_on.wait()
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"late"})


class Connection:
    """A connection to the server of a store."""

    def __init__(self, store: FeatureStore) -> None:
        lookup = cast(ServerApp, create_app(store)).lookup
        held: Any = Held(store.online_store)
        self.store = lookup.lookups.store = held
        self.app: Any = Late(lookup)
        config = uvicorn.Config(self.app, log_config=None, **_UVICORN)
        config.load()
        config.loaded_app = self.app
        self.protocol = DirectProtocol(config, ServerState(), {}, _loop=asyncio.get_running_loop())
        self.written = Written()
        self.protocol.connection_made(self.written)

    def send(self, data: bytes) -> None:
        self.protocol.data_received(data)

    async def finish_app(self) -> None:
        self.app.goes_on.set()
        for _ in range(10):
            await asyncio.sleep(0)


def run(store: FeatureStore, talk: Callable[[Connection], Coroutine[Any, Any, None]]) -> None:
    async def opened() -> None:
        await talk(Connection(store))

    asyncio.run(opened())


def test_what_cannot_be_parsed_is_refused_behind_the_lookups_before_it(store: FeatureStore) -> None:
    async def talk(connection: Connection) -> None:
        written = connection.written
        connection.send(LOOKUP + LOOKUP + b"nonsense\r\n\r\n")
        assert (written.data, written.closed, written.reads) == (b"", False, False)
        connection.store.let_go()
        assert written.statuses == [b"200", b"200", b"400"]
        assert written.data.endswith(b"connection: close\r\n\r\nInvalid HTTP request received.")
        assert written.closed

    run(store, talk)


def test_a_target_that_is_no_url_leaves_nothing_behind(store: FeatureStore) -> None:
    async def talk(connection: Connection) -> None:
        connection.send(LOOKUP)
        connection.send(request(path="http://h:99999999/x"))
        connection.store.let_go()
        assert connection.written.statuses == [b"200", b"400"]
        connection.protocol.connection_lost(None)

        again = Connection(store)
        again.send(LOOKUP)
        again.send(request(path="http://h:99999999/x"))
        # The client has gone before its answer came.
        again.protocol.connection_lost(None)

    run(store, talk)


def test_what_cannot_be_parsed_behind_the_app_closes_after_its_answer(store: FeatureStore) -> None:
    async def talk(connection: Connection) -> None:
        connection.send(LOOKUP + OTHER + b"nonsense\r\n\r\n")
        assert connection.written.data == b""
        connection.store.let_go()
        await connection.finish_app()
        assert connection.written.statuses == [b"200", b"202"]
        assert connection.written.closed

    run(store, talk)


def test_only_short_heads_are_learned(store: FeatureStore) -> None:
    async def talk(connection: Connection) -> None:
        connection.store.holds = False
        connection.send(LOOKUP)
        connection.send(request(x_long="x" * 4_096))
        assert connection.written.statuses == [b"200", b"200"]
        assert [*connection.protocol._heads] == [LOOKUP.partition(b"\r\n\r\n")[0]]

    run(store, talk)


def test_heads_of_many_lengths_are_learned_but_not_any_number(store: FeatureStore) -> None:
    async def talk(connection: Connection) -> None:
        connection.store.holds = False
        heads = connection.protocol._heads
        sent = [request(rows(number)) for number in range(1, 200)]
        for number, one in enumerate(sent, 1):
            connection.send(one)
            assert heads[one.partition(b"\r\n\r\n")[0]] == len(one.partition(b"\r\n\r\n")[2])
            assert len(heads) == number if number <= 32 else len(heads) <= 64
        assert connection.written.statuses == [b"200"] * len(sent)

    run(store, talk)


def test_nothing_is_written_while_the_client_takes_nothing(store: FeatureStore) -> None:
    async def talk(connection: Connection) -> None:
        connection.send(LOOKUP * 5)
        connection.protocol.pause_writing()
        connection.store.let_go()
        assert connection.written.data == b""
        connection.protocol.resume_writing()
        assert connection.written.statuses == [b"200"] * 5
        connection.store.holds = False
        connection.send(LOOKUP)
        assert connection.written.statuses == [b"200"] * 6

    run(store, talk)


def test_a_request_of_the_app_that_comes_while_the_server_ends_is_the_last(store: FeatureStore) -> None:
    async def talk(connection: Connection) -> None:
        connection.send(LOOKUP)
        connection.protocol.shutdown()
        connection.send(OTHER)
        connection.store.let_go()
        await connection.finish_app()
        assert connection.written.statuses == [b"200", b"202"]
        assert b"connection: close" in connection.written.data
        assert connection.written.closed

    run(store, talk)


def test_a_connection_whose_app_works_is_not_idle(store: FeatureStore) -> None:
    async def talk(connection: Connection) -> None:
        connection.store.holds = False
        # In one piece: the lookup's answer arms the timer when the other request has come already.
        connection.send(LOOKUP + OTHER)
        connection.protocol._idle_since -= 1_000
        connection.protocol.timeout_keep_alive_handler()
        assert not connection.written.closed
        await connection.finish_app()
        assert connection.written.statuses == [b"200", b"202"]
        connection.protocol.timeout_keep_alive_handler()
        assert connection.written.closed

    run(store, talk)


def test_what_follows_a_change_of_protocol_is_not_a_request(store: FeatureStore) -> None:
    async def talk(connection: Connection) -> None:
        connection.store.holds = False
        head, end, _ = request(LOOKUP, path="/other", connection="upgrade", upgrade="x").partition(b"\r\n\r\n")
        connection.send(head + end)
        connection.send(LOOKUP)
        await connection.finish_app()
        assert connection.written.statuses == [b"202"]
        assert connection.written.closed

    run(store, talk)
