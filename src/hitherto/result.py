"""Result: rows on their way to the user, in whatever frame they work with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from hitherto import frames
from hitherto.errors import StorageError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

BATCH_ROWS = 65_536


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind))


class Result:
    """Rows and columns, computed when first asked for.

    >>> import pyarrow as pa
    >>> Result(pa.table({"x": [1, 2]})).to_arrow().num_rows
    2
    """

    def __init__(self, table: pa.Table | None = None) -> None:
        self._table = table

    def _compute(self) -> pa.Table:
        raise AssertionError("a result without a table computes one")

    def to_arrow(self) -> pa.Table:
        """A PyArrow table; int64, Decimal, null and NaN come out as they went in."""
        if self._table is None:
            self._table = self._compute()
        return self._table

    def to_df(self) -> pd.DataFrame:
        """A pandas frame: Feast's name for `to_pandas`."""
        return self.to_pandas()

    def to_pandas(self) -> pd.DataFrame:
        """A pandas frame; integers beside nulls stay integers (Int64). Needs the extra `pandas`."""
        return frames.to_pandas(self.to_arrow())

    def to_polars(self) -> pl.DataFrame:
        """A Polars frame. Needs the extra `polars`."""
        return frames.to_polars(self.to_arrow())

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as dicts of Python values: for a few of them, in tests and loops."""
        rows: list[dict[str, Any]] = self.to_arrow().to_pylist()
        return rows

    def to_batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """PyArrow record batches of at most so many rows, at least one."""
        if rows < 1:
            raise UsageError(f"A batch has at least one row, not {rows}.")
        yield from self.to_arrow().to_batches(max_chunksize=rows)

    def write_parquet(self, path: str | Path) -> Path:
        """Write a Parquet file; half a file never has the name. Raises StorageError."""
        target = Path(path)
        temporary = target.with_name(target.name + ".tmp")
        try:
            table = self.to_arrow()
            # Dictionaries for text alone: of numbers they cost 40 % more time (1 M rows of 18 columns) and save no byte after zstd.
            texts = [field.name for field in table.schema if _is_text(field.type)]
            pq.write_table(table, temporary, compression="zstd", use_dictionary=texts)
            temporary.rename(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StorageError(f"{target} cannot be written: {error.strerror or error}.") from error
        except pa.ArrowException as error:
            temporary.unlink(missing_ok=True)
            raise UsageError(f"{target} cannot be written: Parquet has no such type ({error}).") from error
        return target

    def head(self, rows: int = 5) -> Result:
        """The first rows."""
        return Result(self.to_arrow().slice(0, rows))

    def __len__(self) -> int:
        return int(self.to_arrow().num_rows)

    def __str__(self) -> str:
        table = self.to_arrow()
        return f"{table.num_rows:,} rows x {table.num_columns} columns\n{table.slice(0, 10).to_string(preview_cols=10)}"

    def _repr_html_(self) -> str:
        import html

        table = self.to_arrow()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in table.column_names)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(value)[:200])}</td>" for value in row.values()) + "</tr>"
            for row in table.slice(0, 10).to_pylist()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{table.num_rows:,} rows</p>"
