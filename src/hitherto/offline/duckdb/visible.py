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
    return (
        " or ".join(f"({column} >= {timestamp(one.start)} and {column} < {timestamp(one.end)})" for one in intervals)
        or "false"
    )


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
    typed += [] if view.has_versions else ["null::bigint as rowid"]
    return f"select {columns} from (select {', '.join(typed)}) where false"


def greatest_rows(
    view: FeatureView, segments: Sequence[SegmentRead], *, keys: str | None = None, until: int | None = None
) -> str:
    """A select of the winner of every key over a published state.

    Only row ids and ranks are compared, wide rows are fetched afterwards. That is also what keeps values bit for bit:
    DuckDB 2.0 turns `row_number() ... = 1` over whole rows into an aggregate whose sort keys make 0.0 out of -0.0.

    Args:
        view: Its keys and features name the columns.
        segments: The state.
        keys: A relation of key columns; only these keys are looked at.
        until: Only rows available at or before this instant; all if not given.
    """
    columns = quote_all(row_columns(view))
    if not segments:
        return empty_rows(view, columns)
    last = [_last_of_keys(view, segment, keys, until) for segment in segments]
    if len(segments) == 1:
        return f"select {columns} from {alias(segments[0])}.rows where rowid in ({last[0]})"
    names = key_list(view, prefix="s.")
    ranked = " union all ".join(
        f"select {names + ', ' if names else ''}{rank(prefix='s.')} as __rank, {number} as __segment, s.rowid as __winner "
        f"from {alias(segment)}.rows s where s.rowid in ({last[number]})"
        for number, segment in enumerate(segments)
    )
    group = f" group by {key_list(view)}" if names else ""
    fetched = " union all ".join(
        f"select {columns} from {alias(segment)}.rows "
        f"where rowid in (select __place.winner from chosen where __place.segment = {number})"
        for number, segment in enumerate(segments)
    )
    return (
        f"with chosen as materialized (select arg_max({{segment: __segment, winner: __winner}}, __rank) as __place "
        f"from ({ranked}){group}) {fetched}"
    )


def _last_of_keys(view: FeatureView, segment: SegmentRead, keys: str | None, until: int | None) -> str:
    """The row id of each key's greatest row in one segment: row ids follow the order inside a segment."""
    conditions = [] if segment.whole else [f"({inside(segment.intervals, column='r.' + AVAILABLE)})"]
    if until is not None:
        conditions.append(f"r.{AVAILABLE} <= {timestamp(until)}")
    wanted = f" semi join {keys} using ({key_list(view)})" if keys and view.join_keys else ""
    where = f" where {' and '.join(conditions)}" if conditions else ""
    return f"select max(r.rowid) from (select rowid, * from {alias(segment)}.rows) r{wanted}{where} group by r.{KEY}"


def new_key_count(
    con: duckdb.DuckDBPyConnection, view: FeatureView, state: Sequence[SegmentRead], relation: str
) -> int:
    """How many distinct keys of a relation the published state has never seen."""
    keys = key_list(view) or "1"
    with attached(con, state, view=view.name):
        known = rows_of_all(view, state)
        rows = con.execute(
            f"select count(*) from (select distinct {keys} from {relation} n "
            f"where not exists (select 1 from ({known}) o where {key_join(view, 'n', 'o')}))"
        ).fetchall()
    return int(rows[0][0])
