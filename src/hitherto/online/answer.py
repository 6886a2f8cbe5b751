"""Answer: what a lookup found, as JSON straight from the stored fragments, or as Python columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from hitherto.encoding.row_codec import NULL, ROW_SEPARATOR, SEPARATOR
from hitherto.errors import OnlineStoreError
from hitherto.online.plan import EPOCH_JSON
from hitherto.timeline import to_datetime
from hitherto.types import copied

if TYPE_CHECKING:
    from hitherto.online.plan import FeatureColumn, LookupPlan, ViewRead


class Status(StrEnum):
    """Why a value is, or is not, there (semantics 4). Only PRESENT carries one; the others have the default, if there is one."""

    PRESENT = "PRESENT"
    NULL_VALUE = "NULL_VALUE"
    NOT_FOUND = "NOT_FOUND"
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"
    ERROR = "ERROR"
    """The function of an on-demand feature view failed, or gave what is not of the declared type."""


_ROWS_SHOWN = 20
# Of a column in JSON: its values, its statuses, its event times, each with what follows them.
_PIECES = 6
# By the order of entity columns, which a client chooses.
_MOST_SKELETONS = 4
_STATUS_JSON = {status: b'"%b"' % status.value.encode() for status in Status}
_PRESENT_JSON, _NULL_JSON = _STATUS_JSON[Status.PRESENT], _STATUS_JSON[Status.NULL_VALUE]


def unreadable(read: ViewRead) -> OnlineStoreError:
    """The error of a stored row that cannot be read."""
    return OnlineStoreError(
        f"The online store holds a row of {read.projection.place} that this version of Hitherto cannot read: "
        "it was written by another version, or is damaged. Materialize the view again."
    )


class ViewAnswer:
    """What one read found. Its columns of fragments are made when first asked for: the SDK parses whole rows instead.

    Args:
        read: What was read.
        text: The rows (`row_codec.without_headers`): nulls where nothing may be shown, the event time 1970 where no row was found.
        exceptions: Row -> NOT_FOUND or OUTSIDE_MAX_AGE; all other rows are there.
    """

    __slots__ = ("_complete", "_kept", "_parts", "exceptions", "read", "text")

    def __init__(self, read: ViewRead, text: bytes, exceptions: Mapping[int, Status]) -> None:
        self.read, self.exceptions, self.text = read, exceptions, text
        self._parts: list[bytes] | None = None
        self._complete: bool | None = None
        self._kept: list[list[Any]] | None = None

    @property
    def complete(self) -> bool:
        """Whether every value is PRESENT, seen without splitting; False also for a text that holds the word null."""
        if self._complete is None:
            self._complete = not self.exceptions and NULL not in self.text
        return self._complete

    @property
    def parts(self) -> list[bytes]:
        """The event time and all features of each row, row after row: every width-th part is a column."""
        if self._parts is None:
            self._parts = self.text.replace(ROW_SEPARATOR, SEPARATOR).split(SEPARATOR) if self.text else []
        return self._parts

    @property
    def events(self) -> list[bytes]:
        """The event times, as JSON."""
        return self.parts[:: self.read.width]

    @property
    def columns(self) -> list[list[bytes]]:
        """The wanted features, one fragment per row."""
        return [self.column(position) for position in range(len(self.read.positions))]

    def column(self, position: int) -> list[bytes]:
        """One of them."""
        return self.parts[self.read.positions[position] :: self.read.width]

    def decoded(self) -> list[list[Any]]:
        """The wanted features as Python values."""
        if self._kept is not None:
            return [list(values) for values in self._kept]
        if not self.text:
            return [[] for _ in self.read.positions]
        try:
            return self.read.decode(self.text)
        except (msgspec.DecodeError, ValueError, TypeError, LookupError, ArithmeticError) as error:
            raise unreadable(self.read) from error

    def keep_decoded(self) -> list[list[Any]]:
        """The same, kept: on-demand features are computed from them, and the SDK asks again."""
        self._kept = self.decoded()
        return self._kept


# Not frozen: setting five fields of a frozen one costs a microsecond, a tenth of a lookup.
@dataclass(slots=True)
class Answer:
    """The answer of a lookup, in the order of the request and of the features."""

    plan: LookupPlan
    entities: Mapping[str, Sequence[Any]]
    rows: int
    views: Sequence[ViewAnswer]
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
        if self.plan.on_demand is not None:
            # What functions were given is kept; who changes a list of an answer changes that answer only.
            for name, kind in self.plan.on_demand.nested:
                columns[name] = [copied(kind, value) for value in columns[name]]
        for default in self.plan.defaults:
            name = self.plan.columns[default.column].name
            columns[name] = [copied(default.kind, default.value) if value is None else value for value in columns[name]]
        if include_metadata:
            for column in self.plan.columns:
                times = self.event_times(column)
                columns[f"{column.name}__status"] = list(self.statuses(column))
                columns[f"{column.name}__event_time"] = list(times)
                columns[f"{column.name}__age"] = [self._age(time) for time in times]
        return columns

    def to_json(self) -> bytes:
        """The answer of Feast's HTTP interface, byte for byte its shape; no value is decoded on the way."""
        # Put together by one join: formatting each column took three times as long.
        plan, rows = self.plan, self.rows
        pieces = _skeleton(plan, tuple(self.entities)).copy()
        present, at = _repeated(_PRESENT_JSON, rows), 1
        for entity in self.entities.values():
            pieces[at] = msgspec.json.encode(entity, enc_hook=_plain)[1:-1]
            pieces[at + 2], pieces[at + 4] = present, _repeated(EPOCH_JSON, rows)
            at += _PIECES
        parts = [view.parts for view in self.views]
        if rows == 1:
            # Nothing to join: a third of the time.
            values = [parts[view][part] for view, part in plan.parts]
            times = [own[0] for own in parts]
        else:
            widths = [view.read.width for view in self.views]
            values = [b",".join(parts[view][part :: widths[view]]) for view, part in plan.parts]
            times = [b",".join(own[::width]) for own, width in zip(parts, widths, strict=True)]
        pieces[at + 2 :: _PIECES] = self._statuses_json(present, values)
        if plan.defaults:
            self._fill_json(values)
        pieces[at::_PIECES] = values
        pieces[at + 4 :: _PIECES] = [times[view] for view, _ in plan.parts]
        return b"".join(pieces)

    def _fill_json(self, values: list[bytes]) -> None:
        """Put defaults where there is no value; the rows, which statuses are read from, stay as they are."""
        for default in self.plan.defaults:
            if self.rows == 1:
                if values[default.column] == NULL:
                    values[default.column] = default.fragment
                continue
            _, index, position = self.plan.outputs[default.column]
            view = self.views[index]
            if not view.complete and NULL in (fragments := view.column(position)):
                values[default.column] = b",".join([default.fragment if one == NULL else one for one in fragments])

    def _statuses_json(self, present: bytes, values: Sequence[bytes]) -> list[bytes]:
        """The statuses of each column; most columns are PRESENT in all rows, which is seen without looking at each."""
        statuses = [present] * len(self.plan.columns)
        if False in [view.complete for view in self.views]:
            if self.rows == 1:
                return self._statuses_of_one(values)
            for number, (_, index, position) in enumerate(self.plan.outputs):
                view = self.views[index]
                if view.complete:
                    continue
                fragments = view.column(position)
                if view.exceptions or NULL in fragments:
                    # Of bytes: to look a Status up in a dict costs a call for its hash, in each row.
                    found = [_NULL_JSON if fragment == NULL else _PRESENT_JSON for fragment in fragments]
                    for row, status in view.exceptions.items():
                        found[row] = _STATUS_JSON[status]
                    statuses[number] = b",".join(found)
        return statuses

    def _statuses_of_one(self, values: Sequence[bytes]) -> list[bytes]:
        """The same for one row, whose values are at hand: a third of the time."""
        exceptions = [view.exceptions for view in self.views]
        if any(exceptions):
            return [
                _STATUS_JSON[exceptions[view][0]]
                if exceptions[view]
                else (_NULL_JSON if value == NULL else _PRESENT_JSON)
                for value, (_, view, _) in zip(values, self.plan.outputs, strict=True)
            ]
        return [_NULL_JSON if value == NULL else _PRESENT_JSON for value in values]

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
            columns.append([column.name, *(_shown(value, status) for value, status in pairs)])
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


