"""Offline reads without entity rows: an interval of the published rows, or the latest row of each key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb
import pyarrow as pa

from hitherto.definitions.feature_view import FeatureView
from hitherto.definitions.field import Field
from hitherto.offline.duckdb.connection import storage_errors
from hitherto.offline.duckdb.names import AVAILABLE, CREATED, EVENT, order_by, placed_columns
from hitherto.offline.duckdb.visible import attached, greatest_rows, inside, rows_of_all
from hitherto.offline.plan import SegmentRead
from hitherto.sql import quote, quote_all
from hitherto.timeline import Interval


def read(
    con: duckdb.DuckDBPyConnection, view: FeatureView, state: Sequence[SegmentRead], interval: Interval | None
) -> pa.Table:
    """The published rows available in the interval, in the canonical order: keys, event_time, available_time, features."""
    where = f" where {inside([interval])}" if interval else ""
    rows = rows_of_all(view, state, columns=placed_columns(view))
    query = f"select {_columns(view)} from (select * from ({rows}){where} order by {order_by(view)})"
    return _run(con, view, state, query)


def read_latest(
    con: duckdb.DuckDBPyConnection, view: FeatureView, state: Sequence[SegmentRead], *, at: int
) -> pa.Table:
    """For each key the winner at an instant, ttl and online retention applied as a lookup would, in the order of keys."""
    ages = [age for age in (view.ttl_micros, view.online_retention_micros) if age is not None]
    expired = f" where epoch_us({EVENT}) >= {at - min(ages)}" if ages else ""
    winners = greatest_rows(view, state, until=at)
    query = f"select {_columns(view)} from (select * from ({winners}){expired} order by {order_by(view)})"
    return _run(con, view, state, query)


def side_by_side(con: duckdb.DuckDBPyConnection, tables: Sequence[pa.Table], keys: Sequence[str]) -> pa.Table:
    """Tables of one row per key as one table: a row for each key that any of them has, in the order of keys."""
    kinds = {field.name: field.type for table in tables for field in table.schema}
    one = "__one"
    for number, table in enumerate(tables):
        con.register(f"__part{number}", table.append_column(one, pa.array([0] * len(table), pa.int8())))
    using = f" using ({quote_all([*keys, one])})"
    joined = "".join(f" full outer join __part{number}{using}" for number in range(1, len(tables)))
    ordered = f" order by {quote_all(keys)}" if keys else ""
    with storage_errors("Joining the views of a feature service"):
        con.execute("set preserve_insertion_order = true")
        # The query must end while the registered tables still live.
        table = con.sql(f"select {quote_all(kinds)} from __part0{joined}{ordered}").to_arrow_table()
    return table.cast(pa.schema(list(kinds.items())))


def content_rows(view: FeatureView, state: Sequence[SegmentRead], interval: Interval) -> str:
    """A relation of the published rows in an interval, as segments hold them."""
    return f"(select * from ({rows_of_all(view, state, columns=placed_columns(view))}) where {inside([interval])})"


def _columns(view: FeatureView) -> str:
    times = [f"{EVENT} as event_time", f"{CREATED} as created_time", f"{AVAILABLE} as available_time"]
    return ", ".join([*(quote(name) for name in view.join_keys), *times, *(quote(name) for name in view.column_names)])


def _run(con: duckdb.DuckDBPyConnection, view: FeatureView, state: Sequence[SegmentRead], query: str) -> pa.Table:
    with attached(con, state, view=view.name), storage_errors(f"Reading feature view {view.name!r}"):
        con.execute("set preserve_insertion_order = true")
        table = con.sql(query).to_arrow_table()
    return as_declared(view, table)


def as_declared(view: FeatureView, table: pa.Table, fields: Iterable[Field] | None = None) -> pa.Table:
    """Rows as they leave: keys and fields in their declared Arrow types, every other column a time in UTC.

    The fields are those that runs store, if not given.
    """
    kinds = {**view.join_keys, **{field.name: field.dtype for field in (view.schema if fields is None else fields)}}
    utc = pa.timestamp("us", tz="UTC")
    return table.cast(pa.schema([(name, kinds[name].arrow if name in kinds else utc) for name in table.column_names]))
