"""Definitions and records that the tests of the registry share."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as Number
from typing import Any

from hitherto.definitions import Entity, FeatureService, FeatureView, Field, ParquetSource, expect
from hitherto.definitions.collection import Definitions
from hitherto.registry.records import Segment, SourceFile
from hitherto.timeline import Interval, instant
from hitherto.types import Bytes, Date, Decimal, Float32, Float64, Int64, List, String, Struct, Timestamp

AIRPORT = Entity("airport", join_keys={"airport": String}, description="By its IATA code", tags={"z": "1", "a": "2"})
WEATHER = ParquetSource("data/weather.parquet", timestamp_field="observed_at", known_after="30m")
VIEW = FeatureView(
    "airport_weather",
    entities=[AIRPORT],
    source=WEATHER,
    schema=[
        Field("temperature", Float64, source_column="temp", expect=[expect.between(-40, 120, severity="quarantine")]),
        Field("wind", Float64),
    ],
    ttl="6h",
)
SERVICE = FeatureService(
    "delay_model",
    features=[VIEW[["temperature"]], VIEW.with_name("alternate").with_join_key_map({"airport": "other"})],
)
# Everything that a definition can say.
EVERYTHING = FeatureView(
    "everything",
    entities=[Entity("pair", join_keys={"b": Int64, "a": Bytes}, owner="me"), AIRPORT],
    source=ParquetSource(
        "s3://bucket/x/*.parquet",
        timestamp_field="at",
        created_timestamp_field="made",
        known_timestamp_field="known",
        name="all_of_it",
        description="d",
        owner="o",
    ),
    schema=[
        Field("amount", Decimal(10, 2), expect=[expect.between(Number("0.10"), None), expect.is_in([Number("1.10")])]),
        Field("day", Date, expect=[expect.between(date(2013, 1, 1), date(2014, 1, 1))]),
        Field("moment", Timestamp, expect=[expect.between(datetime(2013, 1, 1, tzinfo=UTC), None)]),
        Field("raw", Bytes, expect=[expect.is_in([b"\x00\xff", b""]), expect.length(0, 9)]),
        Field("text", String, expect=[expect.matches("é.*"), expect.unique(severity="warn", at_least=0.5)]),
        Field("ratio", Float32, expect=[expect.between(float("-inf"), 2.5, severity="nullify")], tags={"k": "v"}),
        Field("many", List(Struct({"x": Float64})), expect=[expect.length(1)], description="many"),
    ],
    ttl=timedelta(days=7),
    transform="select *\nfrom source",
    lookback="2h",
    online=False,
    online_retention="30d",
    expect=[
        expect.row_count(1),
        expect.freshness("1d", severity="warn"),
        expect.new_keys(0.5),
        expect.null_share_change("text", 0.1),
        expect.mean_change("ratio", 2.0),
        expect.sql("amount > 0 or ratio > 1"),
    ],
    description="all",
    owner="me",
    tags={"a": "b"},
)
# Several sources, of which one is read twice.
JOINED = FeatureView(
    "joined",
    entities=[AIRPORT],
    sources={
        "reports": WEATHER,
        "stations": ParquetSource("data/stations.parquet", timestamp_field="opened_at", owner="o"),
        "before": WEATHER,
    },
    transform="select * from reports, stations, before",
    lookback="2h",
    schema=[Field("wind", Float64)],
)


def definitions(*views: FeatureView, services: Any = ()) -> Definitions:
    """Views with all that they are made of."""
    return Definitions(
        entities={entity.name: entity for view in views for entity in view.entities},
        sources={source.name: source for view in views for source in view.all_sources.values()},
        feature_views={view.name: view for view in views},
        feature_services={service.name: service for service in services},
    )


def day(number: int) -> int:
    """The n-th day of 2013, midnight."""
    return instant("2013-01-01") + (number - 1) * 86_400_000_000


def days(first: int, end: int) -> Interval:
    """[first, end) of the days of 2013."""
    return Interval(day(first), day(end))


def source_file(path: str = "data/weather.parquet", **changes: Any) -> SourceFile:
    """A file with rows of January."""
    file = SourceFile(path, size=10, modified="1", footer="f", rows=5, start=day(1), end=day(32) - 1)
    return replace(file, **changes)


def segment(segment_id: str, run: Any) -> Segment:
    """A segment of a run."""
    return Segment(segment_id, run.view, run.version, run.run_id, run.interval, f"{segment_id}.duckdb", 4, 2, "c", "f")
