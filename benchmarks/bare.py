"""Bare reads of what is stored: the same client, the same keys in number, and nothing made of what comes back."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import lmdb

from benchmarks.servers import Redis

Read = Callable[[list[bytes]], object]


def lmdb_copy(project: Path, view: str, to: Path) -> Path:
    """A copy of a view's environment: one cannot be open twice in a process. Nothing may have the original open."""
    # Beside the rows there is a small one with the view's tokens.
    found = max(
        (file for file in project.rglob("data.mdb") if view in file.parts), key=lambda file: file.stat().st_blocks
    ).parent
    to.mkdir(parents=True)
    with lmdb.open(str(found), readonly=True, lock=False) as environment:
        environment.copy(str(to), compact=True)
    return to


def lmdb_reader(folder: Path) -> tuple[list[bytes], Read]:
    """All keys of an environment, and a reader: one read transaction for each request, as a lookup needs it."""
    environment = lmdb.open(str(folder), readonly=True, readahead=False)
    with environment.begin() as transaction:
        stored = list(transaction.cursor().iternext(values=False))

    def read(keys: list[bytes]) -> object:
        with environment.begin() as transaction:
            return [transaction.get(key) for key in keys]

    return stored, read


def redis_reader(redis: Redis, view: str) -> tuple[list[bytes], Read]:
    """All keys of a view's rows, and MGET with redis-py."""
    client = redis.client()
    stored = [key for key in client.scan_iter(match=f"bench:{view}:*", count=10_000) if b"{" in key]
    return stored, client.mget


def some_of(keys: list[bytes], size: int, count: int) -> list[list[bytes]]:
    """So many requests for some random keys: more than fit the processor's caches."""
    chosen = random.Random(size)
    return [[keys[chosen.randrange(len(keys))] for _ in range(size)] for _ in range(count)]


def some_users(keys: int, size: int, count: int) -> list[list[int]]:
    """The same of our keys; two of a hundred are unknown."""
    chosen = random.Random(size)
    return [[chosen.randrange(int(keys * 1.02)) for _ in range(size)] for _ in range(count)]
