"""On-demand features over the readings of `projects`: one function in both modes, one on top of another, one that fails."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from hitherto import FeatureService, Field, RequestSource, on_demand_feature_view
from hitherto.types import Float64, Int64, String, Timestamp
from journeys.projects import source, view

READINGS = view(source=source("data/a.parquet"))
OTHER = READINGS.with_name("other").with_join_key_map({"sensor": "neighbour"})
TRIP = RequestSource("trip", schema=[Field("limit", Float64), Field("departs_at", Timestamp), Field("label", String)])


@on_demand_feature_view(
    sources=[READINGS, TRIP], schema=[Field("over", Float64), Field("minutes", Float64), Field("told", String)]
)
def headroom(
    value: float | None, limit: float | None, departs_at: datetime | None, label: str | None, now: datetime
) -> dict[str, Any]:
    """How much there is left, and how long."""
    return {
        "over": None if value is None or limit is None else value - limit,
        "minutes": None if departs_at is None else (departs_at - now).total_seconds() / 60,
        "told": None if label is None else label + "!",
    }


@on_demand_feature_view(
    sources=[READINGS, TRIP],
    schema=[Field("over_fast", Float64), Field("minutes_fast", Float64), Field("told_fast", String)],
    mode="polars",
)
def headroom_fast(
    value: pl.Expr, limit: pl.Expr, departs_at: pl.Expr, label: pl.Expr, now: pl.Expr
) -> dict[str, pl.Expr]:
    """The same over expressions."""
    return {
        "over_fast": value - limit,
        "minutes_fast": (departs_at - now).dt.total_microseconds() / 60e6,
        "told_fast": label + "!",
    }


@on_demand_feature_view(sources=[headroom[["over"]], OTHER[["value"]]], schema=[Field("doubled", Float64)])
def doubled(over: float | None, value: float | None) -> float | None:
    """Built on another, and on a view under another name."""
    return None if over is None or value is None else over * 2 + value


@on_demand_feature_view(sources=[TRIP], schema=[Field("length", Int64), Field("half", Int64)])
def fragile(label: str | None, limit: float | None) -> dict[str, Any]:
    """Raises for a null label, and halves to what may be no integer."""
    return {"length": len(label), "half": None if limit is None else limit / 2}  # type: ignore[arg-type]  # it is to fail


@on_demand_feature_view(sources=[], schema=[Field("hour", Int64)])
def hour_of_day(now: datetime) -> int:
    """Of the time alone."""
    return now.hour


SERVICE = FeatureService("trip_model", features=[doubled, READINGS[["value"]], headroom[["over"]], hour_of_day])
EVERYTHING = [READINGS, SERVICE, headroom_fast, fragile]
