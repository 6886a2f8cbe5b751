"""Aircraft: how their last flight went, and what the register says about them."""

from pathlib import Path

from entities import aircraft
from sources import arrivals, planes

from hitherto import FeatureView, Field, expect
from hitherto.types import Int8, Int16, Int64, String

# No lookback: flights_so_far counts from the beginning.
aircraft_history = FeatureView(
    "aircraft_history",
    entities=[aircraft],
    source=arrivals,
    transform=Path("aircraft_history.sql"),
    schema=[
        Field("last_departure_delay", Int16, expect=[expect.between(-120, 1440)], description="Minutes."),
        Field("last_arrival_delay", Int16, expect=[expect.between(-120, 1440)], description="Minutes."),
        Field("flights_so_far", Int64, expect=[expect.between(0, None)], description="From New York, in this data."),
    ],
    ttl="30d",
    expect=[expect.sql("regexp_full_match(aircraft, 'N[0-9A-Z]{1,5}')", severity="quarantine")],
    owner="fleet@example.com",
    tags={"domain": "fleet"},
    description="An aircraft's last flight from New York that has arrived.",
)

aircraft_facts = FeatureView(
    "aircraft_facts",
    entities=[aircraft],
    source=planes,
    schema=[
        Field("manufacturer", String, expect=[expect.not_null(), expect.length(1, 40)]),
        Field("model", String, expect=[expect.not_null()]),
        Field(
            "year_built",
            Int16,
            source_column="year",
            expect=[
                expect.between(1950, 2013, severity="nullify"),
                expect.not_null(at_least=0.95, severity="warn"),
            ],
        ),
        Field("engines", Int8, expect=[expect.between(1, 4)]),
        Field("seats", Int16, expect=[expect.between(1, 600)]),
        Field(
            "engine",
            String,
            expect=[
                expect.is_in(
                    ["4 Cycle", "Reciprocating", "Turbo-fan", "Turbo-jet", "Turbo-prop", "Turbo-shaft"],
                    severity="nullify",
                )
            ],
        ),
    ],
    owner="fleet@example.com",
    tags={"domain": "fleet"},
    description="The register's entry of an aircraft; it does not age.",
)
