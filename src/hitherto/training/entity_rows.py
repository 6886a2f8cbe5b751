"""Entity rows as users have them -> the rows that the engine answers: time and typed keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NoReturn

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as at

from hitherto.errors import JoinKeyError, KeyTypeError, UnknownNameError, UsageError
from hitherto.timeline import MAX_INSTANT, MIN_INSTANT
from hitherto.types import DataType, Timestamp


def engine_rows(entity: pa.Table, *, timestamp_field: str, keys: Mapping[str, DataType], views: str) -> pa.Table:
    """`__time` and the key columns, typed as their entities declare.

    Args:
        entity: The user's rows, untouched.
        timestamp_field: Its column of times.
        keys: Entity column -> type.
        views: Who needs the keys, for messages.

    Raises:
        UnknownNameError: There is no such time column.
        JoinKeyError: A key column is missing.
        KeyTypeError: A key column, or a value in it, cannot be its type.
        UsageError: The times are none, or two key columns cannot be told apart in SQL.
    """
    check_columns(entity, timestamp_field=timestamp_field, keys=keys, views=views)
    _refuse_same_letters(keys)
    columns = {"__time": times(entity.column(timestamp_field), timestamp_field)}
    for name, kind in keys.items():
        columns[name] = key_column(entity.column(name), name, kind)
    return pa.table(columns)


def check_columns(entity: pa.Table, *, timestamp_field: str, keys: Mapping[str, DataType], views: str) -> None:
    """Refuse entity rows without the columns that are needed; arguments and errors as in `engine_rows`."""
    if timestamp_field not in entity.column_names:
        raise UnknownNameError(
            "column", timestamp_field, entity.column_names, where="the entity rows (timestamp_field)"
        )
    missing = [name for name in keys if name not in entity.column_names]
    if missing:
        raise JoinKeyError(
            f"The entity rows have no column {missing[0]!r}, a join key of {views}. Their columns: {', '.join(entity.column_names)}."
        )


def _refuse_same_letters(columns: Iterable[str]) -> None:
    seen: dict[str, str] = {"__row": "__row", "__time": "__time"}
    for column in columns:
        other = seen.setdefault(column.lower(), column)
        if other != column or column in ("__row", "__time"):
            what = (
                f"{other!r} and {column!r} differ only in case"
                if other != column
                else f"{column!r} is a name of our own"
            )
            raise UsageError(f"The key columns of the entity rows cannot be told apart in SQL: {what}. Rename one.")


def times(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Times as TIMESTAMP microseconds UTC, floored; naive ones are UTC (semantics 1)."""
    kind = column.type
    if at.is_dictionary(kind):
        column, kind = _values(column), kind.value_type
    if at.is_date(kind) or at.is_null(kind):
        column, kind = column.cast(pa.timestamp("us")), pa.timestamp("us")
    if not at.is_timestamp(kind):
        raise UsageError(
            f"The column {name!r} of the entity rows has type {kind}, not timestamps. "
            "Convert it first: pandas.to_datetime(frame[column], utc=True), or cast(column as timestamp) in SQL."
        )
    return floored_times(column, name)


def _values(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A dictionary's values in place of their numbers."""
    kind = column.type.value_type
    # Arrow cannot take from the views that Polars writes its categories as.
    plain = pa.large_string() if at.is_string_view(kind) else kind
    return column.cast(pa.dictionary(column.type.index_type, plain)).cast(plain)


def floored_times(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Timestamps of any unit as TIMESTAMP microseconds, floored. Raises UsageError outside the years 1 to 9999."""
    try:
        micros = floored_micros(column)
    except pa.ArrowInvalid:
        micros = None
    bounds = None if micros is None else pc.min_max(micros)
    if bounds is None or (
        bounds["min"].is_valid and (bounds["min"].as_py() < MIN_INSTANT or bounds["max"].as_py() > MAX_INSTANT)
    ):
        raise UsageError(f"The column {name!r} of the entity rows holds times outside the years 1 to 9999.")
    return micros.cast(pa.timestamp("us"))


def floored_micros(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Timestamps of any unit as int64 microseconds; finer ones are floored, also before 1970."""
    numbers = column.cast(pa.timestamp(column.type.unit)).cast(pa.int64())
    if column.type.unit == "ns":
        whole = pc.divide(numbers, 1000)
        # Integer division truncates toward zero; below zero that would round up, into the future.
        below = pc.and_(pc.less(numbers, 0), pc.not_equal(pc.multiply(whole, 1000), numbers))
        return pc.subtract(whole, below.cast(pa.int64()))
    return pc.multiply_checked(numbers, {"s": 1_000_000, "ms": 1_000, "us": 1}[column.type.unit])


def key_column(column: pa.ChunkedArray, name: str, kind: DataType) -> pa.ChunkedArray:
    """A key column in its declared type; whole floats (pandas' integers beside nulls) are integers, NaN is no key."""
    actual = column.type.value_type if at.is_dictionary(column.type) else column.type
    if at.is_dictionary(column.type):
        column = _values(column)
    if at.is_null(actual):
        return column.cast(kind.arrow)
    if not _fits(actual, kind):
        _refuse(name, actual, kind)
    if kind == Timestamp:
        return floored_times(column, name)
    if at.is_floating(actual):
        column = pc.if_else(pc.is_nan(column), None, column)
    try:
        return column.cast(kind.arrow)
    except pa.ArrowInvalid:
        _refuse(name, actual, kind)


def _fits(actual: pa.DataType, kind: DataType) -> bool:
    if kind.is_integer:
        return bool(at.is_integer(actual) or at.is_floating(actual))
    tests = {
        "Bool": (at.is_boolean,),
        "String": (at.is_string, at.is_large_string, at.is_string_view),
        "Bytes": (at.is_binary, at.is_large_binary, at.is_fixed_size_binary, at.is_binary_view),
        "Date": (at.is_date,),
        "Timestamp": (at.is_timestamp,),
    }
    return any(test(actual) for test in tests[kind.name])


def _refuse(name: str, actual: pa.DataType, kind: DataType) -> NoReturn:
    raise KeyTypeError(
        f"The column {name!r} of the entity rows has type {actual}; as a join key it is {kind!r}. Some of its values do not fit."
    )
