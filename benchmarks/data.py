"""The data of all benchmarks, deterministic: source events, entity rows, and a project over them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb

from hitherto import Entity, FeatureStore, FeatureView, Field, ParquetSource
from hitherto.config import Config
from hitherto.types import Bool, Float64, Int32, Int64, String

KINDS = {
    "f0": Float64, "f1": Float64, "f2": Int64, "f3": Float64, "f4": Float64,
    "f5": Int32, "f6": Bool, "f7": Float64, "f8": String, "f9": Float64,
}  # fmt: skip
FEATURES = [f"fv:{name}" for name in KINDS]
COLUMNS = ", ".join(KINDS)
END = datetime(2025, 4, 10, tzinfo=UTC)
"""Behind all events: the end of every run, and the clock of every store."""


def make_events(path: Path, *, rows: int, keys: int) -> Path:
    """Source events: a key, an event time in 90 days, a created time, ten features of mixed types, 5 % nulls in the last.

    No two events of a key have one event time: of such a pair, the peers' ASOF joins take either.
    """
    _copy(
        f"""
        select (hash(i * 7919) % {keys})::bigint as user_id,
               timestamp '2025-01-01' + to_seconds((random() * 90 * 86400)::bigint) + to_microseconds(i % 1000000) as event_timestamp,
               timestamp '2025-01-01' + to_seconds((random() * 90 * 86400)::bigint) as created,
               random() as f0, random() * 100 as f1, (random() * 1000)::bigint as f2, random() as f3, random() as f4,
               (random() * 5)::int as f5, random() > 0.5 as f6, random() as f7, 'cat_' || (random() * 50)::int as f8,
               case when random() < 0.05 then null else random() end as f9
        from range({rows}) as t(i)
        """,
        path,
        seed=0.42,
    )
    return path


def make_entity_rows(path: Path, *, rows: int, keys: int) -> Path:
    """Entity rows in no order: a key (2 % are unknown), a time, a label, a row number."""
    _copy(
        f"""
        select (random() * {keys} * 1.02)::bigint as user_id,
               timestamp '2025-01-01' + to_seconds((random() * 92 * 86400)::bigint) as event_timestamp,
               (random() * 2)::int as label, i as row_id
        from range({rows}) as t(i)
        """,
        path,
        seed=0.77,
    )
    return path


def _copy(query: str, path: Path, *, seed: float) -> None:
    # One thread: random() then gives the same numbers every time.
    with duckdb.connect() as con:
        con.execute("set enable_progress_bar = false")
        con.execute("set threads = 1")
        con.execute("select setseed(?)", [seed])
        con.execute(f"copy ({query}) to '{path}' (format parquet, row_group_size 500000)")


def make_store(folder: Path, events: Path, *, online: str = "lmdb:///online") -> FeatureStore:
    """A project in a folder of its own with the events as feature view `fv`, applied; nothing is materialized yet."""
    folder.mkdir(parents=True)
    (folder / "hitherto.toml").write_text(f'project = "bench"\n[online]\nurl = "{online}"\n')
    user = Entity("user", join_keys={"user_id": Int64})
    source = ParquetSource(
        str(events.absolute()), name="events", timestamp_field="event_timestamp", created_timestamp_field="created"
    )
    view = FeatureView(
        "fv",
        entities=[user],
        source=source,
        schema=[Field(name, kind) for name, kind in KINDS.items()],
        ttl="3650d",
    )
    store = FeatureStore(config=Config(project="bench", repo_path=folder, online={"url": online}), clock=lambda: END)
    store.apply([view])
    return store
