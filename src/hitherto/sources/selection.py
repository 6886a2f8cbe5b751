"""Rows from outside a view's source: a user's SELECT over the sources by name, and frames that are handed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from hitherto.definitions.source import ParquetSource
from hitherto.errors import UsageError
from hitherto.sources import transform
from hitherto.sources.file_systems import first_line
from hitherto.sources.files import list_files
from hitherto.sources.instants import normal
from hitherto.sources.relation import open_relation
from hitherto.sql import quote


def tables_of(sql: str, sources: Iterable[str]) -> tuple[str, ...]:
    """The sources that a SELECT reads, by name, in the order of their first mention."""
    try:
        tree = sqlglot.parse_one(sql, read="duckdb")
    except SqlglotError:
        return ()
    known = {name.lower(): name for name in sources}
    found = (known.get(table.name.lower()) for table in tree.find_all(exp.Table))
    return tuple(dict.fromkeys(name for name in found if name is not None))


def select(con: duckdb.DuckDBPyConnection, sql: str, sources: Mapping[str, ParquetSource], *, root: Path) -> pa.Table:
    """The rows of one SELECT over the sources by their names.

    It runs as a transform does, in a room that can open nothing, over the columns that it names.

    Args:
        con: A connection that may read the sources.
        sql: The SELECT.
        sources: Name -> source.
        root: What relative source paths are relative to.

    Raises:
        UsageError: The text is not one SELECT over sources, or fails.
        SourceError: A source cannot be read.
    """
    wrong = transform.check_reads(sql, tables=tuple(sources))
    if wrong is not None:
        raise UsageError(f"The SQL of the entity rows is refused: {wrong}")
    names = tables_of(sql, sources)
    for name in names:
        open_relation(con, sources[name], list_files(sources[name], root=root), root=root, name=f"__source_{name}")
    # The rows go out to the user: plain booleans and numbers, not the engine's own types.
    room = transform.closed_room(con, lossless=False)
    try:
        transform.feed(con, room, sql, {name: f"__source_{name}" for name in names})
        result = room.sql(transform.statement(sql))
        # `sum` over integers is a HUGEINT, which Arrow does not have: without the cast it would leave as a double.
        columns = ", ".join(
            f"CAST({quote(name)} AS BIGINT) AS {quote(name)}" if str(kind) == "HUGEINT" else quote(name)
            for name, kind in zip(result.columns, result.types, strict=True)
        )
        return result.project(columns).to_arrow_table()
    except duckdb.Error as error:
        raise UsageError(f"The SQL of the entity rows failed: {first_line(error)}") from error
    finally:
        transform.leave(room)


def open_frame(con: duckdb.DuckDBPyConnection, frame: pa.Table, *, name: str) -> None:
    """Create the TEMP TABLE `name` from a frame, timestamps normalised as those of sources are."""
    con.register("__frame", frame)
    relation = con.sql("SELECT * FROM __frame")
    columns = ", ".join(
        f"{normal(quote(column), kind)} AS {quote(column)}"
        for column, kind in zip(relation.columns, relation.types, strict=True)
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quote(name)} AS SELECT {columns} FROM __frame")
    con.unregister("__frame")
