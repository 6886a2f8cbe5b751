"""Defaults put where there is no value (semantics 4): after statuses are told, which do not change by it."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from hitherto.definitions.feature_view import FeatureView
from hitherto.offline.plan import Default


def filled(column: pa.Array | pa.ChunkedArray, default: Default | None) -> pa.Array | pa.ChunkedArray:
    """A column with the default where it was null."""
    if default is None or not column.null_count:
        return column
    value = pa.scalar(default.value, default.kind.arrow)
    if pa.types.is_null(column.type):
        return pa.repeat(value, len(column))
    # The column may be wider than the type: versions of one feature may differ in the width of a number.
    return pc.coalesce(column, value.cast(column.type))


def filled_table(table: pa.Table, defaults: Iterable[Default]) -> pa.Table:
    """The same for the columns of a table that have a default."""
    known = {one.output: one for one in defaults}
    columns = [filled(column, known.get(name)) for name, column in zip(table.column_names, table.columns, strict=True)]
    return pa.Table.from_arrays(columns, schema=table.schema)


def of_view(view: FeatureView) -> tuple[Default, ...]:
    """The defaults of a view's features, under their own names."""
    return tuple(Default(one.name, one.dtype, one.default) for one in view.features if one.default is not None)
