"""Explain one row: which source row answered, when it happened and became known, or the rule that made it null."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hitherto.errors import UnknownNameError
from hitherto.timeline import duration_text, rfc3339, to_datetime


@dataclass(frozen=True)
class ViewExplanation:
    """One view's part of the answer to one entity row. Times are aware datetimes."""

    view: str
    key: Mapping[str, Any]
    values: Mapping[str, Any]
    statuses: Mapping[str, str]
    """As a lookup at the row's time would give them."""
    event_time: datetime | None
    created_time: datetime | None
    available_time: datetime | None
    age: timedelta | None
    run_id: str | None
    segment: str | None
    rule: str
    """Why this row was chosen, or why there is none, in one sentence."""


@dataclass(frozen=True)
class Explanation:
    """One training row, view by view."""

    row: int
    time: datetime | None
    views: tuple[ViewExplanation, ...]

    def __getitem__(self, view: str) -> ViewExplanation:
        """One view's part. Raises UnknownNameError."""
        parts = {one.view: one for one in self.views}
        if view not in parts:
            raise UnknownNameError("feature view", view, parts, where="this row")
        return parts[view]

    def __str__(self) -> str:
        lines = [f"row {self.row} at {_text(self.time)}"]
        for one in self.views:
            key = ", ".join(f"{name}={value!r}" for name, value in one.key.items()) or "no keys"
            lines += [f"  {one.view} ({key})", f"    {one.rule}"]
            if one.event_time is not None and one.available_time is not None:
                lines.append(
                    f"    happened {_text(one.event_time)}, known {_text(one.available_time)}, published by run {one.run_id}"
                )
            lines += [f"    {name} = {value!r} ({one.statuses[name]})" for name, value in one.values.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def rule(
    *,
    state: int,
    age: timedelta | None,
    ttl: int | None,
    retention: int | None,
    null_time: bool,
    null_key: bool,
    missing: bool,
    windowed: bool = False,
    window: int | None = None,
) -> str:
    """The sentence for one view. `ttl` and `retention` in microseconds, as they were at the row's time; so is the longest window."""
    if null_time:
        return "null: the entity row has no time (semantics 3)."
    if null_key:
        return "null: a key of the entity row is null (semantics 3)."
    if missing:
        return "null: the row needs a range that no run has published."
    if windowed:
        return _of_windows(age, window)
    if age is None and retention is not None:
        limit = duration_text(timedelta(microseconds=retention))
        return f"null: no row of this key was known by then and within the online retention of {limit}."
    if age is None:
        return "null: no row of this key was known by then."
    if state != 1:
        limit = duration_text(timedelta(microseconds=ttl or 0))
        return f"null: the newest known row is {age} old, and the ttl is {limit}."
    return f"the newest row known by then, {age} old."


def _of_windows(age: timedelta | None, window: int | None) -> str:
    where = "" if window is None else f" in the longest window, {duration_text(timedelta(microseconds=window))}"
    if age is None:
        return f"nothing to compute from: no row of this key was known by then{where}."
    return f"computed from the rows of this key known by then{where}; the newest is {age} old."


def _text(value: datetime | None) -> str:
    if value is None:
        return "no time"
    return rfc3339((value - to_datetime(0)) // timedelta(microseconds=1))
