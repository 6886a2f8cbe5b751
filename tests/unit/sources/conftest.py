"""Files as people have them, and a connection to read them in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as con:
        yield con


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a table under the test's folder: write("a/b.parquet", {"x": [1]}, option=...)."""

    def _write(path: str, columns: dict[str, Any] | pa.Table, **options: Any) -> Path:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        pq.write_table(table, target, **options)
        return target

    return _write
