"""On-demand features of a training set: computed after retrieval, on columns, each view after those that it is built on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from hitherto.definitions.collection import Definitions
from hitherto.definitions.feature_view import FeatureView, FeatureViewProjection
from hitherto.definitions.on_demand import OnDemandFeatureView, OnDemandProjection
from hitherto.errors import FunctionError, RequestFieldError, VerificationError
from hitherto.offline.plan import Default, RetrievalPlan
from hitherto.on_demand.evaluation import Column, Evaluator
from hitherto.on_demand.functions import Functions
from hitherto.on_demand.values import conform_array
from hitherto.registry import json_format
from hitherto.registry.computations import Computation, Computations, Taken, computations_of
from hitherto.registry.references import Requested
from hitherto.timeline import to_datetime
from hitherto.training.coverage import Coverage, ViewCoverage
from hitherto.training.defaults import filled
from hitherto.training.explanation import ViewExplanation
from hitherto.training.retrieval import Answer, Computed
from hitherto.types import DataType, Timestamp

Reference = tuple[str, str]
"""(view, feature)."""


@dataclass(frozen=True)
class OnDemandRequest:
    """What a training set computes, with the functions and the request fields that it takes."""

    computations: Computations
    order: tuple[Reference, ...]
    """What each output column is, stored features included."""
    outputs: tuple[str, ...]
    fields: Mapping[str, pa.Array] = field(compare=False)
    """Request field -> its values, typed."""
    evaluators: Mapping[str, Evaluator] = field(compare=False)

    @property
    def computed_outputs(self) -> Iterator[tuple[str, Reference]]:
        """Output column -> the on-demand feature that it is."""
        names = {one.view.name for one in self.computations.views}
        return ((output, one) for output, one in zip(self.outputs, self.order, strict=True) if one[0] in names)


def request_of(requested: Requested, entity: pa.Table, functions: Functions) -> OnDemandRequest | None:
    """The on-demand part of a resolved request; None where nothing is computed.

    Raises:
        RequestFieldError: A request field is not among the entity rows, or not of its type.
        FunctionError: A function is not there, or not the one that was applied.
    """
    if not requested.computations:
        return None
    return _request(requested.computations, requested.order, requested.outputs, entity, functions)


def _request(
    computations: Computations,
    order: Sequence[Reference],
    outputs: Sequence[str],
    entity: pa.Table,
    functions: Functions,
) -> OnDemandRequest:
    fields = {name: _request_field(entity, name, kind) for name, kind in computations.fields.items()}
    evaluators = {one.view.name: functions.evaluator(one.view) for one in computations.views}
    return OnDemandRequest(computations, tuple(order), tuple(outputs), fields, evaluators)


def _request_field(entity: pa.Table, name: str, kind: DataType) -> pa.Array:
    if name not in entity.column_names:
        raise RequestFieldError(
            f"The entity rows have no column {name!r}, a request field ({kind!r}) of an on-demand feature view. "
            f"Their columns: {', '.join(entity.column_names)}."
        )
    column = entity.column(name)
    values, refused = conform_array(kind, column)
    if refused:
        raise RequestFieldError(
            f"The column {name!r} of the entity rows has type {column.type}; as a request field it is {kind!r}. "
            f"{len(refused):,} of its values do not fit."
        )
    return values


# -- computing -------------------------------------------------------------------------------------------------------


def compute(request: OnDemandRequest, plan: RetrievalPlan, answer: Answer) -> Answer:
    """The answer of a retrieval, with the on-demand features of the same rows."""
    rows = _Rows(answer.null_times)
    found: dict[Reference, Column] = {}
    for one in request.computations.views:
        given = [_given(taken, request, answer, plan, found, rows) for taken in one.taken]
        made = request.evaluators[one.view.name].of_arrow(given, rows.count)
        found.update({(one.view.name, own.name): column for own, column in zip(one.view.schema, made, strict=True)})
    computed = {
        output: rows.spread(found[reference], _default(request, reference))
        for output, reference in request.computed_outputs
    }
    coverage = {
        **answer.coverage.views,
        **{one.view.name: _coverage(one.view, found, rows, answer.null_times) for one in request.computations.views},
    }
    return replace(answer, computed=computed, coverage=Coverage(coverage))


class _Rows:
    """The rows that functions see: those that have a time. The others are null, as everything is for them."""

    def __init__(self, null_times: np.ndarray) -> None:
        self._null_times = null_times
        self._all = not null_times.any()
        self._asked = pa.array(~null_times)
        self.count = int((~null_times).sum())

    def of(self, column: pa.Array) -> pa.Array:
        return column if self._all else column.filter(self._asked)

    def spread(self, column: Column, default: Default | None) -> Computed:
        errors = np.zeros(self.count, dtype=bool)
        errors[np.asarray(column.errors, dtype=np.int64)] = True
        if self._all:
            return Computed(column.values, errors, self._null_times, default)
        places = pa.array(np.cumsum(~self._null_times) - 1, mask=self._null_times)
        spread = np.zeros(len(self._null_times), dtype=bool)
        spread[~self._null_times] = errors
        return Computed(column.values.take(places), spread, self._null_times, default)


def _given(
    taken: Taken,
    request: OnDemandRequest,
    answer: Answer,
    plan: RetrievalPlan,
    found: Mapping[Reference, Column],
    rows: _Rows,
) -> pa.Array:
    """The values of one parameter, in its type and with its default, for the rows that functions see."""
    reference = taken.name, taken.feature
    if taken.origin == "computed":
        return filled(found[reference].values, _default(request, reference))
    if taken.origin == "request":
        return rows.of(request.fields[taken.feature])
    if taken.origin == "now":
        return rows.of(pa.array(answer.times).cast(Timestamp.arrow))
    output = _output(plan, reference)
    # With as_served, a feature that no version had has no column.
    column = filled(
        answer.columns.get(output, pa.nulls(len(answer.times), taken.dtype.arrow)), plan.defaults.get(output)
    )
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_timestamp(array.type):
        # Times of segments are without a zone.
        array = array.cast(Timestamp.arrow)
    return rows.of(array)


def _output(plan: RetrievalPlan, reference: Reference) -> str:
    """The column that a stored feature is read into; of several versions any that had it."""
    outputs = (
        output
        for read in plan.reads
        for feature, output in zip(read.features, read.outputs, strict=True)
        if (read.name, feature) == reference
    )
    return next(outputs, "")


def _default(request: OnDemandRequest, reference: Reference) -> Default | None:
    name, feature = reference
    own = next(one.view.field(feature) for one in request.computations.views if one.view.name == name)
    return None if own is None or own.default is None else Default(feature, own.dtype, own.default)


def _coverage(
    view: OnDemandFeatureView, found: Mapping[Reference, Column], rows: _Rows, null_times: np.ndarray
) -> ViewCoverage:
    errors = np.zeros(rows.count, dtype=bool)
    for feature in view.feature_names:
        errors[np.asarray(found[view.name, feature].errors, dtype=np.int64)] = True
    count, wrong, timeless = len(null_times), int(errors.sum()), int(null_times.sum())
    return ViewCoverage(view.name, count, count - wrong - timeless, 0, 0, timeless, 0, 0, errors=wrong)


# -- explaining ------------------------------------------------------------------------------------------------------


def explain(
    request: OnDemandRequest, answer: Answer, row: int, values: pa.Table, statuses: pa.Table
) -> list[ViewExplanation]:
    """How one row's on-demand features came about, view by view."""
    asked: dict[str, list[str]] = {}
    for output, (view, _) in request.computed_outputs:
        asked.setdefault(view, []).append(output)
    computations = {one.view.name: one for one in request.computations.views}
    explained = []
    for name, outputs in asked.items():
        event = None if answer.null_times[row] else _event_time(name, computations, answer, row)
        explained.append(
            ViewExplanation(
                view=name,
                key={},
                values={output: values.column(output)[row].as_py() for output in outputs},
                statuses={output: statuses.column(output)[row].as_py() for output in outputs},
                event_time=None if event is None else to_datetime(event),
                created_time=None,
                available_time=None,
                age=None if event is None else to_datetime(int(answer.times[row])) - to_datetime(event),
                run_id=None,
                segment=None,
                rule=_rule(computations[name], timeless=bool(answer.null_times[row])),
            )
        )
    return explained


