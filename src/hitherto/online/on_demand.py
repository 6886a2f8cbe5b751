"""On-demand features of a lookup: computed from what was read and from the request, each view after those that it is built on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hitherto.encoding.numbers import float64_text
from hitherto.encoding.row_codec import NULL, encode_fragment
from hitherto.errors import NameCollisionError, RequestFieldError
from hitherto.on_demand.evaluation import Evaluator, Values
from hitherto.on_demand.functions import Functions
from hitherto.on_demand.values import conformer
from hitherto.online.answer import Status, ViewAnswer
from hitherto.online.plan import (
    FeatureColumn,
    LookupPlan,
    ServedProjection,
    ViewRead,
    assemble,
    check_columns,
    read_of,
    stored_column,
)
from hitherto.online.store import Place
from hitherto.registry.computations import Computation, Computations, Origin
from hitherto.registry.references import Requested
from hitherto.timeline import rfc3339, to_datetime
from hitherto.types import DataType, Float64

_NO_ERRORS: Mapping[int, Status] = {}


@dataclass(frozen=True)
class Slot:
    """Where the values of one parameter are."""

    origin: Origin
    name: str
    """The column of a request field."""
    index: int
    """Of the read or of the step."""
    position: int
    """Among its columns."""
    default: Any = None
    """What a function is given where there is no value; never a null."""

    def filled(self, values: Sequence[Any]) -> Sequence[Any]:
        """The values, with the default where there is none."""
        if self.default is None or None not in values:
            return values
        return [self.default if value is None else value for value in values]


@dataclass(frozen=True)
class Step:
    """One on-demand feature view, ready to be computed."""

    evaluator: Evaluator
    slots: tuple[Slot, ...]
    reads: tuple[int, ...]
    """The reads whose rows go into it, directly or over other views."""


@dataclass(frozen=True)
class ComputedRead:
    """One column of the answer that is computed. To the answer it looks like a view of one feature."""

    read: ViewRead
    """What such a view would be read by; nothing is read."""
    step: int
    position: int
    """Among the features of the step's view."""
    write: Callable[[Any], bytes]
    """From a value to its JSON."""


@dataclass(frozen=True)
class OnDemandPlan:
    """What a lookup computes, and what it takes from the request."""

    fields: Mapping[str, DataType]
    """Entity column -> type of the request field."""
    columns: frozenset[str]
    """All entity columns that are needed, join keys included."""
    accepted: frozenset[str]
    """What may be among them besides, and means nothing: fields of the request sources that no function takes."""
    conformers: Mapping[bool, Mapping[str, Callable[[Sequence[Any]], tuple[list[Any], list[int]]]]]
    """How values from JSON (True) and from Python (False) become those of a field's type."""
    steps: tuple[Step, ...]
    computed: tuple[ComputedRead, ...]
    nested: tuple[tuple[str, DataType], ...]
    """Columns of the answer, stored ones too, whose values are lists or dicts, with their types."""

    def take(self, plan: LookupPlan, columns: Mapping[str, Sequence[Any]], *, json: bool) -> Mapping[str, list[Any]]:
        """The request fields among the entity columns, in their types.

        Raises:
            RequestFieldError: One is missing, or a value is not of its type.
            JoinKeyError: The other columns are not the join keys.
            NameCollisionError: A field that no function takes has the name of a feature.
        """
        fields = self.fields
        if columns.keys() != self.columns:
            check_columns(plan, [name for name in columns if name not in self.accepted or name in plan.join_keys])
            # Those that no function takes too: what is sent is in the answer.
            _refuse_field_names(plan.columns, columns)
        taken = {}
        for name, kind in fields.items():
            if name not in columns:
                raise RequestFieldError(
                    f"The request field {name!r} ({kind!r}) is missing: an on-demand feature view takes it from the entity columns."
                )
            values, refused = self.conformers[json][name](columns[name])
            if refused:
                given = type(columns[name][refused[0]]).__name__
                raise RequestFieldError(
                    f"The request field {name!r} is {kind!r}; the value of row {refused[0]}, of type {given}, cannot be taken as that."
                )
            taken[name] = values
        return taken

    def compute(
        self, views: Sequence[ViewAnswer], fields: Mapping[str, list[Any]], *, rows: int, now: int
    ) -> list[ViewAnswer]:
        """The computed columns, from what the reads found and the request fields."""
        decoded: dict[int, list[list[Any]]] = {}
        made: list[list[Values]] = []
        for step in self.steps:
            columns: list[Sequence[Any]] = []
            for slot in step.slots:
                if slot.origin == "stored":
                    if slot.index not in decoded:
                        decoded[slot.index] = views[slot.index].keep_decoded()
                    columns.append(slot.filled(decoded[slot.index][slot.position]))
                elif slot.origin == "request":
                    columns.append(fields[slot.name])
                elif slot.origin == "computed":
                    columns.append(slot.filled(made[slot.index][slot.position].values))
                else:
                    columns.append([to_datetime(now)] * rows)
            made.append(step.evaluator.of_lists(columns, rows))
        events = [_Events([views[index] for index in step.reads], rows, now) for step in self.steps]
        return [ComputedAnswer(one, made[one.step][one.position], events[one.step]) for one in self.computed]


