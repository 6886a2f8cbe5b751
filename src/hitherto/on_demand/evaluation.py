"""Running a function over rows: each value is there, is null, or is an error whose cause is told once."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from hitherto.definitions.field import Field
from hitherto.definitions.on_demand import OnDemandFeatureView
from hitherto.on_demand.values import MISSING, conformer, python_values
from hitherto.types import StructType, copied

BATCH_ROWS = 65_536
"""Rows that are Python values at one time."""
_BARE = frozenset((type(None), bool, int, float, str, bytes))
logger = logging.getLogger("hitherto.on_demand")


class Values(NamedTuple):
    """One feature for some rows, as Python values."""

    values: list[Any]
    errors: Sequence[int]
    """The rows whose value is an error; they are None."""


@dataclass(frozen=True)
class Column:
    """One feature for some rows, as Arrow."""

    values: pa.Array
    errors: Sequence[int]


class Evaluator(Protocol):
    """A function that can be run over rows. Columns come in the order of the view's parameters, features in that of its schema."""

    def of_lists(self, columns: Sequence[Sequence[Any]], rows: int) -> list[Values]:
        """The features of some rows, from Python values."""

    def of_arrow(self, columns: Sequence[pa.Array], rows: int) -> list[Column]:
        """The features of some rows, from Arrow in the declared types."""


class Causes:
    """Tells why values are errors: once for each function and kind of error, where in the code, and never which values."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, str]] = set()

    def raised(self, view: OnDemandFeatureView, error: BaseException) -> None:
        """A function raised something."""
        kind = type(error).__name__
        if not self._is_new(view, kind):
            return
        # The frames, not the message: an exception's words may quote a value.
        frames = traceback.extract_tb(error.__traceback__)
        place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        logger.warning(
            "On-demand feature view %r (%s) raised %s%s: its features are ERROR for such rows.",
            view.name, view.import_path, kind, place,
        )  # fmt: skip

    def misfit(self, view: OnDemandFeatureView, field: Field, given: str) -> None:
        """A function gave something else than was declared."""
        if self._is_new(view, f"{field.name}: {given}"):
            logger.warning(
                "On-demand feature view %r (%s) gave %s for %r, which is %r: the feature is ERROR for such rows.",
                view.name, view.import_path, given, field.name, field.dtype,
            )  # fmt: skip

    def gave_up(self, view: OnDemandFeatureView) -> None:
        """A lookup has no time to find all the rows that fail."""
        if self._is_new(view, "too many rows fail"):
            logger.warning(
                "On-demand feature view %r (%s) fails for too many rows of a lookup to tell them apart: rows that were not told apart are "
                "ERROR too. Give null instead of failing, as cast(..., strict=False) does.",
                view.name, view.import_path,
            )  # fmt: skip

    def _is_new(self, view: OnDemandFeatureView, kind: str) -> bool:
        one = (view.name, view.source_hash, kind)
        if one in self._told:
            return False
        self._told.add(one)
        return True


class PythonEvaluator:
    """A Python function, called once for each row."""

    def __init__(
        self, view: OnDemandFeatureView, function: Callable[..., Any], parameters: Sequence[str], causes: Causes
    ) -> None:
        self._view, self._causes = view, causes
        self._call = by_position(function)
        self._fields = tuple(view.schema)
        self._conform = [conformer(field.dtype) for field in self._fields]
        kinds = {one.parameter: one.dtype for one in view.inputs}
        self._kinds = [kinds[name] for name in parameters]
        self._nested = [(position, kind) for position, kind in enumerate(self._kinds) if kind.is_nested]

    def of_lists(self, columns: Sequence[Sequence[Any]], rows: int) -> list[Values]:
        """See `Evaluator`."""
        if self._nested:
            # A function that sorts its list must not sort that of the next one, nor the answer's.
            own = list(columns)
            for position, kind in self._nested:
                own[position] = [copied(kind, value) for value in columns[position]]
            columns = own
        return self._called(columns, rows)

    def _called(self, columns: Sequence[Sequence[Any]], rows: int) -> list[Values]:
        """The features of values that nobody else has."""
        call = self._call
        results: list[Any] = []
        for values in zip(*columns, strict=True) if columns else [()] * rows:
            try:
                results.append(call(*values))
            except KeyboardInterrupt:
                raise
            # A user's function can raise anything: a panic of Rust, asyncio's CancelledError and SystemExit are no Exception. It is
            # called without waiting for anything, so what it raises is its own; only Ctrl-C comes from without.
            except BaseException as error:  # noqa: BLE001  (a user's code can raise anything)
                self._causes.raised(self._view, error)
                results.append(MISSING)
        return [self._feature(number, results) for number in range(len(self._fields))]

    def of_arrow(self, columns: Sequence[pa.Array], rows: int) -> list[Column]:
        """See `Evaluator`."""
        parts: list[list[Values]] = []
        for start in range(0, max(rows, 1), BATCH_ROWS):
            lists = [
                python_values(kind, column.slice(start, BATCH_ROWS))
                for kind, column in zip(self._kinds, columns, strict=True)
            ]
            parts.append(self._called(lists, min(BATCH_ROWS, rows - start)))
        made = []
        for position, field in enumerate(self._fields):
            kind = field.dtype.arrow
            chunks = [pa.array(part[position].values, kind) for part in parts]
            errors = [number * BATCH_ROWS + row for number, part in enumerate(parts) for row in part[position].errors]
            made.append(Column(pa.concat_arrays(chunks), errors))
        return made

    def _feature(self, number: int, results: Sequence[Any]) -> Values:
        field = self._fields[number]
        raw = _alone(field, results) if len(self._fields) == 1 else _named(field.name, results)
        values, errors = self._conform[number](raw)
        for row in errors:
            if results[row] is not MISSING:
                given = "nothing" if raw[row] is MISSING else f"a value of type {type(raw[row]).__name__}"
                self._causes.misfit(self._view, field, given)
        return Values(values, errors)


def by_position(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, to be called with all its parameters by position, those after a `*` too."""
    found = list(inspect.signature(function).parameters.values())
    named = [one.name for one in found if one.kind is inspect.Parameter.KEYWORD_ONLY]
    if not named:
        return function
    count = len(found) - len(named)
    return lambda *values: function(*values[:count], **dict(zip(named, values[count:], strict=True)))


def _named(name: str, results: Iterable[Any]) -> list[Any]:
    """One feature of dicts of features; None instead of a dict means that all features are null."""
    return [
        result.get(name, MISSING) if type(result) is dict else None if result is None else _given(name, result)
        for result in results
    ]


def _given(name: str, result: Any) -> Any:
    """A feature of what may be a Mapping, whose methods are a user's too."""
    try:
        return result.get(name, MISSING) if isinstance(result, Mapping) else MISSING
    except Exception:  # noqa: BLE001  (a user's code can raise anything)
        return MISSING


def _alone(field: Field, results: Sequence[Any]) -> Sequence[Any]:
    """The one feature, given in a dict or bare. A Struct's value is a dict too: one with the feature's name alone is a dict of features."""
    if _BARE.issuperset(map(type, results)) or not any(isinstance(result, Mapping) for result in results):
        return results
    if not isinstance(field.dtype, StructType):
        return [_given(field.name, result) if isinstance(result, Mapping) else result for result in results]
    return [_given(field.name, result) if _names_only(field.name, result) else result for result in results]


def _names_only(name: str, result: Any) -> bool:
    try:
        return isinstance(result, Mapping) and set(result) == {name}
    except Exception:  # noqa: BLE001  (a user's code can raise anything)
        return False