def _event_time(name: str, computations: Mapping[str, Computation], answer: Answer, row: int) -> int:
    """That of the oldest row that the view's inputs come from; the time of the entity row where they come from none."""
    found = []
    for one in computations[name].taken:
        if one.origin == "computed":
            found.append(_event_time(one.name, computations, answer, row))
        elif one.origin == "stored":
            event = answer.winners[one.name].traced.column("event").cast(pa.int64())[row].as_py()
            found += [] if event is None else [event]
    return min(found, default=int(answer.times[row]))


def _rule(one: Computation, *, timeless: bool) -> str:
    if timeless:
        return "null: the entity row has no time (semantics 3)."
    return f"{described(one)}."


def described(one: Computation) -> str:
    """What computes a view's features, and from what."""
    words = {"now": "the row's time", "request": "request field {0}"}
    inputs = [words.get(taken.origin, "{1}:{0}").format(taken.feature, taken.name) for taken in one.taken]
    return f"computed by {one.view.import_path}" + (f" from {', '.join(inputs)}" if inputs else "")


# -- the manifest ----------------------------------------------------------------------------------------------------


def to_json(request: OnDemandRequest) -> dict[str, Any]:
    """What a manifest keeps: definitions with the hashes of their functions, and what each output is."""
    views = {one.view.name: one.view for one in request.computations.views}
    pending = list(views.values())
    stored: dict[str, FeatureView] = {}
    while pending:
        for source in pending.pop().projections:
            if isinstance(source, OnDemandProjection) and source.name not in views:
                views[source.name] = source.view
                pending.append(source.view)
            elif isinstance(source, FeatureViewProjection):
                stored[source.view.name] = source.view
    definitions = Definitions(feature_views=stored, on_demand_feature_views=views)
    return {
        "definitions": json_format.to_json(definitions, locations=False),
        "order": [list(one) for one in request.order],
        "outputs": list(request.outputs),
        "functions": {one.view.name: one.view.source_hash for one in request.computations.views},
    }


def from_json(document: Mapping[str, Any], entity: pa.Table, functions: Functions) -> OnDemandRequest:
    """The on-demand part that a manifest pins.

    Raises:
        VerificationError: A function is not there, or not the one that the training set was built with.
    """
    definitions = json_format.from_json(document["definitions"])
    computations = computations_of(definitions.on_demand_feature_views, document["functions"])
    order = [(view, feature) for view, feature in document["order"]]
    try:
        return _request(computations, order, document["outputs"], entity, functions)
    except FunctionError as error:
        raise VerificationError(
            f"The training set was built with functions that are not here any more. {error}"
        ) from error
