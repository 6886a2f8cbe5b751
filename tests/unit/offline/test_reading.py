"""Offline reads without entity rows."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hitherto.offline.duckdb import reading
from hitherto.timeline import Interval
from unit.offline.engine import Row, engine, rank
from unit.offline.states import VIEWS, state

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rows_of(table: pa.Table) -> list[Row]:
    def plain(value: Any) -> Any:
        return (value - EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value

    return [tuple(plain(value) for value in row.values()) for row in table.to_pylist()]


def ordered(rows: list[Row], keys: int) -> list[str]:
    return [repr(row) for row in sorted(rows, key=lambda row: (row[:keys], rank(row, keys)))]


@pytest.mark.parametrize("name", VIEWS)
def test_read_gives_the_published_rows_of_an_interval_in_their_order(name: str, tmp_path: Path) -> None:
    with state(name, tmp_path) as (con, one):
        for start, end in [(0, 100), (25, 60), (60, 61), (95, 99)]:
            table = reading.read(con, one.view, one.segments, Interval(start, end))
            wanted = [row for row in one.rows if start <= row[one.keys + 2] < end]
            assert [repr(row) for row in rows_of(table)] == ordered(wanted, one.keys), start
        table = reading.read(con, one.view, one.segments, None)
    assert [repr(row) for row in rows_of(table)] == ordered(list(one.rows), one.keys)
    assert table.column_names == [*one.view.join_keys, "event_time", "created_time", "available_time", "x"]
    assert table.schema.field("event_time").type == pa.timestamp("us", "UTC")


@pytest.mark.parametrize("name", VIEWS)
def test_read_latest_gives_what_a_lookup_at_the_instant_would(name: str, tmp_path: Path) -> None:
    def micros(number: int | None) -> timedelta | None:
        return None if number is None else timedelta(microseconds=number)

    with state(name, tmp_path) as (con, one):
        limits = [(None, None), (3, None), (3, 8), (0, 0)]
        for (ttl, retention), at in itertools.product(limits, (0, 24, 47, 85, 10**9)):
            view = replace(one.view, ttl=micros(ttl), online_retention=micros(retention))
            known = [[row for row in one.of_key(key) if row[one.keys + 2] <= at] for key in one.all_keys]
            winners = [max(rows, key=lambda row: rank(row, one.keys)) for rows in known if rows]
            oldest = at - min((age for age in (ttl, retention) if age is not None), default=10**12)
            wanted = [row for row in winners if row[one.keys] >= oldest]
            found = rows_of(reading.read_latest(con, view, one.segments, at=at))
            assert [repr(row) for row in found] == ordered(wanted, one.keys)


def test_views_side_by_side_have_a_row_for_each_key_that_any_of_them_has() -> None:
    left = pa.table({"k": [2, 1], "tags": pa.array([["a"], []], pa.list_(pa.string()))})
    right = pa.table({"k": [3, 2], "x": [float("nan"), -0.0], "at": pa.array([5, None], pa.timestamp("us", "UTC"))})
    with engine() as con:
        joined = reading.side_by_side(con, [left, right], ["k"])
    assert joined.schema.types == [pa.int64(), pa.list_(pa.string()), pa.float64(), pa.timestamp("us", "UTC")]
    assert joined.column("k").to_pylist() == [1, 2, 3]
    assert joined.column("tags").to_pylist() == [[], ["a"], None]
    assert repr(joined.column("x").to_pylist()) == "[None, -0.0, nan]"


def test_views_without_keys_side_by_side_are_one_row() -> None:
    with engine() as con:
        joined = reading.side_by_side(
            con, [pa.table({"a": [1]}), pa.table({"b": pa.array([], pa.int64())}), pa.table({"c": ["x"]})], []
        )
    assert joined.to_pylist() == [{"a": 1, "b": None, "c": "x"}]
