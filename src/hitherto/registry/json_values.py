"""Values of definitions as JSON and back: bounds of checks, defaults. What JSON has no type for has a tag (`{"$date": "2013-01-01"}`)."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import math
from collections.abc import Callable, Mapping
from typing import Any

from hitherto.errors import DefinitionError, Location, Problem
from hitherto.timeline import micros


def write_value(value: Any, what: str = "", location: Location | None = None) -> Any:
    """A value of a definition as JSON, with a tag where JSON has no such type. Raises DefinitionError, which names `what`."""
    if hasattr(value, "dtype") and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()  # a scalar of NumPy
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
    for kind, tag, write in _TAGS:
        if isinstance(value, kind):
            return {tag: write(value)}
    if isinstance(value, tuple):
        return [write_value(one, what, location) for one in value]
    if isinstance(value, list):
        return {"$list": [write_value(one, what, location) for one in value]}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"$map": [[key, write_value(one, what, location)] for key, one in value.items()]}
    raise DefinitionError(
        [
            Problem(
                f"it has a value of type {type(value).__name__}, which cannot be stored; use numbers, texts, bytes, dates, "
                "datetimes, timedeltas, decimals or lists of these.",
                what,
                location,
            )
        ]
    )


# datetime before date, of which it is a kind.
_TAGS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (dt.datetime, "$datetime", lambda value: value.isoformat()),
    (dt.date, "$date", lambda value: value.isoformat()),
    (dt.timedelta, "$micros", micros),
    (decimal.Decimal, "$decimal", str),
    (bytes, "$bytes", lambda value: base64.b64encode(value).decode("ascii")),
)


def read_value(value: Any) -> Any:
    """The value that `write_value` wrote."""
    if isinstance(value, list):
        return tuple(read_value(one) for one in value)
    if not isinstance(value, Mapping):
        return value
    ((tag, inner),) = value.items()
    return _UNTAG[tag](inner)


_UNTAG: dict[str, Callable[[Any], Any]] = {
    "$float": float,
    "$datetime": dt.datetime.fromisoformat,
    "$date": dt.date.fromisoformat,
    "$micros": lambda value: dt.timedelta(microseconds=value),
    "$decimal": decimal.Decimal,
    "$bytes": base64.b64decode,
    "$list": lambda values: [read_value(one) for one in values],
    "$map": lambda pairs: {key: read_value(one) for key, one in pairs},
}
