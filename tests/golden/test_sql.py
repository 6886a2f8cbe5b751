"""The SQL of a training set and of staging, as text that a person can read and compare.

To take a changed one: `UPDATE_GOLDEN=1 pytest tests/golden/test_sql.py`, then read the difference.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hitherto import Aggregation, Entity, FeatureView, Field, ParquetSource, expect
from hitherto.offline.duckdb import point_in_time, windowed_sql
from hitherto.offline.plan import AgeLimit, SegmentRead, ViewRead
from hitherto.timeline import Interval, instant
from hitherto.types import Decimal, Float64, Int64, String
from hitherto.validation.source_types import parse
from hitherto.validation.staging import staging_sql

HERE = Path(__file__).parent
DAY = 86_400_000_000
START = instant("2013-01-01")
WEATHER = FeatureView(
    "airport_weather",
    entities=[Entity("airport", join_keys={"airport": String})],
    source=ParquetSource(
        "data/weather.parquet", timestamp_field="observed_at", created_timestamp_field="written_at", known_after="30m"
    ),
    schema=[
        Field("temperature", Float64, source_column="temp", expect=[expect.between(-40, 120, severity="quarantine")]),
        Field(
            "wind_speed", Float64, expect=[expect.between(0, 200, severity="nullify"), expect.not_null(at_least=0.9)]
        ),
        Field("reports", Int64),
        Field("fee", Decimal(10, 2)),
    ],
    expect=[expect.sql("reports >= 0 or temperature is null", severity="warn")],
    ttl="6h",
)
COLUMNS = {
    "airport": "VARCHAR",
    "observed_at": "TIMESTAMP",
    "written_at": "TIMESTAMP",
    "temp": "DOUBLE",
    "wind_speed": "FLOAT",
    "reports": "DOUBLE",
    "fee": "DECIMAL(8,2)",
}


def read(*segments: SegmentRead) -> ViewRead:
    return ViewRead(
        name="alternate_weather",
        view=WEATHER,
        version=2,
        key_columns={"airport": "alternate"},
        features=("temperature", "reports"),
        outputs=("alternate_weather__temperature", "alternate_weather__reports"),
        segments=segments,
        ttl=(AgeLimit(None, DAY // 4), AgeLimit(START + 9 * DAY, DAY)),
        online_retention=(AgeLimit(None, 30 * DAY),),
    )


def segment(run: str, start: int, end: int, **changes: Any) -> SegmentRead:
    path = Path(f"/project/offline/airport_weather/v2/{run}.duckdb")
    parts = {
        "intervals": (Interval(START + start * DAY, START + end * DAY),),
        "whole": True,
        "indexed": True,
        **changes,
    }
    return SegmentRead(path=path, run_id=run, **parts)


def compare(name: str, text: str) -> None:
    path = HERE / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{name} has changed; read the difference, then UPDATE_GOLDEN=1"


@pytest.mark.parametrize(
    ("name", "segments"),
    [
        ("one_segment", (segment("r000001", 0, 10),)),
        ("masked_segments", (segment("r000001", 0, 3, whole=False), segment("r000002", 3, 9, indexed=False))),
        ("as_served", (segment("r000001", 0, 3, served=(START + 3 * DAY, START + 5 * DAY)),)),
    ],
)
def test_the_sql_of_a_training_set_is_the_golden_one(name: str, segments: tuple[SegmentRead, ...]) -> None:
    compare(f"training_{name}.sql", ";\n\n".join(point_in_time.sql(read(*segments))) + ";\n")


def test_the_sql_of_windowed_features_is_the_golden_one() -> None:
    gusts = FeatureView(
        "gusts",
        entities=WEATHER.entities,
        source=WEATHER.source,
        aggregations=[
            Aggregation("wind_speed", "max", windows=["3h", "1d"]),
            Aggregation("wind_speed", "count", windows=["1d"]),
            Aggregation("reports", "sum", windows=["1d"], dtype=Int64),
            Aggregation("wind_speed", "percentile", p=0.9, windows=["3h"]),
            Aggregation("wind_speed", "last", n=3, windows=["3h"]),
        ],
    )
    names = gusts.feature_names
    segments = (segment("r000001", 0, 3, whole=False), segment("r000002", 3, 9, served=(START + 9 * DAY, None)))
    asked = replace(read(*segments), name="gusts", view=gusts, features=names, outputs=names)
    compare("training_windows.sql", ";\n\n".join(windowed_sql.sql(asked)) + ";\n")


def test_the_staging_statement_is_the_golden_one() -> None:
    types = {name: parse(kind) for name, kind in COLUMNS.items()}
    text = staging_sql(WEATHER, relation="__source", interval=Interval(START, START + DAY), types=types)
    compare("staging.sql", re.sub(r"\), (\w+) AS \(SELECT", r"),\n\1 AS (SELECT", text) + "\n")
