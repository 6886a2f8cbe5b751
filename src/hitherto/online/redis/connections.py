"""Connections to the server, and its exceptions as ours: what happened, which server, what to do; never a password."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from hitherto.errors import ConfigError, FencedError, OnlineStoreError, OnlineStoreUnavailable
from hitherto.online.redis.pipeline import Pipeline
from hitherto.online.redis.scripts import FENCED

_MEMORY = "It is out of memory and refuses writes (noeviction): give it more memory, or drop old generations."
_SIGN_IN = "It wants a user name and password, or those given are wrong: check username and password_file of [online]."
_RIGHTS = "The user may not run this command: allow it in the server's ACL."
_REPLICA = "It is a replica: use the primary's address for writes."
_LOADING = "It is still loading its data: try again in a moment."
_CLUSTER = "Redis Cluster is not supported: use a single primary."
_KNOWN: Mapping[type[Exception], str] = {
    exceptions.OutOfMemoryError: _MEMORY,
    exceptions.ReadOnlyError: _REPLICA,
    exceptions.NoPermissionError: _RIGHTS,
    exceptions.AuthenticationError: _SIGN_IN,
    exceptions.BusyLoadingError: _LOADING,
    exceptions.ClusterError: _CLUSTER,
}
_HINTS: Mapping[str, str] = {
    "OOM": _MEMORY,
    "READONLY": _REPLICA,
    "NOPERM": _RIGHTS,
    "NOAUTH": _SIGN_IN,
    "WRONGPASS": _SIGN_IN,
    "LOADING": _LOADING,
    "MOVED": _CLUSTER,
    "CROSSSLOT": _CLUSTER,
    "MISCONF": "It cannot save its snapshot and refuses writes: look at its disk and log.",
}


class Connections:
    """The ways to one server: a client for threads, a pipeline for each event loop."""

    def __init__(self, url: str, *, username: str | None, password: str | None, timeout: float) -> None:
        self.server = server_name(url)
        self._url = url
        self._settings: dict[str, Any] = {
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "health_check_interval": 0,
            # RESP2 needs no handshake of its own, and every server of ours speaks it.
            "protocol": 2,
            "driver_info": None,
        }
        for name, value in (("username", username), ("password", password)):
            if value is not None:
                self._settings[name] = value
        self._timeout = timeout
        # A connection that the server has closed meanwhile is opened again, once; a slow server is not asked twice.
        once = Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,))
        try:
            self.client = redis.Redis.from_url(url, retry=once, **self._settings)
        except ValueError as error:
            raise ConfigError(f"The online store's url is not a Redis URL: {error}.") from None
        self._of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Pipeline, AsyncGenerator[None, None]]] = (
            WeakKeyDictionary()
        )

    def of_running_loop(self) -> Pipeline:
        """The pipeline of this event loop: its socket belongs to the loop that opened it, and is closed with it."""
        loop = asyncio.get_running_loop()
        known = self._of_loop.get(loop)
        if known is None:
            pool = redis.asyncio.ConnectionPool.from_url(self._url, **self._settings)
            pipeline = Pipeline(pool, timeout=self._timeout)
            known = self._of_loop[loop] = (pipeline, self._close_with(loop, pipeline))
            # An async generator that has begun is finished by the loop (asyncio.run) before it closes. This one begins
            # without waiting for anything, so that no coroutine is needed here.
            with suppress(StopIteration):
                known[1].__anext__().send(None)
        return known[0]

    async def _close_with(self, loop: asyncio.AbstractEventLoop, pipeline: Pipeline) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._of_loop.pop(loop, None)
            await pipeline.close()

    def close(self) -> None:
        """Close what can be closed from here; other loops' sockets go with their loops."""
        self.client.close()
        self.client.connection_pool.disconnect()

    def ask(self, *command: bytes) -> Any:
        """The reply to one command that only reads. A connection that broke is tried once more; a slow server is not."""
        try:
            return self._ask_once(command)
        except exceptions.ConnectionError:
            return self._ask_once(command)

    def _ask_once(self, command: tuple[bytes, ...]) -> Any:
        # Less on the way than in client.execute_command: a third of a lookup's time.
        pool = self.client.connection_pool
        connection: Any = pool.get_connection()
        try:
            connection.send_packed_command(connection.pack_command(*command))
            return connection.read_response()
        except exceptions.ResponseError:
            raise
        except BaseException:
            connection.disconnect()
            raise
        finally:
            pool.release(connection)

    @contextmanager
    def conversation(self) -> Iterator[Any]:
        """A connection for several commands in flight."""
        pool = self.client.connection_pool
        connection: Any = pool.get_connection()
        try:
            yield connection
        except BaseException:
            # Replies of a broken conversation must not reach the next user of the connection.
            connection.disconnect()
            raise
        finally:
            pool.release(connection)

    @contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """redis-py's exceptions as ours."""
        try:
            yield
        except (exceptions.RedisError, OSError) as error:
            raise self.explain(error, doing) from None

    def explain(self, error: Exception, doing: str) -> Exception:
        """An exception of redis-py as ours; any other as it is."""
        if isinstance(error, exceptions.TimeoutError):
            return OnlineStoreUnavailable(
                f"The online store at {self.server} did not answer within {self._timeout:g} s while {doing}. "
                "Is it overloaded, or the network slow? The setting is timeout of [online]."
            )
        if isinstance(error, exceptions.AuthenticationError | exceptions.ResponseError):
            return self._refusal(error, doing)
        if isinstance(error, exceptions.ConnectionError | OSError):
            return self._unreachable(error, doing)
        if isinstance(error, exceptions.InvalidResponse):
            return OnlineStoreUnavailable(
                f"What answers at {self.server} does not speak Redis' protocol ({doing}). Is the url of [online] right?"
            )
        if isinstance(error, exceptions.RedisError):
            return OnlineStoreError(f"The online store at {self.server} failed while {doing}: {type(error).__name__}.")
        return error

    def _unreachable(self, error: Exception, doing: str) -> OnlineStoreError:
        hint = _hint(error)
        if hint:
            return OnlineStoreUnavailable(f"The online store at {self.server} is not ready for {doing}. {hint}")
        return OnlineStoreUnavailable(
            f"The online store at {self.server} cannot be reached ({doing}). Is it running, and is the url of [online] right?"
        )

    def _refusal(self, error: Exception, doing: str) -> OnlineStoreError:
        code, _, rest = str(error).partition(" ")
        if code == FENCED:
            return FencedError(
                f"A newer run or writer has taken over (its fencing token is {rest.split()[0]}): nothing of ours is written from here on."
            )
        return OnlineStoreError(f"The online store at {self.server} refused {doing}. {_hint(error) or error}")


def _hint(error: Exception) -> str | None:
    """What to do about an error. redis-py takes the code away from the errors that it has a class for."""
    for kind, hint in _KNOWN.items():
        if isinstance(error, kind):
            return hint
    return _HINTS.get(str(error).partition(" ")[0])


def server_name(url: str) -> str:
    """The server of a URL without user name and password.

    >>> server_name("redis://me:secret@localhost:6379/0")
    'localhost:6379'
    """
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or parts.path
