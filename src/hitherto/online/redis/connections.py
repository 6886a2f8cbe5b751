"""Connections to the server, and its exceptions as ours: what happened, which server, what to do; never a password."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from hitherto.errors import ConfigError, FencedError, OnlineStoreError, OnlineStoreUnavailable
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
    """The clients of one server: one for threads, one for each event loop."""

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
        self._of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Any, AsyncGenerator[None, None]]] = (
            WeakKeyDictionary()
        )

    async def of_running_loop(self) -> Any:
        """The client of this event loop: its sockets belong to the loop that opened them, and are closed with it."""
        loop = asyncio.get_running_loop()
        known = self._of_loop.get(loop)
        if known is None:
            once = redis.asyncio.retry.Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,))
            client = redis.asyncio.Redis.from_url(self._url, retry=once, **self._settings)
            known = self._of_loop[loop] = (client, self._close_with(loop, client))
            # An async generator that has begun is finished by the loop (asyncio.run) before it closes.
            await anext(known[1])
        return known[0]

    async def _close_with(self, loop: asyncio.AbstractEventLoop, client: Any) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._of_loop.pop(loop, None)
            await client.aclose()

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
        except exceptions.TimeoutError:
            raise OnlineStoreUnavailable(
                f"The online store at {self.server} did not answer within {self._timeout:g} s while {doing}. "
                "Is it overloaded, or the network slow? The setting is timeout of [online]."
            ) from None
        except (exceptions.AuthenticationError, exceptions.NoPermissionError, exceptions.ResponseError) as error:
            raise self._refusal(error, doing) from None
        except (exceptions.ConnectionError, OSError) as error:
            raise self._unreachable(error, doing) from None
        except exceptions.RedisError as error:
            raise OnlineStoreError(
                f"The online store at {self.server} failed while {doing}: {type(error).__name__}."
            ) from error

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
