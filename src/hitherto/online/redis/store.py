"""RedisOnlineStore: one Redis key per (place, entity key), its value the stored value as it is.

Lookups are one MGET for all views. Full loads go to a fresh generation by plain MSET; runs and pushes compare and set
(`changes`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from hitherto.online.batches import pieces
from hitherto.online.redis.bulk import load_rows
from hitherto.online.redis.changes import change_rows
from hitherto.online.redis.connections import Connections
from hitherto.online.redis.keyspace import (
    buckets,
    place_member,
    place_of,
    places_key,
    row_head,
    row_keys,
    sequence_key,
    token_key,
)
from hitherto.online.redis.pipeline import settle
from hitherto.online.redis.scripts import CHANGE, RAISE_TOKEN, REMOVE_ROWS
from hitherto.online.store import Place, Read

if TYPE_CHECKING:
    import pyarrow as pa

_READ_KEYS, _PIECE_ROWS, _SCAN_KEYS = 10_000, 2_000, 1_000


class RedisOnlineStore:
    """Rows in a Redis (7.0 or newer) or Valkey server."""

    def __init__(
        self, url: str, *, username: str | None = None, password: str | None = None, timeout: float = 2.0
    ) -> None:
        self._connections = Connections(url, username=username, password=password, timeout=timeout)

    def __repr__(self) -> str:
        return f"RedisOnlineStore({self._connections.server!r})"

    def read(self, place: Place, keys: Sequence[bytes]) -> list[bytes | None]:
        """See OnlineStore.read."""
        return self._get(row_keys(place, keys))

    def read_many(self, reads: Sequence[Read]) -> list[list[bytes | None]]:
        """See OnlineStore.read_many."""
        if len(reads) == 1:
            return [self.read(*reads[0])]
        return _split(reads, self._get(_all_keys(reads)))

    async def read_async(self, place: Place, keys: Sequence[bytes]) -> list[bytes | None]:
        """See OnlineStore.read_async."""
        return (await self.read_many_async([(place, keys)]))[0]

    async def read_many_async(self, reads: Sequence[Read]) -> list[list[bytes | None]]:
        """See OnlineStore.read_many_async."""
        waiting: asyncio.Future[list[list[bytes | None]]] = asyncio.get_running_loop().create_future()
        self.ask(reads, lambda found: settle(waiting, found))
        return await waiting

    def ask(self, reads: Sequence[Read], done: Callable[[list[list[bytes | None]] | Exception], None]) -> None:
        """See OnlineStore.ask."""
        keys = _all_keys(reads)
        if keys:
            _Asked(self._connections, reads, keys, done).ask_on()
        else:
            done(_split(reads, []))

    def next_sequence(self, place: Place) -> int:
        """See OnlineStore.next_sequence."""
        with self._connections.errors("counting the sequence"):
            return int(self._connections.client.incr(sequence_key(place)))

    def token(self, place: Place) -> int:
        """See OnlineStore.token."""
        with self._connections.errors("reading the fencing token"):
            held: Any = self._connections.client.get(token_key(place))
        return int(held or 0)

    def raise_token(self, place: Place, token: int) -> None:
        """See OnlineStore.raise_token."""
        with self._connections.errors("raising the fencing token"):
            self._connections.client.eval(RAISE_TOKEN, 1, token_key(place), token)

    def load(self, place: Place, batches: Iterable[pa.RecordBatch], *, token: int) -> int:
        """See OnlineStore.load."""
        with self._connections.errors(f"the load of {place}"):
            shared = [token_key(place), places_key(place.project, place.view)]
            if not self._connections.client.eval(CHANGE, len(shared), *shared, token, place_member(place), b""):
                self._remove_rows(place, token=token)
            with self._connections.conversation() as connection:
                return load_rows(connection, place, pieces(batches, rows=_PIECE_ROWS), token=token)

    def write(self, place: Place, batches: Iterable[pa.RecordBatch], *, token: int, sequence: int) -> int:
        """See OnlineStore.write."""
        return self._change(place, batches, token=token, sequence=b"%016x" % sequence)

    def push(self, place: Place, batches: Iterable[pa.RecordBatch], *, token: int) -> int:
        """See OnlineStore.push."""
        return self._change(place, batches, token=token, sequence=b"")

    def drop(self, place: Place) -> None:
        """See OnlineStore.drop."""
        with self._connections.errors(f"the removal of {place}"):
            self._remove_rows(place, token=None)
            self._connections.client.srem(places_key(place.project, place.view), place_member(place))

    def places(self, project: str, view: str) -> tuple[Place, ...]:
        """See OnlineStore.places."""
        with self._connections.errors("the list of generations"):
            members: Any = self._connections.client.smembers(places_key(project, view))
        return tuple(sorted(place_of(project, view, member) for member in members))

    def warnings(self) -> tuple[str, ...]:
        """See OnlineStore.warnings: a server that may evict drops features silently."""
        with self._connections.errors("reading its settings"):
            memory: Any = self._connections.client.info("memory")
        policy, limit = str(memory.get("maxmemory_policy", "")), int(memory.get("maxmemory", 0))
        if not policy.startswith("allkeys"):
            return ()
        now = f"from {limit} bytes on" if limit else "as soon as maxmemory is set"
        return (
            f"The online store at {self._connections.server} may evict rows ({policy}, {now}): lookups would miss them silently. "
            "Set maxmemory-policy noeviction there.",
        )

    def ping(self) -> None:
        """See OnlineStore.ping."""
        with self._connections.errors("a ping"):
            self._connections.client.ping()

    def close(self) -> None:
        """See OnlineStore.close."""
        self._connections.close()

    def _get(self, keys: list[bytes]) -> list[bytes | None]:
        found: list[Any] = []
        with self._connections.errors("a lookup"):
            for start in range(0, len(keys), _READ_KEYS):
                found += self._connections.ask(b"MGET", *keys[start : start + _READ_KEYS])
        return found

    def _change(self, place: Place, batches: Iterable[pa.RecordBatch], *, token: int, sequence: bytes) -> int:
        with self._connections.errors(f"the write to {place}"), self._connections.conversation() as connection:
            some = pieces(batches, rows=_PIECE_ROWS)
            return change_rows(connection, place, some, token=token, sequence=sequence)

    def _remove_rows(self, place: Place, *, token: int | None) -> None:
        """Remove what a place holds; under a token only as long as there is no higher one, or a newer load's rows would go."""
        client = self._connections.client
        rows = client.scan_iter(match=row_head(place) + b"*", count=_SCAN_KEYS)
        while some := list(islice(rows, _SCAN_KEYS)):
            if token is None:
                client.unlink(*some)
            else:
                client.eval(REMOVE_ROWS, 1 + len(some), token_key(place), *some, token)


