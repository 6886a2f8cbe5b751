"""The first half of a run: source files -> relation -> transform -> typed, checked rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hitherto.definitions.feature_view import FeatureView
from hitherto.errors import SourceError, TransformError
from hitherto.registry.records import SourceFile
from hitherto.sources import transform
from hitherto.sources.relation import open_relation, placed_sql
from hitherto.sql import text, timestamp
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
        rows: The view and its source's files.
        interval: In available time; None is everything.
        limit: Read only so many rows of the source (for previews).
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
    wanted = (
        None if view.sql else (*view.join_keys, *view.source.time_columns, *(field.column for field in view.schema))
    )
    files = rows.files if view.sql or interval is None else _reaching(rows.files, interval)
    open_relation(con, view.source, files, root=rows.root, name=SOURCE, columns=wanted, schema_files=rows.files)
    if view.sql is None and limit is None:
        return SOURCE
    where = f" where {_window(view, interval)}" if view.sql and interval else ""
    cut = f" limit {int(limit)}" if limit is not None else ""
    con.execute(f"create or replace temp view {WINDOW} as select * from {SOURCE}{where}{cut}")
    if view.sql is None:
        return WINDOW
    complaint = transform.check(view.sql)
    if complaint:
        raise TransformError(f"The transform of feature view {view.name!r} ({view.location}) is refused: {complaint}")
    transform.run(con, view.sql, relation=WINDOW, name=TRANSFORMED, view=view)
    return TRANSFORMED


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


def _window(view: FeatureView, interval: Interval) -> str:
    """What the transform sees: rows available in [start - lookback, end), and those that staging will set aside there."""
    placed = placed_sql(view.source)
    before_end = f"{placed} < {timestamp(interval.end)}"
    lookback = view.lookback_micros
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
