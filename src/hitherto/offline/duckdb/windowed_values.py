"""What a run writes to the online store for a windowed view: rows in the order of keys, in chunks of whole keys, become the values of keys.

The engine sorts and encodes, the room `windows` computes; both work ahead of the store that takes the values.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitherto.definitions.feature_view import FeatureView
from hitherto.encoding.key_codec import bucket_sql, key_sql
from hitherto.encoding.row_codec import fragment_sql, value_sql
from hitherto.errors import OnlineStoreError
from hitherto.offline.duckdb.names import AVAILABLE, CREATED, EVENT, PLACE, TIMES, key_join, placed_columns
from hitherto.offline.duckdb.visible import empty_rows, rows_of
from hitherto.offline.plan import SegmentRead
from hitherto.sql import quote, timestamp
from hitherto.timeline import MIN_INSTANT, Interval
from hitherto.types import DataType
from hitherto.windows.exact import prefix_sums
from hitherto.windows.staircase import KeyRows, values

logger = logging.getLogger("hitherto")

# Rows that are worked on at a time, if they are of more than one key, and rows that come from the engine at a time.
CHUNK = 1 << 17
READ_ROWS = 1 << 14
# Of the batches that go on to the store.
BATCH_ROWS, BATCH_BYTES = 8_192, 8 << 20
# Bytes of one value: from the first on a run warns, as each lookup of the key copies them; beyond the second it fails, well before
# Redis (512 MB) and offsets of 32 bits end.
LARGE, LARGEST = 1 << 20, 1 << 28
_KEY = "__online"


def reaching(view: FeatureView, state: Sequence[SegmentRead], *, after: int) -> tuple[SegmentRead, ...]:
    """The segments that may have a row with an event time after an instant: an event is not after its available time."""
    return tuple(one for one in state if max(part.end for part in one.intervals) > after)


def touching(
    view: FeatureView, state: Sequence[SegmentRead], interval: Interval, *, end: int
) -> tuple[SegmentRead, ...]:
    """The segments that tell which keys a run touches, or what it writes for them: all of them, if a window is endless.

    Besides those that hold rows of its interval, it is those that reach into the longest window. Keys whose last row has left it since the
    run before are among them too: that run left none whose rows had all gone by the end of its state.
    """
    window = view.longest_window
    if window is None:
        return tuple(state)
    since = max((part.end for one in state for part in one.intervals), default=end)
    reached = reaching(view, state, after=min(since, end) - window)
    return tuple(one for one in state if one in reached or any(part.intersect(interval) for part in one.intervals))


def rows_of_segments(view: FeatureView, segments: Sequence[SegmentRead]) -> str:
    """The rows of segments that count, and what tells their order."""
    parts = [rows_of(one, placed_columns(view)) for one in segments]
    return " union all ".join(parts) or empty_rows(view, "*" if view.has_versions else f"*, 0::bigint as {PLACE}")


def rows_of_relation(view: FeatureView, relation: str) -> str:
    """The rows of a table that is sorted as a segment is."""
    return f"select {placed_columns(view)} from {relation}"


def query(view: FeatureView, rows: str, *, end: int, touched: str | None = None) -> str:
    """A select of the rows that windows look at from an instant on, sorted by stored key and then as rows are.

    Args:
        view: The windowed view.
        rows: A select of its rows.
        end: The instant.
        touched: A relation of key columns: only these keys are read, and one without a row has one of nulls.
    """
    window = view.longest_window
    seen = f"(select * from ({rows})" + (
        ")" if window is None else f" where {EVENT} > {timestamp(max(MIN_INSTANT, end - window))})"
    )
    source = f"{seen} w"
    if touched is not None:
        source = f"{touched} t left join {seen} w on {key_join(view, 't', 'w')}"
    owner = "w." if touched is None else "t."
    key = key_sql([(owner + quote(name), kind) for name, kind in view.join_keys.items()])
    times = [f"epoch_us(w.{column}) as {column}" for column in TIMES]
    columns = ", ".join([f"{key} as {_KEY}", *times, *(f"w.{quote(name)}" for name in view.column_names)])
    places = [] if view.has_versions else [f"w.{PLACE}"]
    order = ", ".join([_KEY, f"w.{EVENT}", f"w.{CREATED} nulls first", f"w.{AVAILABLE}", *places])
    return f"select {columns} from {source} order by {order}"


class Encoder:
    """Encodes on a connection of its own, while another one still gives rows."""

    def __init__(self, con: duckdb.DuckDBPyConnection, view: FeatureView, *, sequence: int) -> None:
        self._con, self._view, self._sequence = con, view, sequence
        con.execute("set preserve_insertion_order = true")

    def fragments(self, columns: Sequence[tuple[pa.Array, DataType]]) -> list[pa.Array]:
        """See `windows.staircase.Encode`."""
        table = pa.table({f"c{number}": _without_zone(column) for number, (column, _) in enumerate(columns)})
        texts = [f"{fragment_sql(f'c{number}', kind)} as c{number}" for number, (_, kind) in enumerate(columns)]
        found = self._run(table, ", ".join(texts))
        return [column.combine_chunks() for column in found.columns]

    def heads(self, keys: pa.Array, newest: Sequence[pa.Array]) -> tuple[pa.Array, pa.Array]:
        """For each key what stands before its steps, and its bucket."""
        utc = pa.timestamp("us")
        times = {name: column.cast(utc) for name, column in zip(("event", "created", "available"), newest, strict=True)}
        value = value_sql(
            event="event", created="created", available="available", sequence=self._sequence, payload="''"
        )
        found = self._run(pa.table({"key": keys, **times}), f"{value}, {bucket_sql('key')}")
        head, bucket = (column.combine_chunks() for column in found.columns)
        return head, bucket

    def _run(self, table: pa.Table, columns: str) -> pa.Table:
        self._con.register("__encoded", table)
        found = self._con.sql(f"select {columns} from __encoded").to_arrow_table()
        self._con.unregister("__encoded")
        return found


def batches(
    rows: Iterable[pa.RecordBatch], view: FeatureView, encoder: Encoder, *, end: int
) -> Iterator[pa.RecordBatch]:
    """(key, value, bucket) of each key of the rows that `query` gives; a null value removes the key.

    Raises:
        OnlineStoreError: A key has so many rows in the longest window that its value would be larger than LARGEST.
    """
    greatest = 0
    for chunk in _chunks(rows):
        made = _values(chunk, view, encoder, end=end)
        size = _greatest(made.column("value"))
        if size > LARGEST:
            raise OnlineStoreError(f"{_too_large(view, size)} The limit is {LARGEST >> 20} MB.")
        if size > LARGE >= greatest:
            logger.warning("%s Each lookup of that key copies them.", _too_large(view, size))
        greatest = max(greatest, size)
        step = max(1, min(BATCH_ROWS, BATCH_BYTES * made.num_rows // max(1, made.nbytes)))
        for start in range(0, made.num_rows, step):
            yield made.slice(start, step)


def _greatest(values: pa.LargeBinaryArray) -> int:
    """The bytes of the largest value."""
    return pc.max(pc.binary_length(values)).as_py() or 0


def _too_large(view: FeatureView, size: int) -> str:
    return (
        f"Feature view {view.name!r}: the rows of one key in its longest window take {size / (1 << 20):,.1f} MB in the online store. "
        "Give such keys shorter windows, leave them out in the transform, or add up by the hour there; with online=False the view is for training only."
    )


def _chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Tables of whole keys."""
    held: list[pa.RecordBatch] = []
    rows, enough = 0, CHUNK
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows < enough:
            continue
        table = pa.Table.from_batches(held).combine_chunks()
        keys = table.column(_KEY)
        last = pc.index(keys, keys[-1]).as_py()
        if last:
            yield table.slice(0, last)
        held = table.slice(last).to_batches()
        rows = table.num_rows - last
        # A key that is larger than a chunk is not looked at again with each batch.
        enough = max(CHUNK, 2 * rows)
    if rows:
        yield pa.Table.from_batches(held).combine_chunks()


