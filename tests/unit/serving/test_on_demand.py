"""On-demand features over HTTP: the same bytes on both ways, ERROR, changed functions, request fields from JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hitherto import FeatureStore, FunctionError
from hitherto.config import Config
from hitherto.serving import server as server_module
from hitherto.serving.app import create_app
from hitherto.serving.protocol import BoundedProtocol
from hitherto.serving.server import run, running
from hitherto.testing import FakeClock
from unit.serving.servers import NOW, Client, wait_until, write_sources

FEATURES = """
from datetime import date, datetime
from decimal import Decimal as Exact
from typing import Any

import polars as pl

from hitherto import Entity, FeatureService, FeatureView, Field, ParquetSource, RequestSource, on_demand_feature_view
from hitherto.types import Bool, Bytes, Date, Decimal, Float64, Int64, List, String, Struct, Timestamp

station = Entity("station", join_keys={"station": String})
weather = FeatureView("weather", entities=[station], source=ParquetSource("weather.parquet", timestamp_field="at"),
                      schema=[Field("temperature", Float64), Field("reports", Int64)], ttl="6h")
trip = RequestSource("trip", schema=[Field("limit", Float64), Field("label", String)])
everything = RequestSource("everything", schema=[
    Field("flag", Bool), Field("count", Int64), Field("ratio", Float64), Field("text", String), Field("raw", Bytes), Field("day", Date),
    Field("at", Timestamp), Field("price", Decimal(10, 2)), Field("many", List(Float64)), Field("both", Struct({"a": Int64, "b": Bytes}))])


@on_demand_feature_view(sources=[weather, trip], schema=[Field("over", Float64), Field("length", Int64)])
def headroom(temperature: float | None, limit: float | None, label: str | None) -> dict[str, Any]:
    over = None if temperature is None or limit is None else temperature - limit
    return {"over": over, "length": len(label)}


@on_demand_feature_view(sources=[weather, trip], schema=[Field("fast", Float64)], mode="polars")
def headroom_fast(temperature: pl.Expr, limit: pl.Expr) -> pl.Expr:
    return temperature - limit


@on_demand_feature_view(sources=[headroom[["over"]]], schema=[Field("twice", Float64)])
def twice(over: float | None, now: datetime) -> float | None:
    return None if over is None else over * 2


@on_demand_feature_view(sources=[everything], schema=[Field(f"{one.name}_again", one.dtype) for one in everything.schema])
def echo(flag: bool, count: int, ratio: float, text: str, raw: bytes, day: date, at: datetime, price: Exact, many: list[float],
         both: dict[str, Any]) -> dict[str, Any]:
    return {"flag_again": flag, "count_again": count, "ratio_again": ratio, "text_again": text, "raw_again": raw, "day_again": day,
            "at_again": at, "price_again": price, "many_again": many, "both_again": both}


model = FeatureService("model", features=[twice, weather[["temperature"]], headroom[["length"]]])
"""


def write_repo(folder: Path, text: str = FEATURES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hitherto.toml").write_text('project = "demo"\n', encoding="utf-8")
    (folder / "features.py").write_text(text, encoding="utf-8")
    if not (folder / "weather.parquet").exists():
        write_sources(folder)
    return folder


def opened(folder: Path, **server: Any) -> FeatureStore:
    config = Config(project="demo", repo_path=folder, server={"poll_seconds": 0.05, **server})
    return FeatureStore(config=config, clock=FakeClock(NOW))


def made(folder: Path, **server: Any) -> FeatureStore:
    store = opened(write_repo(folder), **server)
    store.apply()
    store.materialize(end=NOW)
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    with made(tmp_path_factory.mktemp("repo")) as one:
        yield one


@pytest.fixture(scope="module")
def pair(store: FeatureStore) -> Iterator[tuple[Client, Client]]:
    """The same store behind both protocols: the direct one, and uvicorn's, which gives everything to the app."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        below = stack.enter_context(running(store))
        patch.setitem(server_module._UVICORN, "http", BoundedProtocol)
        above = stack.enter_context(running(store))
        yield Client(below), Client(above)


