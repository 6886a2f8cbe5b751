"""Weather at an airport, joined twice: at the airport of departure, and at the one a flight would be sent to instead."""

from pathlib import Path

from entities import airport
from sources import weather

from hitherto import FeatureView, Field, expect
from hitherto.types import Float64, Int16, Int32

airport_weather = FeatureView(
    "airport_weather",
    entities=[airport],
    source=weather,
    transform=Path("airport_weather.sql"),
    lookback="24h",
    schema=[
        Field(
            "temperature",
            Float64,
            source_column="temp",
            expect=[expect.not_null(severity="quarantine"), expect.between(-40, 120, severity="quarantine")],
            description="Degrees Fahrenheit.",
        ),
        Field("dew_point", Float64, source_column="dewp", description="Degrees Fahrenheit."),
        Field("humidity", Float64, source_column="humid", expect=[expect.between(0, 100)], description="Per cent."),
        Field("wind_direction", Int16, source_column="wind_dir", expect=[expect.between(0, 360)]),
        Field(
            "wind_speed",
            Float64,
            expect=[expect.between(0, 200, severity="nullify")],
            description="Miles per hour. One hour in the data says 1,048.",
        ),
        Field("wind_gust", Float64, expect=[expect.not_null(at_least=0.5, severity="warn")]),
        Field("precipitation", Float64, source_column="precip", expect=[expect.between(0, 12)], description="Inches."),
        Field("pressure", Float64, expect=[expect.between(870, 1085), expect.not_null(at_least=0.8, severity="warn")]),
        Field(
            "visibility",
            Float64,
            source_column="visib",
            expect=[expect.between(0, 10), expect.not_null(at_least=0.95, severity="warn")],
            description="Miles, 10 at most. A feed that writes -9999 for missing is turned away whole.",
        ),
        Field(
            "hours_since_previous",
            Int32,
            expect=[expect.between(None, 1, severity="warn")],
            description="Hours since the report before; above 1 after a gap, null after a day.",
        ),
    ],
    ttl="6h",
    expect=[
        expect.freshness("2h", severity="warn"),
        expect.sql("dew_point <= temperature", severity="quarantine"),
    ],
    owner="weather@example.com",
    tags={"domain": "weather"},
    description="The last hourly observation at an airport.",
)

alternate_weather = airport_weather.with_name("alternate_weather").with_join_key_map({"airport": "alternate"})