class ComputedAnswer(ViewAnswer):
    """A computed column, as the answer of a view with one feature. Its JSON is made when it is asked for: the SDK needs none."""

    __slots__ = ("_events", "_fragments", "_values", "_write")

    def __init__(self, read: ComputedRead, values: Values, events: _Events) -> None:
        errors = dict.fromkeys(values.errors, Status.ERROR) if values.errors else _NO_ERRORS
        super().__init__(read.read, b"", errors)
        self._write, self._values, self._events = read.write, values.values, events
        self._fragments: list[bytes] | None = None

    @property
    def complete(self) -> bool:
        """Whether every value is PRESENT."""
        return not self.exceptions and None not in self._values

    @property
    def parts(self) -> list[bytes]:
        """The event time and the feature of each row, row after row."""
        if len(self._values) == 1:
            return [self.events[0], self.column(0)[0]]
        return [part for row in zip(self.events, self.column(0), strict=True) for part in row]

    @property
    def events(self) -> list[bytes]:
        """The event times, as JSON."""
        return self._events.found()

    def column(self, position: int) -> list[bytes]:
        """The feature, as JSON."""
        if self._fragments is None:
            write = self._write
            self._fragments = [NULL if value is None else write(value) for value in self._values]
        return self._fragments

    def decoded(self) -> list[list[Any]]:
        """The feature as Python values."""
        return [list(self._values)]


class _Events:
    """The event times of what one on-demand view computed, found when they are first asked for: the SDK rarely does."""

    __slots__ = ("_found", "_of")

    def __init__(self, views: Sequence[ViewAnswer], rows: int, now: int) -> None:
        self._of = views, rows, now
        self._found: list[bytes] | None = None

    def found(self) -> list[bytes]:
        if self._found is None:
            self._found = _events(*self._of)
        return self._found


def _events(views: Sequence[ViewAnswer], rows: int, now: int) -> list[bytes]:
    """For each row the event time of the oldest row that the inputs come from; that of the request where they come from none."""
    if len(views) == 1 and not views[0].exceptions:
        return views[0].events
    known: list[list[bytes | None]] = []
    for view in views:
        absent = {row for row, status in view.exceptions.items() if status == Status.NOT_FOUND}
        known.append([None if row in absent else event for row, event in enumerate(view.events)])
    request = b'"%b"' % rfc3339(now).encode()
    # Without the Z and the quote behind it: texts of whole seconds are then before those with fractions.
    return [
        min([one for one in row if one is not None], key=lambda event: event[:-2], default=request)
        for row in (zip(*known, strict=True) if known else [()] * rows)
    ]


