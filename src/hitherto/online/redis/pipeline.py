"""One connection that all lookups of an event loop share: what is asked in one turn of the loop goes out in one write.

redis-py's asyncio client takes a connection, writes, and wakes a task, for each command: three quarters of a lookup's time.
Here a question is an entry in a queue, and replies come in the order of the questions. Nobody may take an entry out: a
caller that has lost interest throws its reply away, so no reply can ever reach another caller. The connection is dropped
when it breaks, when the server is silent beyond the timeout, and when a reply is not what was asked for; everybody who
waits is told, and the next question opens a new one. A server that answers, but is asked for more than it can do, is not
asked on while the oldest question has waited beyond the timeout: or all would wait ever longer, and nobody be served.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast

import hiredis
import redis.asyncio
from redis import exceptions

Done = Callable[[list[bytes | None] | Exception], None]
# Its stub says that a command is one word.
_pack = cast(Callable[[tuple[bytes | str, ...]], bytes], hiredis.pack_command)
_CHECKS = 10
"""A silent server is noticed at most a tenth of the timeout late: one timer looks after all questions."""


class Question:
    """A command under way."""

    __slots__ = ("again", "asked", "command", "count", "done")

    def __init__(self, command: bytes, count: int, done: Done) -> None:
        self.command, self.count, self.done = command, count, done
        self.asked, self.again = 0.0, False


class Pipeline:
    """The questions of one event loop, and the connection that they go through.

    Args:
        pool: A pool of redis-py. It knows what a URL may say; no connection is taken from it.
        timeout: Seconds that a connection may take to open, and the server may be silent while it is asked.
    """

    def __init__(self, pool: redis.asyncio.ConnectionPool, *, timeout: float) -> None:
        self._pool, self._timeout = pool, timeout
        self._loop = asyncio.get_running_loop()
        self._unsent: list[Question] = []
        self._connection: Connection | None = None
        self._opening: asyncio.Task[None] | None = None
        self.overloaded = False
        """Whether the oldest question had waited beyond the timeout when the connection last looked."""

    def ask(self, keys: list[bytes], done: Done) -> None:
        """The values of keys: `done` gets them, or the error, in a later turn of the loop; it must not raise.

        While the server is overloaded it gets a TimeoutError at once.
        """
        if self.overloaded:
            done(exceptions.TimeoutError("the server answers more slowly than it is asked"))
            return
        if not self._unsent:
            # Whatever else is asked in this turn joins.
            self._loop.call_soon(self._flush)
        self._unsent.append(Question(_pack((b"MGET", *keys)), len(keys), done))

    async def close(self) -> None:
        """Close the connection; who still waits is told."""
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.drop(exceptions.ConnectionError("closed"))

    def lost(self, connection: Connection, questions: list[Question], error: Exception) -> None:
        """A connection is gone. If it only broke, each question is asked once more: reading twice does no harm."""
        if self._connection is connection:
            self._connection, self.overloaded = None, False
        # What redis-py calls a timeout is no ConnectionError: a slow server is not asked twice.
        broke = type(error) is exceptions.ConnectionError
        repeated = [one for one in questions if broke and not one.again]
        _tell([one for one in questions if not broke or one.again], error)
        if repeated:
            for one in repeated:
                one.again = True
            if not self._unsent:
                self._loop.call_soon(self._flush)
            self._unsent = repeated + self._unsent

    def _flush(self) -> None:
        if self._connection is not None:
            questions, self._unsent = self._unsent, []
            self._connection.send(questions)
        elif self._opening is None:
            self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                self._connection = await self._connect()
        except asyncio.CancelledError:
            self._refuse(exceptions.ConnectionError("closed"))
            raise
        except Exception as error:  # noqa: BLE001  (whoever waits is told, whatever it was)
            self._refuse(exceptions.TimeoutError("connecting") if isinstance(error, TimeoutError) else error)
        finally:
            self._opening = None
        if self._unsent:
            self._flush()

    def _refuse(self, error: Exception) -> None:
        questions, self._unsent = self._unsent, []
        _tell(questions, error)

    async def _connect(self) -> Connection:
        # Never connected itself: it says where the server is, and how to sign in there.
        model = cast(Any, self._pool).make_connection()
        create: Coroutine[Any, Any, tuple[Any, Connection]]
        if isinstance(model, redis.asyncio.UnixDomainSocketConnection):
            create = self._loop.create_unix_connection(self._new_connection, model.path)
        else:
            secure = model.ssl_context.get() if isinstance(model, redis.asyncio.SSLConnection) else None
            create = self._loop.create_connection(self._new_connection, model.host, model.port, ssl=secure)
        _, connection = await create
        try:
            credentials = [part for part in (model.username, model.password) if part]
            if model.password:
                await connection.command("AUTH", *credentials)
            if model.db:
                await connection.command("SELECT", str(model.db))
        except BaseException:
            connection.drop(exceptions.ConnectionError("it could not be signed in"))
            raise
        return connection

    def _new_connection(self) -> Connection:
        return Connection(self, timeout=self._timeout)


class Connection(asyncio.Protocol):
    """One connection, and what has been asked through it; after it is dropped it does nothing any more."""

    def __init__(self, pipeline: Pipeline, *, timeout: float) -> None:
        self._pipeline, self._timeout = pipeline, timeout
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(protocolError=exceptions.InvalidResponse)
        self._waiting: deque[Question] = deque()
        self._transport: asyncio.Transport | None = None
        self._heard = 0.0
        self._watching = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._transport = cast(asyncio.Transport, transport)

    def send(self, questions: list[Question]) -> None:
        """Ask, all in one write."""
        if self._transport is None:
            self._pipeline.lost(self, questions, exceptions.ConnectionError("the connection was closed"))
            return
        now = self._loop.time()
        for one in questions:
            one.asked = now
        self._waiting.extend(questions)
        self._transport.write(b"".join([one.command for one in questions]))
        if not self._watching:
            self._watching = True
            self._loop.call_later(self._timeout / _CHECKS, self._watch)

    async def command(self, *words: str) -> None:
        """A command that signs in. Raises redis-py's exceptions."""
        future: asyncio.Future[Any] = self._loop.create_future()
        question = Question(_pack(words), -1, lambda reply: settle(future, reply))
        question.again = True
        self.send([question])
        await future

    def data_received(self, data: bytes) -> None:
        """Hand out the replies that are complete."""
        self._heard = self._loop.time()
        gets, waiting = self._reader.gets, self._waiting
        try:
            self._reader.feed(data)
            while (reply := gets()) is not False:
                if not waiting:
                    raise exceptions.InvalidResponse("a reply that nobody asked for")
                question = waiting[0]
                if isinstance(reply, hiredis.ReplyError):
                    reply = _error_of(str(reply))
                elif question.count >= 0 and (type(reply) is not list or len(reply) != question.count):
                    raise exceptions.InvalidResponse("a reply to something else")
                waiting.popleft()
                question.done(reply)
        except exceptions.InvalidResponse as error:
            self.drop(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server, or the network, has closed it."""
        self.drop(exceptions.ConnectionError("the connection was closed"))

    def drop(self, error: Exception) -> None:
        """Close it; who waits is told."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        questions = [*self._waiting]
        self._waiting.clear()
        self._pipeline.lost(self, questions, error)

    def _watch(self) -> None:
        too_old = self._loop.time() - self._timeout
        if self._waiting and max(self._waiting[0].asked, self._heard) <= too_old:
            self.drop(exceptions.TimeoutError("no reply"))
        # Asked here, once for all questions: to read the clock at each takes longer than to queue it.
        self._pipeline.overloaded = bool(self._waiting) and self._waiting[0].asked <= too_old
        self._watching = bool(self._waiting)
        if self._watching:
            self._loop.call_later(self._timeout / _CHECKS, self._watch)


def settle(future: asyncio.Future[Any], reply: Any) -> None:
    """Give a reply, or the error that it is, to whoever still waits for it."""
    # A cancelled caller's reply ends here.
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)


def _tell(questions: list[Question], error: Exception) -> None:
    for one in questions:
        one.done(error)


def _error_of(text: str) -> Exception:
    """The server's refusal as redis-py's exception: those that say "not now" are connection errors there."""
    code = text.partition(" ")[0]
    if code == "LOADING":
        return exceptions.BusyLoadingError(text)
    if "max number of clients" in text:
        return exceptions.ConnectionError(text)
    return exceptions.AuthenticationError(text) if code in ("NOAUTH", "WRONGPASS") else exceptions.ResponseError(text)
