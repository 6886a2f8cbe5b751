"""A view's SELECT over `source`, or over its sources by name: what it may say, and the closed room in which it runs."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from hitherto.definitions.feature_view import FeatureView
from hitherto.definitions.relations import AVAILABLE_TIME, SOURCE
from hitherto.errors import StorageError, TransformError, did_you_mean
from hitherto.sources.file_systems import first_line
from hitherto.sources.instants import normal
from hitherto.sql import quote, quote_all, text

_BATCH_ROWS = 122_880
_SETTINGS = ("memory_limit", "threads", "temp_directory", "max_temp_directory_size")
# The room that waits for the next SELECT, one at most; and under which limits each room was made.
_waiting: list[duckdb.DuckDBPyConnection] = []
_made_for: dict[int, tuple[str, ...]] = {}
# Window functions whose value follows from the place of a row in its window.
_BY_PLACE = (
    exp.RowNumber,
    exp.Ntile,
    exp.Lag,
    exp.Lead,
    exp.FirstValue,
    exp.LastValue,
    exp.NthValue,
    exp.First,
    exp.Last,
)
# Table functions that make rows out of their arguments only.
_TABLE_FUNCTIONS = frozenset({"unnest", "explode", "generate_series", "generateseries", "range", "generate_subscripts"})
# A transform's result must follow from its relations alone: run again, it must give the same rows (semantics 5).
_CLOCKS = frozenset({
    "now", "current_timestamp", "currenttimestamp", "current_date", "currentdate", "current_time",
    "currenttime", "current_localtime", "localtime", "current_localtimestamp", "localtimestamp",
    "currentdatetime", "get_current_timestamp", "get_current_time", "today", "transaction_timestamp", "ago",
})  # fmt: skip
_CHANCE = frozenset({"random", "rand", "setseed", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "nextval", "currval"})
_OUTSIDE = frozenset({
    "getenv", "getvariable", "current_setting", "current_user", "currentuser", "session_user", "current_role",
    "user", "current_database", "currentdatabase", "current_catalog", "currentcatalog", "current_schema",
    "currentschema", "current_schemas", "current_query", "txid_current", "version", "current_version", "currentversion", "query",
    "current_connection_id", "current_query_id", "current_transaction_id", "stats", "vector_type",
    "query_table", "read_text", "read_blob", "read_csv", "read_csv_auto", "read_json", "read_json_auto",
    "read_parquet", "parquet_scan", "glob", "sniff_csv", "which_secret", "add_parquet_key", "write_log",
    "parse_duckdb_log_message", "pg_sleep", "sleep", "sleep_ms",
})  # fmt: skip


def check(sql: str, *, tables: Collection[str] = (SOURCE,)) -> str | None:
    """What is wrong with a transform, as the rest of a sentence; None if nothing is.

    It must be one SELECT (CTEs and set operations included) that reads only its `tables`, each of them, its own CTEs and
    what it makes itself, and whose result follows from them alone, not from the order of files either (semantics 5).

    >>> check("select airport, temp from source")
    >>> check("copy source to 'x.csv'")
    'it must be one SELECT over `source`, not COPY.'
    >>> check("select tail from flights", tables=("flights", "planes"))
    'it does not read `planes`, which is among its sources. Join it, or take it out of sources=.'
    """
    return _check(sql, tuple(tables))


@lru_cache(maxsize=256)
def _check(sql: str, tables: tuple[str, ...]) -> str | None:
    """The answer, kept: it follows from the text alone, which each run of a view asks about twice."""
    wrong = check_reads(sql, tables=tables)
    if wrong is not None:
        return wrong
    tree = sqlglot.parse_one(sql, read="duckdb")
    return _check_order(tree) or _check_all_read(tree, tables)


def check_reads(sql: str, *, tables: Collection[str]) -> str | None:
    """The same for a SELECT that need not read all of its tables, and may be cut anywhere: entity rows, to look at some."""
    over = " or ".join(f"`{table}`" for table in tables) or "no source"
    try:
        with _quiet():
            statements = [one for one in sqlglot.parse(sql, read="duckdb") if one is not None]
    except SqlglotError as error:
        return f"it cannot be read as SQL: {_plain_message(error)}"
    except RecursionError:
        return "it is nested too deeply."
    if len(statements) != 1:
        return f"it must be one SELECT over {over}, not {len(statements)} statements."
    tree = statements[0]
    if not isinstance(tree, exp.Query) or isinstance(tree, exp.Table):
        return f"it must be one SELECT over {over}, not {_statement_name(tree)}."
    return _check_tables(tree, tables, over) or _check_functions(tree, over) or _check_parts(tree)


def run(
    con: duckdb.DuckDBPyConnection, sql: str, *, relations: Mapping[str, str], name: str, view: FeatureView
) -> None:
    """Run a view's transform and land its result in `con` as the TEMP TABLE `name`, timestamps normalised.

    The SELECT runs in a database of its own, which holds the relations (what the SELECT calls it -> relation of `con`) and
    can open nothing: no files, no network, no extensions, no Python objects, no settings. It has the memory limit and
    threads of `con`.

    Raises:
        TransformError: The text is refused by `check`, fails on the data, or a source cannot be read; names the view.
        StorageError: Memory or the disk ran out.
    """
    wrong = check(sql, tables=tuple(relations))
    if wrong is not None:
        raise _blame(view, wrong)
    room, step = closed_room(con), "its source could not be read"
    try:
        feed(con, room, sql, relations)
        step = "it failed"
        _refuse_others(room, sql, view)
        result = room.sql(statement(sql))
        _refuse_names(view, result.columns)
        _land(con, result.to_arrow_reader(_BATCH_ROWS), result, name=name)
    except duckdb.OutOfMemoryException as error:
        raise StorageError(
            f"Memory ran out in the transform of view {view.name!r} ({first_line(error)}). Raise offline.memory_limit."
        ) from error
    except duckdb.Error as error:
        if "No space left" in str(error):
            raise StorageError(f"The disk is full: {first_line(error)}") from error
        raise _blame(view, f"{step}: {first_line(error)}{_hint(error, relations)}") from error
    finally:
        leave(room)


@lru_cache(maxsize=256)
def names_available_time(sql: str) -> bool:
    """Whether a SELECT asks for the times at which rows became available."""
    return any(
        one.name.lower() == AVAILABLE_TIME for one in sqlglot.parse_one(sql, read="duckdb").find_all(exp.Identifier)
    )


def columns_read(sql: str, columns: list[str]) -> list[str]:
    """Those of the source's columns that a transform can name: all of them where it uses a star; at least one."""
    named = _names_in(sql)
    return columns if named is None else [column for column in columns if column.lower() in named] or columns[:1]


