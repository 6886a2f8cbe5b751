"""Functions over Polars expressions: run over a whole frame, and narrowed down to the rows that fail where it fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hitherto.definitions.field import Field
from hitherto.definitions.on_demand import OnDemandFeatureView
from hitherto.errors import FunctionError, MissingExtraError
from hitherto.on_demand.evaluation import Causes, Column, Values, by_position
from hitherto.on_demand.samples import orders, sample_columns
from hitherto.on_demand.values import can_be, conform_array, python_values
from hitherto.types import INTEGER_RANGES, Bool, Bytes, DataType, Date, Float32, Float64, String

if TYPE_CHECKING:
    import polars as pl

_ROW = "__row"
_PLAIN = frozenset((*INTEGER_RANGES, Bool, Float32, Float64, String, Bytes, Date))
"""Types whose columns Polars takes from, and gives as, the Python values that a lookup has."""
TRIES = 1_000
"""How often a lookup may run one feature's expression to tell rows that fail from rows that do not: 0.2 seconds."""
_PARTS = 4
_FEW_ROWS = 1_000


class PolarsEvaluator:
    """A function that makes expressions, once, and these run over frames.

    Raises:
        MissingExtraError: Polars is not installed.
        FunctionError: The function raises, or does not give an expression for each feature.
    """

    def __init__(
        self, view: OnDemandFeatureView, function: Callable[..., Any], parameters: Sequence[str], causes: Causes
    ) -> None:
        self._view, self._causes, self._parameters = view, causes, tuple(parameters)
        self._selections = {
            name: made.alias(name) for name, made in expressions(view, function, self._parameters).items()
        }
        kinds = {one.parameter: one.dtype for one in view.inputs}
        self._inputs = [(name, kinds[name], _plain(kinds[name])) for name in self._parameters]
        self._outputs = [(field, _plain(field.dtype)) for field in view.schema]

    def of_lists(self, columns: Sequence[Sequence[Any]], rows: int) -> list[Values]:
        """See `Evaluator`."""
        made = []
        frame = self._frame(columns, rows)
        whole = self._run(frame, tuple(self._selections), rows)
        for field, plain in self._outputs:
            if whole is not None and plain is not None and whole[field.name].dtype == plain:
                made.append(Values(whole[field.name].to_list(), ()))
            else:
                one = self._column(frame, rows, field, whole, tries=TRIES)
                made.append(Values(python_values(field.dtype, one.values), one.errors))
        return made

    def of_arrow(self, columns: Sequence[pa.Array], rows: int) -> list[Column]:
        """See `Evaluator`."""
        frame = frame_of(dict(zip(self._parameters, columns, strict=True)), rows)
        whole = self._run(frame, tuple(self._selections), rows)
        return [self._column(frame, rows, field, whole, tries=None) for field in self._view.schema]

    def _frame(self, columns: Sequence[Sequence[Any]], rows: int) -> pl.DataFrame:
        """The frame of a lookup, one row twice. By way of Arrow the columns of one row took most of a lookup's time."""
        package = polars()
        times = 2 if rows == 1 else 1
        series = [package.Series(_ROW, [None] * rows * times, package.Int8)]
        for (name, kind, plain), values in zip(self._inputs, columns, strict=True):
            every = [*values] * times
            given = (
                package.Series(name, pa.array(every, kind.arrow))
                if plain is None
                else package.Series(name, every, plain)
            )
            series.append(given)
        frame: pl.DataFrame = package.DataFrame(series)
        return frame

    def _column(
        self, frame: pl.DataFrame, rows: int, field: Field, whole: pl.DataFrame | None, *, tries: int | None
    ) -> Column:
        parts = [(0, rows, whole[field.name])] if whole is not None else self._parts(frame, rows, field.name, tries)
        values: list[pa.Array] = []
        errors: list[int] = []
        for start, count, part in parts:
            if part is None:
                values.append(pa.nulls(count, field.dtype.arrow))
                errors += range(start, start + count)
                continue
            array, refused = conform_array(field.dtype, part.to_arrow())
            if refused:
                self._causes.misfit(self._view, field, f"values of type {part.dtype}")
            values.append(array)
            errors += [start + row for row in refused]
        return Column(pa.concat_arrays(values), errors)

    def _run(self, frame: pl.DataFrame, names: Sequence[str], rows: int) -> pl.DataFrame | None:
        """The columns of some features, or None if any of them failed."""
        try:
            return evaluated(frame, [self._selections[name] for name in names], rows)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  (a panic of Polars is no Exception)
            self._causes.raised(self._view, error)
            return None

    def _parts(
        self, frame: pl.DataFrame, rows: int, name: str, tries: int | None
    ) -> list[tuple[int, int, pl.Series | None]]:
        """A feature piece by piece: (first row, how many, their values or None where it fails).

        What fails is tried in four parts, until the failing rows are alone: 4/3 tries for each row if all fail. The larger parts come
        first, so that rows among which nothing fails are known before the tries are used up; then the rest is taken for failed.
        """
        waiting = deque([(0, rows)])
        done: list[tuple[int, int, pl.Series | None]] = []
        while waiting:
            start, count = waiting.popleft()
            if tries is not None:
                tries -= 1
                if tries < 0:
                    self._causes.gave_up(self._view)
                    done += [(start, count, None), *((*one, None) for one in waiting)]
                    break
            found = self._run(frame.slice(start, count), (name,), count)
            if found is not None or count <= 1:
                done.append((start, count, None if found is None else found[name]))
                continue
            bounds = [start + count * part // _PARTS for part in range(_PARTS + 1)]
            waiting += [(low, high - low) for low, high in pairwise(bounds) if high > low]
        return sorted(done, key=lambda one: one[0])


def evaluated(frame: pl.DataFrame, selections: Sequence[pl.Expr], rows: int) -> pl.DataFrame:
    """Expressions over rows, each row as among any others.

    A row alone, which may stand twice in the frame already, is computed twice: Polars multiplies by the reciprocal where many rows are divided by a constant, and divides where it
    takes both for scalars, which may differ in the last bit.
    """
    if rows == 1 and frame.height == 1:
        # Each column for itself: of a frame of one row Polars knows that its columns are scalars, however often it is repeated.
        frame = polars().DataFrame([column.clone().extend(column) for column in frame.get_columns()])
    # Threads cost a few rows more than they bring.
    select = frame.select_seq if rows <= _FEW_ROWS else frame.select
    # Beside a column of the frame, so that a constant is as long as it is.
    done = select([polars().col(_ROW), *selections])
    return done[:1] if rows == 1 else done


def _plain(kind: DataType) -> Any:
    """The class of Polars for a type whose columns it takes from Python values, and gives as these; None for other types."""
    if kind not in _PLAIN:
        return None
    return polars().from_arrow(pa.table({_ROW: pa.array([], kind.arrow)})).dtypes[0].base_type()


def expressions(
    view: OnDemandFeatureView, function: Callable[..., Any], parameters: Sequence[str]
) -> dict[str, pl.Expr]:
    """What the function gives for columns that are called like its parameters: an expression for each feature."""
    pl = polars()
    try:
        given = by_position(function)(*(pl.col(name) for name in parameters))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise FunctionError(
            f"The function of on-demand feature view {view.name!r} raises {type(error).__name__}: {error}"
        ) from error
    names = view.feature_names
    if len(names) == 1 and not isinstance(given, Mapping):
        given = {names[0]: given}
    if not isinstance(given, Mapping) or set(given) != set(names):
        told = (
            f"gives {', '.join(map(str, given))}" if isinstance(given, Mapping) else f"gives a {type(given).__name__}"
        )
        raise FunctionError(
            f"The function of on-demand feature view {view.name!r} {told}; in polars mode it gives a dict with an expression for each of "
            f"{', '.join(names)}."
        )
    return {name: given[name] if isinstance(given[name], pl.Expr) else pl.lit(given[name]) for name in names}


def frame_of(columns: Mapping[str, pa.Array], rows: int) -> pl.DataFrame:
    """Columns called like parameters, and one of nulls, so that there are rows without any parameter."""
    frame: pl.DataFrame = polars().from_arrow(pa.table({_ROW: pa.nulls(rows, pa.int8()), **columns}))
    return frame


def polars() -> Any:
    """The package. Raises MissingExtraError."""
    try:
        import polars as pl
    except ImportError:
        raise MissingExtraError("polars", "polars") from None
    return pl


def misfits(view: OnDemandFeatureView, function: Callable[..., Any]) -> Iterator[str]:
    """What is wrong with a function in polars mode, seen on rows made up here: its types, and rows that depend on other rows."""
    try:
        made = expressions(view, function, view.parameters)
    except FunctionError as error:
        yield str(error).partition(": ")[2] or str(error)
        return
    columns, rows = sample_columns({one.parameter: one.dtype for one in view.inputs})
    frame = frame_of(columns, rows)
    for field in view.schema:
        expression = made[field.name].alias(field.name)
        try:
            kind = evaluated(frame[:0], [expression], 0)[field.name].to_arrow().type
            if not can_be(kind, field.dtype):
                yield f"its expression for {field.name!r} gives {kind}, and the field is {field.dtype!r}."
                continue
        except _failures() as error:
            yield f"its expression for {field.name!r} fails with {type(error).__name__}: {error}"
            continue
        if _mixes_rows(frame, expression):
            yield (
                f"its expression for {field.name!r} gives a row another value when other rows stand beside it; "
                "a lookup has other rows than a training set, so each value may depend on its own row alone."
            )


def _failures() -> tuple[type[BaseException], ...]:
    # A panic of Polars is no Exception.
    return (Exception, polars().exceptions.PanicException)


def _mixes_rows(frame: pl.DataFrame, expression: pl.Expr) -> bool:
    """Whether a row has another value among others, in any of some orders, than it has alone."""
    alone, rows = [], []
    for row in range(frame.height):
        try:
            alone.append(evaluated(frame[row : row + 1], [expression], 1))
            rows.append(row)
        except _failures():
            # What fails for made-up rows may be right for real ones; such rows are told apart when it runs.
            continue
    if not rows:
        return False
    frame, wanted = frame[rows], polars().concat(alone)
    for order in orders(len(rows)):
        try:
            found = evaluated(frame[order], [expression], len(order))
        except _failures():
            # Each of them can be computed.
            return True
        if not found.equals(wanted[order]):
            return True
    return False
