"""Which SQL predicates a check may have: one scalar expression over a view's keys, times and features."""

from __future__ import annotations

from collections.abc import Collection

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from hitherto.definitions.feature_view import FeatureView
from hitherto.errors import did_you_mean

TIMES = ("event_time", "created_time", "available_time")
_UNSTABLE = frozenset({
    "now", "current_timestamp", "currenttimestamp", "current_date", "currentdate", "current_time",
    "currenttime", "today", "localtime", "localtimestamp", "get_current_timestamp", "transaction_timestamp",
    "random", "rand", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "nextval", "currval", "setseed",
    "current_setting", "getvariable", "getenv", "query", "version", "current_user", "current_database",
    "sleep_ms", "read_text", "read_blob", "current_schema", "current_query", "txid_current",
    "ago", "current_localtime", "current_localtimestamp", "currentdatetime", "get_current_time", "pg_sleep", "write_log", "setval",
    "current_connection_id", "current_query_id", "current_transaction_id", "stats", "vector_type",
})  # fmt: skip


def names_of(view: FeatureView) -> tuple[str, ...]:
    """What a predicate of a view may name: its keys, features and times."""
    own = (*view.join_keys, *view.column_names)
    return (*own, *(time for time in TIMES if time not in own))


def check_predicate(predicate: str, names: Collection[str]) -> str | None:
    """What is wrong with a predicate, as the rest of a sentence; None if nothing is.

    It is one scalar expression in DuckDB's SQL over `names`: no subquery, no aggregate, no window, no clock, no chance.

    >>> check_predicate("arrival >= departure", ["arrival", "departure"])
    >>> check_predicate("arival > 0", ["arrival"])
    "it names 'arival', which is no key, time or feature. Did you mean 'arrival'?"
    """
    if not predicate.strip():
        return "it is empty."
    try:
        trees = sqlglot.parse(f"SELECT ({predicate}\n)", read="duckdb")
    except (SqlglotError, RecursionError) as error:
        return f"it cannot be read as SQL: {_first_line(error)}"
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or set(_clauses(tree)) != {"expressions"}:
        return "it must be one expression."
    found = tree.expressions[0]
    if not isinstance(found, exp.Paren):
        return "it must be one expression."
    return _check_nodes(found) or _check_names(found, names)


def _clauses(tree: exp.Select) -> list[str]:
    return [key for key, value in tree.args.items() if value and key not in ("kind", "hint")]


def _check_nodes(tree: exp.Expr) -> str | None:
    for node in tree.walk():
        if isinstance(node, exp.Query | exp.Table | exp.Exists):
            return "it has a subquery; a check looks at one row."
        if isinstance(node, exp.Window | exp.AggFunc):
            return f"it has {node.sql(dialect='duckdb')}, which looks at many rows; a check looks at one."
        if isinstance(node, exp.Star | exp.Columns | exp.Parameter | exp.Placeholder | exp.UDTF):
            return f"it has {node.sql(dialect='duckdb')}; name the columns."
        called = node.name if isinstance(node, exp.Anonymous) else node.sql_name() if isinstance(node, exp.Func) else ""
        # age(x) is the time from x until today; age(x, y) asks no clock. x.age() is age(x).
        until_now = called.lower() == "age" and len(node.expressions) + isinstance(node.parent, exp.Dot) == 1
        if called.lower() in _UNSTABLE or until_now:
            return f"{called.lower()}() gives another result each time; a check must follow from the row alone."
    return None


def _check_names(tree: exp.Expr, names: Collection[str]) -> str | None:
    known = {name.lower() for name in names}
    bound = {one.name.lower() for function in tree.find_all(exp.Lambda) for one in function.expressions}
    for column in tree.find_all(exp.Column):
        # a.b may be a field of the struct `a`.
        first = (column.parts[0].name if column.parts else column.name).lower()
        if first not in known and first not in bound:
            return f"it names {first!r}, which is no key, time or feature.{did_you_mean(first, names)}"
    return None


def _first_line(error: BaseException) -> str:
    lines = str(error).replace("\x1b[4m", "").replace("\x1b[0m", "").strip().splitlines()
    return lines[0] if lines else type(error).__name__
