"""Writing and checking segments.

A segment is one DuckDB file: `rows`, clustered by key and the order of rows; `keys`, a dictionary from key columns to the
integer key id, where the key is not an integer itself; `winners`, for each key and available time the row that is the greatest of
all that were available by then, where that is not simply the newest row (a windowed view has none).
Row ids of `rows` follow the order, so "the greatest" of a key is the highest row id; the writer proves it for every file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from hitherto.definitions.feature_view import FeatureView
from hitherto.errors import StorageError
from hitherto.offline.content_hash import BATCH_ROWS, hash_batches
from hitherto.offline.duckdb.connection import storage_errors
from hitherto.offline.duckdb.names import (
    AVAILABLE,
    CREATED,
    EVENT,
    KEY,
    TIMES,
    key_id,
    key_list,
    needs_dictionary,
    order_by,
    row_columns,
)
from hitherto.sql import quote, quote_all, text

# By three columns of eight bytes DuckDB's sort keys have a fixed size; by four they do not.
_FAST_SORT = 3
_PACKED = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "TIMESTAMP", "DATE"})


@dataclass(frozen=True)
class WrittenSegment:
    """What the writer learned about a segment file."""

    path: Path
    rows: int
    keys: int
    superseded: int
    content_hash: str
    file_hash: str
    indexed: bool


def clustering(view: FeatureView) -> str:
    """What the rows that `drop_superseded` takes are sorted by: the order of rows (semantics 2), by columns that mostly decide.

    A created time that the source does not have, or an available time that follows the event time at a fixed distance,
    never does, and behind one key and two other times the available time hardly ever: the sort of 1 M rows takes 0.33 s of
    processor time by three columns, and 0.7 s by four.
    """
    columns = _deciding(view)
    return ", ".join(columns[:_FAST_SORT] if len(view.join_keys) == 1 else columns)


def _deciding(view: FeatureView) -> list[str]:
    """The columns of the order of rows that can decide it."""
    source = view.source
    return [
        *(quote(name) for name in view.join_keys),
        EVENT,
        *([f"{CREATED} nulls first"] if source.created_timestamp_field else []),
        *([AVAILABLE] if source.known_timestamp_field else []),
    ]


def _order_rows(con: duckdb.DuckDBPyConnection, view: FeatureView, relation: str) -> None:
    """Put the rows of a table, sorted by `clustering`, into the order of rows: mostly they are, which takes 0.02 s to see."""
    if clustering(view) == ", ".join(_deciding(view)):
        return
    columns = [*(quote(name) for name in view.join_keys), EVENT, CREATED]
    same = " and ".join(f"{column} is not distinct from lag({column}) over ()" for column in columns)
    early = f"select {same} and {AVAILABLE} < lag({AVAILABLE}) over () as __early from {relation}"
    if _count(con, f"select count(*) from ({early}) where __early"):
        con.execute(
            f"create or replace table {relation} as select * from {relation} order by {', '.join(_deciding(view))}"
        )


def drop_superseded(con: duckdb.DuckDBPyConnection, view: FeatureView, relation: str, row_bytes: str) -> int:
    """Of rows that agree in key and times keep the greatest (semantics 2); the number of rows that go.

    In rows that are sorted they are neighbours: looking for them takes 0.02 s for 1 M rows, grouping them took 0.3 s.
    Where each row is an event of its own (semantics 11) none goes, and those that tie are put in the order of their bytes.

    Args:
        con: The connection that holds the table.
        view: Its keys name the columns.
        relation: A table, sorted by `clustering`; its rows are in the order of rows afterwards.
        row_bytes: SQL for the canonical bytes of a row's values, which decide between rows that tie.
    """
    _order_rows(con, view, relation)
    columns = [*(quote(name) for name in view.join_keys), *TIMES]
    same = " and ".join(f"{column} is not distinct from lag({column}) over ()" for column in columns)
    if not view.has_versions:
        _order_ties(con, relation, same, row_bytes)
        return 0
    con.execute(
        f"create or replace temp table __ties as select {', '.join(columns)} from (select *, {same} as __tie from {relation}) where __tie"
    )
    ties = _count(con, "select count(*) from __ties")
    if not ties:
        return 0
    tied = " and ".join(f"r.{column} is not distinct from t.{column}" for column in columns)
    # Ties are few, so only they are encoded. They go by row id: aggregates that carry whole rows do not keep values bit for
    # bit (see visible.py), and a join that fetched the others would not keep their order.
    con.execute(
        f"create or replace temp table __tied as select r.rowid as __place, {quote_all(row_columns(view), prefix='r.')} "
        f"from {relation} r where exists (select 1 from __ties t where {tied})"
    )
    con.execute(
        f"delete from {relation} where rowid in (select __place from __tied where __place not in "
        f"(select arg_max(__place, {row_bytes}) from __tied group by {', '.join(columns)}))"
    )
    return ties


def _order_ties(con: duckdb.DuckDBPyConnection, relation: str, same: str, row_bytes: str) -> None:
    """Put rows that agree in key and times, which are neighbours, in the order of their bytes.

    Only they are encoded; then the table is sorted by one number, if it has to be.
    """
    numbered = f"select rowid as __place, *, {same} as __same from {relation}"
    con.execute(
        f"create or replace temp table __tied as select __place, __group, {row_bytes} as __bytes from ("
        f"select *, sum((not __same)::bigint) over (rows unbounded preceding) as __group, lead(__same) over () as __next "
        f"from ({numbered})) where __same or __next"
    )
    con.execute(
        "create or replace temp table __moved as select b.__place, p.__place as __to from "
        "(select __place, row_number() over (order by __group, __bytes, __place) as __number from __tied) b join "
        "(select __place, row_number() over (order by __place) as __number from __tied) p using (__number) "
        "where b.__place <> p.__place"
    )
    if _count(con, "select count(*) from __moved"):
        con.execute(
            f"create or replace table {relation} as select r.* from {relation} r left join __moved m on r.rowid = m.__place "
            "order by coalesce(m.__to, r.rowid)"
        )


def write(
    con: duckdb.DuckDBPyConnection, view: FeatureView, *, relation: str, path: Path, superseded: int = 0
) -> WrittenSegment:
    """Write the staged rows of `relation` as a segment, check it, sync it, and give it its name.

    Args:
        con: The connection that holds the relation.
        view: Its keys and features name the columns.
        relation: Typed keys, times and features, as `drop_superseded` leaves them; no null key or time.
        path: The final path. A half-written file only ever has the name with `.tmp`.
        superseded: How many rows `drop_superseded` took away, for the record.

    Raises:
        StorageError: The directory cannot be written, the disk is full, or the file does not read back as written.
    """
    temporary = path.with_name(path.name + ".tmp")
    with storage_errors(f"Writing the segment of feature view {view.name!r} to {path.parent}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        discard(path)
        try:
            with _attached(con, temporary, read_only=False):
                _write_rows(con, view, relation)
                keys, indexed = _write_winners(con, view)
                con.execute("checkpoint __new")
            # The disk takes the file while it is read back.
            with ThreadPoolExecutor(1) as beside:
                synced = beside.submit(_sync, temporary)
                with _attached(con, temporary, read_only=True):
                    content_hash, rows = hash_batches(rows_in_order(con, view, "__new.rows"))
                file_hash = synced.result()
        except BaseException:
            discard(path)
            raise
        temporary.rename(path)
        _sync_folder(path.parent)
    return WrittenSegment(path, rows, keys, superseded, content_hash, file_hash, indexed)


def discard(path: Path) -> None:
    """Remove what an attempt to write the segment `path` left: the half-written file and the engine's log beside it."""
    for suffix in (".tmp", ".tmp.wal"):
        remove(path.with_name(path.name + suffix))


