from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hitherto.demo.traffic import ROUTE, ask, percentile
from hitherto.errors import HithertoError


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent; a body that asks for it is refused."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        wrong = self.path != ROUTE or self.headers["content-type"] != "application/json" or b"refuse" in body
        self.send_response(503 if wrong else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name that http.server gives it)
        """Quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_every_request_is_timed_and_the_last_answer_kept(url: str):
    traffic = ask(url, [{"number": number} for number in range(5)])
    assert traffic.requests == 5
    assert 0 < traffic.p50 <= traffic.p99
    assert traffic.answer == {"number": 4}


def test_an_answer_other_than_200_ends_it(url: str):
    with pytest.raises(HithertoError, match="The server answered 503"):
        ask(url, [{"please": "refuse"}])


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_the_least_value_that_its_share_does_not_exceed(share: float, expected: int):
    assert percentile([float(number) for number in range(100, 0, -1)], share) == expected


def test_one_value_is_every_percentile():
    assert {percentile([7.0], share) for share in (0.01, 0.5, 0.99)} == {7.0}
    assert json.dumps(percentile([7.0], 0.5)) == "7.0"
