"""What models take."""

from aircraft import aircraft_facts, aircraft_history
from congestion import airport_congestion
from departure import departure, usual_delay
from traffic import aircraft_delays, airport_traffic
from weather import airport_weather, alternate_weather

from hitherto import FeatureService

delay_model = FeatureService(
    "delay_model",
    features=[
        airport_weather,
        alternate_weather[["temperature", "wind_speed", "precipitation", "visibility"]],
        aircraft_history,
        airport_congestion,
        aircraft_facts[["manufacturer", "year_built", "seats"]],
        airport_traffic,
        aircraft_delays,
        departure,
        usual_delay,
    ],
    owner="delays@example.com",
    description="Will a flight leave more than 15 minutes late? Weather is in it twice, so ask with full_feature_names=True.",
)