@lru_cache(maxsize=256)
def _names_in(sql: str) -> frozenset[str] | None:
    """All names in a transform, in small letters; None where it may read columns without naming them."""
    tree = sqlglot.parse_one(sql, read="duckdb")
    if _reads_all(tree, sql):
        return None
    named = {one.name.lower() for one in tree.find_all(exp.Identifier)}
    return frozenset(named | {str(one.this).lower() for one in tree.find_all(exp.Var)})


def _reads_all(tree: exp.Expr, sql: str) -> bool:
    if "#" in sql or any(not isinstance(star.parent, exp.Count) for star in tree.find_all(exp.Star)):
        return True
    if any(isinstance(one, exp.Columns) for one in tree.walk()) or next(tree.find_all(exp.Pivot), None):
        return True
    if any(str(join.args.get("method") or "").upper() == "NATURAL" for join in tree.find_all(exp.Join)):
        return True
    # `select source from source` and `source.a` of an alias both make a struct of the whole row, or look like it.
    tables = {one.alias_or_name.lower() for one in tree.find_all(exp.Table)}
    return any(not one.table and one.name.lower() in tables for one in tree.find_all(exp.Column))


@contextmanager
def _quiet() -> Iterator[None]:
    """sqlglot logs a warning for what it knows only by name (CALL, EXPLAIN); the answer says it already."""
    log = logging.getLogger("sqlglot")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _check_tables(tree: exp.Expr, tables: Collection[str], over: str) -> str | None:
    allowed = {table.lower() for table in tables}
    own = {one.alias.lower() for one in tree.find_all(exp.CTE)}
    reads_any = False
    for table in tree.find_all(exp.Table):
        inner = table.this
        if not isinstance(inner, exp.Identifier):
            called = _function_name(inner)
            if called not in _TABLE_FUNCTIONS:
                return f"it reads {called or table.sql(dialect='duckdb')}(...); it may read only {over}."
            continue
        if table.args.get("db") or table.args.get("catalog"):
            return f"it reads {table.sql(dialect='duckdb')}; it may read only {over}."
        if inner.name.lower() in allowed:
            reads_any = True
        elif inner.name.lower() not in own:
            return f"it reads {inner.name!r}; it may read only {over}.{did_you_mean(inner.name, {*tables, *own})}"
    return None if reads_any else f"it does not read {over}."


