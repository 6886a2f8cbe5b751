"""POST /get-online-features over a real connection: Feast's shape, our values, and a problem document for every refusal."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from hitherto import FeatureStore
from hitherto.online.plan import plan_lookup
from hitherto.online.reader import lookup
from hitherto.serving import body as body_module
from hitherto.serving.server import running
from hitherto.testing import FakeClock
from hitherto.timeline import instant
from unit.serving.servers import NOW, Client, make_store, wait_until

WEATHER = ["weather:temperature", "weather:reports", "weather:dry", "weather:remark"]
TRIPS = ["trips:fare", "trips:stops", "trips:photo", "trips:booked", "trips:day"]


def columns(reply: Any) -> dict[str, list[Any]]:
    names = reply.json["metadata"]["feature_names"]
    return {name: result["values"] for name, result in zip(names, reply.json["results"], strict=True)}


def test_the_answer_has_feasts_shape(client: Client):
    reply = client.lookup(["weather:temperature"], station=["JFK", "XXX"])
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    epoch = "1970-01-01T00:00:00Z"
    assert reply.json == {
        "metadata": {"feature_names": ["station", "temperature"]},
        "results": [
            {"values": ["JFK", "XXX"], "statuses": ["PRESENT", "PRESENT"], "event_timestamps": [epoch, epoch]},
            {
                "values": [39.02, None],
                "statuses": ["PRESENT", "NOT_FOUND"],
                "event_timestamps": ["2013-01-01T12:00:00Z", epoch],
            },
        ],
    }


def test_each_status_is_told_apart(client: Client):
    reply = client.lookup(["weather:temperature"], station=["JFK", "LGA", "OLD", "XXX", None])
    assert reply.json["results"][1]["statuses"] == [
        "PRESENT",
        "NULL_VALUE",
        "OUTSIDE_MAX_AGE",
        "NOT_FOUND",
        "NOT_FOUND",
    ]
    assert columns(reply)["temperature"] == [39.02, None, None, None, None]


def test_values_come_back_exactly(client: Client):
    weather = columns(client.lookup(WEATHER, station=["JFK", "LGA", "EWR"]))
    assert weather["reports"] == [2**53 + 1, 7, -1]
    assert weather["temperature"] == [39.02, None, "NaN"]
    assert weather["dry"] == [True, False, None]
    assert weather["remark"] == ['wind\n"gusts"', "", "Zürich \U0001f4a8"]
    trips = columns(client.lookup(TRIPS, carrier=[1, 11, 1], flight=[11, 1, 1]))
    assert trips["fare"] == ["1.10", "2.00", None]
    assert trips["stops"] == [["JFK", None], [], None]
    assert trips["photo"] == ["AP8=", None, None]
    assert trips["booked"] == ["2013-01-01T12:00:00Z", None, None]
    assert trips["day"] == ["2013-01-01", None, None]


def test_the_answer_is_that_of_the_reader(client: Client, store: FeatureStore):
    rows = {"station": ["EWR", "JFK", "XXX", "JFK", "OLD", "LGA"]}
    plan = plan_lookup(store.registry.snapshot(), WEATHER)
    expected = lookup(store.online_store, plan, rows, now=instant(NOW), json=True).to_json()
    assert client.lookup(WEATHER, **rows).body == expected


def test_a_service_joins_a_view_twice_and_one_without_keys(client: Client):
    asked = {"feature_service": "model", "full_feature_names": True, "entities": {"station": ["JFK"], "other": ["EWR"]}}
    assert columns(client.post("/get-online-features", asked)) == {
        "station": ["JFK"],
        "other": ["EWR"],
        "weather__temperature": [39.02],
        "alternate__temperature": ["NaN"],
        "totals__stations": [3],
    }


def test_a_view_without_keys_answers_one_row(client: Client):
    assert columns(client.lookup(["totals:stations"])) == {"stations": [3]}


def test_what_feasts_clients_send_beside_it_means_nothing(client: Client):
    asked = {"features": ["weather:dry"], "entities": {"station": ["JFK"]}}
    plain = client.post("/get-online-features", asked)
    assert (
        client.post("/get-online-features", {**asked, "include_feature_view_version_metadata": True}).body == plain.body
    )
    assert client.post("/get-online-features", {**asked, "feature_service": None}).body == plain.body


def test_a_body_without_a_content_type_is_taken_as_json(client: Client):
    body = json.dumps({"features": ["weather:dry"], "entities": {"station": ["JFK"]}}).encode()
    assert client.send("POST", "/get-online-features", body).status == 200
    assert (
        client.send("POST", "/get-online-features", body, {"content-type": "Application/JSON; charset=utf-8"}).status
        == 200
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "truncated"),
        (b'{"features": [', "truncated"),
        (b"[]", "Expected `object`"),
        (b'{"features": ["weather:dry"]}', "missing required field `entities`"),
        (b'{"features": ["weather:dry"], "entities": {"station": "JFK"}}', "Expected `array`"),
        (b'{"features": [7], "entities": {"station": ["JFK"]}}', "Expected `str`"),
        (b'{"features": ["weather:dry"], "entities": {}, "feature": 1}', "unknown field `feature`"),
        (b'{"features": ["weather:dry"], "entities": {"station": ["\xff"]}}', "UTF-8"),
        (b'{"features": ["weather:dry"], "entities": {"station": [NaN]}}', "malformed"),
        (b'{"features": ["weather:dry"], "entities": {"station": ' + b"[" * 100_000, "deeply"),
    ],
)
def test_a_malformed_body_is_400_and_says_where(client: Client, body: bytes, said: str):
    reply = client.send("POST", "/get-online-features", body, {"content-type": "application/json"})
    assert (reply.status, reply.headers["content-type"]) == (400, "application/problem+json")
    assert reply.json["type"] == "urn:hitherto:problem:malformed-body"
    assert said in reply.json["detail"]


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"features": ["wether:dry"], "entities": {"station": ["JFK"]}}, 404, "Did you mean 'weather'?"),
        ({"features": ["weather:temprature"], "entities": {"station": ["JFK"]}}, 404, "Did you mean 'temperature'?"),
        ({"features": ["weather@7:dry"], "entities": {"station": ["JFK"]}}, 404, "weather@1"),
        ({"feature_service": "modl", "entities": {}}, 404, "Did you mean 'model'?"),
        ({"features": ["dry"], "entities": {}}, 400, "view:feature"),
        ({"features": [], "entities": {}}, 400, "one of the two"),
        ({"features": ["weather:dry"], "feature_service": "model", "entities": {}}, 400, "one of the two"),
        ({"features": ["weather:dry", "weather:dry"], "entities": {"station": ["JFK"]}}, 400, "twice|'dry'"),
        ({"features": ["weather:dry"], "entities": {}}, 422, "join key 'station' is missing"),
        ({"features": ["weather:dry"], "entities": {"station": ["JFK"], "x": [1]}}, 422, "'x' is not a join key"),
        ({"features": ["weather:dry"], "entities": {"station": [7]}}, 422, "declared String"),
        ({"features": ["trips:fare"], "entities": {"carrier": [True], "flight": [1]}}, 422, "declared Int64"),
        ({"features": ["trips:fare"], "entities": {"carrier": [1.0], "flight": [1]}}, 422, "declared Int64"),
        ({"features": ["trips:fare"], "entities": {"carrier": [2**70], "flight": [1]}}, 422, "declared Int64"),
        ({"features": ["trips:fare"], "entities": {"carrier": [1, 2], "flight": [1]}}, 422, "one length"),
    ],
)
def test_a_wrong_request_is_refused_with_what_to_do(client: Client, asked: dict[str, Any], status: int, said: str):
    reply = client.post("/get-online-features", asked)
    assert reply.status == status
    assert any(one in reply.json["detail"] for one in said.split("|")), reply.json["detail"]
    assert reply.json["instance"] == "/get-online-features"
    assert reply.json["status"] == status


def test_another_method_is_405_and_another_content_type_415(client: Client):
    reply = client.get("/get-online-features")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    form = client.send("POST", "/get-online-features", b"{}", {"content-type": "application/x-www-form-urlencoded"})
    assert form.status == 415


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server that allows little."""
    limits = {"max_body_bytes": 400, "max_entities": 3, "max_features": 2}
    with make_store(tmp_path_factory.mktemp("narrow"), **limits) as store, running(store) as url:
        yield Client(url)


def test_too_many_entity_rows_or_features_are_413(narrow: Client):
    assert narrow.lookup(["weather:dry"], station=["JFK"] * 3).status == 200
    rows = narrow.lookup(["weather:dry"], station=["JFK"] * 4)
    assert (rows.status, rows.json["detail"].split(".")[0]) == (413, "4 entity rows are asked for, 3 are allowed")
    features = narrow.lookup(WEATHER[:3], station=["JFK"])
    assert (features.status, features.json["detail"].split(".")[0]) == (413, "3 features are asked for, 2 are allowed")
    service = {
        "feature_service": "model",
        "full_feature_names": True,
        "entities": {"station": ["JFK"], "other": ["JFK"]},
    }
    assert narrow.post("/get-online-features", service).status == 413


def test_a_body_of_a_known_length_is_refused_before_it_is_read(narrow: Client):
    reply = narrow.lookup(["weather:dry"], station=["x" * 400])
    assert (reply.status, reply.headers["connection"]) == (413, "close")


def test_a_chunked_body_is_counted_as_it_comes(narrow: Client):
    parts = urlsplit(narrow.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as raw:
        raw.sendall(b"POST /get-online-features HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(5):
            raw.sendall(b"64\r\n" + b" " * 100 + b"\r\n")
        assert raw.recv(1_000).startswith(b"HTTP/1.1 413")


def test_a_chunked_body_within_the_limit_is_answered(narrow: Client):
    body = json.dumps({"features": ["weather:dry"], "entities": {"station": ["JFK"]}}).encode()
    parts = urlsplit(narrow.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as raw:
        raw.sendall(b"POST /get-online-features HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        for byte in (body[:20], body[20:]):
            raw.sendall(b"%x\r\n%b\r\n" % (len(byte), byte))
            time.sleep(0.02)
        raw.sendall(b"0\r\n\r\n")
        assert raw.recv(1_000).startswith(b"HTTP/1.1 200")


def test_a_body_that_does_not_arrive_is_408(narrow: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(body_module, "SECONDS", 0.1)
    parts = urlsplit(narrow.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as raw:
        raw.sendall(b"POST /get-online-features HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{")
        assert raw.recv(1_000).startswith(b"HTTP/1.1 408")


def test_a_clock_before_the_watermark_is_503_and_no_answer_from_the_future(tmp_path: Path):
    with make_store(tmp_path) as store, running(store) as url:
        assert isinstance(store.clock, FakeClock)
        store.clock.set("2013-01-01T12:59:59Z")
        reply = Client(url).lookup(["weather:dry"], station=["JFK"])
        assert (reply.status, reply.json["type"]) == (503, "urn:hitherto:problem:clock")
        assert "retry-after" in reply.headers
        ready = Client(url).get("/ready").json
        assert ready["status"] == "degraded"
        assert "the clock is before the watermark of feature view 'weather'" in ready["warnings"][0]


def test_a_publish_is_seen_by_the_next_poll(tmp_path: Path):
    with make_store(tmp_path) as store, running(store) as url:
        client = Client(url)
        assert isinstance(store.clock, FakeClock)
        before = client.get("/ready").json["registry"]["serial"]
        store.clock.set("2013-01-01T14:00:00Z")
        store.materialize_incremental()
        wait_until(lambda: client.get("/ready").json["registry"]["serial"] > before)
        # The plan of before is not used again: its watermark was an hour earlier.
        store.clock.set("2013-01-01T13:30:00Z")
        assert client.lookup(["weather:dry"], station=["JFK"]).status == 503


@pytest.fixture(scope="module")
def distant(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[Client]:
    """A server whose online store is a Valkey, with little patience."""
    with (
        make_store(tmp_path_factory.mktemp("valkey"), url=valkey_url, request_timeout=0.2) as store,
        running(store) as url,
    ):
        yield Client(url)


def test_valkey_gives_what_lmdb_gives(client: Client, distant: Client):
    rows = {"station": ["EWR", "JFK", "XXX", None, "OLD", "LGA"]}
    assert distant.lookup(WEATHER, **rows).body == client.lookup(WEATHER, **rows).body
    trips: dict[str, list[Any]] = {"carrier": [1, 11, 1], "flight": [11, 1, 1]}
    assert distant.lookup(TRIPS, **trips).body == client.lookup(TRIPS, **trips).body


def test_a_store_that_is_slow_is_503_and_never_gives_one_callers_reply_to_another(distant: Client, valkey_url: str):
    expected = {"JFK": 39.02, "EWR": "NaN", "LGA": None, "XXX": None}
    stopped = threading.Event()

    def ask(name: str) -> list[tuple[int, Any]]:
        seen = []
        while not stopped.is_set():
            reply = distant.lookup(["weather:temperature"], station=[name])
            seen.append((reply.status, columns(reply)["temperature"][0] if reply.status == 200 else None))
        return seen

    with redis.Redis.from_url(valkey_url) as control, ThreadPoolExecutor(8) as pool:
        asking = [(name, pool.submit(ask, name)) for name in (*expected, *expected)]
        for _ in range(3):
            time.sleep(0.1)
            control.client_pause(400, all=True)
            time.sleep(0.5)
        time.sleep(0.2)
        stopped.set()
        answers = {name: done.result() for name, done in asking}
    for name, seen in answers.items():
        assert {value for status, value in seen if status == 200} == {expected[name]}
        assert {status for status, _ in seen} == {200, 503}
    late = distant.lookup(["weather:temperature"], station=["JFK"])
    assert late.status == 200


def test_a_client_that_goes_away_leaves_nothing_to_the_next(distant: Client, valkey_url: str):
    parts = urlsplit(distant.url)
    body = json.dumps({"features": ["weather:temperature"], "entities": {"station": ["LGA"]}}).encode()
    head = b"POST /get-online-features HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    with redis.Redis.from_url(valkey_url) as control:
        control.client_pause(100, all=True)
        for _ in range(10):
            with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as raw:
                raw.sendall(head + body)
    time.sleep(0.15)
    for _ in range(10):
        assert columns(distant.lookup(["weather:temperature"], station=["JFK"]))["temperature"] == [39.02]


def test_half_a_body_and_gone_is_no_fault(client: Client, caplog: pytest.LogCaptureFixture):
    parts = urlsplit(client.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as raw:
        raw.sendall(b"POST /get-online-features HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{")
    assert client.get("/health").status == 200
    time.sleep(0.05)
    assert not [record for record in caplog.records if record.name.startswith("hitherto")]