# -- planning --------------------------------------------------------------------------------------------------------


def plan_on_demand(
    requested: Requested, projections: Sequence[ServedProjection], functions: Functions | None
) -> LookupPlan:
    """The plan of a request that computes something.

    Raises:
        NameCollisionError: Two output columns, or one and a request field, would have one name.
        FunctionError: A function is not there, or not the one that was applied.
    """
    computations = requested.computations
    known = functions if functions is not None else Functions.none()
    reads = {one.name: index for index, one in enumerate(projections)}
    numbers = {one.view.name: number for number, one in enumerate(computations.views)}
    steps: list[Step] = []
    for one in computations.views:
        slots = tuple(_slots(one, reads, numbers, projections, computations))
        steps.append(Step(known.evaluator(one.view), slots, _reads_into(slots, steps)))
    columns: list[FeatureColumn] = []
    computed: list[ComputedRead] = []
    for (name, feature), output in zip(requested.order, requested.outputs, strict=True):
        if name in reads:
            columns.append(stored_column(projections[reads[name]], reads[name], feature, output))
            continue
        view = computations.views[numbers[name]].view
        position = view.feature_names.index(feature)
        kind, default = view.schema[position].dtype, view.schema[position].default
        columns.append(FeatureColumn(output, f"{name}:{feature}", kind, len(projections) + len(computed), 0))
        defaults = {} if default is None else {feature: default}
        alone = ServedProjection(name, Place("", name, 0, 0), (), ((feature, kind),), (feature,), defaults=defaults)
        computed.append(ComputedRead(read_of(alone), numbers[name], position, _writer(kind)))
    _refuse_field_names(columns, computations.fields)
    fields = computations.fields
    conformers = {json: {name: conformer(kind, json=json) for name, kind in fields.items()} for json in (False, True)}
    needed = frozenset((*fields, *requested.key_columns))
    nested = tuple((one.name, one.kind) for one in columns if one.kind.is_nested)
    on_demand = OnDemandPlan(fields, needed, computations.accepted, conformers, tuple(steps), tuple(computed), nested)
    return assemble(projections, columns, on_demand)


def _writer(kind: DataType) -> Callable[[Any], bytes]:
    """`encode_fragment` for values that are of a type already."""
    if kind.is_integer:
        return lambda value: b"%d" % value
    if kind == Float64:
        return lambda value: float64_text(value).encode()
    return partial(encode_fragment, kind)


def _slots(
    one: Computation,
    reads: Mapping[str, int],
    numbers: Mapping[str, int],
    projections: Sequence[ServedProjection],
    computations: Computations,
) -> list[Slot]:
    slots = []
    for taken in one.taken:
        index = position = 0
        default = None
        if taken.origin == "stored":
            index = reads[taken.name]
            position = projections[index].features.index(taken.feature)
            default = projections[index].defaults.get(taken.feature)
        elif taken.origin == "computed":
            index = numbers[taken.name]
            view = computations.views[index].view
            position = view.feature_names.index(taken.feature)
            default = view.schema[position].default
        slots.append(Slot(taken.origin, taken.name, index, position, default))
    return slots


def _reads_into(slots: Sequence[Slot], steps: Sequence[Step]) -> tuple[int, ...]:
    found: dict[int, None] = {}
    for slot in slots:
        if slot.origin == "stored":
            found[slot.index] = None
        elif slot.origin == "computed":
            found.update(dict.fromkeys(steps[slot.index].reads))
    return tuple(found)


def _refuse_field_names(columns: Sequence[FeatureColumn], fields: Collection[str]) -> None:
    for column in columns:
        if column.name in fields:
            raise NameCollisionError(
                f"Two columns of the answer would be called {column.name!r}: the request field and the feature {column.reference!r}; "
                "use full_feature_names=True, or give one of them another name."
            )
