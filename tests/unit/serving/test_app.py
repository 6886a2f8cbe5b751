"""The routes beside the lookup, the gate before them, and what never leaves the server."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hitherto import FeatureStore
from hitherto.serving import docs
from hitherto.serving.app import ServerApp, create_app
from hitherto.serving.server import running
from hitherto.testing import FakeClock
from unit.serving.servers import Client, make_store, running_valkey, wait_until

SECRET = "the-key-of-somebody"


def test_health_and_ready_say_that_it_lives_and_can_answer(client: Client):
    assert client.get("/health").json == {"status": "ok"}
    ready = client.get("/ready")
    assert ready.status == 200
    assert ready.json["status"] == "ready"
    assert ready.json["registry"]["answers"] is True
    assert ready.json["warnings"] == []
    assert ready.json["clock"] == "2013-01-01T13:00:00Z"


def test_a_view_is_shown_as_it_is_served(client: Client):
    views = client.get("/feature-views").json["feature_views"]
    assert [view["name"] for view in views] == ["weather", "trips", "totals"]
    weather = client.get("/feature-views/weather").json
    assert weather == views[0]
    assert weather["watermark"] == "2013-01-01T13:00:00Z"
    assert (weather["version"], weather["generation"], weather["ttl"]) == (1, 1, "6h")
    assert weather["join_keys"] == {"station": "String"}
    assert client.get("/feature-views/weather@1").json == weather
    services = client.get("/feature-services").json["feature_services"]
    assert services[0]["feature_views"][1] == {
        "name": "alternate",
        "feature_view": "weather",
        "features": ["temperature"],
        "join_key_map": {"station": "other"},
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/nothing", 404, "no such route"),
        ("GET", "/feature-views/wether", 404, "Did you mean 'weather'?"),
        ("GET", "/docs/../app.py", 404, ""),
        ("GET", "/docs/secrets", 404, "docs"),
        ("POST", "/health", 405, "no such method"),
        ("DELETE", "/push", 405, "no such method"),
    ],
)
def test_every_refusal_is_a_problem_document(client: Client, method: str, path: str, status: int, said: str):
    reply = client.send(method, path)
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
    assert set(reply.json) == {"type", "title", "status", "detail", "instance"}
    assert reply.json["type"].startswith("urn:hitherto:problem:")
    assert said in reply.json["detail"]


def test_the_docs_load_nothing_from_elsewhere(client: Client):
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in page.body.decode().replace("http-equiv", "")
    for name in docs.FILES:
        asset = client.get(f"/docs/{name}")
        assert asset.status == 200
        assert asset.headers["content-type"].startswith(docs.FILES[name])
        assert f"docs/{name}" in page.body.decode()
    assert (docs.FOLDER / "LICENSE-swagger-ui.txt").is_file()


def test_a_refresh_reads_the_registry_at_once(tmp_path: Path):
    with make_store(tmp_path, poll_seconds=60) as store, running(store) as url:
        client = Client(url)
        before = client.post("/refresh").json["serial"]
        assert isinstance(store.clock, FakeClock)
        store.clock.set("2013-01-01T14:00:00Z")
        store.materialize_incremental()
        assert client.get("/feature-views/weather").json["watermark"] == "2013-01-01T13:00:00Z"
        assert client.post("/refresh").json["serial"] > before
        assert client.get("/feature-views/weather").json["watermark"] == "2013-01-01T14:00:00Z"


def test_a_server_goes_on_when_the_registry_is_gone_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with make_store(tmp_path) as store, running(store) as url:
        client = Client(url)
        asked = {"features": ["weather:dry"], "entities": {"station": ["JFK"]}}
        before = client.post("/get-online-features", asked)
        path = store.config.registry_path
        hidden = path.with_name("hidden.db")
        store.registry.close()
        path.rename(hidden)
        with caplog.at_level(logging.INFO, logger="hitherto.serving"):
            wait_until(lambda: client.get("/ready").json["status"] == "degraded")
            assert client.post("/get-online-features", asked).body == before.body
            ready = client.get("/ready")
            assert ready.status == 200
            assert ready.json["registry"]["answers"] is False
            assert "goes on serving" in ready.json["warnings"][0]
            assert client.post("/refresh").status == 503
            assert "hitherto_registry_up 0.0" in client.get("/metrics").body.decode()
            shutil.copy(hidden, path)
            wait_until(lambda: client.get("/ready").json["status"] == "ready")
        said = [record.getMessage() for record in caplog.records if record.name == "hitherto.serving"]
        assert sum("does not answer; serial" in line for line in said) == 1
        assert sum("answers again" in line for line in said) == 1


def test_a_store_that_is_gone_is_503_for_lookups_and_ready(tmp_path: Path):
    with running_valkey() as gone:
        store = make_store(tmp_path, url=gone, request_timeout=0.5)
    with store, running(store) as url:
        for reply in (Client(url).lookup(["weather:dry"], station=["JFK"]), Client(url).get("/ready")):
            assert (reply.status, reply.json["type"]) == (503, "urn:hitherto:problem:online-store")
            assert reply.headers["retry-after"] == "1"
            assert gone.removeprefix("unix://") not in reply.body.decode(), "addresses are ours"
        assert Client(url).get("/health").status == 200


def test_a_store_that_has_lost_what_is_published_is_warned_of(tmp_path: Path):
    with make_store(tmp_path) as store:
        for folder in (tmp_path / "online" / "demo" / "weather").glob("1.*"):
            shutil.rmtree(folder)
        with running(store) as url:
            ready = Client(url).get("/ready").json
    assert ready["status"] == "degraded"
    assert ready["warnings"] == [one for one in ready["warnings"] if "no rows of feature view 'weather'" in one] != []


def test_a_store_that_may_evict_is_warned_of(tmp_path: Path, valkey_url: str):
    import redis

    with redis.Redis.from_url(valkey_url) as control:
        control.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with make_store(tmp_path, url=valkey_url) as store, running(store) as url:
                ready = Client(url).get("/ready").json
        finally:
            control.config_set("maxmemory-policy", "noeviction")
    assert ready["status"] == "degraded"
    assert "may evict" in ready["warnings"][0]


class Broken:
    """An online store with a fault, whose words quote a key."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{SECRET} broke it")


