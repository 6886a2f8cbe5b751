"""How a place and an entity key become a Redis key. Pure.

    {project}:{view}:{version}:{generation}:{{bucket}}:{entity key}    a row
    {project}:{view}:token | sequence | places                         what belongs to a view

The bucket stands in braces: it is the hash tag that decides a key's slot in a cluster, the same for all views of an entity.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from hitherto.encoding.key_codec import BUCKETS
from hitherto.online.store import Place

try:
    # CPython's own: 1.1 microseconds for a key, where OpenSSL's takes 2.9 to look the algorithm up.
    from _md5 import md5  # type: ignore[import-not-found]  # it has no stub
except ImportError:
    from hashlib import md5


@lru_cache(maxsize=256)
def prefixes(place: Place) -> tuple[bytes, ...]:
    """For each bucket, how the keys of its rows begin."""
    head = row_head(place)
    return tuple(b"%b{%d}:" % (head, number) for number in range(BUCKETS))


def row_head(place: Place) -> bytes:
    """How the keys of all rows of a place begin. Names hold no character that a MATCH pattern would interpret."""
    return f"{place.project}:{place.view}:{place.version}:{place.generation}:".encode()


def row_keys(place: Place, keys: Sequence[bytes], of_keys: Sequence[int] | None = None) -> list[bytes]:
    """The Redis keys of entity keys; `of_keys` are their buckets, where they are known."""
    heads = prefixes(place)
    return [heads[number] + key for number, key in zip(of_keys or buckets(keys), keys, strict=True)]


def buckets(keys: Sequence[bytes]) -> list[int]:
    """The bucket of each key."""
    # The top ten bits, as in key_codec.bucket: a call less per key.
    digests = [md5(key, usedforsecurity=False).digest() for key in keys]
    return [(digest[0] << 2) | (digest[1] >> 6) for digest in digests]


def token_key(place: Place) -> bytes:
    """Where the view's fencing token is."""
    return f"{place.project}:{place.view}:token".encode()


def sequence_key(place: Place) -> bytes:
    """Where the view's sequence is counted."""
    return f"{place.project}:{place.view}:sequence".encode()


def places_key(project: str, view: str) -> bytes:
    """The set of the view's generations that hold something."""
    return f"{project}:{view}:places".encode()


def place_member(place: Place) -> bytes:
    """A place as a member of that set."""
    return b"%d.%d" % (place.version, place.generation)


def place_of(project: str, view: str, member: bytes) -> Place:
    """The place of a member of that set."""
    version, _, generation = member.decode().partition(".")
    return Place(project, view, int(version), int(generation))
