"""Lookups below ASGI: a connection that answers POST /get-online-features itself.

uvicorn makes a scope, a cycle, an event and a task for each request, which costs two thirds of what a whole lookup may.
Here the body goes from the parser to the core (`serving.lookup`), and the answer to the socket, in one call with LMDB and by one
callback with Redis. Only what is plain is taken: HTTP/1.1, kept alive, a body of a known length, a token that is good. All
else, refusals by headers among it, goes the ordinary way to the ASGI route, which gives the same bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from hitherto.serving import body as bodies
from hitherto.serving.problems import Refusal
from hitherto.serving.protocol import BoundedProtocol

if TYPE_CHECKING:
    from hitherto.serving.lookup import Lookup, LookupRoute, Lookups

PATH = b"/get-online-features"
MOST_WAITING = 64
"""Pipelined lookups of one connection that may wait for the store; what comes behind them is not read meanwhile."""
# A body of no known length, and a change of protocol.
_UNUSUAL = frozenset((b"transfer-encoding", b"upgrade"))


class _Unfinished:
    """Stands for lookups that wait: uvicorn puts a request behind a cycle that is not complete."""

    response_complete = False


class DirectProtocol(BoundedProtocol):
    """A connection whose plain lookups are answered without the app. Answers leave in the order of the requests."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Another app than ours, or one with something around it, gets all requests.
        self._route: LookupRoute | None = getattr(self.app, "lookup", None)
        self._waiting: deque[Exchange] = deque()
        self._exchange: Exchange | None = None
        """The lookup whose body is being received."""
        self._ordinary = False
        """Whether the request that is being received goes to the app."""
        self._late: asyncio.TimerHandle | None = None
        self._closing = False
        self._default_headers: tuple[Any, bytes] = (None, b"")

    @property
    def lookups(self) -> Lookups:
        """The core. There is one where a lookup is."""
        assert self._route is not None
        return self._route.lookups

    def data_received(self, data: bytes) -> None:
        """Parse what has come; a body that is still to come has a bound."""
        super().data_received(data)
        if self._exchange is not None and self._late is None:
            self._late = self.loop.call_later(bodies.SECONDS, self._refuse_late)

    def on_message_begin(self) -> None:
        """A request begins. What the app would be told of it is only put together if it gets there."""
        self._in_headers = True
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        """Take the request, or let it go the ordinary way."""
        self._ordinary = not self._is_plain_lookup()
        if self._ordinary:
            self._hand_over()
        else:
            self._in_headers, self._header_bytes = False, 0
            self._exchange = Exchange(self)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        if self._ordinary:
            super().on_body(body)
        elif self._exchange is not None:
            # Most bodies come in one piece.
            self._exchange.body = self._exchange.body + body if self._exchange.body else body

    def on_message_complete(self) -> None:
        """The request is there."""
        if self._ordinary:
            super().on_message_complete()
        elif self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            self._stop_timer()
            self._waiting.append(exchange)
            exchange.begin(self.lookups)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for answers any more."""
        self._stop_timer()
        self._exchange = None
        self._waiting.clear()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server ends: what has been asked is still answered."""
        if self._exchange is None and not self._waiting:
            super().shutdown()
            return
        self._closing = True
        if self.pipeline:
            self.cycle.keep_alive = False

    def _is_plain_lookup(self) -> bool:
        busy = self.cycle is not None and not self.cycle.response_complete
        if self.url != PATH or self._route is None or busy or self.flow.write_paused or self.expect_100_continue:
            return False
        if len(self._waiting) >= MOST_WAITING or self.limit_concurrency is not None:
            return False
        parser, headers = self.parser, dict(self.headers)
        if b"content-length" not in headers or not _UNUSUAL.isdisjoint(headers):
            return False
        if parser.get_method() != b"POST" or not parser.should_keep_alive() or parser.get_http_version() != "1.1":
            return False
        try:
            self._route.check(headers)
        except Refusal:
            return False
        return True

    def _hand_over(self) -> None:
        """What uvicorn would have done from the beginning of the request on."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        if self._waiting:
            self.cycle = _Unfinished()  # type: ignore[assignment]  # it is looked at, and replaced, by the next line
        super().on_headers_complete()

    def write_answers(self) -> None:
        """Send what has been answered, up to the first lookup that still waits."""
        waiting = self._waiting
        while waiting and waiting[0].head:
            exchange = waiting.popleft()
            closes = exchange.closes
            if self._closing and not (waiting or self.pipeline or self._exchange):
                closes = True
                exchange.head += b"" if exchange.closes else b"connection: close\r\n"
            self.transport.write(
                b"%b%b%b\r\n%b" % (STATUS_LINE[exchange.status], self._date(), exchange.head, exchange.answer)
            )
            if closes:
                waiting.clear()
                self.transport.close()
            if waiting:
                self.server_state.total_requests += 1
            else:
                self.on_response_complete()

    def _date(self) -> bytes:
        """uvicorn's own headers, which it makes anew each second."""
        made = self.server_state.default_headers
        if self._default_headers[0] is not made:
            self._default_headers = (made, b"".join([b"%b: %b\r\n" % header for header in made]))
        return self._default_headers[1]

    def _refuse_late(self) -> None:
        exchange, self._exchange, self._late = self._exchange, None, None
        if exchange is not None:
            self._waiting.append(exchange)
            exchange.refuse(bodies.slow_body())

    def _stop_timer(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Exchange:
    """One lookup of a connection, and its answer."""

    __slots__ = ("_began", "_lookup", "_protocol", "answer", "body", "closes", "head", "status")

    def __init__(self, protocol: DirectProtocol) -> None:
        self._protocol, self._began = protocol, perf_counter()
        self._lookup: Lookup | None = None
        self.body = self.head = self.answer = b""
        """`head` is what the answer says in its headers; empty until there is one."""
        self.status, self.closes = 200, False

    def begin(self, lookups: Lookups) -> None:
        """The body is there: ask the store."""
        try:
            self._lookup = lookup = lookups.begin(self.body)
            lookups.store.ask(lookup.request.reads, self.take)
        except Exception as error:  # noqa: BLE001  (nothing of a fault may reach the client)
            self.refuse(error)
        if not self.head:
            lookups.deadlines.watch(self)

    def take(self, found: list[list[bytes | None]] | Exception) -> None:
        """What the store has, or why it has nothing to say. After the deadline it is thrown away."""
        lookups, lookup = self._protocol.lookups, self._lookup
        if self.head or lookup is None:
            return
        lookups.deadlines.forget(self)
        if isinstance(found, Exception):
            self.refuse(found)
            return
        try:
            self.answer = lookups.finish(lookup, found, began=self._began)
        except Exception as error:  # noqa: BLE001  (the same)
            self.refuse(error)
            return
        self.head = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(self.answer)
        self._protocol.write_answers()

    def refuse(self, error: Exception) -> None:
        """Answer with a problem document."""
        refusal = self._protocol.lookups.refuse(error, began=self._began)
        self.status, self.answer = refusal.status, refusal.document(PATH.decode())
        headers = refusal.raw_headers(len(self.answer))
        self.head = b"".join([b"%b: %b\r\n" % header for header in headers])
        self.closes = "connection" in refusal.headers
        self._protocol.write_answers()

    def end(self) -> None:
        """The deadline: the store has not answered in time."""
        self.refuse(TimeoutError())
