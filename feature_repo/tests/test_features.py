"""What the features of this repo mean, as tests: `pytest tests` runs them. No data file is read; see hitherto.testing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hitherto.errors import MaterializationRejected
from hitherto.testing import Repo

FLIGHTS, WEATHER, PLANES = "data/flights.parquet", "data/weather.parquet", "data/planes.parquet"


@pytest.fixture
def repo() -> Iterator[Repo]:
    with Repo(Path(__file__).parents[1], now="2013-01-01T12:00Z") as repo:
        yield repo


def flight(**columns: Any) -> dict[str, Any]:
    """N14228 leaves Newark at ten, four minutes late, and is at the gate in Houston at one, eleven minutes late."""
    usual = {
        "carrier": "UA",
        "flight": 1545,
        "aircraft": "N14228",
        "airport": "EWR",
        "scheduled_departure": "2013-01-01T10:00Z",
        "departed_at": "2013-01-01T10:04Z",
        "arrived_at": "2013-01-01T13:00Z",
        "departure_delay": 4,
        "arrival_delay": 11,
    }
    return {**usual, **columns}


def report(**columns: Any) -> dict[str, Any]:
    """What JFK reports at noon."""
    usual = {
        "airport": "JFK",
        "observed_at": "2013-01-01T12:00Z",
        "temp": 39.0,
        "dewp": 28.0,
        "wind_speed": 12.7,
        "visib": 10.0,
    }
    return {**usual, **columns}


# -- aircraft ----------------------------------------------------------------------------------------------------------

HISTORY = ["aircraft_history:last_arrival_delay", "aircraft_history:flights_so_far"]


def test_a_flight_counts_from_its_arrival_on(repo: Repo) -> None:
    repo.load(FLIGHTS, [flight()])
    repo.advance("59m")
    assert repo.lookup({"aircraft": "N14228"}, HISTORY) == {"last_arrival_delay": None, "flights_so_far": None}
    repo.advance("2m")
    assert repo.lookup({"aircraft": "N14228"}, HISTORY) == {"last_arrival_delay": 11, "flights_so_far": 1}


def test_training_sees_what_a_lookup_would_have_seen(repo: Repo) -> None:
    repo.load(FLIGHTS, [flight()])
    repo.advance("1d")
    times = ["2013-01-01T10:00Z", "2013-01-01T12:59:59Z", "2013-01-01T13:00Z"]
    rows = repo.training_set([{"aircraft": "N14228", "event_timestamp": at} for at in times], HISTORY).to_dicts()
    assert [row["last_arrival_delay"] for row in rows] == [None, None, 11]


def test_the_leak_is_one(repo: Repo) -> None:
    """By its schedule alone, a flight's own delay is joined before it has left."""
    repo.load(FLIGHTS, [flight()])
    repo.advance("1d")
    rows = [{"aircraft": "N14228", "event_timestamp": "2013-01-01T10:00Z"}]
    features = ["aircraft_history_by_schedule:last_arrival_delay"]
    assert repo.training_set(rows, features).to_dicts()[0]["last_arrival_delay"] == 11


def test_a_flight_that_is_filed_late_is_counted_where_it_belongs(repo: Repo) -> None:
    second = flight(scheduled_departure="2013-01-01T15:00Z", arrived_at="2013-01-01T18:00Z", arrival_delay=-3)
    repo.load(FLIGHTS, [second])
    repo.advance("8h")
    assert repo.lookup({"aircraft": "N14228"}, HISTORY) == {"last_arrival_delay": -3, "flights_so_far": 1}
    repo.load(FLIGHTS, [flight()])
    repo.advance("10m")
    assert repo.lookup({"aircraft": "N14228"}, HISTORY) == {"last_arrival_delay": -3, "flights_so_far": 2}


def test_a_history_ends_after_thirty_days(repo: Repo) -> None:
    repo.load(FLIGHTS, [flight()])
    repo.advance("29d")
    assert set(repo.statuses({"aircraft": "N14228"}, HISTORY).values()) == {"PRESENT"}
    repo.advance("1d")
    assert set(repo.statuses({"aircraft": "N14228"}, HISTORY).values()) == {"OUTSIDE_MAX_AGE"}


def test_cancelled_flights_are_set_aside(repo: Repo) -> None:
    cancelled = flight(aircraft=None, departed_at=None, arrived_at=None, departure_delay=None, arrival_delay=None)
    repo.load(FLIGHTS, [flight(), cancelled])
    runs = {run.view: run for run in repo.advance("2h").runs}
    assert (runs["aircraft_history"].rows_written, runs["aircraft_history"].rows_quarantined) == (1, 1)
    assert (runs["airport_congestion"].rows_written, runs["airport_congestion"].rows_quarantined) == (1, 0)


