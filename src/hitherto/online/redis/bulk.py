"""Many rows into the server over one connection of redis-py, in bounded pieces, the next one made while one is under way.

A load frames its rows as one MSET per piece by Arrow, under a watched fencing token: WATCH makes each piece atomic with the
check of the token; measured, it costs nothing against plain MSET, where Lua costs a third. No row passes through Python one
by one (but for its bucket, where the sender has not computed it). Runs and pushes compare and set in Lua.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from hitherto.encoding.key_codec import bucket
from hitherto.online.batches import column, keys_of, require_values, values_of
from hitherto.online.redis.keyspace import place_member, places_key, prefixes, row_keys, token_key
from hitherto.online.redis.scripts import CHANGE, FENCED
from hitherto.online.store import Place

if TYPE_CHECKING:
    import pyarrow as pa

_MULTI = b"*1\r\n$5\r\nMULTI\r\n"
_EXEC = b"*1\r\n$4\r\nEXEC\r\n"
_IN_FLIGHT = 2


def load_rows(connection: Any, place: Place, batches: Iterable[pa.RecordBatch], *, token: int) -> int:
    """Write the pieces of a generation; raises redis-py's ResponseError when fenced. Returns the number of rows."""
    rows = 0
    for framed, count in _framed_ahead(place, batches):
        _send_piece(connection, place, framed, token)
        rows += count
    return rows


def change_rows(
    connection: Any, place: Place, batches: Iterable[pa.RecordBatch], *, token: int, sequence: bytes
) -> int:
    """Compare and set the pieces of a run (with its sequence) or a push (without). Returns the number of keys changed."""
    shared = (token_key(place), places_key(place.project, place.view))
    settings = (token, place_member(place), sequence)
    changed, waiting = 0, 0
    for batch in batches:
        if not sequence:
            require_values(batch)
        values = [b"" if value is None else value for value in values_of(batch)]
        keys = row_keys(place, keys_of(batch))
        # EVAL, not EVALSHA: against the rows its text is nothing, and a server that forgot it needs no second try.
        connection.send_command("EVAL", CHANGE, len(shared) + len(keys), *shared, *keys, *settings, *values)
        waiting += 1
        if waiting == _IN_FLIGHT:
            changed += int(connection.read_response())
            waiting -= 1
    return changed + sum(int(connection.read_response()) for _ in range(waiting))


def _framed_ahead(place: Place, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[bytes, int]]:
    """Framed pieces and their numbers of rows, the next ones framed meanwhile on another thread."""
    with ThreadPoolExecutor(max_workers=1) as framer:
        ahead: deque[Any] = deque()
        for batch in batches:
            require_values(batch)
            ahead.append((framer.submit(frame_rows, place, batch), batch.num_rows))
            if len(ahead) > _IN_FLIGHT:
                framed, count = ahead.popleft()
                yield framed.result(), count
        for framed, count in ahead:
            yield framed.result(), count


def _send_piece(connection: Any, place: Place, framed: bytes, token: int) -> None:
    watched = token_key(place)
    while True:
        connection.send_packed_command([connection_pack(b"WATCH", watched) + connection_pack(b"GET", watched)])
        connection.read_response()
        held = connection.read_response()
        if held is not None and int(held) > token:
            raise ResponseError(f"{FENCED} {int(held)}")
        connection.send_packed_command([_MULTI, framed, _EXEC])
        replies = [connection.read_response() for _ in range(3)]
        # None: the token has moved between the two; look at it again.
        if replies[2] is not None:
            return


def connection_pack(*parts: bytes) -> bytes:
    """A command as the protocol writes it."""
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def frame_rows(place: Place, batch: pa.RecordBatch) -> bytes:
    """The rows as one MSET command."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def constant(text: bytes) -> Any:
        return pa.scalar(text, pa.large_binary())

    def length(array: Any) -> Any:
        return pc.binary_length(array).cast(pa.large_string()).cast(pa.large_binary())

    buckets = (
        batch.column("bucket") if "bucket" in batch.schema.names else pa.array(map(bucket, keys_of(batch)), pa.int32())
    )
    heads = pa.array(prefixes(place), pa.large_binary()).take(buckets.cast(pa.int32()))
    keys = pc.binary_join_element_wise(heads, column(batch, "key"), constant(b""))
    values = column(batch, "value")
    dollar, line = constant(b"$"), constant(b"\r\n")
    framed = pc.binary_join_element_wise(
        dollar, length(keys), line, keys, line, dollar, length(values), line, values, line, constant(b"")
    )  # fmt: skip
    offsets = memoryview(framed.buffers()[1]).cast("q")
    body = memoryview(framed.buffers()[2])[offsets[framed.offset] : offsets[framed.offset + len(framed)]]
    return b"*%d\r\n$4\r\nMSET\r\n" % (2 * len(framed) + 1) + body
