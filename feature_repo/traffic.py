"""What has lately left an airport, and how an aircraft's last flights went: windows over flights, computed by the store.

A window at an instant holds the flights of that much time before it, as far as they were known by then. Training sets have it at
each row's own time, lookups at the time of the request.
"""

from entities import aircraft, airport
from sources import arrivals, departures

from hitherto import Aggregation, FeatureView, Field, expect
from hitherto.types import Int16

WINDOWS = ["1h", "3h", "24h"]

airport_traffic = FeatureView(
    "airport_traffic",
    entities=[airport],
    source=departures,
    # A cancelled flight has no departure to be counted.
    transform="select airport, departed_at, departure_delay from source where departed_at is not null",
    lookback="0s",
    schema=[Field("departure_delay", Int16, expect=[expect.not_null(), expect.between(-120, 1440)])],
    aggregations=[
        Aggregation("departure_delay", "count", windows=WINDOWS, name="departures", description="Flights that left."),
        Aggregation("departure_delay", "mean", windows=WINDOWS, description="Minutes."),
        Aggregation("departure_delay", "stddev", windows=WINDOWS, description="Minutes: how uneven the delays are."),
    ],
    owner="operations@example.com",
    tags={"domain": "operations"},
    description="Departures of the last 1, 3 and 24 hours, at whatever instant is asked for.",
)

aircraft_delays = FeatureView(
    "aircraft_delays",
    entities=[aircraft],
    source=arrivals,
    schema=[Field("arrival_delay", Int16, expect=[expect.between(-120, 1440)])],
    aggregations=[
        Aggregation("arrival_delay", "last", n=5, windows=["30d"], description="Minutes, the last one at the end."),
        Aggregation("arrival_delay", "mean", windows=["6h", "24h"], description="Minutes."),
    ],
    expect=[expect.sql("regexp_full_match(aircraft, 'N[0-9A-Z]{1,5}')", severity="quarantine")],
    owner="fleet@example.com",
    tags={"domain": "fleet"},
    description="How an aircraft's flights from New York have lately arrived, as far as they have.",
)
