"""The protocol of online stores: what every one of them promises, whatever it is built on (semantics 4).

A store keeps one value per (place, key): the bytes that `encoding.row_codec` makes. Which of two values of a key wins is
decided inside the store, atomically, by their bytes alone. One conformance suite tests all stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, order=True)
class Place:
    """Where the rows of one online generation of one view version are."""

    project: str
    view: str
    version: int
    generation: int

    def __str__(self) -> str:
        return f"{self.project}/{self.view}@{self.version} generation {self.generation}"


Read = tuple[Place, Sequence[bytes]]
"""A place and the entity keys to read there."""


class OnlineStore(Protocol):
    """What lookups read and runs write.

    Batches are Arrow record batches with the columns `key` and `value` (binary or string: their bytes count), and, where
    the sender has it, `bucket` (an integer: `encoding.key_codec.bucket`). Every write carries the view's fencing token;
    a lower token than the highest one raised is refused, atomically with the write.

    All methods raise OnlineStoreError, or OnlineStoreUnavailable if the store does not answer in time.
    """

    def read(self, place: Place, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of entity keys, in their order; None where there is none."""

    def read_many(self, reads: Sequence[Read]) -> list[list[bytes | None]]:
        """Several reads in one round trip."""

    async def read_async(self, place: Place, keys: Sequence[bytes]) -> list[bytes | None]:
        """`read` that lets other tasks run meanwhile. A cancelled one leaves nothing behind."""

    async def read_many_async(self, reads: Sequence[Read]) -> list[list[bytes | None]]:
        """`read_many` that lets other tasks run meanwhile. A cancelled one leaves nothing behind."""

    def ask(self, reads: Sequence[Read], done: Callable[[list[list[bytes | None]] | Exception], None]) -> None:
        """`read_many` of a running event loop, without a task: `done`, which must not raise, gets the values or the error.

        It is called at once, or in a later turn of the loop. Errors may also be raised here.
        """

    def next_sequence(self, place: Place) -> int:
        """The next number of the place's view, from 1 on: each run and each push takes one."""

    def token(self, place: Place) -> int:
        """The highest fencing token that was raised for the place's view; 0 if none was."""

    def raise_token(self, place: Place, token: int) -> None:
        """Make this the least fencing token that the view's writes may carry. Raises FencedError if a higher one is there."""

    def load(self, place: Place, batches: Iterable[pa.RecordBatch], *, token: int) -> int:
        """Fill a generation that nobody reads yet, in place of whatever it held. Returns the number of rows.

        Args:
            place: The generation.
            batches: Its rows, sorted by key, each key once.
            token: The writer's fencing token.

        Raises:
            FencedError: A higher token has been raised.
        """

    def write(self, place: Place, batches: Iterable[pa.RecordBatch], *, token: int, sequence: int) -> int:
        """A run's winners; a null value removes its key. Returns the number of keys stored or removed.

        A stored value of a higher sequence (a push that came after the run began) stays if the run removes its key, or
        if it is the greater of the two.

        Raises:
            FencedError: A higher token has been raised.
        """

    def push(self, place: Place, batches: Iterable[pa.RecordBatch], *, token: int) -> int:
        """Rows that win only if they are greater than what is stored: a replay changes nothing. Returns the number stored.

        Raises:
            FencedError: A higher token has been raised.
        """

    def drop(self, place: Place) -> None:
        """Remove a generation, if it is there."""

    def places(self, project: str, view: str) -> tuple[Place, ...]:
        """All generations of a view that hold something, in order."""

    def warnings(self) -> tuple[str, ...]:
        """What about the store's settings may lose rows, each with what to do."""

    def ping(self) -> None:
        """Nothing, if the store answers."""

    def close(self) -> None:
        """Release connections and files. The store may be used again."""


def decide(stored: bytes | None, value: bytes | None, *, sequence: bytes | None) -> bool:
    """Whether a value replaces the stored one; the rule that stores with scripts of their own repeat.

    Args:
        stored: What is there.
        value: What comes; None removes.
        sequence: Of the run, as 16 hexadecimal digits; None for a push.
    """
    if stored is None:
        return value is not None
    if sequence is not None and stored[49:65] <= sequence:
        return True
    # Behind the header stands the event time, equal where headers are equal, then the payload.
    return value is not None and (value[1:49], value[66:]) > (stored[1:49], stored[66:])
