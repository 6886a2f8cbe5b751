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
    from hitherto.online.reader import Request
    from hitherto.serving.lookup import LookupRoute, Lookups

PATH = b"/get-online-features"
MOST_WAITING = 64
"""Pipelined lookups of one connection that may wait for the store; what comes behind them is not read meanwhile."""
_END_OF_HEAD = b"\r\n\r\n"
# A client's requests differ in the digits of content-length at most: a dozen lengths with ten rows of numbers, two dozen with
# a hundred. What is longer is not kept: at most 64 kB of a connection whose token is good.
_MOST_HEADS, _LONGEST_HEAD = 64, 1_024
# A body of no known length, and a change of protocol.
_UNUSUAL = frozenset((b"transfer-encoding", b"upgrade"))


_BAD_REQUEST = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n"


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
        self._between = True
        """Whether the parser stands between two requests."""
        self._first = b""
        """What has come, if a request begins with it and is the one that is being parsed."""
        self._heads: dict[bytes, int] = {}
        """Heads of plain lookups that came here -> the length of the body."""
        self._granted_by: object = None
        """The tokens by which they were let in."""
        self._idle_since = 0.0
        self._late: asyncio.TimerHandle | None = None
        self._closing = False
        self._default_headers: tuple[Any, bytes] = (None, b"")

    def data_received(self, data: bytes) -> None:
        """Answer a lookup whose head is known by heart, or parse what has come."""
        route = self._route
        if self._between and route is not None:
            head, _, body = data.partition(_END_OF_HEAD)
            if self._heads.get(head) == len(body) and self._may_repeat(route):
                # Nothing is left for the parser, which stands between two messages before and after.
                exchange = Exchange(self, route.lookups)
                exchange.body = body
                self._waiting.append(exchange)
                exchange.begin()
                return
        self._first = data if self._between else b""
        super().data_received(data)
        if self._exchange is not None and self._late is None:
            self._late = self.loop.call_later(bodies.SECONDS, self._refuse_late)

    def on_message_begin(self) -> None:
        """A request begins. What the app would be told of it is only put together if it gets there."""
        self._in_headers, self._between = True, False
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        """Take the request, or let it go the ordinary way."""
        route = self._route
        # Before they are asked: another thread reads them again, and what was let in by the old ones must not pass for
        # let in by the new ones.
        granted_by = route.tokens.current if route is not None else None
        self._ordinary = route is None or not self._is_plain_lookup(route)
        if self._ordinary or route is None:
            self._hand_over()
        else:
            self._in_headers, self._header_bytes = False, 0
            self._exchange = Exchange(self, route.lookups)
            self._learn_head(granted_by)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        if self._ordinary:
            super().on_body(body)
        elif self._exchange is not None:
            self._exchange.add(body)

    def on_message_complete(self) -> None:
        """The request is there."""
        self._between, self._first = True, b""
        if self._ordinary:
            super().on_message_complete()
        elif self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            self._stop_timer()
            self._waiting.append(exchange)
            exchange.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for answers any more."""
        self._stop_timer()
        self._exchange = None
        self._waiting.clear()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """The client takes its answers again."""
        super().resume_writing()
        if self._waiting:
            self.write_answers()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed, once all that was asked before is answered. Nothing behind it is read."""
        route = self._route
        if not self._waiting or route is None:
            super().send_400_response(msg)
            return
        self._stop_timer()
        self._exchange, self._between = None, False
        self.flow.pause_reading()
        if self.pipeline:
            # The last of the app's answers is the last of all.
            self.cycle.keep_alive = False
            return
        refusal = Exchange(self, route.lookups)
        refusal.status, refusal.answer, refusal.closes = 400, msg.encode("ascii"), True
        refusal.head = _BAD_REQUEST % len(refusal.answer)
        self._waiting.append(refusal)

    def shutdown(self) -> None:
        """The server ends: what has been asked is still answered."""
        if self._exchange is None and not self._waiting:
            super().shutdown()
            return
        self._closing = True
        if self.pipeline:
            self.cycle.keep_alive = False

    def _may_repeat(self, route: LookupRoute) -> bool:
        """Whether this request may be answered as the one before that had the same head."""
        if self._granted_by is not route.tokens.current:
            # Tokens were read again: who was let in before shows the token anew.
            self._heads.clear()
            return False
        return self._is_free()

    def _is_free(self) -> bool:
        """Whether nothing of the app's is under way here, and the client takes its answers."""
        busy = self.cycle is not None and not self.cycle.response_complete
        return not (busy or self.flow.write_paused or len(self._waiting) >= MOST_WAITING)

    def _learn_head(self, granted_by: object) -> None:
        """Remember the head of a request that is a plain lookup: with it the parser and all checks are done.

        They are 20 of 60 microseconds, and depend on nothing but its bytes and the tokens. A head holds a token, so it is
        looked up in a dict, which compares bytes only where all 64 bits of a keyed hash agree: timing tells nothing. It
        stays with the connection that has shown it, and goes with it.
        """
        head, found, _ = self._first.partition(_END_OF_HEAD)
        # What came in pieces, or behind another request, is not worth the trouble. The parser may take a bare line feed
        # for the end of a line; then this would not be where the head ends.
        if (
            found
            and len(head) <= _LONGEST_HEAD
            and head.startswith(b"POST ")
            and head.count(b"\n") == head.count(b"\r\n")
        ):
            if len(self._heads) >= _MOST_HEADS or self._granted_by is not granted_by:
                self._heads.clear()
            self._heads[head] = int(dict(self.headers)[b"content-length"])
            self._granted_by = granted_by

    def _is_plain_lookup(self, route: LookupRoute) -> bool:
        if self.url != PATH or self.expect_100_continue or self.limit_concurrency is not None or not self._is_free():
            return False
        parser, headers = self.parser, dict(self.headers)
        if b"content-length" not in headers or not _UNUSUAL.isdisjoint(headers):
            return False
        if parser.get_method() != b"POST" or not parser.should_keep_alive() or parser.get_http_version() != "1.1":
            return False
        try:
            route.check(headers)
        except Refusal:
            return False
        return True

    def _hand_over(self) -> None:
        """What uvicorn would have done from the beginning of the request on."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        before = self.cycle
        if self._waiting:
            self.cycle = _Unfinished()  # type: ignore[assignment]  # it is looked at, and replaced, by the next line
        try:
            super().on_headers_complete()
        finally:
            if isinstance(self.cycle, _Unfinished):
                # The target is no URL.
                self.cycle = before
        if self._closing:
            self.cycle.keep_alive = False

    def write_answers(self) -> None:
        """Send what has been answered, up to the first lookup that still waits."""
        waiting = self._waiting
        if self.transport.is_closing():
            # Whoever has closed it wants no more.
            waiting.clear()
            return
        # What a client does not read is not piled up in the socket's buffer: `resume_writing` goes on.
        while waiting and waiting[0].head and not self.flow.write_paused:
            exchange = waiting.popleft()
            closes = exchange.closes
            if self._closing and not (waiting or self.pipeline or self._exchange):
                closes = True
                exchange.head += b"" if exchange.closes else b"connection: close\r\n"
            made, default = self._default_headers
            if made is not self.server_state.default_headers:
                default = self._join_default_headers()
            self.transport.write(
                b"%b%b%b\r\n%b" % (STATUS_LINE[exchange.status], default, exchange.head, exchange.answer)
            )
            self.server_state.total_requests += 1
            if closes:
                waiting.clear()
                self.transport.close()
                return
        if not waiting:
            self._rest()

    def _join_default_headers(self) -> bytes:
        """uvicorn's own headers, which it makes anew each second."""
        made = self.server_state.default_headers
        self._default_headers = (made, b"".join([b"%b: %b\r\n" % header for header in made]))
        return self._default_headers[1]

    def _rest(self) -> None:
        """All lookups are answered: what was queued behind them begins, or the connection waits for more."""
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self.flow.resume_reading()
            self._start_asgi_task(cycle, app)
            return
        # uvicorn makes a timer for each answer and cancels it at the next request: 2 microseconds. This one looks
        # again, when it fires, whether the connection was idle.
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_again(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has been idle for long enough."""
        self.timeout_keep_alive_task = None
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        app_runs = self.cycle is not None and not self.cycle.response_complete
        if left > 0:
            self._look_again(left)
        elif self._waiting or self._exchange is not None or app_runs:
            self._look_again(self.timeout_keep_alive)
        else:
            super().timeout_keep_alive_handler()

    def _look_again(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

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

    __slots__ = ("_began", "_lookups", "_protocol", "_request", "answer", "body", "closes", "head", "status")

    def __init__(self, protocol: DirectProtocol, lookups: Lookups) -> None:
        self._protocol, self._lookups, self._began = protocol, lookups, perf_counter()
        self._request: Request | None = None
        self.body: bytes | bytearray = b""
        self.head = self.answer = b""
        """`head` is what the answer says in its headers; empty until there is one."""
        self.status, self.closes = 200, False

    def add(self, piece: bytes) -> None:
        """Take a piece of the body. Most bodies come in one; of many small ones none is copied again and again."""
        if not self.body:
            self.body = piece
        elif isinstance(self.body, bytearray):
            self.body += piece
        else:
            self.body = bytearray(self.body + piece)

    def begin(self) -> None:
        """The body is there: ask the store."""
        lookups = self._lookups
        try:
            self._request = request = lookups.begin(self.body)
            lookups.store.ask(request.reads, self.take)
        # Whatever it is: nothing of a fault may reach the client, and without an answer the client would wait for ever.
        except BaseException as error:  # noqa: BLE001  (told above)
            self.refuse(error)
            _raise_if_it_ends(error)
        if not self.head:
            lookups.deadlines.watch(self, self._protocol.loop)

    def take(self, found: list[list[bytes | None]] | Exception) -> None:
        """What the store has, or why it has nothing to say. After the deadline it is thrown away."""
        lookups, request = self._lookups, self._request
        if self.head or request is None:
            return
        lookups.deadlines.forget(self)
        if isinstance(found, Exception):
            self.refuse(found)
            return
        try:
            self.answer = lookups.finish(request, found, began=self._began)
        # Whatever it is: nobody else answers this client, and the other lookups of the store's batch still wait.
        except BaseException as error:  # noqa: BLE001  (told above)
            self.refuse(error)
            _raise_if_it_ends(error)
            return
        self.head = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(self.answer)
        self._protocol.write_answers()

    def refuse(self, error: BaseException) -> None:
        """Answer with a problem document."""
        refusal = self._lookups.refuse(error, began=self._began)
        self.status, self.answer = refusal.status, refusal.document(PATH.decode())
        headers = refusal.raw_headers(len(self.answer))
        self.head = b"".join([b"%b: %b\r\n" % header for header in headers])
        self.closes = "connection" in refusal.headers
        self._protocol.write_answers()

    def end(self) -> None:
        """The deadline: the store has not answered in time."""
        self.refuse(TimeoutError())


def _raise_if_it_ends(error: BaseException) -> None:
    """Let those through by which the server is ended."""
    if isinstance(error, KeyboardInterrupt | SystemExit):
        raise error