def remove(path: Path) -> None:
    """Remove a file of a run that did not publish. Where that cannot be done it harms nobody, and the run's own cause counts."""
    with suppress(OSError):
        path.unlink()


def rows_in_order(con: duckdb.DuckDBPyConnection, view: FeatureView, table: str) -> Iterator[pa.RecordBatch]:
    """A segment's rows in their order, as batches of the columns that carry meaning."""
    con.execute("set preserve_insertion_order = true")
    reader = con.sql(f"select {quote_all(row_columns(view))} from {table}").to_arrow_reader(BATCH_ROWS)
    yield from reader


@contextmanager
def _attached(con: duckdb.DuckDBPyConnection, path: Path, *, read_only: bool) -> Iterator[None]:
    """Attach the file as `__new`. After an error it stays attached: the connection is good for nothing then but closing."""
    con.execute(f"attach {text(str(path))} as __new{' (read_only)' if read_only else ''}")
    yield
    con.execute("detach __new")


def _write_rows(con: duckdb.DuckDBPyConnection, view: FeatureView, relation: str) -> None:
    """Fill `rows` (and `keys`): a copy, since the relation is in order already."""
    con.execute("set preserve_insertion_order = true")
    meaning = quote_all(row_columns(view))
    if needs_dictionary(view):
        names = key_list(view)
        # Both windows stream. A join with the dictionary would lose the order of rows.
        first = " or ".join(f"{quote(name)} is distinct from lag({quote(name)}) over ()" for name in view.join_keys)
        numbered = f"select *, sum(__first::bigint) over (rows unbounded preceding)::bigint - 1 as {KEY} from (select *, {first} as __first from {relation})"
        con.execute(f"create table __new.keys as select {KEY}, {names} from ({numbered}) where __first")
        select = f"select {KEY}, {meaning} from ({numbered})"
    else:
        select = f"select {key_id(view)} as {KEY}, {meaning} from {relation}"
    described = con.sql(select)
    columns = ", ".join(
        f"{quote(name)} {kind}{_compression(str(kind))}"
        for name, kind in zip(described.columns, described.types, strict=True)
    )
    con.execute(f"create table __new.rows ({columns})")
    con.execute(f"insert into __new.rows {select}")


