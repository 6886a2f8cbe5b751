"""The Parquet files of data/, and what their time columns mean.

One file may be several sources: flights.parquet tells of departures, which are known when they happen, and of arrivals, which
are filed under the scheduled departure but known only when the aircraft is at the gate.
"""

from hitherto import ParquetSource

weather = ParquetSource(
    "data/weather.parquet",
    timestamp_field="observed_at",
    known_after="30m",
    description="Hourly observations at the three airports; a report takes half an hour to come in.",
)

departures = ParquetSource(
    "data/flights.parquet",
    name="departures",
    timestamp_field="departed_at",
    known_after="1m",
    description="Flights by the minute they left the gate, which is known when it is over. A cancelled flight has none.",
)

arrivals = ParquetSource(
    "data/flights.parquet",
    name="arrivals",
    timestamp_field="scheduled_departure",
    known_timestamp_field="arrived_at",
    description="Flights by their schedule; how they went is known at the destination's gate.",
)

planes = ParquetSource(
    "data/planes.parquet",
    timestamp_field="listed_at",
    description="The FAA's aircraft register. It counts as known from the beginning of 2013.",
)
