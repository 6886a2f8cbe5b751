"""POST /push: rows of the declared types go to the online store, in order; anything else is refused as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hitherto.serving.server import running
from unit.serving.servers import Client, make_store

ROW = {"station": "JFK", "at": "2013-01-01T12:45:00Z", "temperature": 50.5, "reports": 3, "dry": None, "remark": "new"}
TRIP = {
    "carrier": 5,
    "flight": 6,
    "at": "2013-01-01T12:45:00.000001Z",
    "fare": "7.10",
    "stops": ["A", None],
    "photo": "AP8=",
    "booked": "2013-01-01T12:00:00Z",
    "day": "2013-01-01",
}


@pytest.fixture(scope="module")
def pushing(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """A server that tests push to; each uses a key of its own."""
    with make_store(tmp_path_factory.mktemp("push")) as store, running(store) as url:
        yield Client(url)


def push(client: Client, view: str, *rows: dict[str, Any]) -> Any:
    return client.post("/push", {"feature_view": view, "rows": list(rows)})


def test_a_pushed_row_is_looked_up_at_once_a_replay_and_an_older_one_change_nothing(pushing: Client):
    assert push(pushing, "weather", ROW).json == {"stored": 1}
    assert push(pushing, "weather", ROW).json == {"stored": 0}
    assert push(pushing, "weather", {**ROW, "at": "2013-01-01T12:44:59Z", "temperature": 1.0}).json == {"stored": 0}
    found = pushing.lookup(["weather:temperature", "weather:dry"], station=["JFK"]).json["results"]
    assert (found[1]["values"], found[1]["event_timestamps"]) == ([50.5], ["2013-01-01T12:45:00Z"])
    assert found[2]["statuses"] == ["NULL_VALUE"]


def test_every_type_goes_through(pushing: Client):
    assert push(pushing, "trips", TRIP).json == {"stored": 1}
    features = ["trips:fare", "trips:stops", "trips:photo", "trips:booked", "trips:day"]
    found = pushing.lookup(features, carrier=[5], flight=[6]).json["results"][2:]
    assert [result["values"][0] for result in found] == [TRIP[name.split(":")[1]] for name in features]
    assert found[0]["event_timestamps"] == ["2013-01-01T12:45:00.000001Z"]


def test_special_floats_are_text_as_in_answers(pushing: Client):
    assert push(pushing, "weather", {**ROW, "station": "INF", "temperature": "-Infinity"}).json == {"stored": 1}
    assert pushing.lookup(["weather:temperature"], station=["INF"]).json["results"][1]["values"] == ["-Infinity"]


def test_no_rows_are_no_fault(pushing: Client):
    assert push(pushing, "weather").json == {"stored": 0}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"station": 7}, "declared String"),
        ({"at": "yesterday"}, "column 'at'"),
        ({"at": 1357045200}, "column 'at'"),
        ({"at": "99999-01-01"}, "column 'at'"),
        ({"at": None}, "null"),
        ({"station": None}, "null"),
        ({"temperature": "warm"}, "column 'temperature' is not the JSON of Float64"),
        ({"temperature": True}, "column 'temperature'"),
        ({"reports": 1.5}, "column 'reports'"),
        ({"reports": 2**63}, "column 'reports'"),
        ({"dry": 1}, "column 'dry'"),
        ({"remark": 7}, "column 'remark'"),
        ({"remark": {"a": 1}}, "column 'remark'"),
        ({"remrk": "x"}, "Did you mean 'remark'?"),
        ({"remark": ...}, "no column 'remark'"),
    ],
)
def test_a_row_that_does_not_fit_refuses_the_push(pushing: Client, change: dict[str, Any], said: str):
    row = {name: value for name, value in {**ROW, "station": "BAD", **change}.items() if value is not ...}
    reply = push(pushing, "weather", {**ROW, "station": "BAD"}, row)
    assert (reply.status, reply.headers["content-type"]) == (422, "application/problem+json")
    assert said in reply.json["detail"], reply.json["detail"]
    assert pushing.lookup(["weather:dry"], station=["BAD"]).json["results"][1]["statuses"] == ["NOT_FOUND"]


@pytest.mark.parametrize(
    "change",
    [
        {"fare": 7.1},
        {"fare": "7.123"},
        {"photo": "%%"},
        {"stops": "A"},
        {"stops": [1]},
        {"day": "2013-13-01"},
        {"fare": "x"},
    ],
)
def test_the_json_of_other_types_is_as_strict(pushing: Client, change: dict[str, Any]):
    reply = push(pushing, "trips", {**TRIP, "carrier": 8, **change})
    assert reply.status == 422
    assert f"column {next(iter(change))!r}" in reply.json["detail"]


def test_a_row_of_the_future_is_refused(pushing: Client):
    reply = push(pushing, "weather", {**ROW, "at": "2013-01-01T13:00:01Z"})
    assert reply.status == 400
    assert "available from 2013-01-01T13:00:01Z on" in reply.json["detail"]


def test_a_wrong_body_or_view_is_refused(pushing: Client):
    assert pushing.post("/push", {"feature_view": "wether", "rows": []}).status == 404
    assert pushing.post("/push", {"feature_view": "weather"}).status == 400
    assert pushing.post("/push", {"feature_view": "weather", "rows": [], "more": 1}).status == 400
    assert pushing.send("POST", "/push", b"{", {"content-type": "application/json"}).status == 400
    assert pushing.send("POST", "/push", b"{}", {"content-type": "text/plain"}).status == 415


def test_a_body_above_the_limit_is_413(tmp_path: Path):
    with make_store(tmp_path, max_body_bytes=300) as store, running(store) as url:
        assert push(Client(url), "weather", ROW).status == 200
        assert push(Client(url), "weather", ROW, ROW, ROW).status == 413