ROWS = {"station": ["JFK", "LGA", "XXX", None], "limit": [1, 2.5, "NaN", None], "label": ["a", None, "", "\N{SNOWMAN}"]}
EVERYTHING = {
    "flag": [True, None],
    "count": [2**53 + 1, None],
    "ratio": ["-Infinity", None],
    "text": ['\u0000\x1f"', None],
    "raw": ["AP8=", None],
    "day": ["2013-01-02", None],
    "at": ["2013-01-02T03:04:05.000006Z", None],
    "price": ["1.50", None],
    "many": [[1, "NaN", None], None],
    "both": [{"a": 1, "b": "AP8="}, None],
}
ECHO = [f"echo:{name}_again" for name in EVERYTHING]
ASKED = [
    {"features": ["headroom:over", "headroom:length", "twice:twice"], "entities": ROWS},
    {
        "features": ["headroom_fast:fast", "weather:temperature"],
        "entities": {k: v for k, v in ROWS.items() if k != "label"},
    },
    {"feature_service": "model", "entities": ROWS, "full_feature_names": True},
    {"features": ECHO, "entities": EVERYTHING},
    {"features": ["headroom:over"], "entities": {**ROWS, "limit": ["secret"] * 4}},
    {"features": ["headroom:over"], "entities": {"station": ["JFK"], "limit": [1]}},
    {"features": ["headroom:over"], "entities": {"limit": [1], "label": [""]}},
    {"features": ["headroom:over"], "entities": {**ROWS, "more": [1, 2, 3, 4]}},
    {"features": ["headroom:ove"], "entities": ROWS},
    {"features": ["headroom@1:over"], "entities": ROWS},
    *(
        {
            "features": ECHO,
            "entities": {name: ["{"] if name == wrong else values[:1] for name, values in EVERYTHING.items()},
        }
        for wrong in EVERYTHING
    ),
]


@pytest.mark.parametrize("document", ASKED, ids=range(len(ASKED)))
def test_both_ways_give_the_same_bytes(pair: tuple[Client, Client], document: dict[str, Any]) -> None:
    below, above = (one.post("/get-online-features", document) for one in pair)
    assert (below.status, below.body) == (above.status, above.body)
    assert b"secret" not in below.body


def test_values_statuses_and_event_times(pair: tuple[Client, Client]) -> None:
    answered = pair[0].post("/get-online-features", ASKED[0]).json
    assert answered["metadata"]["feature_names"] == ["station", "limit", "label", "over", "length", "twice"]
    over, length, twice = answered["results"][3:]
    assert over["values"] == [39.02 - 1, None, None, None]
    # LGA's label is null: len(None) raises, so that all features of the view are errors there; what is built on it is told null.
    assert over["statuses"] == ["PRESENT", "ERROR", "NULL_VALUE", "NULL_VALUE"]
    assert length == {
        "values": [1, None, 0, 1],
        "statuses": ["PRESENT", "ERROR", "PRESENT", "PRESENT"],
        "event_timestamps": ["2013-01-01T12:00:00Z", "2013-01-01T12:00:00Z", NOW, NOW],
    }
    assert twice["values"] == [(39.02 - 1) * 2, None, None, None]
    assert twice["statuses"] == ["PRESENT", "NULL_VALUE", "NULL_VALUE", "NULL_VALUE"]


def test_every_type_comes_from_json_and_goes_back_as_it_was(pair: tuple[Client, Client]) -> None:
    answered = pair[0].post("/get-online-features", ASKED[3]).json
    found = dict(zip(answered["metadata"]["feature_names"], answered["results"], strict=True))
    for name, values in EVERYTHING.items():
        expected = [[1.0, "NaN", None], None] if name == "many" else values
        assert found[f"{name}_again"]["values"] == expected
        assert found[f"{name}_again"]["statuses"] == ["PRESENT", "NULL_VALUE"]


def test_wrong_request_fields_are_422_and_name_no_value(pair: tuple[Client, Client]) -> None:
    for document, said in (
        (ASKED[4], "The request field 'limit' is Float64; the value of row 0, of type str, cannot be taken as that."),
        (ASKED[5], "The request field 'label' (String) is missing"),
    ):
        reply = pair[0].post("/get-online-features", document)
        assert reply.status == 422
        assert reply.json["type"] == "urn:hitherto:problem:request-field"
        assert said in reply.json["detail"]
    for document in ASKED[-len(EVERYTHING) :]:
        # An opening brace is a text, and nothing else.
        assert pair[0].post("/get-online-features", document).status == (
            200 if document["entities"]["text"] == ["{"] else 422
        )
    assert pair[0].post("/get-online-features", ASKED[9]).status == 400


def test_the_sdk_says_the_same(pair: tuple[Client, Client], store: FeatureStore) -> None:
    rows = {**ROWS, "limit": [1, 2.5, float("nan"), None]}
    answer = json.loads(store.get_online_features(ASKED[0]["features"], rows).to_json())
    reply = pair[0].post("/get-online-features", ASKED[0]).json
    assert answer["results"][3:] == reply["results"][3:]
    assert store.check_parity(
        ["headroom:over", "headroom:length", "twice:twice", "headroom_fast:fast", *ECHO], sample=None
    ).ok


def test_errors_are_counted_by_view(tmp_path: Path) -> None:
    with made(tmp_path) as store, running(store) as url:
        client = Client(url)
        client.post("/get-online-features", ASKED[0])
        line = 'hitherto_lookup_values_total{feature_view="headroom",status="ERROR"} 2.0'
        wait_until(lambda: line in client.get("/metrics").body.decode())
        assert (
            'hitherto_lookup_values_total{feature_view="headroom",status="PRESENT"} 4.0'
            in client.get("/metrics").body.decode()
        )


CHANGED = FEATURES.replace("over * 2", "over * 3")


