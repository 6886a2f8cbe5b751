"""Our answers against hitherto.testing, the reference implementation in plain Python, at a size it can do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from benchmarks.data import feature_names
from hitherto import FeatureStore, FeatureView
from hitherto.testing import ReferenceStore
from hitherto.timeline import Interval, instant

ROWS, KEYS, ENTITY_ROWS = 2_000, 100, 300
"""The size of every comparison with the reference."""


def check_training(
    view: FeatureView,
    answer: pa.Table,
    events: Path,
    entities: Path,
    runs: Sequence[tuple[datetime, datetime, datetime]],
    *,
    as_served: bool = False,
) -> None:
    """A training set of one view; `runs` are (start, end, published at) of the runs before it."""
    store = ReferenceStore(view)
    source = _rows(events)
    for start, end, published in runs:
        store.publish(source, Interval(instant(start), instant(end)), published_at=instant(published))
    names = [field.name for field in view.features]
    found = list(zip(*(answer.column(name).to_pylist() for name in names), strict=True))
    for row, values in zip(_rows(entities), found, strict=True):
        expected = store.retrieve((row["user_id"],), instant(row["event_timestamp"]), as_served=as_served).values
        assert values == expected, f"row {row}: {values} instead of {expected}"


def check_lookup(view: FeatureView, store: FeatureStore, events: Path, users: Sequence[int], end: datetime) -> None:
    """Lookups of one view after one run over everything."""
    reference = ReferenceStore(view)
    reference.publish(_rows(events), Interval(0, instant(end)), published_at=instant(end))
    names = feature_names(len(view.schema))
    answer = store.get_online_features([f"{view.name}:{name}" for name in names], {"user_id": list(users)}).to_dict()
    found = list(zip(*(answer[name] for name in names), strict=True))
    assert found == [reference.lookup((user,), instant(end)).values for user in users]


def _rows(path: Path) -> list[dict[str, Any]]:
    with duckdb.connect() as con:
        table = con.sql(f"select * from '{path}'").to_arrow_table()
    # Times of these files name no zone; they are UTC.
    zoned = [
        column.cast(pa.timestamp("us", "UTC")) if pa.types.is_timestamp(column.type) else column
        for column in table.columns
    ]
    rows: list[dict[str, Any]] = pa.table(dict(zip(table.column_names, zoned, strict=True))).to_pylist()
    return rows
