"""Lookups below ASGI: byte for byte the route's answers, in the order of HTTP/1.1, whatever else is on the connection."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from hitherto import FeatureStore
from hitherto.serving import body as bodies
from hitherto.serving import direct
from hitherto.serving import server as server_module
from hitherto.serving.auth import create_token
from hitherto.serving.lookup import LookupRoute, Lookups
from hitherto.serving.protocol import BoundedProtocol
from hitherto.serving.server import running
from unit.serving.servers import Client, make_store, wait_until

PATH = "/get-online-features"
JFK = {"features": ["weather:temperature"], "entities": {"station": ["JFK"]}}


def request(
    document: Any = JFK,
    *,
    method: str = "POST",
    path: str = PATH,
    version: str = "1.1",
    length: bool = True,
    **more: str,
) -> bytes:
    """A request as bytes on the wire; `more` are headers, with _ for -."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = {"host": "x", "content-type": "application/json", **{name.replace("_", "-"): more[name] for name in more}}
    if length:
        headers["content-length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
    return f"{method} {path} HTTP/{version}\r\n{lines}\r\n".encode() + body


def chunked(document: Any) -> bytes:
    body = json.dumps(document).encode()
    parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:]))
    return request(b"", length=False, transfer_encoding="chunked") + parts + b"0\r\n\r\n"


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as raw:
        yield raw


class Answers:
    """The answers on a connection, one after the other."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw, self._rest = raw, b""

    def next(self) -> bytes:
        """The next one, without its date."""
        while b"\r\n\r\n" not in self._rest:
            if not (piece := self._raw.recv(65_536)):
                return self._rest
            self._rest += piece
        head, _, rest = self._rest.partition(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head)
        length = int(found[1]) if found else 0
        while len(rest) < length:
            rest += self._raw.recv(65_536)
        self._rest = rest[length:]
        return re.sub(rb"date: [^\r]+\r\n", b"", head) + b"\r\n\r\n" + rest[:length]


def exchange(url: str, *sent: bytes) -> list[bytes]:
    """What is answered when pieces are sent one after the other on one connection, each once the one before is answered."""
    with connected(url) as raw:
        answers, found = Answers(raw), []
        for piece in sent:
            raw.sendall(piece)
            found.append(answers.next())
            if not found[-1] or b"connection: close" in found[-1]:
                break
        return found


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    path = tmp_path_factory.mktemp("tokens") / "tokens.json"
    return path, {scope: f"Bearer {create_token(path, scope, scope)}" for scope in ("read", "write")}  # type: ignore[arg-type]  # both are scopes


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, tokens: tuple[Path, dict[str, str]]) -> Iterator[FeatureStore]:
    """A store that asks for tokens and allows little."""
    limits = {"max_body_bytes": 2_000, "max_entities": 4, "tokens_file": tokens[0]}
    with make_store(tmp_path_factory.mktemp("guarded"), **limits) as made:
        yield made


@pytest.fixture(scope="module")
def pair(guarded: FeatureStore) -> Iterator[tuple[str, str]]:
    """The same store behind both protocols: the direct one, and uvicorn's, which gives everything to the app."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        below = stack.enter_context(running(guarded))
        patch.setitem(server_module._UVICORN, "http", BoundedProtocol)
        above = stack.enter_context(running(guarded))
        yield below, above


