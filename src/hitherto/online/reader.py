"""Lookup: the values of features for entity rows, now (semantics 4). Pure but for the one line that reads the store."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hitherto.encoding.row_codec import (
    BEHIND_HEADER,
    FORMAT,
    ROW_SEPARATOR,
    SEPARATOR,
    encode_instant,
    without_headers,
)
from hitherto.errors import ClockError, JoinKeyError, UsageError
from hitherto.online.answer import Answer, Status, ViewAnswer, unreadable
from hitherto.online.plan import LookupPlan, ViewRead, check_columns
from hitherto.online.store import OnlineStore, Read
from hitherto.timeline import to_datetime

EntityRows = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]
_FIRST_INSTANT = -(1 << 63)
_NONE: Mapping[int, Status] = {}
_NO_FIELDS: Mapping[str, list[Any]] = {}


def lookup(store: OnlineStore, plan: LookupPlan, entity_rows: EntityRows, *, now: int, json: bool = False) -> Answer:
    """The features of entity rows, in one round trip to the store.

    Args:
        store: Where the rows are.
        plan: What to read.
        entity_rows: {"airport": ["JFK", ...]} or [{"airport": "JFK"}, ...]; null keys find nothing.
        now: The instant of the request, microseconds UTC.
        json: Whether the keys come from JSON: Bytes as base64, times as text.

    Returns:
        The answer, in the order of the request, duplicates kept.

    Raises:
        JoinKeyError, KeyTypeError: The keys are not those of the plan, or not of their types.
        RequestFieldError: A field of a request source is missing, or not of its type.
        ClockError: now is before the watermark of a view.
        OnlineStoreError: The store did not answer.
    """
    request = prepare(plan, entity_rows, now=now, json=json)
    return answer(request, store.read_many(request.reads))


async def lookup_async(
    store: OnlineStore, plan: LookupPlan, entity_rows: EntityRows, *, now: int, json: bool = False
) -> Answer:
    """`lookup` that lets other tasks run while the store answers."""
    request = prepare(plan, entity_rows, now=now, json=json)
    return answer(request, await store.read_many_async(request.reads))


class Request(NamedTuple):
    """A checked request: what to read, and which of its rows each value belongs to."""

    plan: LookupPlan
    now: int
    columns: Mapping[str, Sequence[Any]]
    rows: int
    reads: list[Read]
    spread: list[Sequence[int] | None]
    """For each read: the rows that have a key, or None if all have."""
    fields: Mapping[str, list[Any]] = _NO_FIELDS
    """The request fields of on-demand feature views, in their types."""


def prepare(plan: LookupPlan, entity_rows: EntityRows, *, now: int, json: bool = False) -> Request:
    """Check a request against its plan and encode its keys."""
    if plan.watermark is not None and now < plan.watermark[0]:
        raise ClockError(plan.watermark[1], to_datetime(now), to_datetime(plan.watermark[0]))
    columns, rows = _columns(entity_rows)
    fields = _NO_FIELDS
    if plan.on_demand is not None:
        fields = plan.on_demand.take(plan, columns, json=json)
    elif columns.keys() != plan.join_keys.keys():
        check_columns(plan, list(columns))
    encoded = [_present(keying.encode(columns, json=json)) for keying in plan.keyings]
    reads: list[Read] = [(place, encoded[keying][0]) for place, keying in plan.places]
    return Request(plan, now, columns, rows, reads, [encoded[keying][1] for _, keying in plan.places], fields)


def answer(request: Request, values: Sequence[Sequence[bytes | None]]) -> Answer:
    """The answer from what the store gave for `request.reads`."""
    plan, now, columns, rows, _, spread, fields = request
    views = [
        _arrange(read, found if some is None and read.keyed else _spread(found, some, rows, alone=not read.keyed), now)
        for read, found, some in zip(plan.reads, values, spread, strict=True)
    ]
    if plan.on_demand is not None:
        views += plan.on_demand.compute(views, fields, rows=rows, now=now)
    return Answer(plan, columns, rows, views, now)


def _columns(entity_rows: EntityRows) -> tuple[Mapping[str, Sequence[Any]], int]:
    """Entity rows as columns of one length, and that length; one row if there are no columns at all."""
    if type(entity_rows) is dict and len(entity_rows) == 1:
        ((name, values),) = entity_rows.items()
        if type(values) is list:
            return {name: values}, len(values)
    # A dict is asked for first: the question whether it is a Mapping takes half a microsecond.
    if type(entity_rows) is not dict and not isinstance(entity_rows, Mapping):
        return _columns_of_rows(entity_rows)
    columns = {name: _column(name, values) for name, values in entity_rows.items()}
    lengths = {len(values) for values in columns.values()} or {1}
    if len(lengths) > 1:
        told = ", ".join(f"{name!r} has {len(values)}" for name, values in columns.items())
        raise JoinKeyError(f"The entity columns must have one length: {told}.")
    return columns, lengths.pop()


def _columns_of_rows(rows: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Sequence[Any]], int]:
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not all(isinstance(row, Mapping) for row in rows):
        raise UsageError(
            'Entity rows are a list of dicts, [{"airport": "JFK"}, ...], or a dict of lists, {"airport": ["JFK", ...]}.'
        )
    names = list(rows[0]) if rows else []
    for number, row in enumerate(rows):
        if len(row) != len(names) or any(name not in row for name in names):
            raise JoinKeyError(
                f"Entity row {number} has the keys {sorted(row)}, row 0 has {sorted(names)}: all rows need the same."
            )
    # Without rows there is one answer, as without columns: views without entities have a row for everybody.
    return {name: [row[name] for row in rows] for name in names}, len(rows) or 1


def _column(name: str, values: Any) -> Sequence[Any]:
    if isinstance(values, (list, tuple)):
        return values
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__iter__"):
        raise UsageError(f"The entity column {name!r} must be a list of values, one per row.")
    # Columns of numpy, pandas, Polars and Arrow know how to become lists of Python values.
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(values, method):
            column: list[Any] = getattr(values, method)()
            return column
    return list(values)


def _present(keys: list[bytes | None]) -> tuple[list[bytes], Sequence[int] | None]:
    if None not in keys:
        return keys, None  # type: ignore[return-value]  # no None is in it
    some = [index for index, key in enumerate(keys) if key is not None]
    return [key for key in keys if key is not None], some


def _spread(
    found: Sequence[bytes | None], some: Sequence[int] | None, rows: int, *, alone: bool
) -> Sequence[bytes | None]:
    if alone:
        return list(found) * rows
    if some is None:
        return found
    values: list[bytes | None] = [None] * rows
    for index, value in zip(some, found, strict=True):
        values[index] = value
    return values


def _arrange(read: ViewRead, values: Sequence[bytes | None], now: int) -> ViewAnswer:
    """What a read found: its stored values, with the status of each row that is not simply there."""
    exceptions: Mapping[int, Status] = _NONE
    if None in values or (values and not _are_simply_there(read, values, now)):  # type: ignore[arg-type]  # no None is in it
        values, exceptions = _replace_exceptions(read, values, now)
    text = _text(read, values, exceptions, now)  # type: ignore[arg-type]  # no None is left
    if text.count(SEPARATOR) != (read.width - 1) * len(values):
        raise unreadable(read)
    return ViewAnswer(read, text, exceptions)


def _text(read: ViewRead, values: Sequence[bytes], exceptions: Mapping[int, Status], now: int) -> bytes:
    """The rows as one text; those of a windowed view as they are at the instant."""
    if read.steps is None:
        return without_headers(values)
    try:
        rows = [
            value[BEHIND_HEADER:] if index in exceptions else read.steps.row(value, now)
            for index, value in enumerate(values)
        ]
    except (ValueError, TypeError, struct.error):
        raise unreadable(read) from None
    return ROW_SEPARATOR.join(rows)


def _are_simply_there(read: ViewRead, values: Sequence[bytes], now: int) -> bool:
    """Whether no row is too old to be shown. Raises OnlineStoreError for one of another format."""
    first = last = values[0]
    if len(values) > 1:
        first, last = min(values), max(values)
    if first[:1] != FORMAT or last[:1] != FORMAT:
        raise unreadable(read)
    return read.age is None or first[1:17] >= _threshold(now, read.age)


def _replace_exceptions(
    read: ViewRead, values: Sequence[bytes | None], now: int
) -> tuple[Sequence[bytes], dict[int, Status]]:
    """The values with rows of nulls where nothing may be shown, and why."""
    one = read.projection
    oldest_valid, oldest_kept = _threshold(now, one.ttl), _threshold(now, one.online_retention)
    rows: list[bytes] = []
    exceptions: dict[int, Status] = {}
    for index, value in enumerate(values):
        if value is None or value[1:17] < oldest_kept:
            exceptions[index] = Status.NOT_FOUND
            rows.append(read.absent)
        elif value[1:17] < oldest_valid:
            exceptions[index] = Status.OUTSIDE_MAX_AGE
            rows.append(SEPARATOR.join((*value.split(SEPARATOR, 2)[:2], read.nulls)))
        elif value[:1] != FORMAT:
            raise unreadable(read)
        else:
            rows.append(value)
    return rows, exceptions


def _threshold(now: int, age: int | None) -> bytes:
    """The oldest event time that an age allows, as a header holds it; empty, which is below all, without one."""
    return b"" if age is None else encode_instant(max(now - age, _FIRST_INSTANT))
