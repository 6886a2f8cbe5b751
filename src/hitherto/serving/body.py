"""Request bodies, byte by counted byte: a body without a length is counted as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from hitherto.serving.problems import Message, Refusal

Receive = Callable[[], Awaitable[Message]]
_JSON = b"application/json"
SECONDS = 10.0
"""How long a body may take to arrive."""


class Disconnected(Refusal):
    """The client has gone; nobody waits for an answer."""

    def __init__(self) -> None:
        # 499 is what proxies write into their logs for it.
        super().__init__(499, "disconnected", "The client has gone.")


async def read_body(receive: Receive, *, limit: int) -> bytes:
    """The whole body.

    Raises:
        Refusal: It is longer than the limit (413), or does not arrive in time (408).
        Disconnected: The client has gone.
    """
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body") and len(body) <= limit:
        return body
    try:
        async with asyncio.timeout(SECONDS):
            return await _read_rest(receive, message, limit)
    except TimeoutError:
        raise slow_body() from None


async def _read_rest(receive: Receive, message: Message, limit: int) -> bytes:
    chunks, length = [], 0
    while True:
        if message["type"] != "http.request":
            raise Disconnected
        chunk: bytes = message.get("body", b"")
        length += len(chunk)
        if length > limit:
            raise too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)
        message = await receive()


def too_large(limit: int) -> Refusal:
    """The refusal of a body; what is left of it is not waited for."""
    return _closing(413, "too-large", f"The body is larger than {limit} bytes. Ask in several requests.")


def slow_body() -> Refusal:
    """The refusal of a body that does not arrive."""
    return _closing(408, "slow-body", f"The body did not arrive within {SECONDS:g} s.")


def check_headers(headers: Mapping[bytes, bytes], *, limit: int) -> None:
    """Refuse a body that says it is too long (413) or not JSON (415); one that says neither is taken as it comes. Raises Refusal."""
    length = headers.get(b"content-length")
    if length is not None and int(length) > limit:
        raise too_large(limit)
    kind = headers.get(b"content-type", _JSON)
    if kind != _JSON and kind.partition(b";")[0].strip().lower() != _JSON:
        raise Refusal(415, "unsupported-media-type", "Send the body with the header content-type: application/json.")


def _closing(status: int, kind: str, detail: str) -> Refusal:
    return Refusal(status, kind, detail, headers={"connection": "close"})
