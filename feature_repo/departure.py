"""What only the request knows, and what follows from other features: computed when it is asked for, by one function for both sides."""

from datetime import datetime
from statistics import median
from typing import Any

from traffic import aircraft_delays

from hitherto import Field, RequestSource, on_demand_feature_view
from hitherto.types import Float64, Int8, Timestamp

flight = RequestSource(
    "flight",
    schema=[Field("scheduled_departure", Timestamp)],
    description="The flight that is asked about. Its schedule is published, so that whoever asks knows it.",
)


@on_demand_feature_view(
    sources=[flight],
    schema=[
        Field("minutes_to_departure", Float64, description="0 in labels.sql, which asks at the schedule itself."),
        Field("hour_of_day", Int8, description="UTC; New York is 5 hours behind, 4 in summer."),
    ],
    owner="delays@example.com",
    tags={"domain": "operations"},
)
def departure(scheduled_departure: datetime | None, now: datetime) -> dict[str, Any]:
    """How long it is until the flight is to leave, and at what time of the day."""
    if scheduled_departure is None:
        return {"minutes_to_departure": None, "hour_of_day": None}
    return {
        "minutes_to_departure": (scheduled_departure - now).total_seconds() / 60,
        "hour_of_day": scheduled_departure.hour,
    }


@on_demand_feature_view(
    sources=[aircraft_delays[["arrival_delay_last_5_30d"]]],
    schema=[Field("usual_arrival_delay", Float64, description="Minutes.")],
    owner="fleet@example.com",
    tags={"domain": "fleet"},
)
def usual_delay(arrival_delay_last_5_30d: list[int] | None) -> float | None:
    """The median of an aircraft's last five arrival delays."""
    return float(median(arrival_delay_last_5_30d)) if arrival_delay_last_5_30d else None
