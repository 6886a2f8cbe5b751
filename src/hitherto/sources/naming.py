"""Which columns of its source a transform needs, as far as its text says: what rows that somebody writes by hand have to have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope

from hitherto.definitions.relations import AVAILABLE_TIME


def columns_of(sql: str, table: str, result: Sequence[str]) -> list[str]:
    """The columns of a table that a transform needs.

    Args:
        sql: The transform.
        table: A table that it reads, in small letters.
        result: The columns that its result must have; where a star is to bring them, they are the table's. The star of a
            join brings them from any of its tables, so that it asks none of them for one.

    >>> columns_of("select *, delay / 60 as hours from source where carrier = 'UA'", "source", ["airport", "hours"])
    ['delay', 'carrier', 'airport']
    """
    try:
        scopes = traverse_scope(sqlglot.parse_one(sql, read="duckdb"))
    except (SqlglotError, RecursionError):
        return []  # the run says what is wrong with it
    found = [column for scope in scopes for column in _read_in(scope, table)]
    if any(_has_star(scope, table) for scope in scopes):
        made = {name for scope in scopes for name in (*_made(scope), *_of_others(scope, table))}
        found += [column for column in result if column not in made]
    return [column for column in dict.fromkeys(found) if column != AVAILABLE_TIME]


def _read_in(scope: Scope, table: str) -> Iterator[str]:
    """The columns that one SELECT takes from the table: those it names with it, and without, if it reads nothing else."""
    here = _aliases(scope, table)
    made = set(_made(scope))
    for column in scope.columns if here else ():
        # A name that the SELECT itself gives to something else may mean that.
        if column.table in here or (not column.table and len(scope.sources) == 1 and column.name not in made):
            yield column.name


def _aliases(scope: Scope, table: str) -> set[str]:
    return {
        name
        for name, one in scope.sources.items()
        if isinstance(one, exp.Table) and one.name.lower() == table and not one.db
    }


def _has_star(scope: Scope, table: str) -> bool:
    here = _aliases(scope, table)
    stars = [one for one in _selected(scope) if one.is_star]
    # `t.*` is a column without a name.
    return any(one.table in here if isinstance(one, exp.Column) else here and len(scope.sources) == 1 for one in stars)


def _of_others(scope: Scope, table: str) -> Iterator[str]:
    """The names of the result that a SELECT says to be of other tables."""
    here = _aliases(scope, table)
    for one in _selected(scope):
        column = one.this if isinstance(one, exp.Alias) else one
        if isinstance(column, exp.Column) and column.table and column.table not in here:
            yield one.alias_or_name


def _selected(scope: Scope) -> list[exp.Expr]:
    return scope.expression.selects if isinstance(scope.expression, exp.Query) else []


def _made(scope: Scope) -> Iterator[str]:
    """The names that a SELECT gives to what does not read a column of that name (as `delay / 60 as delay` does)."""
    for one in _selected(scope):
        if isinstance(one, exp.Alias) and all(inner.name != one.alias for inner in one.this.find_all(exp.Column)):
            yield one.alias
