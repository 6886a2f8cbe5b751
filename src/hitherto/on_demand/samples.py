"""Rows made up from declared types, for looking at a function before there are real ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pyarrow as pa

from hitherto.types import (
    INTEGER_RANGES,
    Bool,
    Bytes,
    DataType,
    Date,
    DecimalType,
    ListType,
    String,
    StructType,
    Timestamp,
)

_ROWS = 24
_NUMBERS = (1, 2, 7, 0, -3, 1_009, 2_003)
"""Small and large ones, so that thresholds lie between them."""


def sample_columns(kinds: Mapping[str, DataType]) -> tuple[dict[str, pa.Array], int]:
    """(name -> a column in its type, how many rows): few different values, which come again beside others of the other columns, with nulls
    between them.
    """
    columns = {}
    for position, (name, kind) in enumerate(kinds.items()):
        columns[name] = pa.array(
            [
                None if (row + 5 * position) % 7 == 3 else _value(kind, _hashed(row, position) % 7)
                for row in range(_ROWS)
            ],
            kind.arrow,
        )
    return columns, _ROWS


def orders(rows: int) -> list[list[int]]:
    """Some orders of rows: as they are, from the end, and scattered."""
    every = list(range(rows))
    return [every, every[::-1], *(sorted(every, key=lambda row: _hashed(row, seed)) for seed in (101, 102))]


def _hashed(row: int, seed: int) -> int:
    # Without any pattern over rows or seeds, and the same each time.
    return int.from_bytes(sha256(b"%d of %d" % (row, seed)).digest()[:8])


def _value(kind: DataType, number: int) -> Any:
    if isinstance(kind, ListType):
        return [_value(kind.element, number + one) for one in range(number % 3)]
    if isinstance(kind, StructType):
        return {name: _value(inner, number) for name, inner in kind.fields}
    if isinstance(kind, DecimalType):
        return Decimal(number % 10).scaleb(-kind.scale)
    if kind.is_number:
        value = _NUMBERS[number % len(_NUMBERS)]
        low, high = INTEGER_RANGES.get(kind, (value, value))
        return min(max(value, low), high)
    plain: dict[DataType, Any] = {
        Bool: number % 2 == 0,
        String: "abcdefgh"[number % 8],
        Bytes: b"abcdefgh"[number % 8 :],
        Date: date(2020, 1, 1 + number % 28),
        Timestamp: datetime(2020, 1, 1 + number % 28, number % 24, tzinfo=UTC),
    }
    return plain[kind]
