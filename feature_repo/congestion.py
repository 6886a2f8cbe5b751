"""How late an airport is running."""

from pathlib import Path

from entities import airport
from sources import departures

from hitherto import FeatureView, Field, expect
from hitherto.types import Float64, Int64

airport_congestion = FeatureView(
    "airport_congestion",
    entities=[airport],
    source=departures,
    transform=Path("airport_congestion.sql"),
    lookback="2h",
    schema=[
        Field(
            "mean_departure_delay",
            Float64,
            expect=[expect.not_null(), expect.between(-60, 1440)],
            description="Minutes, over the departures of the last two hours.",
        ),
        Field("departures", Int64, expect=[expect.between(1, 500)], description="In the last two hours."),
    ],
    ttl="2h",
    owner="operations@example.com",
    tags={"domain": "operations"},
    description="Departures of the last two hours, as of the last one.",
)
