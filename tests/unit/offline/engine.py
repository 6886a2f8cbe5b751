"""Segments written by hand, for the tests of the engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from hitherto import FeatureView
from hitherto.offline.duckdb import segments
from hitherto.offline.duckdb.connection import Limits, connect
from hitherto.offline.duckdb.online_rows import row_bytes_sql
from hitherto.offline.duckdb.segments import WrittenSegment
from hitherto.offline.plan import SegmentRead
from hitherto.timeline import Interval

Row = tuple[Any, ...]
"""keys ..., event, created, available (microseconds), features ..."""


def staged(view: FeatureView, rows: Sequence[Row]) -> pa.Table:
    """Rows as staging leaves them."""
    time = pa.timestamp("us")
    kinds = [(name, kind.arrow) for name, kind in view.join_keys.items()]
    kinds += [("__event", time), ("__created", time), ("__available", time)]
    kinds += [(field.name, _naive(field.dtype.arrow)) for field in view.schema]
    columns = [pa.array([row[place] for row in rows], kind) for place, (_, kind) in enumerate(kinds)]
    return pa.Table.from_arrays(columns, names=[name for name, _ in kinds])


def _naive(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp("us") if pa.types.is_timestamp(kind) else kind


@contextmanager
def engine(**limits: Any) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection."""
    with connect(Limits(**limits)) as con:
        yield con


def write(
    con: duckdb.DuckDBPyConnection, view: FeatureView, rows: Sequence[Row], path: Path, *, batches: int = 1
) -> WrittenSegment:
    """A segment of rows, in the order given."""
    con.register("given", staged(view, rows))
    con.execute(f"create or replace table staged as select * from given order by {segments.clustering(view)}")
    con.unregister("given")
    superseded = segments.drop_superseded(con, view, "staged", row_bytes_sql(view))
    return segments.write(con, view, relation="staged", path=path, superseded=superseded)


def reads(written: WrittenSegment, *intervals: tuple[int, int]) -> SegmentRead:
    """How a retrieval reads a segment: whole, or only these intervals of it."""
    return SegmentRead(
        path=written.path,
        run_id=written.path.stem,
        intervals=tuple(Interval(*one) for one in intervals) or (Interval(-(10**15), 10**15),),
        whole=not intervals,
        indexed=written.indexed,
    )


def available(row: Row, keys: int) -> int:
    """A row's available time."""
    return int(row[keys + 2])


def rank(row: Row, keys: int) -> tuple[Any, ...]:
    """A row's place in the order of its key, as far as rows of several segments can differ."""
    event, created, known = row[keys : keys + 3]
    return (event, -1 if created is None else created, known)


def visible(parts: Sequence[tuple[Sequence[Row], Sequence[tuple[int, int]]]], keys: int) -> list[Row]:
    """By hand: the rows of each part that lie in its intervals (none given: all)."""
    return [
        row
        for rows, intervals in parts
        for row in rows
        if not intervals or any(start <= available(row, keys) < end for start, end in intervals)
    ]