def _values(chunk: pa.Table, view: FeatureView, encoder: Encoder, *, end: int) -> pa.RecordBatch:
    keys, *times = (column.combine_chunks() for column in chunk.columns[:4])
    columns = {name: chunk.column(name).combine_chunks() for name in view.column_names}
    if view.has_versions and chunk.num_rows > 1:
        kept = _newest_versions(keys, times[0])
        keys, times = keys.filter(kept), [one.filter(kept) for one in times]
        columns = {name: column.filter(kept) for name, column in columns.items()}
    bounds = _bounds(keys)
    newest = [one.take(pa.array(bounds[1:] - 1)) for one in times]
    names = keys.take(pa.array(bounds[:-1]))
    heads, buckets = encoder.heads(names, newest)
    gone = newest[0].is_null().to_numpy(zero_copy_only=False)
    if not gone.any():
        made = _stairs(bounds, times[0], columns, heads, view, encoder, end=end)
        return pa.record_batch({"key": names, "value": made, "bucket": buckets})
    there = times[0].is_valid()
    made = pa.nulls(len(names), pa.large_binary())
    if not gone.all():
        # A key that is gone has one row, of nulls.
        rest = {name: column.filter(there) for name, column in columns.items()}
        before = prefix_sums(there.to_numpy(zero_copy_only=False))
        remaining = np.append(before.take(bounds[:-1][~gone]), before[-1])
        stairs = _stairs(remaining, times[0].filter(there), rest, heads.filter(pa.array(~gone)), view, encoder, end=end)
        places = np.cumsum(~gone) - 1
        made = stairs.take(pa.array(places, mask=gone))
    return pa.record_batch({"key": names, "value": made, "bucket": buckets})


def _stairs(
    bounds: np.ndarray,
    events: pa.Array,
    columns: dict[str, pa.Array],
    heads: pa.Array,
    view: FeatureView,
    encoder: Encoder,
    *,
    end: int,
) -> pa.Array:
    windows = [one.window for one in view.windowed if one.window is not None]
    rows = KeyRows(bounds, events.to_numpy(), columns, end=end, longest=max(windows, default=None))
    return values(rows, heads, view.windowed, encode=encoder.fragments)


def _bounds(keys: pa.Array) -> np.ndarray:
    """The first row of each key, and the number of rows."""
    changes = np.flatnonzero(pc.not_equal(keys[1:], keys[:-1]).to_numpy(zero_copy_only=False)) + 1
    return np.concatenate([[0], changes, [len(keys)]])


def _newest_versions(keys: pa.Array, events: pa.Array) -> pa.Array:
    """Which rows are the last of their key and event time."""
    times = events.fill_null(0).to_numpy()
    changes = pc.not_equal(keys[1:], keys[:-1]).to_numpy(zero_copy_only=False) | (times[1:] != times[:-1])
    return pa.array(np.append(changes, True))


def _without_zone(column: pa.Array) -> pa.Array:
    """Times as the engine's plain timestamps: with a zone they would be another type, with other texts."""
    plain = pa.timestamp("us")
    if pa.types.is_timestamp(column.type):
        return column.cast(plain)
    if pa.types.is_list(column.type) and pa.types.is_timestamp(column.type.value_type):
        return column.cast(pa.list_(plain))
    return column