@pytest.fixture
def through_app(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the lookups that reach the ASGI route."""
    seen: list[str] = []
    call = LookupRoute.__call__

    async def counted(self: LookupRoute, scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["method"])
        await call(self, scope, receive, send)

    monkeypatch.setattr(LookupRoute, "__call__", counted)
    return seen


STATIONS = {"features": ["weather:temperature", "weather:remark"], "entities": {"station": ["JFK", None, "OLD", "XXX"]}}
PLAIN = [
    JFK,
    STATIONS,
    {**STATIONS, "entities": {"station": ["EWR", "LGA"]}},
    {"features": ["weather:dry"], "entities": {"station": []}},
    {"features": ["totals:stations"], "entities": {}},
    {"features": ["totals:stations", "weather:dry"], "entities": {"station": ["JFK", "JFK"]}},
    {"feature_service": "model", "entities": {"other": ["EWR"], "station": ["JFK"]}, "full_feature_names": True},
    {"features": ["trips:fare", "trips:photo"], "entities": {"flight": [11, 1], "carrier": [1, 11]}},
    {"features": ["weather:nothing"], "entities": {"station": ["JFK"]}},
    {"features": ["weather:dry"], "entities": {"station": [7]}},
    {"features": ["weather:dry"], "entities": {"station": ["a"] * 5}},
    {"features": ["weather:dry", "weather:dry"], "entities": {"station": ["JFK"]}},
    {"features": [], "entities": {}},
    {"features": ["weather:dry"], "entities": {}},
    b"{",
    b"",
    b"\xff",
    b"[" * 1_500,
]


@pytest.mark.parametrize("document", PLAIN, ids=range(len(PLAIN)))
def test_plain_lookups_never_reach_the_app_and_are_answered_alike(
    pair: tuple[str, str], tokens: tuple[Path, dict[str, str]], document: Any, through_app: list[str]
) -> None:
    # Twice: the second time its head is known by heart.
    sent = [request(document, authorization=tokens[1]["read"])] * 2
    below = exchange(pair[0], *sent)
    assert through_app == []
    assert below == exchange(pair[1], *sent)
    assert len(through_app) == 2
    assert below[0] == below[1] != b""


UNUSUAL = {
    "another method": {"method": "GET"},
    "another path": {"path": f"{PATH}?x=1"},
    "no such path": {"path": "/get-online-feature"},
    "HTTP/1.0": {"version": "1.0"},
    "HTTP/1.0, kept alive": {"version": "1.0", "connection": "keep-alive"},
    "to be closed": {"connection": "close"},
    "kept alive": {"connection": "keep-alive"},
    "no token": {"authorization": ""},
    "a wrong token": {"authorization": "Bearer hitherto_000000000000_x"},
    "another scheme": {"authorization": "Basic eDp5"},
    "another type": {"content_type": "text/plain"},
    "a type with a parameter": {"content_type": "application/json; charset=utf-8"},
    "no type": {"content_type": ""},
    "a large body": {"document": {**JFK, "include_feature_view_version_metadata": "x" * 3_000}},
    "a change of protocol": {"upgrade": "h2c", "connection": "upgrade"},
    "a word in a header that is no word": {"x_odd": "\x01"},
}


@pytest.mark.parametrize("given", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_is_answered_as_by_the_app(
    pair: tuple[str, str], tokens: tuple[Path, dict[str, str]], given: dict[str, Any]
) -> None:
    allowed = {"authorization": tokens[1]["read"]}
    # Behind a lookup, whose head is known by then, and once more behind itself.
    sent = [request(**allowed), request(**{**allowed, **given}), request(**{**allowed, **given}), request(**allowed)]
    below, above = exchange(pair[0], *sent), exchange(pair[1], *sent)
    assert below == above
    assert len(below) >= 2


def test_the_wrong_scope_is_refused_below_too(pair: tuple[str, str], tokens: tuple[Path, dict[str, str]]) -> None:
    sent = request(authorization=tokens[1]["write"])
    below = exchange(pair[0], sent, sent)
    assert below == exchange(pair[1], sent, sent)
    assert below[1].startswith(b"HTTP/1.1 403")


def test_bodies_in_chunks_and_bodies_that_wait_to_be_asked_for(
    pair: tuple[str, str], tokens: tuple[Path, dict[str, str]]
) -> None:
    allowed = {"authorization": tokens[1]["read"]}
    whole = request(**allowed)
    head, _, body = request(**allowed, expect="100-continue").partition(b"\r\n\r\n")
    plain = exchange(pair[0], whole)[0]
    in_chunks = chunked(JFK).replace(b"host: x", b"host: x\r\nauthorization: " + allowed["authorization"].encode())
    assert exchange(pair[0], whole, in_chunks, whole) == [plain] * 3
    for url in pair:
        assert exchange(url, whole, head + b"\r\n\r\n", body)[1:] == [b"HTTP/1.1 100 Continue\r\n\r\n", plain]


def test_a_request_in_many_pieces_is_one_request(
    pair: tuple[str, str], tokens: tuple[Path, dict[str, str]], through_app: list[str]
) -> None:
    sent = request(STATIONS, authorization=tokens[1]["read"])
    whole = exchange(pair[0], sent)[0]
    with connected(pair[0]) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = Answers(raw)
        # Cut within the line, the headers, between head and body, and within the body; known by heart or not.
        for cuts in (
            [],
            [5],
            [60],
            [sent.index(b"\r\n\r\n") + 4],
            [sent.index(b"\r\n\r\n") + 9],
            [3, 90, len(sent) - 1],
            [],
        ):
            for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
                raw.sendall(sent[start:end])
                time.sleep(0.01)
            assert answers.next() == whole
    assert through_app == []


def test_a_body_that_stops_coming_is_408(
    pair: tuple[str, str], tokens: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "SECONDS", 0.1)
    sent = request(authorization=tokens[1]["read"])
    for url in pair:
        with connected(url) as raw:
            raw.sendall(sent)
            answers = Answers(raw)
            assert answers.next().startswith(b"HTTP/1.1 200")
            raw.sendall(sent[:-3])
            late = answers.next()
            assert late.startswith(b"HTTP/1.1 408")
            assert b"connection: close" in late
            assert raw.recv(10) == b""


def test_a_token_that_was_taken_away_is_refused_on_a_connection_that_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    admin = create_token(path, "admin", "admin")
    kept, taken = (f"Bearer {create_token(path, name, 'read')}" for name in ("kept", "taken"))
    with make_store(tmp_path / "repo", tokens_file=path) as store, running(store) as url, connected(url) as raw:
        answers = Answers(raw)

        def ask(token: str) -> bytes:
            raw.sendall(request(authorization=token))
            return answers.next()[:12]

        assert [ask(taken), ask(kept), ask(taken)] == [b"HTTP/1.1 200"] * 3
        document = json.loads(path.read_text())
        document["tokens"] = [one for one in document["tokens"] if one["name"] != "taken"]
        path.write_text(json.dumps(document))
        assert Client(url, admin).post("/refresh").status == 200
        # The other token is good again before the one that was taken comes back.
        assert [ask(kept), ask(taken), ask(taken), ask(kept)] == [
            b"HTTP/1.1 200",
            b"HTTP/1.1 401",
            b"HTTP/1.1 401",
            b"HTTP/1.1 200",
        ]


@pytest.fixture(scope="module", params=["lmdb", "valkey"])
def any_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for each store: one answers at once, the other later."""
    place = {"url": request.getfixturevalue("valkey_url")} if request.param == "valkey" else {}
    with make_store(tmp_path_factory.mktemp("any"), **place) as store, running(store) as url:
        yield url


@pytest.mark.parametrize("seed", range(8))
def test_pipelined_requests_of_all_kinds_are_answered_in_their_order(any_url: str, seed: int) -> None:
    import random

    chance = random.Random(seed)
    values = {"JFK": b"[39.02]", "EWR": b'["NaN"]', "LGA": b"[null]"}
    kinds: list[tuple[bytes, bytes]] = [
        *((request({**JFK, "entities": {"station": [name]}}), value) for name, value in values.items()),
        (request(method="GET", path="/health", document=b""), b'"ok"'),
        (request({**JFK, "features": ["weather:none"]}), b"404"),
        (request(method="GET"), b"405"),
        (chunked(JFK), b"[39.02]"),
        (request({**JFK, "entities": {"station": ["LGA"]}}, path=f"{PATH}?x"), b"[null]"),
    ]
    chosen = [chance.choice(kinds) for _ in range(40)]
    sent = b"".join(one for one, _ in chosen)
    with connected(any_url) as raw:
        cut = chance.randrange(len(sent))
        raw.sendall(sent[:cut])
        time.sleep(0.005)
        raw.sendall(sent[cut:])
        answers = Answers(raw)
        for _, expected in chosen:
            assert expected in answers.next()


def test_more_than_may_wait_are_answered_all_the_same(any_url: str) -> None:
    sent = [request({**JFK, "entities": {"station": [name]}}) for name in ("JFK", "LGA", "XXX")] * direct.MOST_WAITING
    with connected(any_url) as raw:
        threading.Thread(target=raw.sendall, args=(b"".join(sent),)).start()
        answers = Answers(raw)
        for one in range(len(sent)):
            assert (b"[39.02]" in answers.next()) is (one % 3 == 0)


def test_a_client_that_reads_nothing_is_not_written_to_without_end(client: Client, store: FeatureStore) -> None:
    many = {"features": ["weather:remark"], "entities": {"station": ["EWR"] * 1_000}}
    sent = request(many) * 100
    with connected(client.url) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sender = threading.Thread(target=raw.sendall, args=(sent,))
        sender.start()
        time.sleep(0.3)
        answers = Answers(raw)
        first = answers.next()
        assert [answers.next() for _ in range(99)] == [first] * 99
        sender.join()


def test_lookups_under_way_are_answered_before_the_server_ends(tmp_path: Path, valkey_url: str) -> None:
    found: list[bytes] = []
    with make_store(tmp_path, url=valkey_url, request_timeout=5) as store, redis.Redis.from_url(valkey_url) as control:
        with running(store) as url:
            raw = socket.create_connection((urlsplit(url).hostname or "", urlsplit(url).port or 0), timeout=10)
            raw.sendall(request())
            answers = Answers(raw)
            assert b"[39.02]" in answers.next()
            control.client_pause(1_500, all=True)
            raw.sendall(request() + request({**JFK, "features": ["weather:none"]}))
            time.sleep(0.7)
        found = [answers.next(), answers.next(), answers.next()]
        raw.close()
    assert b"[39.02]" in found[0]
    assert b"connection: close" not in found[0]
    assert b"404" in found[1]
    assert b"connection: close" in found[1]
    assert found[2] == b""


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(server_module._UVICORN, "timeout_keep_alive", 1.5)
    with running(store) as url, connected(url) as raw:
        answers = Answers(raw)
        for _ in range(4):
            raw.sendall(request())
            assert b"[39.02]" in answers.next()
            time.sleep(0.5)
        began = time.monotonic()
        assert answers.next() == b""
        assert time.monotonic() - began > 0.3


def test_lookups_of_both_ways_are_counted_alike(tmp_path: Path) -> None:
    counts = []
    for protocol in (direct.DirectProtocol, BoundedProtocol):
        with pytest.MonkeyPatch.context() as patch, make_store(tmp_path / protocol.__name__) as store:
            patch.setitem(server_module._UVICORN, "http", protocol)
            with running(store) as url:
                for document in (JFK, STATIONS, {**JFK, "features": ["weather:none"]}, STATIONS):
                    exchange(url, request(document))
                wait_until(lambda url=url: b'status="404"' in Client(url).get("/metrics").body)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                lines = Client(url).get("/metrics").body.decode().splitlines()
        counts.append(
            [line for line in lines if "hitherto_lookup_values" in line or (PATH in line and "_sum" not in line)]
        )
    # Counters appear in the order in which they are first told of.
    below, above = (sorted(line for line in one if "_bucket" not in line and "_created" not in line) for one in counts)
    assert below == above


@pytest.mark.parametrize("step", ["begin", "finish"])
def test_an_exchange_is_answered_whatever_is_raised(any_url: str, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    # asyncio's is no Exception, and nothing of the server's awaits anything here.
    def fail(*_: Any, **__: Any) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(Lookups, step, fail)
        broken = exchange(any_url, request(), request())
    # The second one may find the connection closed behind the first.
    assert {answer[:12] for answer in broken} == {b"HTTP/1.1 500"}
    assert exchange(any_url, request())[0].startswith(b"HTTP/1.1 200")
