"""Rows made up from declared types, for looking at a function before there are real ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from hitherto.types import Bool, Bytes, DataType, Date, DecimalType, ListType, String, StructType, Timestamp

_ROWS = 5


def sample_columns(kinds: Mapping[str, DataType]) -> tuple[dict[str, pa.Array], int]:
    """(name -> a column in its type, how many rows): different values, and one null in each column, not all in one row."""
    columns = {}
    for position, (name, kind) in enumerate(kinds.items()):
        values = [_value(kind, row + position) for row in range(_ROWS)]
        values[position % _ROWS] = None
        columns[name] = pa.array(values, kind.arrow)
    return columns, _ROWS


def _value(kind: DataType, number: int) -> Any:
    if isinstance(kind, ListType):
        return [_value(kind.element, number + one) for one in range(number % 3)]
    if isinstance(kind, StructType):
        return {name: _value(inner, number) for name, inner in kind.fields}
    if isinstance(kind, DecimalType):
        return Decimal(number % 10).scaleb(-kind.scale)
    if kind.is_number:
        return (number * 7) % 11 + 1
    plain: dict[DataType, Any] = {
        Bool: number % 2 == 0,
        String: "abcdefgh"[number % 8],
        Bytes: b"abcdefgh"[number % 8 :],
        Date: date(2020, 1, 1 + number % 28),
        Timestamp: datetime(2020, 1, 1 + number % 28, number % 24, tzinfo=UTC),
    }
    return plain[kind]
