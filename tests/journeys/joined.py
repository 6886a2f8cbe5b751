"""The small project with a second source: what a sensor was calibrated with, joined to its readings as it was known."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from hitherto import FeatureView, Field, ParquetSource
from hitherto.types import Float64
from journeys.projects import SENSOR, Project, hour, source

KNOWN = """
    select r.sensor, r.at, r.value, c.factor
    from readings r asof left join calibrations c
    on r.sensor = c.sensor and r.__available_time >= c.__available_time
"""
"""Each reading with the factor that was known when the reading was."""


def calibrations(path: str = "calibrations/*.parquet", **changes: Any) -> ParquetSource:
    """The source of factors."""
    return ParquetSource(path, **{"name": "calibrations", "timestamp_field": "measured_at", **changes})


def joined(name: str = "calibrated", **changes: Any) -> FeatureView:
    """The view of readings with their factors."""
    parts = {
        "entities": [SENSOR],
        "sources": {"readings": source(), "calibrations": calibrations()},
        "transform": KNOWN,
        "schema": [Field("value", Float64), Field("factor", Float64)],
    }
    return FeatureView(name, **{**parts, **changes})


def calibrate(project: Project, rows: Iterable[tuple[str, float, float]], name: str = "a.parquet") -> Path:
    """Write a file of factors: (sensor, hours after START, factor)."""
    listed = list(rows)
    columns = {
        "sensor": pa.array([row[0] for row in listed], pa.string()),
        "measured_at": pa.array([hour(row[1]) for row in listed], pa.timestamp("us", "UTC")),
        "factor": pa.array([row[2] for row in listed], pa.float64()),
    }
    return project.deliver(pa.table(columns), f"../calibrations/{name}")