class _Asked:
    """A lookup under way. Not a function that names itself: one is a cycle, and kept all that a request had, its answer too,
    until the collector came. Without it a lookup of one row takes a sixth less processor time, or more.
    """

    __slots__ = ("_connections", "_done", "_found", "_keys", "_pipeline", "_reads")

    def __init__(
        self,
        connections: Connections,
        reads: Sequence[Read],
        keys: list[bytes],
        done: Callable[[list[list[bytes | None]] | Exception], None],
    ) -> None:
        self._connections, self._pipeline = connections, connections.of_running_loop()
        self._reads, self._keys, self._done = reads, keys, done
        self._found: list[bytes | None] = []

    def ask_on(self) -> None:
        """Ask for the next keys."""
        keys, found = self._keys, len(self._found)
        self._pipeline.ask(keys if len(keys) <= _READ_KEYS else keys[found : found + _READ_KEYS], self._take)

    def _take(self, reply: list[bytes | None] | Exception) -> None:
        if isinstance(reply, Exception):
            self._done(self._connections.explain(reply, "a lookup"))
            return
        self._found = found = self._found + reply if self._found else reply
        if len(found) < len(self._keys):
            self.ask_on()
        else:
            self._done(_split(self._reads, found))


def _all_keys(reads: Sequence[Read]) -> list[bytes]:
    if len(reads) == 1:
        return row_keys(*reads[0])
    # Views that are joined alike share their list of keys: hashed once, not once for each view.
    tags: dict[int, list[int]] = {}
    found: list[bytes] = []
    for place, keys in reads:
        known = tags.get(id(keys))
        if known is None:
            known = tags[id(keys)] = buckets(keys)
        found += row_keys(place, keys, known)
    return found


def _split(reads: Sequence[Read], values: list[bytes | None]) -> list[list[bytes | None]]:
    if len(reads) == 1:
        return [values]
    rest = iter(values)
    return [list(islice(rest, len(keys))) for _, keys in reads]
