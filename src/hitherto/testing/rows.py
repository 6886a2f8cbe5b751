"""Rows that a test writes down, as the table that a source's file would hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from numbers import Number
from typing import Any, TypeAlias

import pyarrow as pa

from hitherto import frames
from hitherto.errors import UsageError, did_you_mean
from hitherto.sources.arrow_types import is_list, widen
from hitherto.timeline import instant, to_datetime
from hitherto.types import DataType, Date, Timestamp

TIME = Timestamp
"""What the times of rows are typed as."""


Rows: TypeAlias = list[Mapping[str, Any]] | pa.Table
"""Rows as they are taken: dicts stay dicts until it is known what their columns are declared as."""


def taken(rows: Any) -> Rows:
    """Rows from a list or an iterator of dicts, or from any frame that `frames.to_arrow` takes.

    Raises:
        UsageError: Anything else.
    """
    if isinstance(rows, Iterator) and not hasattr(rows, "__arrow_c_stream__"):
        rows = list(rows)
    if isinstance(rows, list | tuple) and all(isinstance(row, Mapping) for row in rows):
        return list(rows)
    if isinstance(rows, list | tuple | Mapping):
        raise UsageError(f"Rows are a list of dicts, or {frames.ACCEPTED}.")
    return frames.to_arrow(rows)


def to_table(rows: Rows, *, what: str, kinds: Mapping[str, DataType], before: pa.Schema | None = None) -> pa.Table:
    """Rows as an Arrow table: frames as they are, dicts with their columns typed.

    Args:
        rows: As they are taken. What a dict lacks is null.
        what: Whose rows they are, for messages.
        kinds: Declared types of columns. Values that do not fit one are typed by what they are, and the gate judges them.
        before: What earlier rows were typed as: values that fit go by it.

    Raises:
        UsageError: A column that has no one type. Values are never shown.
    """
    if isinstance(rows, pa.Table):
        return rows
    names = list(dict.fromkeys(name for row in rows for name in row))
    strangers = [name for name in names if not isinstance(name, str)]
    if strangers:
        raise UsageError(f"A column of the rows for {what} is called {strangers[0]!r}; names are texts.")
    columns = [_column([row.get(name) for row in rows], name, what, kinds.get(name), before) for name in names]
    return pa.table(columns, names=names)


def missing_columns(rows: Rows, needed: Collection[str]) -> list[tuple[str, int | None]]:
    """The needed columns that rows lack, each with the first row that lacks it; None where all do."""
    if isinstance(rows, pa.Table):
        names = {name.lower() for name in rows.column_names}
        return [(name, None) for name in needed if name.lower() not in names]
    every = dict.fromkeys([*needed, *(name for row in rows for name in row)])
    found = []
    for name in every:
        without = [at for at, row in enumerate(rows) if name not in row]
        if without:
            found.append((name, without[0] if len(without) < len(rows) else None))
    return found


def complaint(missing: Sequence[tuple[str, int | None]], rows: Rows, *, what: str, readers: Mapping[str, str]) -> str:
    """What to say about missing columns: which, who reads them, what to do."""
    given = rows.column_names if isinstance(rows, pa.Table) else [name for row in rows for name in row]
    parts = []
    for name, at in missing:
        place = "there is no" if at is None else f"row {at} has no"
        reader = f", which {readers[name]} reads" if name in readers else ""
        hint = did_you_mean(name, given) if at is None else ""
        parts.append(f"{place} column {name!r}{reader}.{hint if 'Did you mean' in hint else ''}")
    return (
        f"The rows for {what} are not whole: {' '.join(parts)} Give every row all columns, "
        "or partial=True, which takes null for what is absent."
    )


def with_nulls(table: pa.Table, needed: Iterable[str], kinds: Mapping[str, DataType]) -> pa.Table:
    """The table with the needed columns that it lacks, all null."""
    for name in needed:
        if name not in table.column_names:
            kind = kinds[name].arrow if name in kinds else pa.null()
            table = table.append_column(name, pa.nulls(table.num_rows, kind))
    return table


def in_common(one: pa.Schema, other: pa.Schema) -> dict[str, pa.DataType]:
    """The columns that are whole numbers in one of two schemas and real numbers in the other, with the type for both."""
    found = {}
    for field in other:
        before = one.field(field.name).type if field.name in one.names else field.type
        if widen(before, field.type) is None:
            both = widen(_real(before), _real(field.type))
            if both is not None:
                found[field.name] = both
    return found


def retyped(table: pa.Table, kinds: Mapping[str, pa.DataType]) -> pa.Table:
    """The table with columns of other types.

    Raises:
        ArrowInvalid: A whole number that no real number is equal to.
    """
    fields = [field.with_type(kinds.get(field.name, field.type)) for field in table.schema]
    return table.cast(pa.schema(fields))


def _real(kind: pa.DataType) -> pa.DataType:
    """A type with real numbers in place of whole ones."""
    if is_list(kind):
        return pa.list_(_real(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([inner.with_type(_real(inner.type)) for inner in kind])
    return pa.float64() if pa.types.is_integer(kind) else kind


def read_texts(row: Mapping[str, Any], kinds: Mapping[str, DataType]) -> dict[str, Any]:
    """An entity row whose texts are taken as instants and dates where its columns are declared as such."""
    return {
        name: _read([value], _READERS[kinds[name]])[0] if kinds.get(name) in _READERS else value
        for name, value in row.items()
    }


def _column(
    values: list[Any], name: str, what: str, kind: DataType | None, before: pa.Schema | None
) -> pa.Array | pa.ChunkedArray:
    """One column: of the declared type, of the type that it had before, or of its own, whichever is the first to fit."""
    known = before.field(name).type if before is not None and name in before.names else None
    reader = _READERS.get(kind) if kind is not None else None
    if reader is not None:
        values = _read(values, reader)
    wanted = [kind.arrow] if kind is not None else []
    for one in [*wanted, *([known] if known is not None else []), None]:
        try:
            column = pa.array(values, type=one)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            continue
        if all(_keeps(value, column.type) for value in values):
            return column
    raise UsageError(f"Column {name!r} of the rows for {what} has no one type. Give all its values as one, or as null.")


def _keeps(value: Any, kind: pa.DataType) -> bool:
    """Whether a value that Arrow takes as a type is still itself then: Arrow makes 5 of 5.7, and a day of an instant."""
    if value is None:
        return True
    if is_list(kind):
        return all(_keeps(one, kind.value_type) for one in value)
    if pa.types.is_struct(kind):
        # A struct may be given as pairs too; Arrow has taken them as they are.
        given = dict(value)
        return all(_keeps(given.get(inner.name), inner.type) for inner in kind)
    if pa.types.is_integer(kind):
        return bool(value == int(value))
    if pa.types.is_floating(kind):
        lost = kind == pa.float32() and math.isinf(pa.scalar(value, kind).as_py()) != math.isinf(value)
        return not (lost or isinstance(value, bool))
    if pa.types.is_date(kind) and isinstance(value, datetime):
        return value.timetz() == time()
    return not (pa.types.is_temporal(kind) and isinstance(value, Number))


def _read(values: list[Any], reader: Callable[[Any], Any]) -> list[Any]:
    """Texts and dates as what they say, where all of them can be read; else as they are, for the gate to judge."""
    try:
        return [None if value is None else reader(value) for value in values]
    except (ValueError, TypeError, UsageError):
        return values


def _instant(value: Any) -> Any:
    """An instant as everywhere in data: without a zone it is UTC (semantics 1)."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return to_datetime(instant(value)) if isinstance(value, str | date) else value


_READERS: Mapping[DataType, Callable[[Any], Any]] = {
    Timestamp: _instant,
    Date: lambda value: date.fromisoformat(value) if isinstance(value, str) else value,
}
