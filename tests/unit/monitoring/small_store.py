"""A small project with every kind of key that matters here: composite, integer, none; values that are hard to compare."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal as Number
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hitherto import Entity, FeatureService, FeatureView, Field, ParquetSource
from hitherto.feature_store import FeatureStore
from hitherto.testing import FakeClock
from hitherto.types import Decimal, Float64, Int64, List, String

START = datetime(2020, 1, 1, tzinfo=UTC)
CLOCK = "2020-01-01T12:00:00Z"
EVENTS = ParquetSource("data/*.parquet", name="events", timestamp_field="at", known_after="10m")
PAIR = Entity("pair", join_keys={"user_id": Int64, "item": String})
USER = Entity("user", join_keys={"user_id": Int64})
PAIRS = FeatureView(
    "pairs",
    entities=[PAIR],
    source=EVENTS,
    schema=[Field("x", Float64), Field("price", Decimal(10, 2)), Field("words", List(String))],
    ttl="6h",
)
USERS = FeatureView("users", entities=[USER], source=EVENTS, schema=[Field("x", Float64)])
EVERYBODY = FeatureView("everybody", source=EVENTS, schema=[Field("x", Float64)], ttl="4h")
OFFLINE = FeatureView("offline_only", entities=[USER], source=EVENTS, schema=[Field("x", Float64)], online=False)
SERVICE = FeatureService("model", features=[PAIRS, USERS, EVERYBODY])
OBJECTS = (PAIRS, USERS, EVERYBODY, OFFLINE, SERVICE)
Row = tuple[int | None, str, float, float | None]
"""user_id, item, hours after START, x."""
ROWS: tuple[Row, ...] = (
    (1, "a", 0, 1.5),
    (1, "a", 5, -0.0),
    (2, "b", 3, float("nan")),
    (11, "1", 7, None),
    (1, "11", 8, 2.0),
    (3, "c", 9, 2.0**80),
    (None, "d", 9, 4.0),
)


def table(rows: Sequence[Row]) -> pa.Table:
    """Rows as their source has them."""
    columns: dict[str, Any] = {
        "user_id": pa.array([row[0] for row in rows], pa.int64()),
        "item": pa.array([row[1] for row in rows]),
        "at": pa.array([START + timedelta(hours=row[2]) for row in rows], pa.timestamp("us", "UTC")),
        "x": pa.array([row[3] for row in rows], pa.float64()),
        "price": pa.array([None if row[3] is None else Number("1.10") for row in rows], pa.decimal128(10, 2)),
        "words": pa.array([[row[1], None] if row[3] else [] for row in rows], pa.list_(pa.string())),
    }
    return pa.table(columns)


def write(root: Path, name: str, rows: Sequence[Row]) -> None:
    """Deliver a file."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    pq.write_table(table(rows), root / "data" / name)


def new_project(root: Path) -> FeatureStore:
    """The project, applied and not yet materialized."""
    write(root, "a.parquet", ROWS)
    (root / "hitherto.toml").write_text('project = "small"\n[offline]\nmemory_limit = "256MB"\n')
    store = open_project(root)
    store.apply(OBJECTS)
    return store


def materialized_project(root: Path) -> FeatureStore:
    """The project after its first materialization, with a saved training set."""
    store = new_project(root)
    assert store.materialize().ok
    entity_rows = 'select user_id, item, "at" as event_timestamp from events where user_id is not null'
    store.get_historical_features(entity_rows, ["pairs:price"]).save("bought")
    return store


def open_project(root: Path, now: str = CLOCK) -> FeatureStore:
    """The project as another process would open it."""
    return FeatureStore(root, clock=FakeClock(now))
