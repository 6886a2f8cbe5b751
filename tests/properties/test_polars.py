"""Retrieval equals Polars' join_asof on 100,000 flights of the example's data: an implementation that shares nothing with ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import hitherto
from hitherto import Entity, FeatureView, Field, ParquetSource
from hitherto.testing import FakeClock
from hitherto.types import Int16, String
from properties.repos import as_columns

FLIGHTS = Path(__file__).parents[2] / "feature_repo" / "data" / "flights.parquet"
FEATURES = ("departure_delay", "arrival_delay")
TTL = pl.duration(days=3)

AIRCRAFT = Entity("aircraft", join_keys={"aircraft": String})
SCHEMA = [Field(name, Int16) for name in FEATURES]


def view(name: str, event: str, known: str | None) -> FeatureView:
    source = ParquetSource(str(FLIGHTS), name=name, timestamp_field=event, known_timestamp_field=known)
    return FeatureView(name, entities=[AIRCRAFT], source=source, schema=SCHEMA, ttl="3d")


VIEWS = (view("departures", "departed_at", None), view("arrivals", "scheduled_departure", "arrived_at"))


def entity_rows() -> pl.DataFrame:
    """100,000 flights at their scheduled departures, in an order of their own, null aircraft among them."""
    flights = pl.read_parquet(FLIGHTS, columns=["aircraft", "scheduled_departure"])
    return flights.rename({"scheduled_departure": "event_timestamp"}).sample(100_000, seed=7, shuffle=True)


def by_polars(rows: pl.DataFrame, event: str, known: str) -> pl.DataFrame:
    """Point-in-time values by join_asof on the running greatest row of each aircraft."""
    text = pl.concat_str([pl.col(name).cast(pl.String).fill_null("null") for name in FEATURES], separator="\x1f")
    source = (
        pl.read_parquet(FLIGHTS, columns=list({"aircraft", event, known, *FEATURES}))
        .drop_nulls(["aircraft", event, known])
        .with_columns(available=pl.max_horizontal(event, known), bytes=text)
        .sort("aircraft", event, "available", "bytes")
        .with_row_index("rank")
    )
    greatest = (
        source.sort("available", "rank")
        .select("available", "aircraft", pl.col("rank").cum_max().over("aircraft"))
        .unique(["aircraft", "available"], keep="last", maintain_order=True)
    )
    joined = (
        rows.with_row_index("row")
        .sort("event_timestamp")
        .join_asof(greatest, left_on="event_timestamp", right_on="available", by="aircraft", check_sortedness=False)
        .join(source.select("rank", pl.col(event).alias("event"), *FEATURES), on="rank", how="left")
        .sort("row")
    )
    valid = pl.col("event") >= pl.col("event_timestamp") - TTL
    return joined.select(pl.when(valid).then(pl.col(name)).alias(name) for name in FEATURES)


@pytest.fixture(autouse=True)
def _few_rows_are_many() -> None:
    """Not here: 100,000 rows are many by themselves."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("flights")
    (folder / "hitherto.toml").write_text('project = "flights"')
    store = hitherto.FeatureStore(repo_path=folder, clock=FakeClock("2014-01-03T00:00:00Z"))
    store.apply(list(VIEWS))
    store.materialize_incremental()
    return store


@pytest.mark.parametrize(
    ("name", "event", "known"),
    [("departures", "departed_at", "departed_at"), ("arrivals", "scheduled_departure", "arrived_at")],
)
def test_retrieval_equals_join_asof_on_100_000_flights(store: Any, name: str, event: str, known: str) -> None:
    rows = entity_rows()
    training = store.get_historical_features(rows, features=[f"{name}:{feature}" for feature in FEATURES])
    found = training.to_polars()
    assert found.select(rows.columns).equals(rows)
    wanted = by_polars(rows, event, known)
    assert found.select(FEATURES).equals(wanted)
    # Most rows have an answer, and some have none: the comparison is not of nulls with nulls.
    present = wanted["departure_delay"].is_not_null().mean()
    assert isinstance(present, float)
    assert 0.5 < present < 0.99
    assert as_columns(training.statuses())["departure_delay"].count("OUTSIDE_MAX_AGE") > 0
