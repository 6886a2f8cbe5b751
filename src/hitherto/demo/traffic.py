"""Lookups over real HTTP, one after the other on one connection, each with a stopwatch."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from hitherto.errors import HithertoError

ROUTE = "/get-online-features"
_WARM_UP = 50
_TIMEOUT = 10.0
_HEADERS = {"content-type": "application/json"}


@dataclass(frozen=True)
class Traffic:
    """What a series of requests took, in milliseconds, and what the last one answered."""

    requests: int
    p50: float
    p99: float
    answer: Mapping[str, Any]


def ask(url: str, bodies: Sequence[Mapping[str, Any]]) -> Traffic:
    """Send the bodies in turn; the first few once more before, to warm up.

    Raises:
        HithertoError: A lookup is not answered with 200.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT)
    try:
        texts = [json.dumps(body).encode() for body in bodies]
        for text in texts[:_WARM_UP]:
            _post(connection, text)
        taken = []
        answer = b""
        for text in texts:
            began = perf_counter()
            answer = _post(connection, text)
            taken.append((perf_counter() - began) * 1_000)
    finally:
        connection.close()
    return Traffic(len(taken), percentile(taken, 0.50), percentile(taken, 0.99), json.loads(answer))


def _post(connection: http.client.HTTPConnection, body: bytes) -> bytes:
    connection.request("POST", ROUTE, body, _HEADERS)
    response = connection.getresponse()
    content = response.read()
    if response.status != http.client.OK:
        raise HithertoError(f"The server answered {response.status}: {content[:500].decode(errors='replace')}")
    return content


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that at least this share of the values does not exceed.

    >>> percentile([4.0, 1.0, 3.0, 2.0], 0.5)
    2.0
    """
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1_000_000) * len(ordered) // 1_000_000) - 1)]
