"""Commands of many rows as the protocol writes them, made by Arrow: no row passes through Python. Pure.

The one exception are buckets (an MD5 for each key, 0.5 microseconds) where the sender has not computed them.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import md5
from typing import TYPE_CHECKING, Any

import numpy as np

from hitherto.online.batches import column, keys_of
from hitherto.online.redis.keyspace import prefixes
from hitherto.online.store import Place

if TYPE_CHECKING:
    import pyarrow as pa

MULTI = b"*1\r\n$5\r\nMULTI\r\n"
EXEC = b"*1\r\n$4\r\nEXEC\r\n"
UNWATCH = b"*1\r\n$7\r\nUNWATCH\r\n"
_READY = 4096
_MD5_BYTES = 16


def pack(*parts: bytes) -> bytes:
    """A command of a few parts.

    >>> pack(b"GET", b"key")
    b'*2\\r\\n$3\\r\\nGET\\r\\n$3\\r\\nkey\\r\\n'
    """
    return _head(len(parts), *parts)


def _head(length: int, *parts: bytes) -> bytes:
    """The first parts of a command of so many parts."""
    return b"*%d\r\n" % length + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def framed_keys(place: Place, batch: pa.RecordBatch) -> pa.Array:
    """For each row its Redis key as a part of a command."""
    import pyarrow as pa

    keys = column(batch, "key")
    buckets = batch.column("bucket").to_numpy() if "bucket" in batch.schema.names else _buckets(keys_of(batch))
    heads, sizes = _heads(place)
    lines = _announced(_lengths(keys) + sizes[buckets])
    return _join(lines, heads.take(pa.array(buckets)), keys, b"\r\n")


def framed_rows(keys: pa.Array, values: pa.Array) -> pa.Array:
    """For each row its framed key, and its value as the next part of a command."""
    return _join(keys, _announced(_lengths(values)), values, b"\r\n")


def of_rows(rows: pa.Array, *command: bytes) -> list[bytes | memoryview]:
    """One command over framed rows; it may begin with several parts."""
    return [_head(2 * len(rows) + len(command), *command), _body(rows)]


def mset(keys: pa.Array, values: pa.Array) -> list[bytes | memoryview]:
    """One MSET of framed keys and their values."""
    return of_rows(framed_rows(keys, values), b"MSET")


def of_keys(command: bytes, keys: pa.Array) -> list[bytes | memoryview]:
    """One command over framed keys."""
    return [_head(len(keys) + 1, command), _body(keys)]


def _body(framed: pa.Array) -> memoryview:
    """The bytes of framed parts, one after the other, as they lie in memory."""
    _, offsets, data = framed.buffers()
    if data is None:
        return memoryview(b"")
    at = memoryview(offsets).cast("q")
    return memoryview(data)[at[framed.offset] : at[framed.offset + len(framed)]]


@lru_cache(maxsize=64)
def _heads(place: Place) -> tuple[Any, Any]:
    """For each bucket how its keys begin, and how long that is."""
    import pyarrow as pa

    heads = prefixes(place)
    return pa.array(heads, pa.large_binary()), np.array([len(one) for one in heads])


@lru_cache(maxsize=1)
def _ready_lines() -> Any:
    import pyarrow as pa

    return pa.array([b"$%d\r\n" % length for length in range(_READY)], pa.large_binary())


def _buckets(keys: list[bytes]) -> Any:
    """`hitherto.encoding.key_codec.bucket` of many keys: the top ten bits of each digest, taken from all at once."""
    digests = b"".join([md5(key, usedforsecurity=False).digest() for key in keys])
    return np.frombuffer(digests, ">u2")[:: _MD5_BYTES // 2].astype(np.int32) >> 6


def _announced(lengths: Any) -> pa.Array:
    """For each length the line that announces it. Looked up: 25 ns a row, where writing it takes 100."""
    import pyarrow as pa

    if len(lengths) and lengths.max() >= _READY:
        distinct, lengths = np.unique(lengths, return_inverse=True)
        lines = pa.array([b"$%d\r\n" % length for length in distinct.tolist()], pa.large_binary())
    else:
        lines = _ready_lines()
    return lines.take(pa.array(lengths))


def _lengths(array: pa.Array) -> Any:
    return np.diff(np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1])


def _join(*parts: Any) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    arrays = [pa.scalar(part, pa.large_binary()) if isinstance(part, bytes) else part for part in parts]
    return pc.binary_join_element_wise(*arrays, pa.scalar(b"", pa.large_binary()))
