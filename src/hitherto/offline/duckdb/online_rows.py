"""What a run writes to the online store: the winner of every key it touched, encoded by the engine, no row in Python."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pyarrow as pa

from hitherto.definitions.feature_view import FeatureView
from hitherto.encoding.key_codec import bucket_sql, key_sql
from hitherto.encoding.row_codec import payload_sql, value_sql
from hitherto.errors import StorageError
from hitherto.offline.duckdb import windowed_values
from hitherto.offline.duckdb.connection import another, storage_errors
from hitherto.offline.duckdb.names import AVAILABLE, CREATED, EVENT, key_join, key_list, order_by, row_columns
from hitherto.offline.duckdb.visible import attached, greatest_rows, inside, rows_of_all
from hitherto.offline.plan import SegmentRead
from hitherto.sql import quote, quote_all, timestamp
from hitherto.timeline import Interval

logger = logging.getLogger("hitherto")

BATCH_ROWS = 8_192
EARLY_BYTES = 64 << 20


def row_bytes_sql(view: FeatureView) -> str:
    """The canonical bytes of a row's values (semantics 2), over the view's feature columns."""
    return payload_sql([(quote(field.name), field.dtype) for field in view.schema])


def all_winners(
    con: duckdb.DuckDBPyConnection,
    view: FeatureView,
    state: Sequence[SegmentRead],
    *,
    sequence: int,
    end: int,
    keep_from: int | None,
) -> Generator[pa.RecordBatch, None, None]:
    """(key, value, bucket) of every key's winner over the published state, sorted by key: a full load.

    Args:
        con: Any connection.
        view: Its keys and features name the columns. Of a windowed view, keys have all steps of their features.
        state: The published state.
        sequence: The run's sequence in the online store.
        end: From when on the rows are read: the watermark that comes with the run.
        keep_from: The event time before which rows have passed their online retention; None keeps all.
    """
    if view.aggregations:
        if view.longest_window is not None:
            state = windowed_values.reaching(view, state, after=end - view.longest_window)
        rows = windowed_values.rows_of_segments(view, state)
        yield from _stream_windows(con, view, state, windowed_values.query(view, rows, end=end), sequence, end)
        return
    yield from _stream(con, view, state, _load_sql(view, greatest_rows(view, state), sequence, keep_from))


def staged_winners(
    con: duckdb.DuckDBPyConnection, view: FeatureView, relation: str, *, sequence: int, end: int, keep_from: int | None
) -> Generator[pa.RecordBatch, None, None]:
    """The same from the rows of a first run as they are staged, on a connection of its own.

    Args:
        con: The connection that holds the relation.
        view: Its keys and features name the columns.
        relation: What the run's segment is written from: a table, as `segments.drop_superseded` leaves it.
        sequence, end, keep_from: As in `all_winners`.
    """
    if view.aggregations:
        query = windowed_values.query(view, windowed_values.rows_of_relation(view, relation), end=end)
        with another(con) as other:
            yield from _stream_windows(other, view, (), query, sequence, end)
        return
    # Of rows that are sorted, the last of a key is seen by looking at the next; the same for a view without keys.
    following = [f"{quote(name)} is distinct from lead({quote(name)}) over ()" for name in view.join_keys]
    last = " or ".join(following) or "lead(true) over () is null"
    columns = quote_all(row_columns(view))
    winners = f"select {columns} from (select {columns}, {last} as __last from {relation}) where __last"
    with another(con) as other:
        yield from _stream(other, view, (), _load_sql(view, winners, sequence, keep_from))


class EarlyRows:
    """Batches for the online store, of which the first are made before anybody asks for them.

    Encoding 100,000 rows takes 0.3 s of a core, and there is one that idles while a segment is written and read back.
    """

    def __init__(self, batches: Generator[pa.RecordBatch, None, None]) -> None:
        self._batches = batches
        self._made: deque[pa.RecordBatch] = deque()
        self.begun = False
        """Whether the first batches are made; if not, there are none to be had here."""

    def begin(self) -> None:
        """Make the first batches, up to a number of bytes that a run can afford. Without the memory for it beside the writing, none."""
        room = EARLY_BYTES
        try:
            while room > 0 and (batch := next(self._batches, None)) is not None:
                self._made.append(batch)
                room -= batch.nbytes
        except StorageError as error:
            logger.warning("Online rows are encoded after the segment is written, not beside it: %s", error)
            self.close()
        else:
            self.begun = True

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while self._made:
            yield self._made.popleft()
        yield from self._batches

    def close(self) -> None:
        """Make no more of them."""
        self._made.clear()
        self._batches.close()


def changed_winners(
    con: duckdb.DuckDBPyConnection,
    view: FeatureView,
    *,
    before: Sequence[SegmentRead],
    after: Sequence[SegmentRead],
    interval: Interval,
    sequence: int,
    end: int,
    keep_from: int | None,
    restore: bool = False,
) -> Generator[pa.RecordBatch, None, None]:
    """(key, value, bucket) for every key that has a row in the interval before or after the run; a null value removes the key.

    Args:
        before: The published state as the run found it.
        after: The state with the run's segment in it.
        interval: What the run publishes: the rows of `before` in it are masked.
        sequence, end, keep_from: As in `all_winners`.
        restore: Write all other keys too: earlier runs forgot rows that are to be kept now.
    """
    if view.aggregations:
        before, after = (windowed_values.touching(view, state, interval, end=end) for state in (before, after))
    columns = key_list(view) or "1 as __one"
    touched = rows_of_all(view, (*before, *after), columns=f"{columns}, {AVAILABLE}")
    where = inside([interval])
    names = key_list(view) or "__one"
    keys = f"select distinct {names} from ({touched}) where {where}"
    if keep_from is not None:
        # What passed its online retention since the last run goes too; readers hide it already.
        keys += f" union select {columns} from ({greatest_rows(view, before)}) where {EVENT} < {timestamp(keep_from)}"
    if restore:
        keys += f" union select {columns} from ({greatest_rows(view, after)})"
    value = f"case when {EVENT} is null{_forgotten(keep_from)} then null else {_value(view, sequence)} end"
    with attached(con, (*before, *after), view=view.name):
        con.execute(f"create or replace temp table __touched as {keys}")
        if view.aggregations:
            # Within: a view may have thousands of segments, each of which takes half a millisecond to attach.
            rows = windowed_values.rows_of_segments(view, after)
            query = windowed_values.query(view, rows, end=end, touched="__touched")
            yield from _stream_windows(con, view, (), query, sequence, end)
            return
    query = (
        f"select {_key(view, prefix='t.')} as key, {value} as value from __touched t "
        f"left join ({greatest_rows(view, after, keys='__touched')}) w on {key_join(view, 't', 'w')} order by key"
    )
    yield from _stream(con, view, after, f"select key, value, {bucket_sql('key')} as bucket from ({query})")


def encoded(
    con: duckdb.DuckDBPyConnection, view: FeatureView, relation: str, *, sequence: int
) -> Generator[pa.RecordBatch, None, None]:
    """(key, value, bucket) of every row of a relation, in the order of keys and then of rows: a push."""
    rows = f"select {_key(view)} as key, {_value(view, sequence)} as value from {relation} order by {order_by(view)}"
    yield from _stream(con, view, (), f"select key, value, {bucket_sql('key')} as bucket from ({rows})")


def _load_sql(view: FeatureView, winners: str, sequence: int, keep_from: int | None) -> str:
    kept = f" where {EVENT} >= {timestamp(keep_from)}" if keep_from is not None else ""
    rows = f"select {_key(view)} as __online, * from ({winners}){kept} order by __online"
    # Encoded behind the sort, values are made batch by batch while the store sends those before, and the sort is narrower.
    # The bucket is computed here, where it costs a tenth of what a call for each row costs the store.
    columns = f"__online as key, {_value(view, sequence)} as value, {bucket_sql('__online')} as bucket"
    return f"select {columns} from ({rows})"


def _forgotten(keep_from: int | None) -> str:
    return "" if keep_from is None else f" or {EVENT} < {timestamp(keep_from)}"


def _key(view: FeatureView, *, prefix: str = "") -> str:
    return key_sql([(prefix + quote(name), kind) for name, kind in view.join_keys.items()])


def _value(view: FeatureView, sequence: int) -> str:
    return value_sql(event=EVENT, created=CREATED, available=AVAILABLE, sequence=sequence, payload=row_bytes_sql(view))


def _stream(
    con: duckdb.DuckDBPyConnection, view: FeatureView, state: Sequence[SegmentRead], query: str
) -> Iterator[pa.RecordBatch]:
    with attached(con, state, view=view.name), storage_errors(f"Encoding rows of feature view {view.name!r}"):
        con.execute("set preserve_insertion_order = true")
        yield from _ahead(con.sql(query).to_arrow_reader(BATCH_ROWS))


def _stream_windows(
    con: duckdb.DuckDBPyConnection, view: FeatureView, state: Sequence[SegmentRead], query: str, sequence: int, end: int
) -> Iterator[pa.RecordBatch]:
    with (
        attached(con, state, view=view.name),
        storage_errors(f"Encoding rows of feature view {view.name!r}"),
        another(con) as beside,
    ):
        con.execute("set preserve_insertion_order = true")
        rows = con.sql(query).to_arrow_reader(windowed_values.READ_ROWS)
        encoder = windowed_values.Encoder(beside, view, sequence=sequence)
        yield from _ahead(windowed_values.batches(rows, view, encoder, end=end))


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches, the next one made by the engine, on a thread of its own, while the last one is sent."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch
