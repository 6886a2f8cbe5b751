"""Lookups: statuses, order, keys and both forms of the answer (semantics 4), on a real store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy
import pandas
import polars
import pyarrow as pa
import pytest

from hitherto.encoding.key_codec import encode_key
from hitherto.encoding.row_codec import encode_payload, encode_value
from hitherto.errors import ClockError, JoinKeyError, KeyTypeError, NameCollisionError, OnlineStoreError, UsageError
from hitherto.online.embedded.store import LmdbOnlineStore
from hitherto.online.plan import LookupPlan, ServedProjection, build_plan
from hitherto.online.reader import lookup, lookup_async
from hitherto.online.store import OnlineStore, Place
from hitherto.timeline import instant
from hitherto.types import Bytes, DataType, Date, Float64, Int64, String, Timestamp
from vectors import VECTORS, same

NOW = instant("2013-01-02T00:00:00Z")
HOUR = 3_600_000_000
EPOCH = "1970-01-01T00:00:00Z"
WEATHER = ServedProjection(
    name="weather",
    place=Place("demo", "weather", 1, 1),
    keys=(("airport", String),),
    fields=(("temperature", Float64), ("station", String)),
    features=("temperature", "station"),
    ttl=6 * HOUR,
    watermark=NOW,
)
ROUTE = ServedProjection(
    name="route",
    place=Place("demo", "route", 2, 5),
    keys=(("origin", Int64), ("destination", Int64)),
    fields=(("flights", Int64),),
    features=("flights",),
    online_retention=24 * HOUR,
)
EVERYWHERE = ServedProjection(
    name="everywhere", place=Place("demo", "everywhere", 1, 1), keys=(), fields=(("oil", Float64),), features=("oil",)
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OnlineStore]:
    opened = LmdbOnlineStore(tmp_path / "online")
    yield opened
    opened.close()


def put(store: OnlineStore, one: ServedProjection, key: Sequence[Any], values: Sequence[Any], *, event: int) -> None:
    name = encode_key([kind for _, kind in one.keys], key)
    value = encode_value(
        encode_payload([kind for _, kind in one.fields], values), event=event, available=event, sequence=1
    )
    store.push(one.place, [pa.record_batch({"key": [name], "value": [value]})], token=1)


@pytest.fixture
def weather(store: OnlineStore) -> OnlineStore:
    put(store, WEATHER, ["JFK"], [39.02, "a"], event=NOW - HOUR)
    put(store, WEATHER, ["LGA"], [None, "b"], event=NOW - 6 * HOUR)
    put(store, WEATHER, ["EWR"], [1.0, "c"], event=NOW - 6 * HOUR - 1)
    return store


def answer_json(store: OnlineStore, plan: LookupPlan, rows: Any, *, now: int = NOW) -> Any:
    return json.loads(lookup(store, plan, rows, now=now, json=True).to_json())


def test_every_value_has_its_status(weather: OnlineStore) -> None:
    rows = {"airport": ["JFK", "LGA", "EWR", "XXX", None]}
    answer = lookup(weather, build_plan([WEATHER]), rows, now=NOW)
    assert answer.to_dict() == {
        "airport": ["JFK", "LGA", "EWR", "XXX", None],
        "temperature": [39.02, None, None, None, None],
        "station": ["a", "b", None, None, None],
    }
    temperature, station = answer.plan.columns
    outside = ["OUTSIDE_MAX_AGE", "NOT_FOUND", "NOT_FOUND"]
    assert answer.statuses(temperature) == ["PRESENT", "NULL_VALUE", *outside]
    assert answer.statuses(station) == ["PRESENT", "PRESENT", *outside]
    assert answer.names == ("airport", "temperature", "station")


def test_the_boundary_of_the_ttl_is_inside(store: OnlineStore) -> None:
    put(store, WEATHER, ["JFK"], [1.0, "a"], event=NOW - 6 * HOUR)
    plan = build_plan([WEATHER], [("weather", "temperature")])
    given = [lookup(store, plan, {"airport": ["JFK"]}, now=NOW + late).to_dict()["temperature"] for late in (0, 1)]
    assert given == [[1.0], [None]]


def test_metadata_has_status_event_time_and_age(weather: OnlineStore) -> None:
    answer = lookup(
        weather, build_plan([WEATHER]), [{"airport": "JFK"}, {"airport": "EWR"}, {"airport": "XXX"}], now=NOW
    )
    columns = answer.to_dict(include_metadata=True)
    assert columns["temperature__status"] == ["PRESENT", "OUTSIDE_MAX_AGE", "NOT_FOUND"]
    midnight = datetime(2013, 1, 2, tzinfo=UTC)
    old = timedelta(hours=6, microseconds=1)
    assert columns["temperature__event_time"] == [midnight - timedelta(hours=1), midnight - old, None]
    assert columns["station__age"] == [timedelta(hours=1), old, None]


def test_an_answer_shows_each_value_or_why_there_is_none(weather: OnlineStore) -> None:
    plan = build_plan([WEATHER], [("weather", "temperature")])
    answer = lookup(weather, plan, {"airport": ["JFK", "XXX", "EWR"]}, now=NOW)
    assert [line.split() for line in str(answer).splitlines()] == [
        ["airport", "temperature"],
        ["JFK", "39.02"],
        ["XXX", "NOT_FOUND"],
        ["EWR", "OUTSIDE_MAX_AGE"],
    ]
    assert answer._repr_html_() == f"<pre>{answer}</pre>"
    many = lookup(weather, plan, {"airport": ["JFK"] * 25}, now=NOW)
    assert str(many).splitlines()[-1] == "... and 5 more"


def test_json_has_the_shape_of_feast(weather: OnlineStore) -> None:
    plan = build_plan([WEATHER], [("weather", "temperature")])
    assert answer_json(weather, plan, {"airport": ["JFK", "XXX", "LGA", "EWR"]}) == {
        "metadata": {"feature_names": ["airport", "temperature"]},
        "results": [
            {"values": ["JFK", "XXX", "LGA", "EWR"], "statuses": ["PRESENT"] * 4, "event_timestamps": [EPOCH] * 4},
            {
                "values": [39.02, None, None, None],
                "statuses": ["PRESENT", "NOT_FOUND", "NULL_VALUE", "OUTSIDE_MAX_AGE"],
                "event_timestamps": [
                    "2013-01-01T23:00:00Z",
                    EPOCH,
                    "2013-01-01T18:00:00Z",
                    "2013-01-01T17:59:59.999999Z",
                ],
            },
        ],
    }


def test_the_order_of_rows_and_features_is_kept_and_duplicates_too(weather: OnlineStore) -> None:
    put(weather, ROUTE, [1, 11], [7], event=NOW)
    plan = build_plan([WEATHER, ROUTE], [("weather", "station"), ("route", "flights"), ("weather", "temperature")])
    rows = {"destination": [11, 1, 11], "airport": ["JFK", "JFK", "LGA"], "origin": [1, 11, None]}
    assert lookup(weather, plan, rows, now=NOW).to_dict() == {
        **rows,
        "station": ["a", "a", "b"],
        "flights": [7, None, None],
        "temperature": [39.02, 39.02, None],
    }


def test_a_view_without_entities_answers_one_row_per_request_row(weather: OnlineStore) -> None:
    alone = build_plan([EVERYWHERE])
    assert lookup(weather, alone, {}, now=NOW).to_dict() == {"oil": [None]}
    put(weather, EVERYWHERE, [], [90.5], event=NOW)
    assert lookup(weather, alone, {}, now=NOW).to_dict() == {"oil": [90.5]}
    assert lookup(weather, alone, [{}, {}], now=NOW).to_dict() == {"oil": [90.5, 90.5]}
    assert lookup(weather, alone, {"airport": ["a", "b"]}, now=NOW).to_dict() == {
        "airport": ["a", "b"],
        "oil": [90.5, 90.5],
    }
    both = build_plan([WEATHER, EVERYWHERE], [("everywhere", "oil"), ("weather", "station")])
    assert lookup(weather, both, {"airport": ["JFK", "XXX"]}, now=NOW).to_dict()["oil"] == [90.5, 90.5]
    with pytest.raises(NameCollisionError, match="'oil'"):
        lookup(weather, alone, {"oil": [1]}, now=NOW)


def test_no_rows_give_an_empty_answer(weather: OnlineStore) -> None:
    plan = build_plan([WEATHER])
    assert lookup(weather, plan, {"airport": []}, now=NOW).to_dict() == {
        "airport": [],
        "temperature": [],
        "station": [],
    }
    assert answer_json(weather, plan, {"airport": []})["results"][1] == {
        "values": [],
        "statuses": [],
        "event_timestamps": [],
    }


def test_a_row_beyond_its_retention_is_not_there(store: OnlineStore) -> None:
    put(store, ROUTE, [1, 2], [7], event=NOW - 24 * HOUR)
    plan = build_plan([ROUTE])
    rows = {"origin": [1], "destination": [2]}
    assert lookup(store, plan, rows, now=NOW).to_dict()["flights"] == [7]
    late = lookup(store, plan, rows, now=NOW + 1)
    assert late.statuses(plan.columns[0]) == ["NOT_FOUND"]
    assert answer_json(store, plan, rows, now=NOW + 1)["results"][2]["event_timestamps"] == [EPOCH]


def test_a_ttl_for_ages_reaches_back_to_the_beginning(store: OnlineStore) -> None:
    for_ages = ServedProjection("w", WEATHER.place, WEATHER.keys, WEATHER.fields, ("station",), ttl=2**64)
    put(store, for_ages, ["JFK"], [1.0, "a"], event=-HOUR)
    assert lookup(store, build_plan([for_ages]), {"airport": ["JFK"]}, now=NOW).to_dict()["station"] == ["a"]


def test_a_clock_before_the_watermark_is_an_error(weather: OnlineStore) -> None:
    with pytest.raises(ClockError, match="'weather' is materialized up to 2013-01-02"):
        lookup(weather, build_plan([WEATHER]), {"airport": ["JFK"]}, now=NOW - 1)


@pytest.mark.parametrize("kind", VECTORS, ids=repr)
def test_every_value_comes_back_bit_for_bit_in_python_and_as_json(store: OnlineStore, kind: DataType) -> None:
    values = VECTORS[kind]
    one = ServedProjection(
        "v", Place("demo", "v", 1, 1), (("id", Int64),), (("value", kind), ("n", Int64)), ("value", "n")
    )
    for number, value in enumerate(values):
        put(store, one, [number], [value, number], event=NOW)
    answer = lookup(store, build_plan([one]), {"id": list(range(len(values)))}, now=NOW)
    assert same(answer.to_dict()["value"], list(values))
    assert answer.to_dict()["n"] == list(range(len(values)))
    result = json.loads(answer.to_json())["results"][1]
    assert result["statuses"] == ["NULL_VALUE" if value is None else "PRESENT" for value in values]


def test_async_answers_the_same(weather: OnlineStore) -> None:
    plan, rows = build_plan([WEATHER]), {"airport": ["JFK", None]}
    found = asyncio.run(lookup_async(weather, plan, rows, now=NOW))
    assert found.to_json() == lookup(weather, plan, rows, now=NOW).to_json()


@pytest.mark.parametrize(
    "column",
    [numpy.array(["JFK"]), pandas.Series(["JFK"]), polars.Series(["JFK"]), pa.array(["JFK"]), ("JFK",), iter(["JFK"])],
    ids=["numpy", "pandas", "polars", "arrow", "tuple", "iterator"],
)
def test_columns_of_other_libraries_are_entity_columns(weather: OnlineStore, column: Any) -> None:
    assert lookup(weather, build_plan([WEATHER]), {"airport": column}, now=NOW).to_dict()["station"] == ["a"]


def test_scalars_of_other_libraries_are_keys(store: OnlineStore) -> None:
    put(store, ROUTE, [1, 2], [7], event=NOW)
    rows = [{"origin": numpy.int64(1), "destination": pa.scalar(2)}]
    answer = lookup(store, build_plan([ROUTE]), rows, now=NOW)
    assert answer.to_dict()["flights"] == [7]
    assert json.loads(answer.to_json())["results"][0]["values"] == [1]


def test_keys_from_json_are_read_by_their_type_and_echoed_as_they_came(store: OnlineStore) -> None:
    kinds = (("day", Date), ("at", Timestamp), ("tag", Bytes))
    one = ServedProjection("v", Place("demo", "v", 1, 1), kinds, (("n", Int64),), ("n",))
    put(store, one, [date(2013, 1, 31), datetime(2013, 1, 1, 12, tzinfo=UTC), b"\0"], [7], event=NOW)
    rows = {"day": ["2013-01-31"], "at": ["2013-01-01T13:00:00+01:00"], "tag": ["AA=="]}
    results = answer_json(store, build_plan([one]), rows)["results"]
    assert [result["values"] for result in results] == [*rows.values(), [7]]


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ({}, JoinKeyError, "join key 'airport' is missing: feature view 'weather'"),
        ({"airports": ["JFK"]}, JoinKeyError, "join key 'airport' is missing"),
        ({"airport": ["JFK"], "carrier": ["AA"]}, JoinKeyError, "'carrier' is not a join key of these features; they are looked up by 'airport'"),
        ({"airport": [7]}, KeyTypeError, "key 'airport' is declared String; it was given int"),
        ({"airport": "JFK"}, UsageError, "must be a list"),
        ({"airport": 7}, UsageError, "must be a list"),
        ([{"airport": "JFK"}, {}], JoinKeyError, "row 1"),
        ([["JFK"]], UsageError, "list of dicts"),
        ("JFK", UsageError, "list of dicts"),
        (None, UsageError, "list of dicts"),
        (7, UsageError, "list of dicts"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_refused(
    weather: OnlineStore, rows: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        lookup(weather, build_plan([WEATHER]), rows, now=NOW)


def test_columns_of_different_lengths_are_refused(store: OnlineStore) -> None:
    with pytest.raises(JoinKeyError, match="'origin' has 1, 'destination' has 2"):
        lookup(store, build_plan([ROUTE]), {"origin": [1], "destination": [1, 2]}, now=NOW)


@pytest.mark.parametrize("value", [b"2" + b"0" * 64 + b"\x1f\x1f1\x1f2", b"1" + b"f" * 64 + b"\x1f\x1f1"])
def test_a_row_of_another_format_is_an_error_not_a_value(store: OnlineStore, value: bytes) -> None:
    store.load(WEATHER.place, [pa.record_batch({"key": [b"s3:JFK"], "value": [value]})], token=1)
    with pytest.raises(OnlineStoreError, match="written by another version"):
        lookup(store, build_plan([WEATHER]), {"airport": ["JFK"]}, now=NOW)


def test_what_a_plan_remembers_does_not_grow_with_the_names_that_clients_choose(weather: OnlineStore) -> None:
    put(weather, EVERYWHERE, [], [90.5], event=NOW)
    alone, keyed = build_plan([EVERYWHERE]), build_plan([WEATHER])
    for number in range(20):
        assert answer_json(weather, alone, {f"n{number}": [1]})["metadata"]["feature_names"] == [f"n{number}", "oil"]
        answer_json(weather, keyed, {"airport": ["JFK"]})
    assert not alone.skeletons
    assert [*keyed.skeletons] == [("airport",)]
