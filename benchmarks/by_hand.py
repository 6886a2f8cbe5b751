"""Training sets as a user would write them by hand: DuckDB's ASOF join and Polars' join_asof on the source Parquet.

Every way starts from the entity rows in a Parquet file and ends with a table of them, in their order, with the features.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa

from benchmarks.data import feature_names


def connection() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute("set enable_progress_bar = false")
    return con


def duckdb_asof(
    events: Path, entities: Path, *, views: Sequence[str] = ("fv",), features: int = 10, ttl_days: int | None = None
) -> pa.Table:
    """One ASOF join for each view, one after the other; columns are `view__feature` where there are several views."""
    table: Any = str(entities)
    with connection() as con:
        con.execute(f"create temp table joined as select *, row_number() over () as __row from '{table}'")
        for name in views:
            columns = ", ".join(
                f"{_within_ttl(one, ttl_days)} as {name}__{one}"
                if len(views) > 1
                else f"{_within_ttl(one, ttl_days)} as {one}"
                for one in feature_names(features)
            )
            con.execute(
                f"create or replace temp table joined as select e.*, {columns} from joined e asof left join '{events}' s "
                "on e.user_id = s.user_id and e.event_timestamp >= s.event_timestamp"
            )
        return con.sql("select * exclude (__row) from joined order by __row").to_arrow_table()


def _within_ttl(feature: str, days: int | None) -> str:
    if days is None:
        return f"s.{feature}"
    return f"case when s.event_timestamp >= e.event_timestamp - interval {days} day then s.{feature} end"


def duckdb_one_query(events: Path, entities: Path) -> pa.Table:
    """One view, ten features, in one query: the fastest way to write it by hand."""
    columns = ", ".join(feature_names(10))
    with connection() as con:
        return con.sql(
            f"select e.* exclude (__row), {columns} from (select *, row_number() over () as __row from '{entities}') e "
            f"asof left join '{events}' s on e.user_id = s.user_id and e.event_timestamp >= s.event_timestamp order by __row"
        ).to_arrow_table()


def duckdb_known(events: Path, entities: Path, known: str = "s.known") -> pa.Table:
    """By known time: of the rows known by then, the one that happened last. `known` is the SQL of a row's known time.

    A plain ASOF join on the known time would give the row that became known last, which may be an older fact.
    """
    columns = ", ".join(f"s.{name}" for name in feature_names(10))
    with connection() as con:
        return con.sql(
            f"""
            with newest as (
                select user_id, {known} as known,
                       max(event_timestamp) over (partition by user_id order by {known}) as event_timestamp
                from '{events}' s
            ),
            found as (
                select e.*, n.event_timestamp as happened
                from (select *, row_number() over () as __row from '{entities}') e
                asof left join newest n on e.user_id = n.user_id and e.event_timestamp >= n.known
            )
            select e.* exclude (__row, happened), {columns} from found e
            left join '{events}' s on e.user_id = s.user_id and e.happened = s.event_timestamp order by __row
            """
        ).to_arrow_table()


def polars_asof(events: Path, entities: Path) -> pa.Table:
    rows = pl.scan_parquet(entities).with_row_index("__row").sort("event_timestamp")
    source = pl.scan_parquet(events).select("user_id", "event_timestamp", *feature_names(10)).sort("event_timestamp")
    found = rows.join_asof(source, on="event_timestamp", by="user_id")
    with warnings.catch_warnings():
        # That it cannot check the order by group; both sides have just been sorted.
        warnings.simplefilter("ignore", UserWarning)
        return found.sort("__row").drop("__row").collect().to_arrow()


def check_equal(ours: pa.Table, others: Mapping[str, pa.Table], columns: Sequence[str] | None = None) -> None:
    """All rows, in the same order, with the same values."""
    for name, other in others.items():
        assert ours.num_rows == other.num_rows, f"{name}: {other.num_rows} rows instead of {ours.num_rows}"
        for column in columns or ours.column_names:
            mine, theirs = (table.column(column).combine_chunks() for table in (ours, other))
            assert mine.equals(theirs.cast(mine.type)), f"{name} has other values of {column}"
