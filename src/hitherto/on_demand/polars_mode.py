"""Functions over Polars expressions: run over a whole frame, and narrowed down to the rows that fail where it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hitherto.definitions.on_demand import OnDemandFeatureView
from hitherto.errors import FunctionError, MissingExtraError
from hitherto.on_demand.evaluation import Causes, Column, Values, by_position
from hitherto.on_demand.values import can_be, conform_array, python_values

if TYPE_CHECKING:
    import polars as pl

_ROW = "__row"


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
        self._kinds = {one.parameter: one.dtype for one in view.inputs}
        self._expressions = expressions(view, function, parameters)

    def of_lists(self, columns: Sequence[Sequence[Any]], rows: int) -> list[Values]:
        """See `Evaluator`."""
        arrays = [
            pa.array(column, self._kinds[name].arrow) for name, column in zip(self._parameters, columns, strict=True)
        ]
        made = zip(self._view.schema, self.of_arrow(arrays, rows), strict=True)
        return [Values(python_values(field.dtype, one.values), one.errors) for field, one in made]

    def of_arrow(self, columns: Sequence[pa.Array], rows: int) -> list[Column]:
        """See `Evaluator`."""
        table = table_of(dict(zip(self._parameters, columns, strict=True)), rows)
        whole = self._run(table, tuple(self._expressions))
        made = []
        for field in self._view.schema:
            parts = [whole[field.name]] if whole is not None else list(self._parts(table, field.name))
            values: list[pa.Array] = []
            errors: list[int] = []
            start = 0
            for part in parts:
                if isinstance(part, int):
                    values.append(pa.nulls(part, field.dtype.arrow))
                    errors += range(start, start + part)
                    start += part
                    continue
                array, refused = conform_array(field.dtype, part)
                if refused:
                    self._causes.misfit(self._view, field, f"values of type {part.type}")
                values.append(array)
                errors += [start + row for row in refused]
                start += len(part)
            made.append(Column(pa.concat_arrays(values), errors))
        return made

    def _run(self, table: pa.Table, names: Sequence[str]) -> dict[str, Any] | None:
        """The columns of some features, or None if any of them failed."""
        try:
            done = evaluated(table, {name: self._expressions[name] for name in names})
        except _failures() as error:
            self._causes.raised(self._view, error)
            return None
        return {name: done[name].to_arrow() for name in names}

    def _parts(self, table: pa.Table, name: str) -> Iterator[Any]:
        """A feature piece by piece: a column, or how many rows have failed. Halves are tried until the failing rows are alone."""
        found = self._run(table, (name,))
        if found is not None:
            yield found[name]
        elif table.num_rows <= 1:
            yield table.num_rows
        else:
            half = table.num_rows // 2
            yield from self._parts(table.slice(0, half), name)
            yield from self._parts(table.slice(half), name)


def evaluated(table: pa.Table, named: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """Expressions over rows, each row as among any others.

    A row alone is computed twice: Polars multiplies by the reciprocal where many rows are divided by a constant, and divides where it
    takes both for scalars, which may differ in the last bit.
    """
    alone = table.num_rows == 1
    frame: pl.DataFrame = polars().from_arrow(table.take([0, 0]) if alone else table)
    # Beside the frame's own columns, so that a constant is as long as they are.
    done = frame.with_columns(**named).select(*named)
    return done[:1] if alone else done


def expressions(
    view: OnDemandFeatureView, function: Callable[..., Any], parameters: Sequence[str]
) -> dict[str, pl.Expr]:
    """What the function gives for columns that are called like its parameters: an expression for each feature."""
    pl = polars()
    try:
        given = by_position(function)(*(pl.col(name) for name in parameters))
    except _failures() as error:
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


def table_of(columns: Mapping[str, pa.Array], rows: int) -> pa.Table:
    """Columns called like parameters, and one of nulls, so that there are rows without any parameter."""
    return pa.table({_ROW: pa.nulls(rows, pa.int8()), **columns})


def polars() -> Any:
    """The package. Raises MissingExtraError."""
    try:
        import polars as pl
    except ImportError:
        raise MissingExtraError("polars", "polars") from None
    return pl


def _failures() -> tuple[type[BaseException], ...]:
    # A panic of Polars is no Exception.
    return (Exception, polars().exceptions.PanicException)


def misfits(view: OnDemandFeatureView, function: Callable[..., Any]) -> Iterator[str]:
    """What is wrong with a function in polars mode, seen on rows made up here: its types, and rows that depend on other rows."""
    from hitherto.on_demand.samples import sample_columns

    try:
        made = expressions(view, function, view.parameters)
    except FunctionError as error:
        yield str(error).partition(": ")[2] or str(error)
        return
    columns, rows = sample_columns({one.parameter: one.dtype for one in view.inputs})
    table = table_of(columns, rows)
    for field in view.schema:
        expression = made[field.name]
        try:
            kind = evaluated(table.slice(0, 0), {field.name: expression})[field.name].to_arrow().type
            if not can_be(kind, field.dtype):
                yield f"its expression for {field.name!r} gives {kind}, and the field is {field.dtype!r}."
                continue
        except _failures() as error:
            yield f"its expression for {field.name!r} fails with {type(error).__name__}: {error}"
            continue
        if _mixes_rows(table, field.name, expression):
            yield (
                f"its expression for {field.name!r} gives a row another value when other rows stand beside it; "
                "a lookup has other rows than a training set, so each value may depend on its own row alone."
            )


def _mixes_rows(table: pa.Table, name: str, expression: pl.Expr) -> bool:
    try:
        whole = evaluated(table, {name: expression})[name]
        alone = [evaluated(table.slice(row, 1), {name: expression})[name] for row in range(table.num_rows)]
    except _failures():
        # What fails for made-up rows may be right for real ones; such rows are told apart when it runs.
        return False
    return not whole.equals(polars().concat(alone))
