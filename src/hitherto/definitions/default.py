"""Default: the value that is answered where there is none (semantics 4), taken and checked when it is declared."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from hitherto.encoding.numbers import float32_text
from hitherto.encoding.row_codec import decode_column, encode_fragment
from hitherto.errors import UsageError
from hitherto.types import DataType, Float32, ListType, StructType, Timestamp


def taken(kind: DataType, value: Any) -> Any:
    """The value as answers have it: of a Float64 always a float, of a Decimal with its full scale.

    Raises:
        ValueError: It is no value of the type, or would not survive as one.

    >>> from hitherto.types import Float64
    >>> taken(Float64, 0)
    0.0
    """
    try:
        fragment = encode_fragment(kind, value)
    except UsageError:
        raise ValueError(f"default={value!r} is not a value of {kind!r}.") from None
    _refuse_loss(kind, value)
    return decode_column(kind, [fragment])[0]


def _refuse_loss(kind: DataType, value: Any) -> None:
    """What the codec takes and changes: it fits the type already."""
    if value is None:
        return
    if isinstance(kind, ListType):
        if not isinstance(value, list | tuple):
            raise ValueError(f"default={value!r} is not a list.")
        for one in value:
            _refuse_loss(kind.element, one)
    elif isinstance(kind, StructType):
        for name, inner in kind.fields:
            _refuse_loss(inner, value.get(name))
    elif kind == Float32 and math.isfinite(value) and not _is_float32(value):
        raise ValueError(f"default={value!r} has more digits than a Float32 holds.")
    elif kind == Timestamp and isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError(f"default={value!r} has no time zone; write .replace(tzinfo=timezone.utc), if it is UTC.")


def _is_float32(value: float) -> bool:
    """Whether a number is a float, or the decimal that one is shown as: 0.1, though no float is a tenth."""
    text = float32_text(value)
    return value in (decode_column(Float32, [text.encode()])[0], float(text.strip('"')))
