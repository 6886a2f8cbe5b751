"""Commands of many rows: the bytes that redis-py would send, whatever the lengths."""

from __future__ import annotations

import pyarrow as pa
import pytest
from redis.connection import Connection

from hitherto.encoding.key_codec import bucket
from hitherto.online.redis.framing import framed_keys, mset, of_keys, pack
from hitherto.online.redis.keyspace import row_keys
from hitherto.online.store import Place

PLACE = Place("demo", "weather", 1, 2)
KEYS = [b"i%d;" % number for number in range(40)] + [b"s300:" + b"k" * 300, b"\x00\r\n$1\r\n\xff", b""]


def packed(*command: bytes) -> bytes:
    return b"".join(Connection().pack_command(*command))


@pytest.mark.parametrize("longest", [100, 5_000])
@pytest.mark.parametrize("with_buckets", [True, False])
def test_rows_are_framed_as_the_client_library_frames_them(longest: int, with_buckets: bool) -> None:
    values = [b"v" * (number * longest // len(KEYS)) + b"\r\n" for number in range(len(KEYS))]
    columns = {"key": pa.array(KEYS, pa.large_binary()), "value": pa.array(values, pa.large_binary())}
    if with_buckets:
        columns["bucket"] = pa.array(map(bucket, KEYS), pa.int32())
    batch = pa.record_batch(columns)
    for start, rows in ((0, len(KEYS)), (7, 20), (3, 0)):
        piece = batch.slice(start, rows)
        names = row_keys(PLACE, KEYS[start : start + rows])
        pairs = [part for pair in zip(names, values[start : start + rows], strict=True) for part in pair]
        keys = framed_keys(PLACE, piece)
        assert b"".join(mset(keys, piece.column("value"))) == packed(b"MSET", *pairs)
        assert b"".join(of_keys(b"MGET", keys)) == packed(b"MGET", *names)


def test_a_short_command_is_packed_as_the_client_library_packs_it() -> None:
    assert pack(b"SADD", b"places", b"1.2") == packed(b"SADD", b"places", b"1.2")