def test_an_impossible_year_is_taken_for_unknown(repo: Repo) -> None:
    plane = {"aircraft": "N14228", "listed_at": "2013-01-01", "manufacturer": "BOEING", "model": "737-824"}
    more = {"year": 0, "engines": 2, "seats": 149, "engine": "Turbo-fan"}
    repo.load(PLANES, [plane | more])
    repo.advance("1m")
    facts = ["aircraft_facts:manufacturer", "aircraft_facts:year_built"]
    assert repo.lookup({"aircraft": "N14228"}, facts) == {"manufacturer": "BOEING", "year_built": None}
    assert repo.statuses({"aircraft": "N14228"}, facts) == {"manufacturer": "PRESENT", "year_built": "NULL_VALUE"}


def test_the_last_five_delays_are_those_of_flights_that_have_arrived(repo: Repo) -> None:
    hours = range(6)
    flights = [
        flight(
            scheduled_departure=f"2013-01-01T0{hour}:00Z", arrived_at=f"2013-01-01T0{hour + 3}:00Z", arrival_delay=hour
        )
        for hour in hours
    ]
    late = flight(scheduled_departure="2013-01-01T09:00Z", arrived_at="2013-01-01T13:00Z", arrival_delay=100)
    repo.load(FLIGHTS, [*flights, late])
    features = ["aircraft_delays:arrival_delay_last_5_30d", "usual_delay:usual_arrival_delay"]
    repo.advance("1m")
    found = repo.lookup({"aircraft": "N14228"}, features)
    assert found == {"arrival_delay_last_5_30d": [1, 2, 3, 4, 5], "usual_arrival_delay": 3.0}
    repo.advance("1h")
    found = repo.lookup({"aircraft": "N14228"}, features)
    assert found == {"arrival_delay_last_5_30d": [2, 3, 4, 5, 100], "usual_arrival_delay": 4.0}
    assert repo.lookup({"aircraft": "N1"}, features) == {"arrival_delay_last_5_30d": None, "usual_arrival_delay": None}


def test_recent_delays_are_of_flights_that_were_to_leave_in_the_last_hours(repo: Repo) -> None:
    repo.load(
        FLIGHTS,
        [flight(), flight(scheduled_departure="2012-12-31T20:00Z", arrived_at="2013-01-01T01:00Z", arrival_delay=31)],
    )
    repo.advance("61m")
    means = ["aircraft_delays:arrival_delay_mean_6h", "aircraft_delays:arrival_delay_mean_24h"]
    found = repo.lookup({"aircraft": "N14228"}, means)
    assert found == {"arrival_delay_mean_6h": 11.0, "arrival_delay_mean_24h": 21.0}


# -- the request -------------------------------------------------------------------------------------------------------

DEPARTURE = ["departure:minutes_to_departure", "departure:hour_of_day"]


def test_a_request_says_when_the_flight_is_to_leave(repo: Repo) -> None:
    assert repo.lookup({"scheduled_departure": "2013-01-01T13:30Z"}, DEPARTURE) == {
        "minutes_to_departure": 90.0,
        "hour_of_day": 13,
    }
    repo.advance("1h")
    row = {"scheduled_departure": "2013-01-01T13:30Z"}
    assert repo.lookup(row, DEPARTURE)["minutes_to_departure"] == 30.0
    assert repo.lookup({"scheduled_departure": None}, DEPARTURE) == {"minutes_to_departure": None, "hour_of_day": None}


def test_in_training_the_minutes_count_from_the_entity_row_on(repo: Repo) -> None:
    row = {"scheduled_departure": "2013-01-01T13:30Z", "event_timestamp": "2013-01-01T13:00Z"}
    assert repo.training_set([row], DEPARTURE).to_dicts()[0]["minutes_to_departure"] == 30.0


# -- airports ----------------------------------------------------------------------------------------------------------


def test_congestion_is_over_two_hours_and_known_a_minute_later(repo: Repo) -> None:
    times = {"2013-01-01T10:30Z": 60, "2013-01-01T12:10Z": 10, "2013-01-01T12:40Z": 20}
    repo.load(FLIGHTS, [flight(departed_at=at, departure_delay=delay) for at, delay in times.items()])
    congestion = ["airport_congestion:mean_departure_delay", "airport_congestion:departures"]
    repo.advance("41m")
    assert repo.lookup({"airport": "EWR"}, congestion) == {"mean_departure_delay": 35.0, "departures": 2}
    repo.advance("1m")
    assert repo.lookup({"airport": "EWR"}, congestion) == {"mean_departure_delay": 15.0, "departures": 2}
    assert set(repo.statuses({"airport": "JFK"}, congestion).values()) == {"NOT_FOUND"}


