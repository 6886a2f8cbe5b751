"""Arrow batches of keys and values on their way into a store: bounded pieces, columns as bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hitherto.errors import OnlineStoreError

if TYPE_CHECKING:
    import pyarrow as pa


def pieces(batches: Iterable[pa.RecordBatch], *, rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at most so many; slices, no copies."""
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column as large binary, whatever text or binary type it has."""
    import pyarrow as pa

    return batch.column(name).cast(pa.large_binary())


def keys_of(batch: pa.RecordBatch) -> list[bytes]:
    """The entity keys of a batch."""
    keys: list[bytes] = column(batch, "key").to_pylist()
    return keys


def values_of(batch: pa.RecordBatch) -> list[bytes | None]:
    """The values of a batch; None removes."""
    values: list[bytes | None] = column(batch, "value").to_pylist()
    return values


def require_values(batch: pa.RecordBatch) -> None:
    """Refuse removals where only rows make sense."""
    if batch.column("value").null_count or batch.column("key").null_count:
        raise OnlineStoreError("A row without key or value came to a load or push: only a run's write may remove keys.")
