"""The rows of a view's published state, across segments: which count, and the greatest of each key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb

from hitherto.definitions.feature_view import FeatureView
from hitherto.offline.duckdb.connection import storage_errors
from hitherto.offline.duckdb.names import AVAILABLE, KEY, key_join, key_list, rank, row_columns
from hitherto.offline.plan import SegmentRead
from hitherto.sql import quote, quote_all, text, timestamp
from hitherto.timeline import Interval


def alias(segment: SegmentRead) -> str:
    """The database name under which a segment is attached: that of its file, which is its run's."""
    return quote(f"__{segment.path.stem}")


def attach_texts(segments: Sequence[SegmentRead]) -> list[str]:
    """The statements that attach the files of the segments for reading, each file once."""
    files = {alias(segment): segment.path for segment in segments}
    return [f"attach {text(str(path))} as {name} (read_only)" for name, path in files.items()]


@contextmanager
def attached(con: duckdb.DuckDBPyConnection, segments: Sequence[SegmentRead], *, view: str) -> Iterator[None]:
    """Attach segments read-only; readers never block writers, which only ever add files.

    After an error they stay attached: the connection is good for nothing then but closing.
    """
    for statement in attach_texts(segments):
        with storage_errors(f"Opening a segment of feature view {view!r}"):
            con.execute(statement)
    yield
    for name in dict.fromkeys(alias(segment) for segment in segments):
        con.execute(f"detach {name}")


def inside(intervals: Sequence[Interval], *, column: str = AVAILABLE) -> str:
    """The condition that a time lies in one of the intervals."""
    return " or ".join(f"({column} >= {timestamp(one.start)} and {column} < {timestamp(one.end)})" for one in intervals) or "false"


def rows_of(segment: SegmentRead, columns: str) -> str:
    """A select of the rows of one segment that count."""
    where = "" if segment.whole else f" where {inside(segment.intervals)}"
    return f"select {columns} from {alias(segment)}.rows{where}"


def rows_of_all(view: FeatureView, segments: Sequence[SegmentRead], *, columns: str | None = None) -> str:
    """A select of all rows that count, over all segments."""
    chosen = columns or quote_all(row_columns(view))
    parts = [rows_of(segment, chosen) for segment in segments]
    return " union all ".join(parts) or empty_rows(view, chosen)


def empty_rows(view: FeatureView, columns: str) -> str:
    """The same select where nothing has been published: right columns, no row."""
    typed = [f"null::{kind.sql} as {quote_all([name])}" for name, kind in view.join_keys.items()]
    typed += [f"null::timestamp as {name}" for name in ("__event", "__created", AVAILABLE)]
    typed += [f"null::{field.dtype.sql} as {quote_all([field.name])}" for field in view.schema]
    return f"select {columns} from (select {', '.join(typed)}) where false"


def greatest_rows(view: FeatureView, segments: Sequence[SegmentRead], *, keys: str | None = None) -> str:
    """A select of the winner of every key over the published state (every row of which is available by now).

    Args:
        view: Its keys and features name the columns.
        segments: The state.
        keys: A relation of key columns; only these keys are looked at.
    """
    if not segments:
        return empty_rows(view, quote_all(row_columns(view)))
    parts = []
    for segment in segments:
        wanted = f" semi join {keys} using ({key_list(view)})" if keys and view.join_keys else ""
        # Row ids follow the order inside a segment, so a key's highest one is its greatest row there.
        where = "" if segment.whole else f" where {inside(segment.intervals, column='r.' + AVAILABLE)}"
        last = f"select max(r.rowid) from (select rowid, * from {alias(segment)}.rows) r{wanted}{where} group by r.{KEY}"
        parts.append(f"select {quote_all(row_columns(view))} from {alias(segment)}.rows where rowid in ({last})")
    if len(parts) == 1:
        return parts[0]
    partition = key_list(view) or "1"
    return f"select * from ({' union all '.join(parts)}) qualify row_number() over (partition by {partition} order by {rank()} desc) = 1"


def new_key_count(con: duckdb.DuckDBPyConnection, view: FeatureView, state: Sequence[SegmentRead], relation: str) -> int:
    """How many distinct keys of a relation the published state has never seen."""
    keys = key_list(view) or "1"
    with attached(con, state, view=view.name):
        known = rows_of_all(view, state)
        rows = con.execute(
            f"select count(*) from (select distinct {keys} from {relation} n "
            f"where not exists (select 1 from ({known}) o where {key_join(view, 'n', 'o')}))"
        ).fetchall()
    return int(rows[0][0])