@pytest.fixture
def faulty(store: FeatureStore) -> Iterator[Client]:
    """A server with a fault behind the lookup and behind /feature-services."""
    from unit.serving import servers

    app = create_app(store)
    assert isinstance(app, ServerApp)
    app.lookup.lookups.store = Broken()

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError(f"{SECRET} broke it")

    with servers.running_app(app) as url:
        yield Client(url)


def test_a_fault_tells_the_client_nothing_and_the_log_no_values(faulty: Client, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        replies = [faulty.lookup(["weather:dry"], station=[SECRET]), faulty.get("/broken")]
    for reply in replies:
        assert (reply.status, reply.headers["content-type"]) == (500, "application/problem+json")
        assert SECRET not in reply.body.decode()
        assert "RuntimeError" not in reply.body.decode()
    assert "RuntimeError" in caplog.text
    assert "test_app.py" in caplog.text
    assert SECRET not in caplog.text


def test_neither_keys_nor_tokens_nor_bodies_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    from hitherto.serving.auth import create_token

    path = tmp_path / "tokens.json"
    token = create_token(path, "one", "admin")
    with (
        caplog.at_level(logging.DEBUG),
        make_store(tmp_path / "repo", tokens_file=path) as store,
        running(store) as url,
    ):
        client = Client(url, token)
        assert client.lookup(["weather:dry"], station=[SECRET]).status == 200
        assert client.lookup(["weather:dry"], station=[SECRET, 7]).status == 422
        assert Client(url, token + "x").lookup(["weather:dry"], station=[SECRET]).status == 401
        row = {"station": SECRET, "at": "never", "temperature": 1.0, "reports": 1, "dry": None, "remark": SECRET}
        assert client.post("/push", {"feature_view": "weather", "rows": [row]}).status == 422
    assert SECRET not in caplog.text
    assert token.split("_", 2)[2] not in caplog.text
