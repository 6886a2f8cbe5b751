"""Answer: what a lookup found, as JSON straight from the stored fragments, or as Python columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from hitherto.encoding.row_codec import NULL, ROW_SEPARATOR, SEPARATOR
from hitherto.online.plan import EPOCH_JSON
from hitherto.timeline import to_datetime

if TYPE_CHECKING:
    from hitherto.online.plan import FeatureColumn, LookupPlan, ViewRead


class Status(StrEnum):
    """Why a value is, or is not, there (semantics 4). Only PRESENT carries a value."""

    PRESENT = "PRESENT"
    NULL_VALUE = "NULL_VALUE"
    NOT_FOUND = "NOT_FOUND"
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"


_ROWS_SHOWN = 20
_STATUS_JSON = {status: b'"%b"' % status.value.encode() for status in Status}


class ViewAnswer:
    """What one read found. Its columns of fragments are made when first asked for: the SDK parses whole rows instead.

    Args:
        read: What was read.
        text: The rows (`row_codec.without_headers`): nulls where nothing may be shown, the event time 1970 where no row was found.
        exceptions: Row -> NOT_FOUND or OUTSIDE_MAX_AGE; all other rows are there.
    """

    __slots__ = ("_columns", "_text", "exceptions", "read")

    def __init__(self, read: ViewRead, text: bytes, exceptions: Mapping[int, Status]) -> None:
        self.read, self.exceptions, self._text = read, exceptions, text
        self._columns: list[list[bytes]] | None = None

    @property
    def events(self) -> list[bytes]:
        """The event times, as JSON."""
        return self._split()[0]

    @property
    def columns(self) -> list[list[bytes]]:
        """The wanted features, one fragment per row."""
        return self._split()[1:]

    def column(self, position: int) -> list[bytes]:
        """One of them."""
        return self._split()[1 + position]

    def decoded(self) -> list[list[Any]]:
        """The wanted features as Python values."""
        return self.read.decode(self._text) if self._text else [[] for _ in self.read.positions]

    def _split(self) -> list[list[bytes]]:
        if self._columns is None:
            # One split for all rows; every width-th part then is a column.
            parts = self._text.replace(ROW_SEPARATOR, SEPARATOR).split(SEPARATOR) if self._text else []
            self._columns = [parts[position :: self.read.width] for position in (0, *self.read.positions)]
        return self._columns


# Not frozen: setting five fields of a frozen one costs a microsecond, a tenth of a lookup.
@dataclass(slots=True)
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
        decoded = [view.decoded() for view in self.views]
        for name, view, position in self.plan.outputs:
            columns[name] = decoded[view][position]
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
        found = [(view.columns, b",".join(view.events), bool(view.exceptions)) for view in self.views]
        for column, (_, view, position) in zip(self.plan.columns, self.plan.outputs, strict=True):
            columns, events, incomplete = found[view]
            fragments, statuses = columns[position], present
            if incomplete or NULL in fragments:
                statuses = b",".join([_STATUS_JSON[status] for status in self.statuses(column)])
            results.append(_result(b",".join(fragments), statuses, events))
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

    def __str__(self) -> str:
        """The first rows: each value, or the status that says why there is none."""
        shown = min(self.rows, _ROWS_SHOWN)
        columns = [[name, *map(str, values[:shown])] for name, values in self.entities.items()]
        values = self.to_dict()
        for column in self.plan.columns:
            pairs = zip(values[column.name][:shown], self.statuses(column)[:shown], strict=True)
            columns.append([column.name, *(str(one if status == Status.PRESENT else status) for one, status in pairs)])
        widths = [max(map(len, column)) for column in columns]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in zip(*columns, strict=True)]
        rest = self.rows - shown
        return "\n".join([*lines, f"... and {rest:,} more"] if rest else lines)

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(str(self))}</pre>"

    def _fragments(self, column: FeatureColumn) -> Sequence[bytes]:
        return self.views[column.view].column(column.position)

    def _age(self, event: datetime | None) -> timedelta | None:
        return None if event is None else to_datetime(self.now) - event


def _result(values: bytes, statuses: bytes, events: bytes) -> bytes:
    return b'{"values":[%b],"statuses":[%b],"event_timestamps":[%b]}' % (values, statuses, events)


def _plain(value: Any) -> Any:
    """A scalar of numpy or Arrow as the Python value that it holds."""
    return value.as_py() if hasattr(value, "as_py") else value.item()
