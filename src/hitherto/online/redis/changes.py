"""Compare and set of many rows: what a run writes and what is pushed.

Rows in numbers are compared here, by Arrow: the server only hands out what is stored, and sets the winners in a transaction
that it refuses if any other writer of the view has been at work since. That takes the server a quarter of the time that the
comparison in Lua takes, during which it answers no lookup. A refused transaction, few rows, and keys that come twice go
to the script, which needs no second try.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from hitherto.online.batches import chosen, column, distinct_keys, keys_of, require_values, slices, values_of, winners
from hitherto.online.redis.bulk import check_token, executed, look, made_ahead, touch
from hitherto.online.redis.framing import EXEC, MULTI, UNWATCH, framed_keys, mset, of_keys, pack
from hitherto.online.redis.keyspace import place_member, places_key, row_keys, token_key
from hitherto.online.redis.scripts import CHANGE
from hitherto.online.store import Place

if TYPE_CHECKING:
    import pyarrow as pa

_FEW = 200
_READ_ROWS, _SCRIPT_ROWS = 1_000, 500


def change_rows(
    connection: Any, place: Place, batches: Iterable[pa.RecordBatch], *, token: int, sequence: bytes
) -> int:
    """Compare and set the pieces of a run (with its sequence) or a push (without). Returns the number of keys changed."""

    def prepared(batch: pa.RecordBatch) -> _Piece:
        if not sequence:
            require_values(batch)
        few = batch.num_rows <= _FEW or not distinct_keys(batch)
        return _Piece(batch, None if few else framed_keys(place, batch))

    conversation = _Conversation(connection, place, token, sequence)
    changed = 0
    before: _Piece | None = None
    for piece in made_ahead(prepared, batches):
        if before is None:
            conversation.ask(piece)
        else:
            changed += conversation.change(before, following=piece)
        before = piece
    return changed if before is None else changed + conversation.change(before, following=None)


@dataclass(frozen=True)
class _Piece:
    """Rows on their way; with their framed keys, unless the script is to change them."""

    batch: pa.RecordBatch
    keys: pa.Array | None


class _Conversation:
    """A connection and what is said on it: of each piece first the question, then the change with the next one's question."""

    def __init__(self, connection: Any, place: Place, token: int, sequence: bytes) -> None:
        self._connection, self._place = connection, place
        self._token, self._sequence = token, sequence
        self._shared = (token_key(place), places_key(place.project, place.view))
        self._known = pack(b"SADD", self._shared[1], place_member(place))

    def ask(self, piece: _Piece | None) -> None:
        self._send(self._question(piece))

    def change(self, piece: _Piece, *, following: _Piece | None) -> int:
        """Change what has been asked for, and ask for the next one's rows. Returns the number of keys changed."""
        if piece.keys is None:
            changed = self._by_script(piece)
            self.ask(following)
            return changed
        check_token(self._connection, self._token)
        changed, commands = self._send_winners(piece.keys, column(piece.batch, "value"))
        self._send([EXEC, *self._question(following)])
        if executed(self._connection, commands):
            return changed
        # Another writer was faster. What the next piece was told may be older than what the script is about to write.
        self._skip_answers(following)
        self._send([UNWATCH])
        self._connection.read_response()
        changed = self._by_script(piece)
        self.ask(following)
        return changed

    def _question(self, piece: _Piece | None) -> list[bytes | memoryview]:
        if piece is None or piece.keys is None:
            return []
        parts = slices(piece.keys, _READ_ROWS)
        return [look(self._place), *chain.from_iterable(of_keys(b"MGET", part) for part in parts)]

    def _skip_answers(self, piece: _Piece | None) -> None:
        if piece is not None and piece.keys is not None:
            for _ in chain(range(2), slices(piece.keys, _READ_ROWS)):
                self._connection.read_response()

    def _send_winners(self, keys: pa.Array, values: pa.Array) -> tuple[int, int]:
        """Read what is stored, send what replaces it, part by part. Returns the numbers of keys and of commands."""
        self._send([MULTI, touch(self._place), self._known])
        changed, commands = 0, 2
        for part, new in zip(slices(keys, _READ_ROWS), slices(values, _READ_ROWS), strict=True):
            setting, removing = winners(new, self._connection.read_response(), sequence=self._sequence or None)
            sets, removals = chosen(part, setting), chosen(part, removing)
            changed += len(sets) + len(removals)
            if len(sets):
                self._send(mset(sets, chosen(new, setting)))
                commands += 1
            if len(removals):
                self._send(of_keys(b"DEL", removals))
                commands += 1
        return changed, commands

    def _by_script(self, piece: _Piece) -> int:
        keys = row_keys(self._place, keys_of(piece.batch))
        values = [b"" if value is None else value for value in values_of(piece.batch)]
        settings = (self._token, place_member(self._place), self._sequence)
        starts = range(0, len(keys), _SCRIPT_ROWS)
        for start in starts:
            some, new = keys[start : start + _SCRIPT_ROWS], values[start : start + _SCRIPT_ROWS]
            # EVAL, not EVALSHA: against the rows its text is nothing, and a server that forgot it needs no second try.
            named = (CHANGE, len(self._shared) + len(some), *self._shared)
            self._connection.send_command("EVAL", *named, *some, *settings, *new)
        return sum(int(self._connection.read_response()) for _ in starts)

    def _send(self, command: list[bytes | memoryview]) -> None:
        if command:
            self._connection.send_packed_command(command)