def _check_functions(tree: exp.Expr, over: str) -> str | None:
    for node in tree.find_all(exp.Func):
        called = _function_name(node)
        if called in _CLOCKS or _is_age_until_now(node):
            return f"{called}() asks the clock: the same rows would give another result later. Use the row's own times."
        if called in _CHANCE:
            return f"{called}() gives another result each time; the result must follow from {over} alone."
        if called in _OUTSIDE or called.startswith(("pg_", "duckdb_", "pragma_", "http_", "system.")):
            return f"{called}() looks outside of {over}."
    return None


def _is_age_until_now(node: exp.Expr) -> bool:
    """Whether it is age(x), which asks the clock; age(x, y) does not."""
    if not isinstance(node, exp.Anonymous) or node.name.lower() != "age":
        return False
    # x.age() is age(x).
    return len(node.expressions) + isinstance(node.parent, exp.Dot) == 1


def _check_parts(tree: exp.Expr) -> str | None:
    for node in tree.walk():
        if isinstance(node, exp.Into | exp.Lock | exp.DDL | exp.DML) and not isinstance(node, exp.Query):
            return f"it must only read, and has {node.key.upper()}."
        if isinstance(node, exp.TableSample):
            return "a sample gives another result each time."
        if isinstance(node, exp.Parameter | exp.Placeholder | exp.SessionParameter):
            return f"it has a parameter, {node.sql(dialect='duckdb')}, and nothing fills it."
    return None


def _check_order(tree: exp.Expr) -> str | None:
    for node in tree.find_all(exp.Limit, exp.Offset):
        if node.parent is not None and not node.parent.args.get("order"):
            return "its LIMIT or OFFSET has no ORDER BY: which rows it keeps would depend on the order of files."
    for join in tree.find_all(exp.Join):
        if str(join.args.get("method") or "").upper() == "POSITIONAL":
            return "its POSITIONAL JOIN pairs rows by the order of files. Join by columns."
    return _check_windows(tree)


def _check_windows(tree: exp.Expr) -> str | None:
    """Functions that count places in a window need its order; of rows that tie in it, any may come first."""
    ordered = {
        window.name.lower() for window in tree.find_all(exp.Window) if window.args.get("order") and not window.alias
    }
    for window in tree.find_all(exp.Window):
        called = window.this
        if not isinstance(called, _BY_PLACE) or isinstance(called.this, exp.Order):
            continue
        if not window.args.get("order") and window.alias.lower() not in ordered:
            name = _function_name(called)
            return f"{name}() is over a window without ORDER BY: what it gives would depend on the order of files."
    return None


def _check_all_read(tree: exp.Expr, tables: Collection[str]) -> str | None:
    if len(tables) > 1:
        own = {one.alias.lower() for one in tree.find_all(exp.CTE)}
        hidden = [table for table in tables if table.lower() in own]
        if hidden:
            return f"its WITH calls a query `{hidden[0]}`, as a source is called. Give it another name."
    read = {table.name.lower() for table in tree.find_all(exp.Table)}
    unread = [table for table in tables if table.lower() not in read]
    if unread:
        return f"it does not read `{unread[0]}`, which is among its sources. Join it, or take it out of sources=."
    return None


