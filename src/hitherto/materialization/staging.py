"""The first half of a run: source files -> relation -> transform -> typed, checked rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hitherto.definitions.feature_view import FeatureView
from hitherto.definitions.relations import AVAILABLE_TIME
from hitherto.definitions.source import ParquetSource
from hitherto.errors import SourceError, TransformError
from hitherto.registry.records import SourceFile
from hitherto.sources import transform
from hitherto.sources.relation import available_sql, open_relation, placed_sql
from hitherto.sql import quote, text, timestamp
from hitherto.timeline import MIN_INSTANT, Interval
from hitherto.validation import columns, staging
from hitherto.validation.staging import Staged

if TYPE_CHECKING:
    import duckdb

SOURCE, WINDOW, TRANSFORMED = "__source", "__window", "__transformed"


@dataclass(frozen=True)
class SourceRows:
    """Where a run reads from."""

    view: FeatureView
    files: Sequence[SourceFile]
    """Of all its sources."""
    root: Path


def stage_rows(
    con: duckdb.DuckDBPyConnection,
    rows: SourceRows,
    interval: Interval | None,
    *,
    limit: int | None = None,
    order: str | None = None,
) -> Staged:
    """Stage the view's rows of an interval in the connection: `staged`, `quarantined` (see validation.staging).

    Args:
        con: An in-memory database.
        rows: The view and its sources' files.
        interval: In available time; None is everything.
        limit: Read only so many rows of the source, of the first one of several (for previews).
        order: What the staged rows are sorted by, if anything.

    Raises:
        SourceError: A column is missing, or its type cannot be taken as declared.
        TransformError: The SELECT is refused, or fails.
    """
    relation = view_relation(con, rows, interval, limit=limit)
    described = {name: kind for name, kind, *_ in con.execute(f"describe {relation}").fetchall()}
    problems = columns.check_columns(rows.view, described, con)
    if problems:
        raise SourceError(f"Feature view {rows.view.name!r} ({rows.view.location}): " + " ".join(problems))
    return staging.stage(con, rows.view, relation=relation, interval=interval, order=order)


def view_relation(
    con: duckdb.DuckDBPyConnection, rows: SourceRows, interval: Interval | None, *, limit: int | None = None
) -> str:
    """The name of the relation that holds the view's rows: the source's, or the transform's result."""
    view = rows.view
    if view.sql is None:
        return _plain_relation(con, rows, interval, limit)
    complaint = transform.check(view.sql, tables=tuple(view.all_sources))
    if complaint:
        raise TransformError(f"The transform of feature view {view.name!r} ({view.location}) is refused: {complaint}")
    relations = open_windows(con, rows, interval, limit=limit)
    transform.run(con, view.sql, relations=relations, name=TRANSFORMED, view=view)
    return TRANSFORMED


def _plain_relation(
    con: duckdb.DuckDBPyConnection, rows: SourceRows, interval: Interval | None, limit: int | None
) -> str:
    view = rows.view
    wanted = (*view.join_keys, *view.source.time_columns, *(field.column for field in view.schema))
    files = rows.files if interval is None else _reaching(rows.files, interval)
    open_relation(con, view.source, files, root=rows.root, name=SOURCE, columns=wanted, schema_files=rows.files)
    if limit is None:
        return SOURCE
    con.execute(f"create or replace temp view {WINDOW} as select * from {SOURCE} limit {int(limit)}")
    return WINDOW


def open_windows(
    con: duckdb.DuckDBPyConnection, rows: SourceRows, interval: Interval | None, *, limit: int | None = None
) -> dict[str, str]:
    """What the transform sees, by the names that it reads: each source's rows of the interval, and of the lookback before it.

    `limit` cuts the first source; the others stay whole, or few rows would find a partner. Nothing is cut to nothing.
    """
    view = rows.view
    timed = view.sql is not None and transform.names_available_time(view.sql)
    windows: dict[str, str] = {}
    for name, source in view.all_sources.items():
        opened, window = f"{SOURCE}_{name}", f"{WINDOW}_{name}"
        files = [file for file in rows.files if file.source == name]
        open_relation(con, source, files, root=rows.root, name=opened)
        columns = "*"
        if timed:
            _refuse_own_time(view, source, con.sql(f"select * from {opened}").columns)
            columns = f"*, {available_sql(source)} as {quote(AVAILABLE_TIME)}"
        where = f" where {_window(source, interval, view.lookbacks[name])}" if interval else ""
        cut = f" limit {int(limit)}" if limit is not None and (not windows or limit == 0) else ""
        con.execute(f"create or replace temp view {window} as select {columns} from {opened}{where}{cut}")
        windows[name] = window
    return windows


def _refuse_own_time(view: FeatureView, source: ParquetSource, columns: Sequence[str]) -> None:
    if any(column.lower() == AVAILABLE_TIME for column in columns):
        raise TransformError(
            f"The transform of feature view {view.name!r} ({view.location}) reads {AVAILABLE_TIME!r}, which is when a row became "
            f"available; source {source.name!r} ({source.location}) has a column of that name. Rename the column in the files."
        )


def _reaching(files: Sequence[SourceFile], interval: Interval) -> Sequence[SourceFile]:
    """The files that may have rows in the interval: what a run reads is in proportion to what is new.

    Files of unknown reach count. A transform reads all files, since the types of its columns may follow from any of them.
    """
    found = [
        file
        for file in files
        if file.start is None or file.end is None or (file.start < interval.end and file.end >= interval.start)
    ]
    return found or files[:1]


def _window(source: ParquetSource, interval: Interval, lookback: int | None) -> str:
    """Which rows the transform sees: those available in [start - lookback, end), and those that staging will set aside there."""
    placed = placed_sql(source)
    before_end = f"{placed} < {timestamp(interval.end)}"
    window = before_end
    if lookback is not None:
        window = f"{placed} >= {timestamp(max(interval.start - lookback, MIN_INSTANT))} and {before_end}"
    return f"(({window}) or {placed} is null)"


def export_quarantine(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write the rows that were set aside, with their reasons, to a Parquet file beside the segments."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        con.execute(f"copy quarantined to {text(str(temporary))} (format parquet, compression zstd)")
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
