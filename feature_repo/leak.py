"""A leak, kept to be looked at; no model may use it.

The same arrivals as aircraft_history, but the source does not say when they became known. A flight is then its own history
from its scheduled departure on: its arrival delay is joined before it has left. AUC 0.94 here, 0.58 as it really was known.
"""

from entities import aircraft

from hitherto import FeatureView, Field, ParquetSource, expect
from hitherto.types import Int16

schedule = ParquetSource("data/flights.parquet", name="schedule", timestamp_field="scheduled_departure")

aircraft_history_by_schedule = FeatureView(
    "aircraft_history_by_schedule",
    entities=[aircraft],
    source=schedule,
    schema=[
        Field(
            "last_arrival_delay",
            Int16,
            source_column="arrival_delay",
            expect=[expect.not_null(at_least=0.99, severity="warn")],
            description="Minutes. LEAKS: it is the delay of the flight that is to be predicted.",
        )
    ],
    ttl="30d",
    online=False,
    tags={"domain": "demonstration", "leaks": "on purpose"},
    description="What a join by schedule gives when nobody says when a value was known.",
)
