"""What the published rows of a view say about where to look: keys that it has or had, event times of its winners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from hitherto.definitions.feature_view import FeatureView
from hitherto.offline.duckdb.connection import storage_errors
from hitherto.offline.duckdb.names import EVENT, key_list
from hitherto.offline.duckdb.visible import attached, greatest_rows, rows_of_all
from hitherto.offline.plan import SegmentRead

if TYPE_CHECKING:
    import duckdb


def sample_keys(
    con: duckdb.DuckDBPyConnection, view: FeatureView, segments: Sequence[SegmentRead], *, limit: int | None
) -> pa.Table:
    """Distinct keys of the segments' rows, hidden ones too: a key that a correction took away must be gone online.

    Args:
        con: Any connection.
        view: A view with keys.
        segments: Where to look.
        limit: How many keys; always the same ones for the same rows. None is all.
    """
    whole = [replace(segment, whole=True) for segment in segments]
    columns = key_list(view)
    query = f"select distinct {columns} from ({rows_of_all(view, whole, columns=columns)})"
    if limit is not None:
        query = f"select {columns} from ({query}) order by hash({columns}), {columns} limit {int(limit)}"
    with attached(con, whole, view=view.name), storage_errors(f"Sampling keys of feature view {view.name!r}"):
        table = con.sql(query).to_arrow_table()
    return table.cast(pa.schema([(name, kind.arrow) for name, kind in view.join_keys.items()]))


def event_times(con: duckdb.DuckDBPyConnection, view: FeatureView, state: Sequence[SegmentRead]) -> tuple[int, ...]:
    """The newest and the median event time of the rows that lookups find, microseconds UTC; none without rows."""
    query = f"select max(event), quantile_disc(event, 0.5) from (select epoch_us({EVENT}) as event from ({greatest_rows(view, state)}))"
    with attached(con, state, view=view.name), storage_errors(f"Reading feature view {view.name!r}"):
        found = con.execute(query).fetchall()[0]
    return tuple(dict.fromkeys(int(one) for one in found if one is not None))
