"""A load: many rows into the server over one connection of redis-py, in bounded pieces.

Each piece is an MSET of its own transaction, under a watched fencing token: WATCH makes the piece atomic with the check of
the token; measured, it costs nothing against plain MSET, where Lua costs a third. The server never waits for us: while it
executes a piece, the next one is on its way, and the one after that is being framed on another thread. A piece whose
transaction is refused is set by a script.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import ResponseError

from hitherto.online.batches import column, require_values
from hitherto.online.redis.framing import EXEC, MULTI, UNWATCH, framed_keys, framed_rows, of_rows, pack
from hitherto.online.redis.keyspace import token_key
from hitherto.online.redis.scripts import FENCED, SET_ROWS
from hitherto.online.store import Place

if TYPE_CHECKING:
    import pyarrow as pa

_AHEAD = 2
Item = TypeVar("Item")
Made = TypeVar("Made")


def load_rows(connection: Any, place: Place, batches: Iterable[pa.RecordBatch], *, token: int) -> int:
    """Write the pieces of a generation; raises redis-py's ResponseError when fenced. Returns the number of rows."""
    rows = 0

    def framed(batch: pa.RecordBatch) -> pa.Array:
        nonlocal rows
        require_values(batch)
        rows += batch.num_rows
        return framed_rows(framed_keys(place, batch), column(batch, "value"))

    _send(connection, place, made_ahead(framed, batches), token)
    return rows


def made_ahead(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """What a function makes of each item, in order, the next ones made meanwhile on another thread."""
    ahead: deque[Future[Made]] = deque()
    rest = iter(items)
    with ThreadPoolExecutor(max_workers=1) as maker:
        for first in islice(rest, 1):
            # Nobody has anything else to do yet; and a single one needs no thread (0.1 ms).
            ahead.append(Future())
            ahead[0].set_result(make(first))
        for item in rest:
            ahead.append(maker.submit(make, item))
            if len(ahead) > _AHEAD:
                yield ahead.popleft().result()
        for made in ahead:
            yield made.result()


def look(place: Place) -> bytes:
    """Watch the token from now on, and ask for it: the answers are read by `check_token`."""
    return pack(b"WATCH", token_key(place)) + pack(b"GET", token_key(place))


def touch(place: Place) -> bytes:
    """Tell all who watch the token that rows have changed. It keeps its value."""
    return pack(b"INCRBY", token_key(place), b"0")


def check_token(connection: Any, token: int) -> None:
    """Read the answers to a `look`. Raises ResponseError if a higher token is there."""
    connection.read_response()
    held = connection.read_response()
    if held is not None and int(held) > token:
        raise ResponseError(f"{FENCED} {int(held)}")


def executed(connection: Any, commands: int) -> bool:
    """Read the answers to MULTI, so many commands, and EXEC: whether they were executed. Raises the first error among them."""
    for _ in range(commands + 1):
        connection.read_response()
    replies = connection.read_response()
    for reply in replies or ():
        # A command that fails within a transaction does not fail the transaction.
        if isinstance(reply, Exception):
            raise reply
    return replies is not None


def _send(connection: Any, place: Place, pieces: Iterable[pa.Array], token: int) -> None:
    """Send pieces of framed rows, each as soon as the server takes it."""
    looking, touching = look(place), touch(place)
    script = (b"EVAL", SET_ROWS.encode(), b"1", token_key(place), b"%d" % token)
    before: pa.Array | None = None
    again: pa.Array | None = None
    connection.send_packed_command([looking])
    for piece in pieces:
        # The rows are on their way before the answer to the look is read; only EXEC waits for it.
        connection.send_packed_command([MULTI + touching, *of_rows(piece, b"MSET")])
        again = _refused(connection, before, again)
        check_token(connection, token)
        # What was refused, because another writer was at work, goes to a script, which needs no second try: however
        # busy others are, a piece is sent twice at most. Each key comes once, so any order is right.
        connection.send_packed_command([EXEC, *(of_rows(again, *script) if again is not None else ()), looking])
        before = piece
    again = _refused(connection, before, again)
    check_token(connection, token)
    connection.send_packed_command([UNWATCH, *(of_rows(again, *script) if again is not None else ())])
    connection.read_response()
    if again is not None:
        connection.read_response()


def _refused(connection: Any, before: pa.Array | None, again: pa.Array | None) -> pa.Array | None:
    """Read the answers to a piece's transaction, and to the script behind it. Returns the piece if it was refused."""
    done = before is None or executed(connection, 2)
    if again is not None:
        connection.read_response()
    return None if done else before
