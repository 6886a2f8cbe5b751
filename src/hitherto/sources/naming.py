"""Which columns of its source a transform needs, as far as its text says: what rows that somebody writes by hand have to have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope


def columns_of(sql: str, table: str, result: Sequence[str]) -> list[str]:
    """The columns of a table that a transform needs.

    Args:
        sql: The transform.
        table: A table that it reads, in small letters.
        result: The columns that its result must have; where a star is to bring them, they are the table's.

    >>> columns_of("select *, delay / 60 as hours from source where carrier = 'UA'", "source", ["airport", "hours"])
    ['delay', 'carrier', 'airport']
    """
    try:
        scopes = traverse_scope(sqlglot.parse_one(sql, read="duckdb"))
    except (SqlglotError, RecursionError):
        return []  # the run says what is wrong with it
    found = [column for scope in scopes for column in _read_in(scope, table)]
    if any(_has_star(scope, table) for scope in scopes):
        made = {name for scope in scopes for name in _made(scope)}
        found += [column for column in result if column not in made]
    return list(dict.fromkeys(found))


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
    selected = scope.expression.selects if isinstance(scope.expression, exp.Query) else ()
    return bool(_aliases(scope, table)) and any(one.is_star for one in selected)


def _made(scope: Scope) -> Iterator[str]:
    """The names that a SELECT gives to what does not read a column of that name (as `delay / 60 as delay` does)."""
    for one in scope.expression.selects if isinstance(scope.expression, exp.Query) else ():
        if isinstance(one, exp.Alias) and all(inner.name != one.alias for inner in one.this.find_all(exp.Column)):
            yield one.alias