def _compression(kind: str) -> str:
    """Whole numbers are packed without trying what else there is: 0.1 s of 0.65 s for 1 M rows of 15 columns, same size."""
    return " using compression bitpacking" if kind in _PACKED else ""


def _write_winners(con: duckdb.DuckDBPyConnection, view: FeatureView) -> tuple[int, bool]:
    """Prove the order of row ids, then write the index of winners where it differs from the rows themselves.

    Returns the number of keys, and whether there is an index. A windowed view needs none: it looks at more than one row of a key.
    """
    may_tie = "" if view.has_versions else f" or {AVAILABLE} = lag({AVAILABLE}) over ()"
    disorder, keys, known_later, same_time = con.execute(
        f"""
        select coalesce(sum((later and not follows or earlier)::int), 0), coalesce(sum((not later)::int), 0),
               coalesce(sum(({AVAILABLE} <> {EVENT})::int), 0), coalesce(sum((later and same)::int), 0)
        from (
            select {EVENT}, {AVAILABLE}, coalesce({KEY} = lag({KEY}) over (), false) as later,
                   coalesce({KEY} < lag({KEY}) over (), false) as earlier,
                   coalesce({EVENT} > lag({EVENT}) over () or ({EVENT} = lag({EVENT}) over () and
                       (coalesce(__created > lag(__created) over (), lag(__created) over () is null and __created is not null)
                        or (__created is not distinct from lag(__created) over () and ({AVAILABLE} > lag({AVAILABLE}) over (){may_tie})))), false) as follows,
                   {AVAILABLE} = lag({AVAILABLE}) over () as same
            from __new.rows
        )
        """
    ).fetchall()[0]
    if disorder:
        raise StorageError(
            f"Feature view {view.name!r}: {disorder} rows of the new segment are out of order. This is a fault of Hitherto; nothing was published."
        )
    if view.aggregations or (not known_later and not same_time):
        return int(keys), False
    con.execute(
        f"""
        create table __new.winners as
        select {KEY}, {AVAILABLE}, max(__last) over (partition by {KEY} order by {AVAILABLE} rows unbounded preceding) as __row
        from (select {KEY}, {AVAILABLE}, max(rowid) as __last from __new.rows group by {KEY}, {AVAILABLE})
        order by {KEY}, {AVAILABLE}
        """
    )
    return int(keys), True


def content_of(con: duckdb.DuckDBPyConnection, view: FeatureView, relation: str) -> str:
    """The content hash of any relation of rows (with their places, see `names.order_by`), in the canonical order."""
    con.execute("set preserve_insertion_order = true")
    ordered = f"select {quote_all(row_columns(view))} from {relation} order by {order_by(view)}"
    return hash_batches(con.sql(ordered).to_arrow_reader(BATCH_ROWS))[0]


def _count(con: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(con.execute(query).fetchall()[0][0])


def _sync(path: Path) -> str:
    """Make the file durable and return its SHA-256."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_hash(path: Path) -> str:
    """SHA-256 of a segment file, for integrity."""
    with storage_errors(f"Reading the segment {path}"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