def _function_name(node: exp.Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    if isinstance(node, exp.Func):
        return str(node.sql_name()).lower()
    return ""


def _statement_name(tree: exp.Expr) -> str:
    if isinstance(tree, exp.Command):
        return str(tree.this).upper()
    return tree.key.upper()


def _plain_message(error: Exception) -> str:
    # sqlglot underlines the place by terminal codes.
    lines = str(error).replace("\x1b[4m", "").replace("\x1b[0m", "").splitlines()
    return " ".join(part.strip() for part in lines[:2] if part.strip()) or type(error).__name__


def statement(sql: str) -> str:
    """The text without its closing semicolon."""
    return sql.strip().rstrip(";")


def _blame(view: FeatureView, message: str) -> TransformError:
    at = f" ({view.location})" if view.location else ""
    return TransformError(f"The transform of view {view.name!r}{at}: {message}")


def _hint(error: duckdb.Error, relations: Collection[str]) -> str:
    if isinstance(error, duckdb.BinderException | duckdb.CatalogException):
        lines = str(error).strip().splitlines()
        near = next((line.strip() for line in lines if line.startswith(("Did you mean", "Candidate bindings"))), "")
        seen = ", ".join(f"`{name}`" for name in relations)
        return f" {near}" if near else f" It sees the columns of {seen} by their names in the files."
    if isinstance(error, duckdb.ConversionException):
        return " Use try_cast where a value may not convert."
    return ""


def closed_room(con: duckdb.DuckDBPyConnection, *, lossless: bool = True) -> duckdb.DuckDBPyConnection:
    """An empty in-memory database with the limits of `con`; `feed` fills it and locks it, `leave` gives it back.

    `lossless` is whether its results keep the engine's own types (HUGEINT).
    """
    limits = (*_limits_of(con), str(lossless).lower())
    with suppress(IndexError):
        room = _waiting.pop()
        if _made_for[id(room)] == limits:
            return room
        _close(room)
    room = duckdb.connect(
        ":memory:",
        config={
            "python_enable_replacements": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "arrow_lossless_conversion": str(lossless).lower(),
        },
    )
    for setting, value in zip(_SETTINGS, limits, strict=False):
        if value and not value.endswith("of available disk space"):
            room.execute(f"SET {setting} = {text(value)}")
    room.execute("SET TimeZone = 'UTC'")
    _made_for[id(room)] = limits
    return room


def leave(room: duckdb.DuckDBPyConnection) -> None:
    """Empty a room for the next SELECT under the same limits, if none waits for it yet: making one takes 30 ms."""
    if _waiting:
        return _close(room)
    try:
        for (table,) in room.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            room.execute(f"DROP TABLE {quote(table)}")
    except duckdb.Error:
        return _close(room)  # whatever happened to it, nobody else shall have it
    return _waiting.append(room)


def _close(room: duckdb.DuckDBPyConnection) -> None:
    del _made_for[id(room)]
    room.close()


def _limits_of(con: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    return tuple(_setting(con, setting) for setting in _SETTINGS)


def feed(con: duckdb.DuckDBPyConnection, room: duckdb.DuckDBPyConnection, sql: str, tables: Mapping[str, str]) -> None:
    """Copy into the room what the SELECT can name, then lock it. `tables`: name in the room -> relation in `con`.

    Raises duckdb.Error when a relation cannot be read.
    """
    if _setting(room, "enable_external_access") != "false":
        room.execute("SET enable_external_access = false")
    before = _lossless(con, "true")
    try:
        for table, relation in tables.items():
            every = con.sql(f"SELECT * FROM {quote(relation)}").columns
            chosen = quote_all(columns_read(statement(sql), list(every)))
            reader = con.sql(f"SELECT {chosen} FROM {quote(relation)}").to_arrow_reader(_BATCH_ROWS)
            room.register("__feed", reader)
            # A copy, since a reader gives its rows once and a SELECT may read a table twice.
            room.execute(f"CREATE TABLE {quote(table)} AS SELECT * FROM __feed")
            room.unregister("__feed")
    finally:
        _lossless(con, before)
    if _setting(room, "lock_configuration") != "true":
        room.execute("SET lock_configuration = true")


def _lossless(con: duckdb.DuckDBPyConnection, value: str) -> str:
    """Set whether Arrow takes DuckDB's own types (HUGEINT) as they are; gives the value before."""
    before = _setting(con, "arrow_lossless_conversion")
    con.execute(f"SET arrow_lossless_conversion = {value}")
    return before or "false"


def _setting(con: duckdb.DuckDBPyConnection, name: str) -> str:
    """The value of a setting as text; empty if it has none."""
    # fetchall, not fetchone: a result that is not read to its end keeps the connection busy. The table of all settings would
    # take 6 ms each time.
    value = con.execute(f"SELECT current_setting({text(name)})").fetchall()[0][0]
    return (str(value).lower() if isinstance(value, bool) else str(value)) if value is not None else ""


def _refuse_others(room: duckdb.DuckDBPyConnection, sql: str, view: FeatureView) -> None:
    """The engine's own parser has the last word on what the text is."""
    kinds = [statement.type for statement in room.extract_statements(sql)]
    if kinds != [duckdb.StatementType.SELECT]:
        raise _blame(view, f"it must be one SELECT over {' or '.join(f'`{name}`' for name in view.all_sources)}.")


def _refuse_names(view: FeatureView, columns: list[str]) -> None:
    seen: set[str] = set()
    for column in columns:
        if column.lower() in seen:
            raise _blame(view, f"its result has two columns {column!r}. Give one of them another name with AS.")
        seen.add(column.lower())


def _land(con: duckdb.DuckDBPyConnection, reader: object, result: duckdb.DuckDBPyRelation, *, name: str) -> None:
    columns = ", ".join(
        f"{normal(quote(column), kind)} AS {quote(column)}"
        for column, kind in zip(result.columns, result.types, strict=True)
    )
    landing = f"__{name}_landing"
    con.register(landing, reader)
    try:
        con.execute(f"CREATE OR REPLACE TEMP TABLE {quote(name)} AS SELECT {columns} FROM {quote(landing)}")
    finally:
        con.unregister(landing)
