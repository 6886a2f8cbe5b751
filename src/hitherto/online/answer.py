"""Answer: what a lookup found, as JSON straight from the stored fragments, or as Python columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from hitherto.encoding.row_codec import NULL
from hitherto.timeline import to_datetime

if TYPE_CHECKING:
    from hitherto.online.plan import FeatureColumn, LookupPlan

EPOCH_JSON = b'"1970-01-01T00:00:00Z"'


class Status(StrEnum):
    """Why a value is, or is not, there (semantics 4). Only PRESENT carries a value."""

    PRESENT = "PRESENT"
    NULL_VALUE = "NULL_VALUE"
    NOT_FOUND = "NOT_FOUND"
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"


_STATUS_JSON = {status: b'"%b"' % status.value.encode() for status in Status}


@dataclass(frozen=True)
class ViewAnswer:
    """What one read found: one fragment per row, in columns."""

    events: Sequence[bytes]
    """The event times, as JSON; 1970 where no row was found."""
    columns: Sequence[Sequence[bytes]]
    exceptions: Mapping[int, Status]
    """Row -> NOT_FOUND or OUTSIDE_MAX_AGE; all other rows are there."""


@dataclass(frozen=True)
class Answer:
    """The answer of a lookup, in the order of the request and of the features."""

    plan: LookupPlan
    entities: Mapping[str, Sequence[Any]]
    rows: int
    views: tuple[ViewAnswer, ...]
    now: int

    @property
    def names(self) -> tuple[str, ...]:
        """The columns: entity columns as given, then features as asked."""
        return (*self.entities, *(column.name for column in self.plan.columns))

    def to_dict(self, *, include_metadata: bool = False) -> dict[str, list[Any]]:
        """The columns as Python values.

        Args:
            include_metadata: Add for each feature `<name>__status`, `<name>__event_time` (aware, None if there is no row)
                and `<name>__age` (a timedelta at the time of the request). No name can collide with these.
        """
        columns = {name: list(values) for name, values in self.entities.items()}
        features = self.plan.columns
        decoded = self.plan.decode([self._fragments(one) for one in features])
        columns.update(zip([one.name for one in features], decoded, strict=True))
        if include_metadata:
            for column in self.plan.columns:
                times = self.event_times(column)
                columns[f"{column.name}__status"] = list(self.statuses(column))
                columns[f"{column.name}__event_time"] = list(times)
                columns[f"{column.name}__age"] = [self._age(time) for time in times]
        return columns

    def to_json(self) -> bytes:
        """The answer of Feast's HTTP interface, byte for byte its shape; no value is decoded on the way."""
        names, results = [], []
        present = b",".join([b'"PRESENT"'] * self.rows)
        epochs = b",".join([EPOCH_JSON] * self.rows)
        for name, values in self.entities.items():
            names.append(msgspec.json.encode(name))
            results.append(_result(msgspec.json.encode(values, enc_hook=_plain)[1:-1], present, epochs))
        names.append(self.plan.names_json)
        events = [b",".join(view.events) for view in self.views]
        for column in self.plan.columns:
            fragments = self._fragments(column)
            if self.views[column.view].exceptions or NULL in fragments:
                statuses = b",".join([_STATUS_JSON[status] for status in self.statuses(column)])
            else:
                statuses = present
            results.append(_result(b",".join(fragments), statuses, events[column.view]))
        return b'{"metadata":{"feature_names":[%b]},"results":[%b]}' % (b",".join(names), b",".join(results))

    def statuses(self, column: FeatureColumn) -> Sequence[Status]:
        """The status of each value of a feature column."""
        exceptions = self.views[column.view].exceptions
        found = [Status.NULL_VALUE if fragment == NULL else Status.PRESENT for fragment in self._fragments(column)]
        for row, status in exceptions.items():
            found[row] = status
        return found

    def event_times(self, column: FeatureColumn) -> Sequence[datetime | None]:
        """The event time of each row that the column's values come from; None where there is no row."""
        view = self.views[column.view]
        return [
            None if view.exceptions.get(row) == Status.NOT_FOUND else datetime.fromisoformat(event[1:-1].decode())
            for row, event in enumerate(view.events)
        ]

    def _fragments(self, column: FeatureColumn) -> Sequence[bytes]:
        return self.views[column.view].columns[column.position]

    def _age(self, event: datetime | None) -> timedelta | None:
        return None if event is None else to_datetime(self.now) - event


def _result(values: bytes, statuses: bytes, events: bytes) -> bytes:
    return b'{"values":[%b],"statuses":[%b],"event_timestamps":[%b]}' % (values, statuses, events)


def _plain(value: Any) -> Any:
    """A scalar of numpy or Arrow as the Python value that it holds."""
    return value.as_py() if hasattr(value, "as_py") else value.item()
