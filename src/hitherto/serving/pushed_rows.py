"""Rows pushed as JSON, as an Arrow table of the view's declared types; strict, because nobody looks at a push."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from hitherto.definitions.feature_view import FeatureView
from hitherto.encoding.key_codec import check_key
from hitherto.encoding.row_codec import decode_column, encode_fragment
from hitherto.errors import HithertoError, KeyTypeError, did_you_mean
from hitherto.serving.problems import Refusal
from hitherto.timeline import MAX_INSTANT, MIN_INSTANT, instant
from hitherto.types import Bytes, DataType, Timestamp

JsonRow = Mapping[str, msgspec.Raw]


class PushBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a push."""

    feature_view: str
    rows: list[dict[str, msgspec.Raw]]
    """Each with all columns of the view's source, or of its transform's result; null where there is no value."""


def to_table(view: FeatureView, rows: Sequence[JsonRow]) -> pa.Table:
    """The rows as the table that `FeatureStore.push` takes.

    Args:
        view: Whose rows they are.
        rows: Column -> JSON value, in the forms of semantics 8: Bytes base64, times RFC 3339, Decimal as text.

    Raises:
        Refusal: A column is missing or unknown (422).
        KeyTypeError: A key is not of its type; names it, never its value.
    """
    times = view.source.time_columns
    features = {field.column: field.dtype for field in view.schema}
    keys = view.join_keys
    known = [*dict.fromkeys((*keys, *times, *features))]
    for number, row in enumerate(rows):
        _check_columns(number, row, known)
    columns: dict[str, pa.Array] = {}
    for name in known:
        fragments = [bytes(row[name]) for row in rows]
        kind = keys.get(name) or features.get(name) or Timestamp
        try:
            values = _keys(name, kind, fragments) if name in keys else _values(kind, fragments, time=name in times)
            columns[name] = pa.array(values, type=(Timestamp if name in times else kind).arrow)
        except KeyTypeError:
            raise
        except (HithertoError, pa.ArrowException, ValueError, TypeError, ArithmeticError, LookupError, AttributeError):
            raise Refusal(422, "data", f"A value of column {name!r} is not the JSON of {kind!r}.") from None
    return pa.table(columns)


def _check_columns(number: int, row: JsonRow, known: Sequence[str]) -> None:
    for name in row:
        if name not in known:
            raise Refusal(
                422,
                "data",
                f"Row {number} has a column {name!r}, which the view does not take.{did_you_mean(name, known)}",
            )
    for name in known:
        if name not in row:
            raise Refusal(422, "data", f"Row {number} has no column {name!r}. Give null where there is no value.")


def _keys(name: str, kind: DataType, fragments: Sequence[bytes]) -> list[Any]:
    parsed: list[Any] = _parse(fragments)
    return [check_key(kind, value, key=name, json=True) for value in parsed]


def _values(kind: DataType, fragments: Sequence[bytes], *, time: bool) -> list[Any]:
    if time:
        return [None if value is None else _micros(value) for value in _parse(fragments)]
    values = decode_column(kind, fragments)
    # The codec knows what fits a type without loss; Arrow would take a bool for a number.
    again = [encode_fragment(kind, value) for value in values]
    if Bytes.name in kind.name and _parse(again) != _parse(fragments):
        # Decoding skips what is no base64.
        raise ValueError
    return values


def _micros(value: Any) -> int:
    if not isinstance(value, str):
        raise TypeError
    micros = instant(value)
    if not MIN_INSTANT <= micros <= MAX_INSTANT:
        raise ValueError
    return micros


def _parse(fragments: Sequence[bytes]) -> list[Any]:
    parsed: list[Any] = msgspec.json.decode(b"[" + b",".join(fragments) + b"]")
    return parsed
