"""Where data frames come in and go out: pandas, Polars, DuckDB relations and Parquet files to Arrow tables, and back.

pandas and Polars are optional: they are imported only to make one of their frames.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from hitherto.errors import MissingExtraError, SourceError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

ACCEPTED = "a pandas, Polars or PyArrow table, a DuckDB relation, or a Path to Parquet"


def to_arrow(frame: Any) -> pa.Table:
    """Any accepted frame as an Arrow table: the same rows, order, columns and values.

    A pandas index is left out (reset_index() makes it a column), and NaN in pandas' plain floats is null, as pandas means it.
    Polars and Arrow keep null and NaN apart. Times keep their unit and zone. A Polars LazyFrame is collected.

    Raises:
        UsageError: For anything else, and for a column that has no one type; the column is named, its values are not.
        SourceError: For a Path that is missing or not Parquet.

    >>> to_arrow(pa.record_batch({"airport": ["JFK"]})).num_rows
    1
    """
    if isinstance(frame, pa.Table):
        return _checked(frame)
    if isinstance(frame, pa.RecordBatch):
        return _checked(pa.Table.from_batches([frame]))
    if isinstance(frame, pa.RecordBatchReader):
        return _checked(frame.read_all())
    if isinstance(frame, Path):
        return _checked(_read_parquet(frame))
    if _is_from("pandas", "DataFrame", frame):
        return _from_pandas(frame)
    if _is_from("polars", "LazyFrame", frame):
        frame = frame.collect()
    if hasattr(frame, "__arrow_c_stream__") and not _is_from("pandas", "Series", frame):
        return _checked(_from_stream(frame))
    hint = " Text is SQL; a file is Path(...)." if isinstance(frame, str) else ""
    raise UsageError(f"{type(frame).__name__} is not a table. Give {ACCEPTED}.{hint}")


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """An Arrow table as a pandas frame that a data scientist expects, without losing a digit.

    Integers and booleans that hold a null become the nullable Int64, boolean, ...; without nulls they are plain.
    Floats are plain: a null is NaN there, so null and NaN are one, as everywhere in pandas (Arrow and Polars keep them apart).
    Timestamps are datetime64 in microseconds with their zone (UTC), dates and Decimals Python objects.
    A list of numbers without nulls is a NumPy array; any other list or struct is a Python object.

    Raises:
        MissingExtraError: If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtraError("pandas", "pandas") from None
    own: dict[str, Callable[[pa.ChunkedArray], pd.Series[Any]]] = {}
    for column in table.schema:
        if _needs_mask(column.type) and table[column.name].null_count:
            own[column.name] = _masked
        elif pa.types.is_nested(column.type) and not _is_array_list(table[column.name]):
            own[column.name] = _python_objects
    if not own:
        return table.to_pandas()
    plain = table.drop_columns(list(own)).to_pandas()
    columns = {name: own[name](table[name]) if name in own else plain[name] for name in table.column_names}
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows), copy=False)


def to_polars(table: pa.Table) -> pl.DataFrame:
    """An Arrow table as a Polars frame: every type has its like, null and NaN stay apart.

    Raises:
        MissingExtraError: If Polars is not installed.
    """
    try:
        import polars as pl
    except ImportError:
        raise MissingExtraError("polars", "polars") from None
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _is_from(package: str, name: str, value: object) -> bool:
    """Whether a value is of a package's class. Whoever has a frame has imported its package; we need not."""
    module = sys.modules.get(package)
    kind = getattr(module, name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def _from_pandas(frame: pd.DataFrame) -> pa.Table:
    names = [str(name) for name in frame.columns]
    _refuse_duplicates(names)
    columns = []
    for position, name in enumerate(names):
        try:
            columns.append(pa.array(frame.iloc[:, position], from_pandas=True))
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            kind = frame.dtypes.iloc[position]
            raise UsageError(
                f"Column {name!r} of the frame (dtype {kind}) has no one type. Convert it first, for example with astype()."
            ) from None
    return pa.table(columns, names=names) if columns else _no_columns(len(frame))


def _no_columns(rows: int) -> pa.Table:
    """A table without columns that still has rows: a view without entities may be asked for with them."""
    return pa.table({"": pa.nulls(rows)}).select([])


def _from_stream(frame: Any) -> pa.Table:
    try:
        return pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise UsageError(
            f"{type(frame).__name__} cannot be read as a table ({type(error).__name__}). Give {ACCEPTED}."
        ) from None


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except FileNotFoundError:
        raise SourceError(f"There is no file {path}. Give the path of a Parquet file.") from None
    except (pa.ArrowException, OSError, ValueError):
        raise SourceError(f"{path} cannot be read as Parquet. Write it again, or give another file.") from None


def _checked(table: pa.Table) -> pa.Table:
    """Without what pandas noted in the schema, which is about another frame; names must differ."""
    _refuse_duplicates(table.column_names)
    return table.replace_schema_metadata(None)


def _refuse_duplicates(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"The table has two columns named {', '.join(map(repr, twice))}. Rename one of each.")


def _needs_mask(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _is_array_list(column: pa.ChunkedArray) -> bool:
    """Whether each value can be a NumPy array of numbers without loss."""
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return False
    number = pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)
    return number and not any(chunk.flatten().null_count for chunk in column.chunks)


def _masked(column: pa.ChunkedArray) -> pd.Series[Any]:
    import pandas as pd

    nullable = {
        pa.bool_(): pd.BooleanDtype(),
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.uint8(): pd.UInt8Dtype(),
        pa.uint16(): pd.UInt16Dtype(),
        pa.uint32(): pd.UInt32Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
    }
    return column.to_pandas(types_mapper=nullable.get)


def _python_objects(column: pa.ChunkedArray) -> pd.Series[Any]:
    import pandas as pd

    return pd.Series(column.to_pylist(), dtype=object)