def _shown(value: Any, status: Status) -> str:
    if status == Status.PRESENT:
        return str(value)
    return str(status) if value is None else f"{value} ({status})"


def _skeleton(plan: LookupPlan, entities: tuple[str, ...]) -> list[bytes]:
    """The pieces of an answer in JSON, with places for values, statuses and event times of each column."""
    known = plan.skeletons.get(entities)
    if known is None:
        names = b",".join([*map(msgspec.json.encode, entities), plan.names_json])
        pieces = [b'{"metadata":{"feature_names":[%b]},"results":[{"values":[' % names]
        for _ in range(len(entities) + len(plan.columns)):
            pieces += [b"", b'],"statuses":[', b"", b'],"event_timestamps":[', b"", b']},{"values":[']
        pieces[-1] = b"]}]}"
        if not plan.join_keys:
            # Views without entities take columns of any name: a client could make us keep megabytes of them.
            return pieces
        if len(plan.skeletons) >= _MOST_SKELETONS:
            plan.skeletons.clear()
        known = plan.skeletons[entities] = pieces
    return known


@lru_cache(maxsize=256)
def _repeated(text: bytes, rows: int) -> bytes:
    return b",".join([text] * rows)


def _plain(value: Any) -> Any:
    """A scalar of numpy or Arrow as the Python value that it holds."""
    return value.as_py() if hasattr(value, "as_py") else value.item()
