"""Arrow batches of keys and values on their way into a store: bounded pieces, columns as bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hitherto.errors import OnlineStoreError

if TYPE_CHECKING:
    import pyarrow as pa

# Where what decides stands in a stored value, as in hitherto.online.store.decide.
_ORDER, _SEQUENCE = (1, 49), (49, 65)
# Not an open end: Arrow 26 fails on one with large binaries ("Negative buffer resize").
_BEHIND_HEADER = (66, (1 << 31) - 1)

# A store holds a piece in memory, and answers nobody else while it writes it.
_PIECE_BYTES = 4 << 20


def pieces(batches: Iterable[pa.RecordBatch], *, rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at most so many, fewer where they are large: slices, with keys and values as large binaries."""
    import pyarrow as pa

    for batch in batches:
        # Cast before it is cut: each cast takes 80 microseconds.
        columns = {name: batch.column(name) for name in batch.schema.names}
        whole = pa.record_batch(columns | {name: column(batch, name) for name in ("key", "value")})
        step = max(1, min(rows, _PIECE_BYTES * whole.num_rows // max(1, whole.nbytes)))
        for start in range(0, whole.num_rows, step):
            yield whole.slice(start, step)


def column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column as large binary, whatever text or binary type it has."""
    import pyarrow as pa

    return batch.column(name).cast(pa.large_binary())


def keys_of(batch: pa.RecordBatch) -> list[bytes]:
    """The entity keys of a batch."""
    return texts(column(batch, "key"))


def values_of(batch: pa.RecordBatch) -> list[bytes | None]:
    """The values of a batch; None removes."""
    return texts(column(batch, "value"))


def texts(array: pa.Array) -> list[Any]:
    """A binary column as Python's bytes and Nones. Not to_pylist: by way of numpy it takes a third less."""
    found: list[Any] = array.to_numpy(zero_copy_only=False).tolist()
    return found


def require_values(batch: pa.RecordBatch) -> None:
    """Refuse removals where only rows make sense."""
    if batch.column("value").null_count or batch.column("key").null_count:
        raise OnlineStoreError("A row without key or value came to a load or push: only a run's write may remove keys.")


def distinct_keys(batch: pa.RecordBatch) -> bool:
    """Whether each key comes once."""
    import pyarrow.compute as pc

    keys = column(batch, "key")
    # Mostly they are sorted, which is seen at once.
    return ascending(keys) or bool(pc.count_distinct(keys).as_py() == len(keys))


def ascending(keys: pa.Array) -> bool:
    """Whether keys are sorted, and each comes once."""
    import pyarrow.compute as pc

    return pc.all(pc.less(keys[:-1], keys[1:])).as_py() is not False


def slices(array: pa.Array, rows: int) -> list[pa.Array]:
    """The same values in arrays of at most so many; no copies."""
    return [array.slice(start, rows) for start in range(0, len(array), rows)]


def chosen(array: pa.Array, mask: pa.BooleanArray) -> pa.Array:
    """The values where the mask is true; mostly that is all of them, or none, and nothing is copied."""
    count = mask.true_count
    return array.filter(mask) if 0 < count < len(array) else array[:count]


def winners(
    values: pa.Array, stored: Sequence[bytes | None], *, sequence: bytes | None
) -> tuple[pa.BooleanArray, pa.BooleanArray]:
    """`hitherto.online.store.decide` for many keys at once: which values are to be set, and which keys removed.

    Args:
        values: A large binary column; null removes.
        stored: What is there, key by key.
        sequence: Of the run; None for a push.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    held = pa.array(stored, pa.large_binary())
    # Null where either is missing.
    setting = _greater(values, held)
    if held.null_count:
        setting = pc.coalesce(setting, pc.and_(values.is_valid(), held.is_null()))
    removing = pc.and_(values.is_null(), False)
    if sequence is not None:
        overruled = pc.less_equal(pc.binary_slice(held, *_SEQUENCE), sequence).fill_null(False)
        setting = pc.or_(setting, pc.and_(overruled, values.is_valid()))
        removing = pc.and_(overruled, values.is_null())
    return setting.fill_null(False), removing


def _greater(values: pa.Array, held: pa.Array) -> pa.BooleanArray:
    import pyarrow.compute as pc

    order, held_order = (pc.binary_slice(one, *_ORDER) for one in (values, held))
    greater, equal = pc.greater(order, held_order), pc.equal(order, held_order)
    if not pc.any(equal).as_py():
        return greater
    # Behind the header stands the event time, equal where headers are equal, then the payload.
    payload, held_payload = (pc.binary_slice(one, *_BEHIND_HEADER) for one in (values, held))
    return pc.or_(greater, pc.and_(equal, pc.greater(payload, held_payload)))