def test_traffic_counts_the_flights_that_left_in_each_window(repo: Repo) -> None:
    """A departure counts a minute after it, and for as long as the window is; a cancelled flight never left."""
    times = {"2013-01-01T10:30Z": 60, "2013-01-01T12:10Z": 10, "2013-01-01T12:40Z": 20}
    cancelled = flight(departed_at=None, arrived_at=None, departure_delay=None, arrival_delay=None)
    repo.load(FLIGHTS, [cancelled, *(flight(departed_at=at, departure_delay=delay) for at, delay in times.items())])
    windows = [f"airport_traffic:departures_{window}" for window in ("1h", "3h", "24h")]
    means = [f"airport_traffic:departure_delay_mean_{window}" for window in ("1h", "3h", "24h")]
    repo.advance("42m")
    assert list(repo.lookup({"airport": "EWR"}, windows).values()) == [2, 3, 3]
    assert list(repo.lookup({"airport": "EWR"}, means).values()) == [15.0, 30.0, 30.0]
    repo.advance("28m")
    assert list(repo.lookup({"airport": "EWR"}, windows).values()) == [1, 3, 3], "12:10 is an hour ago"
    asked = [{"airport": "EWR", "event_timestamp": at} for at in ("2013-01-01T12:40Z", "2013-01-01T12:41Z", repo.now)]
    rows = repo.training_set(asked, windows).to_dicts()
    assert [row["departures_1h"] for row in rows] == [1, 2, 1]
    repo.advance("1d")
    assert list(repo.lookup({"airport": "EWR"}, windows).values()) == [0, 0, 0]


def test_an_airport_that_nobody_has_left_has_no_departures(repo: Repo) -> None:
    repo.load(FLIGHTS, [flight()])
    repo.advance("1h")
    features = ["airport_traffic:departures_24h", "airport_traffic:departure_delay_mean_24h"]
    assert repo.lookup({"airport": "JFK"}, features) == {"departures_24h": 0, "departure_delay_mean_24h": None}


def test_a_feed_that_writes_minus_9999_is_turned_away_and_the_last_good_report_serves_on(repo: Repo) -> None:
    repo.load(WEATHER, [report()], partial=True)
    repo.advance("1h")
    repo.load(WEATHER, [report(observed_at="2013-01-01T13:00Z", visib=-9999.0)], partial=True)
    with pytest.raises(MaterializationRejected, match="visibility"):
        repo.advance("1h")
    assert repo.lookup({"airport": "JFK"}, ["airport_weather:visibility"]) == {"visibility": 10.0}


def test_weather_is_joined_at_the_alternate_too(repo: Repo) -> None:
    repo.load(WEATHER, [report(), report(airport="LGA", temp=41.0)], partial=True)
    repo.advance("1h")
    row = {"airport": "JFK", "alternate": "LGA", "aircraft": "N14228", "scheduled_departure": "2013-01-01T14:00Z"}
    found = repo.lookup(row, "delay_model", full_feature_names=True)
    assert (found["airport_weather__temperature"], found["alternate_weather__temperature"]) == (39.0, 41.0)
    assert found["aircraft_facts__seats"] is None
    training = repo.training_set([{**row, "event_timestamp": repo.now}], "delay_model", full_feature_names=True)
    assert {name: training.to_dicts()[0][name] for name in found} == found


# -- labels ------------------------------------------------------------------------------------------------------------


def test_a_flight_is_late_above_fifteen_minutes_and_a_cancelled_one_is_not_asked_about(repo: Repo) -> None:
    delays = {"2013-01-01T10:00Z": 15, "2013-01-01T11:00Z": 16}
    flights = [flight(scheduled_departure=at, departure_delay=delay) for at, delay in delays.items()]
    repo.load(FLIGHTS, [*flights, flight(departed_at=None, arrived_at=None, departure_delay=None)])
    repo.advance("3h")
    labels = (Path(__file__).parents[1] / "labels.sql").read_text()
    rows = repo.training_set(labels, HISTORY).to_dicts()
    assert [(row["airport"], row["alternate"], row["late"]) for row in rows] == [
        ("EWR", "LGA", False),
        ("EWR", "LGA", True),
    ]