def test_a_server_does_not_start_with_a_function_that_was_not_applied(tmp_path: Path) -> None:
    made(tmp_path).close()
    write_repo(tmp_path, CHANGED)
    with pytest.raises(
        FunctionError,
        match=r"function of on-demand feature view 'twice' \(features:twice, .*features.py:\d+\) is not the one",
    ):
        create_app(opened(tmp_path))
    for workers in (1, 2):
        with pytest.raises(FunctionError, match="Run hitherto apply, or install the repo that was applied"):
            run(tmp_path, port=0, workers=workers, now=NOW)
    write_repo(tmp_path, "raise ValueError('broken')")
    with pytest.raises(FunctionError, match="because the repo cannot be loaded: .*broken"):
        create_app(opened(tmp_path))


def test_unless_it_is_told_to(tmp_path: Path) -> None:
    made(tmp_path).close()
    write_repo(tmp_path, CHANGED)
    store = opened(tmp_path)
    create_app(store, allow_changed_functions=True)
    rows = {"station": ["JFK"], "limit": [0], "label": ["x"]}
    assert store.get_online_features(["twice:twice"], rows).to_dict()["twice"] == [39.02 * 3]
    write_repo(
        tmp_path,
        FEATURES.replace(
            "def twice(over: float | None, now: datetime)", "def twice(now: datetime, over: float | None)"
        ),
    )
    other = opened(tmp_path)
    create_app(other, allow_changed_functions=True)
    assert other.get_online_features(["twice:twice"], rows).to_dict()["twice"] == [39.02 * 2]
    write_repo(
        tmp_path,
        FEATURES.replace("def twice(over: float | None, now", "def twice(headroom__over: float | None, now").replace(
            "None if over is None else over * 2", "1.0"
        ),
    )
    with pytest.raises(FunctionError, match="takes 'headroom__over', which the applied definition does not have"):
        create_app(opened(tmp_path), allow_changed_functions=True)
    for one in (store, other):
        one.close()


def test_the_sdk_refuses_a_changed_function_and_takes_it_once_it_is_applied(tmp_path: Path) -> None:
    rows = {"station": ["JFK"], "limit": [0], "label": ["x"]}
    with made(tmp_path) as store:
        assert store.get_online_features(["twice:twice"], rows).to_dict()["twice"] == [39.02 * 2]
        write_repo(tmp_path, CHANGED)
        # What this process loaded is what was applied.
        assert store.get_online_features(["twice:twice"], rows).to_dict()["twice"] == [39.02 * 2]
        with opened(tmp_path) as fresh:
            with pytest.raises(FunctionError, match="is not the one that was applied"):
                fresh.get_online_features(["twice:twice"], rows)
            assert fresh.get_online_features(["headroom:over"], rows).to_dict()["over"] == [39.02]
            plan = fresh.apply()
            assert "source of the function" in str(plan)
            assert fresh.get_online_features(["twice:twice"], rows).to_dict()["twice"] == [39.02 * 3]


def test_functions_that_are_applied_while_it_serves_are_loaded_or_refused_and_the_rest_is_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {"features": ["twice:twice"], "entities": {"station": ["JFK"], "limit": [0], "label": ["x"]}}
    with made(tmp_path / "served") as store, running(store) as url:
        client = Client(url)
        assert client.post("/get-online-features", asked).json["results"][3]["values"] == [39.02 * 2]
        # Applied in place: the server finds it by itself.
        write_repo(tmp_path / "served", CHANGED)
        with opened(tmp_path / "served") as other:
            other.apply()
        wait_until(
            lambda: (
                client.post("/get-online-features", asked).json.get("results", [{}] * 4)[3].get("values") == [39.02 * 3]
            )
        )
        # Applied from elsewhere: it is not here.
        elsewhere = write_repo(tmp_path / "elsewhere", FEATURES.replace("over * 2", "over * 4"))
        config = Config(
            project="demo", repo_path=elsewhere, registry={"url": f"sqlite:///{store.config.registry_path}"}
        )
        with caplog.at_level(logging.ERROR), FeatureStore(config=config, clock=FakeClock(NOW)) as other:
            other.apply()
            wait_until(lambda: client.post("/get-online-features", asked).status == 503)
            wait_until(
                lambda: any(
                    "Lookups of on-demand feature views are refused" in one.getMessage() for one in caplog.records
                )
            )
        refused = client.post("/get-online-features", asked)
        assert refused.json["type"] == "urn:hitherto:problem:function"
        assert "features.py" not in refused.json["detail"]
        assert refused.headers["retry-after"] == "1"
        assert client.lookup(["weather:temperature"], station=["JFK"]).status == 200
        ready = client.get("/ready").json
        assert ready["status"] == "degraded"
        assert any("functions were applied that are not installed here" in one for one in ready["warnings"])
        # Installed: it is found when the registry is read again.
        write_repo(tmp_path / "served", FEATURES.replace("over * 2", "over * 4"))
        client.post("/refresh")
        assert client.get("/ready").json["status"] == "ready"
        assert client.post("/get-online-features", asked).json["results"][3]["values"] == [39.02 * 4]
