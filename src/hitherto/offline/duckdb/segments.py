"""Writing and checking segments.

A segment is one DuckDB file: `rows`, clustered by key and the order of rows; `keys`, a dictionary from key columns to the
integer key id, where the key is not an integer itself; `hot`, the keys with more than 64 rows; `winners`, for each key and
available time the row that is the greatest of all that were available by then, where that is not simply the newest row.
Row ids of `rows` follow the order, so "the greatest" of a key is the highest row id; the writer proves it for every file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
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
    key_join,
    key_list,
    needs_dictionary,
    order_by,
    row_columns,
)
from hitherto.sql import quote, quote_all, text

# A join of all pairs beats ASOF up to about a hundred rows per key where one row in ten is asked for, up to fewer where more are.
HOT_ROWS = 64


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


def write(
    con: duckdb.DuckDBPyConnection, view: FeatureView, *, relation: str, path: Path, row_bytes: str
) -> WrittenSegment:
    """Write the staged rows of `relation` as a segment, check it, sync it, and give it its name.

    Args:
        con: The connection that holds the relation.
        view: Its keys and features name the columns.
        relation: Typed keys, times and features; no null key or time.
        path: The final path. A half-written file only ever has the name with `.tmp`.
        row_bytes: SQL for the canonical bytes of a row's values, which decide between rows that tie.

    Raises:
        StorageError: The directory cannot be written, the disk is full, or the file does not read back as written.
    """
    temporary = path.with_name(path.name + ".tmp")
    with storage_errors(f"Writing the segment of feature view {view.name!r} to {path.parent}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        discard(path)
        try:
            with _attached(con, temporary, read_only=False):
                superseded = _write_rows(con, view, relation, row_bytes)
                _write_hot(con)
                indexed = _write_winners(con, view)
                con.execute("checkpoint __new")
            with _attached(con, temporary, read_only=True):
                content_hash, rows = hash_batches(rows_in_order(con, view, "__new.rows"))
                keys = _count(con, f"select count(distinct {KEY}) from __new.rows")
            file_hash = _sync(temporary)
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


def _write_rows(con: duckdb.DuckDBPyConnection, view: FeatureView, relation: str, row_bytes: str) -> int:
    """Fill `rows` (and `keys`), clustered; return how many rows were superseded."""
    distinct, superseded = _without_superseded(con, view, relation, row_bytes)
    if needs_dictionary(view):
        con.execute(
            f"create table __new.keys as select row_number() over (order by {key_list(view)}) - 1 as {KEY}, {key_list(view)} "
            f"from (select distinct {key_list(view)} from {distinct})"
        )
        select = f"select k.{KEY}, r.* from {distinct} r join __new.keys k on {key_join(view, 'r', 'k')}"
    else:
        select = f"select {key_id(view)} as {KEY}, r.* from {distinct} r"
    con.execute("set preserve_insertion_order = true")
    con.execute(f"create table __new.rows as {select} order by {_clustering(con, relation)}")
    return superseded


def _clustering(con: duckdb.DuckDBPyConnection, relation: str) -> str:
    """The order of rows (semantics 2) by the times that can decide: each one takes a fifth of the sort.

    A created time that nobody has, or an available time that follows the event time at a fixed distance, cannot.
    """
    distance = f"epoch_us({AVAILABLE}) - epoch_us({EVENT})"
    created, follows = con.execute(
        f"select count({CREATED}) > 0, min({distance}) is not distinct from max({distance}) from {relation}"
    ).fetchall()[0]
    times = [EVENT, *([f"{CREATED} nulls first"] if created else []), *([] if follows else [AVAILABLE])]
    return ", ".join([KEY, *times])


def _without_superseded(
    con: duckdb.DuckDBPyConnection, view: FeatureView, relation: str, row_bytes: str
) -> tuple[str, int]:
    """A relation in which no two rows agree in key and times, and how many rows that cost (semantics 2).

    Rows that tie are few, so only they are encoded; the group-by that finds them is narrow.
    """
    columns = [*(quote(name) for name in view.join_keys), *TIMES]
    con.execute(
        f"create or replace temp table __ties as select {', '.join(columns)}, count(*) as __count from {relation} "
        f"group by {', '.join(columns)} having count(*) > 1"
    )
    ties, rows = con.execute("select count(*), coalesce(sum(__count), 0) from __ties").fetchall()[0]
    if not ties:
        return f"(select {quote_all(row_columns(view))} from {relation})", 0
    tied = " and ".join(f"r.{column} is not distinct from t.{column}" for column in columns)
    meaning = quote_all(row_columns(view))
    con.execute(
        f"create or replace temp table __tied as select {meaning} from {relation} r "
        f"where exists (select 1 from __ties t where {tied})"
    )
    # The greatest is chosen by row id: aggregates that carry whole rows do not keep values bit for bit (see visible.py).
    con.execute(
        f"create or replace temp view __distinct as "
        f"select {meaning} from {relation} r where not exists (select 1 from __ties t where {tied}) union all "
        f"select {meaning} from __tied where rowid in "
        f"(select arg_max(rowid, {row_bytes}) from __tied group by {', '.join(columns)})"
    )
    return "__distinct", int(rows) - int(ties)


def _write_hot(con: duckdb.DuckDBPyConnection) -> None:
    """Name the keys whose rows are too many to join them all (see point_in_time.py)."""
    con.execute(
        f"create table __new.hot as select {KEY} from __new.rows group by {KEY} having count(*) > {HOT_ROWS} order by {KEY}"
    )


def _write_winners(con: duckdb.DuckDBPyConnection, view: FeatureView) -> bool:
    """Prove the order of row ids, then write the index of winners where it differs from the rows themselves."""
    disorder, known_later, same_time = con.execute(
        f"""
        select coalesce(sum((later and not follows)::int), 0), coalesce(sum(({AVAILABLE} <> {EVENT})::int), 0),
               coalesce(sum((later and same)::int), 0)
        from (
            select {EVENT}, {AVAILABLE}, {KEY} = lag({KEY}) over () as later,
                   coalesce({EVENT} > lag({EVENT}) over () or ({EVENT} = lag({EVENT}) over () and
                       (coalesce(__created > lag(__created) over (), lag(__created) over () is null and __created is not null)
                        or (__created is not distinct from lag(__created) over () and {AVAILABLE} > lag({AVAILABLE}) over ()))), false) as follows,
                   {AVAILABLE} = lag({AVAILABLE}) over () as same
            from __new.rows
        )
        """
    ).fetchall()[0]
    if disorder:
        raise StorageError(
            f"Feature view {view.name!r}: {disorder} rows of the new segment are out of order. This is a fault of Hitherto; nothing was published."
        )
    if not known_later and not same_time:
        return False
    con.execute(
        f"""
        create table __new.winners as
        select {KEY}, {AVAILABLE}, max(__last) over (partition by {KEY} order by {AVAILABLE} rows unbounded preceding) as __row
        from (select {KEY}, {AVAILABLE}, max(rowid) as __last from __new.rows group by {KEY}, {AVAILABLE})
        order by {KEY}, {AVAILABLE}
        """
    )
    return True


def content_of(con: duckdb.DuckDBPyConnection, view: FeatureView, relation: str) -> str:
    """The content hash of any relation of rows, in the canonical order."""
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
