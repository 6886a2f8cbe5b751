"""Row checks as SQL: for each, the condition that is true for a row that breaks it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb

from hitherto.definitions.expectation import Expectation, Severity
from hitherto.definitions.feature_view import FeatureView
from hitherto.definitions.field import Field
from hitherto.sql import quote, text
from hitherto.types import Bytes, DataType, ListType, String
from hitherto.validation.literals import LiteralError, literal
from hitherto.validation.predicate import check_predicate, names_of


@dataclass(frozen=True)
class RowCheck:
    """One condition of the mask."""

    name: str
    field: str | None
    severity: Severity
    broken: str
    """SQL over the typed columns; true for a row that breaks the check (null and false hold)."""
    reason: str
    """What the quarantine says; it never holds a row's value."""
    at_least: float | None = None
    declared: bool = True
    """False for what is always checked: keys, times and types."""


def declared_checks(view: FeatureView) -> tuple[RowCheck, ...]:
    """The row checks of a view, those of the fields first, in the order of definition. Raises LiteralError."""
    return tuple(_declared(view))


def _declared(view: FeatureView) -> Iterator[RowCheck]:
    for field in view.schema:
        for expectation in field.expect:
            yield _row_check(expectation, field)
    for expectation in view.expect:
        if expectation.is_row_check:
            yield _row_check(expectation, None)


def _row_check(expectation: Expectation, field: Field | None) -> RowCheck:
    subject = f"feature {field.name!r}" if field else "the row"
    return RowCheck(
        name=expectation.name,
        field=field.name if field else None,
        severity=expectation.severity,
        broken=broken_sql(expectation, field),
        reason=f"{subject} breaks {expectation.name}",
        at_least=expectation.at_least,
    )


def broken_sql(expectation: Expectation, field: Field | None) -> str:
    """The condition of an expectation over the typed columns. Raises LiteralError for a bound of another type."""
    bounds = expectation.bounds
    if expectation.kind == "sql":
        return f"NOT ({bounds['predicate']}\n)"
    assert field is not None  # rules of definitions: only sql stands on a view
    column, kind = quote(field.name), field.dtype
    if expectation.kind == "not_null":
        return f"{column} IS NULL"
    if expectation.kind == "between":
        return _outside(column, kind, bounds["low"], bounds["high"])
    if expectation.kind == "is_in":
        constants = [constant for value in bounds["values"] if (constant := literal(kind, value)) is not None]
        return f"{column} NOT IN ({', '.join(constants)})" if constants else f"{column} IS NOT NULL"
    if expectation.kind == "matches":
        if kind != String:
            raise LiteralError(f"only a String matches a pattern, not {kind.name}")
        return f"NOT regexp_full_match({column}, {text(bounds['pattern'])})"
    if expectation.kind == "length":
        return _length_outside(column, kind, bounds["low"], bounds["high"])
    # unique: a window, which costs a sort or a hash of the column; it is there only when declared.
    return f"{column} IS NOT NULL AND count(*) OVER (PARTITION BY {column}) > 1"


def _outside(column: str, kind: DataType, low: object, high: object) -> str:
    least = literal(kind, low, side="low") if low is not None else None
    most = literal(kind, high, side="high") if high is not None else None
    if most is None and kind.is_float:
        # NaN is above every number to DuckDB, infinity included, and outside of every bound to us.
        most = f"CAST('inf' AS {kind.sql})"
    if least is not None and most is not None:
        return f"{column} NOT BETWEEN {least} AND {most}"
    return f"{column} < {least}" if least is not None else f"{column} > {most}"


def _length_outside(column: str, kind: DataType, low: int | None, high: int | None) -> str:
    if kind == String:
        measured = f"length({column})"
    elif kind == Bytes:
        measured = f"octet_length({column})"
    elif isinstance(kind, ListType):
        measured = f"len({column})"
    else:
        raise LiteralError(f"a {kind.name} has no length")
    parts = [f"{measured} < {int(low)}"] if low is not None else []
    return " OR ".join([*parts, f"{measured} > {int(high)}"] if high is not None else parts)


def check_expectations(view: FeatureView, con: duckdb.DuckDBPyConnection | None = None) -> tuple[str, ...]:
    """What is wrong with a view's row checks: bounds of another type, patterns and predicates that cannot be read.

    `con` is where the rows are about to be checked, if they are; otherwise DuckDB is asked in a closed database.
    """
    problems: list[str] = []
    conditions: list[tuple[str, str]] = []
    for subject, expectation, field in _all(view):
        at = f" ({expectation.location})" if expectation.location else ""
        shown = f"{subject}: {expectation.name}{at}: "
        problem = _problem(view, expectation, field)
        if problem is not None:
            problems.append(shown + problem)
            continue
        conditions.append((shown, _trial(expectation, field)))
    if not conditions:
        return tuple(problems)
    if con is not None:
        return (*problems, *_refused(con, view, conditions))
    with duckdb.connect(":memory:", config={"enable_external_access": "false"}) as closed:
        return (*problems, *_refused(closed, view, conditions))


def _trial(expectation: Expectation, field: Field | None) -> str:
    """What DuckDB is asked to take: true or false over columns of the declared types."""
    if expectation.kind == "sql":
        return f"({expectation.bounds['predicate']}\n)"
    if expectation.kind == "matches":  # a constant, since over no rows a pattern is never read
        return f"regexp_full_match('', {text(expectation.bounds['pattern'])})"
    return broken_sql(expectation, field)


def _all(view: FeatureView) -> Iterator[tuple[str, Expectation, Field | None]]:
    for field in view.schema:
        yield from ((f"feature {field.name!r}", expectation, field) for expectation in field.expect)
    yield from ((f"view {view.name!r}", expectation, None) for expectation in view.expect if expectation.is_row_check)


def _problem(view: FeatureView, expectation: Expectation, field: Field | None) -> str | None:
    if expectation.severity == "nullify" and field is None:
        return "nullify makes one value null, so it goes into a Field's expect=[...]."
    if expectation.kind == "sql":
        return check_predicate(expectation.bounds["predicate"], names_of(view))
    if expectation.kind == "unique" and field is not None and field.dtype.is_nested:
        return f"it is for plain values, not {field.dtype.name}."
    try:
        broken_sql(expectation, field)
    except LiteralError as error:
        return f"{error}."
    return None


def _refused(con: duckdb.DuckDBPyConnection, view: FeatureView, conditions: Sequence[tuple[str, str]]) -> list[str]:
    """What DuckDB says to the conditions over columns of the declared types; all at once, one by one if that fails."""
    columns = {**view.join_keys, **{one.name: one.dtype for one in view.schema}}
    typed = [f"CAST(NULL AS {kind.sql}) AS {quote(name)}" for name, kind in columns.items()]
    typed += [f"CAST(NULL AS TIMESTAMP) AS {quote(name)}" for name in names_of(view) if name not in columns]

    def refusal(chosen: Sequence[str]) -> str | None:
        try:
            found = con.sql(f"SELECT {', '.join(chosen)} FROM (SELECT {', '.join(typed)})")
            found.fetchall()
        except duckdb.Error as error:
            return f"DuckDB refuses it: {str(error).strip().splitlines()[0]}"
        other = next((kind for kind in found.types if kind.id not in ("boolean", "null")), None)
        return f"it gives {other}, not true or false." if other is not None else None

    if refusal([condition for _, condition in conditions]) is None:
        return []
    answers = [(shown, refusal([condition])) for shown, condition in conditions]
    return [shown + answer for shown, answer in answers if answer is not None]
