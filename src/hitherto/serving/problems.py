"""Problem documents (RFC 9457): every refusal of the server, from whatever raised it; internals stay inside.

The table says for each error of hitherto.errors which status it is and what the world may know of it.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from hitherto import errors

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1
_URN = "urn:hitherto:problem:"
_LOG_SECONDS = 5.0
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
logger = logging.getLogger("hitherto.serving")


class Refusal(Exception):
    """What a request is answered with when it cannot be served."""

    def __init__(self, status: int, kind: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.headers = dict(headers or {})

    def document(self, instance: str, **members: Any) -> bytes:
        """The problem document; `instance` is the path of the request."""
        return msgspec.json.encode(
            {
                "type": _URN + self.kind,
                "title": _TITLES.get(self.kind) or HTTPStatus(self.status).phrase,
                "status": self.status,
                "detail": self.detail,
                "instance": instance,
                **members,
            }
        )

    def raw_headers(self, length: int) -> list[tuple[bytes, bytes]]:
        """The headers of the document, as ASGI wants them."""
        own = {"content-type": MEDIA_TYPE, "content-length": str(length), **self.headers}
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in own.items()]


@dataclass(frozen=True)
class _Kind:
    status: int
    kind: str
    detail: str | None = None
    """What the world is told; None: the error's own words, which name objects of the request and no values."""


_TITLES = {
    "malformed-body": "The body is not what this route takes",
    "usage": "The request is wrong",
    "unknown-name": "A name that is not there",
    "name-collision": "Two columns of one name",
    "join-key": "The entity columns are not those that are needed",
    "key-type": "A key of the wrong type",
    "request-field": "A request field is missing, or of the wrong type",
    "data": "The rows were not taken",
    "not-materialized": "Nothing has been published yet",
    "too-large": "The request is too large",
    "unsupported-media-type": "The body is not JSON",
    "unauthorized": "A token is needed",
    "forbidden": "The token does not allow this",
    "function": "A function that was applied is not installed",
    "clock": "The clock is before what is published",
    "online-store": "The online store does not answer",
    "registry": "The registry does not answer",
    "busy": "Another writer is at work",
    "slow-body": "The body did not arrive in time",
    "disconnected": "The client has gone",
    "internal": "A fault of the server",
}
_STORE = "The online store did not answer, or not in time. Try again."
_FUNCTION = (
    "The function of an on-demand feature view is not the one that was applied, so its features are not answered; "
    "others are. The server's log says which."
)
_INTERNAL = _Kind(500, "internal", "Something went wrong here. The server's log says where.")
_KINDS: Mapping[type[BaseException], _Kind] = {
    errors.UnknownNameError: _Kind(404, "unknown-name"),
    errors.JoinKeyError: _Kind(422, "join-key"),
    errors.KeyTypeError: _Kind(422, "key-type"),
    errors.RequestFieldError: _Kind(422, "request-field"),
    errors.NameCollisionError: _Kind(400, "name-collision"),
    errors.UsageError: _Kind(400, "usage"),
    errors.NotMaterializedError: _Kind(409, "not-materialized"),
    errors.DataError: _Kind(422, "data"),
    errors.FunctionError: _Kind(503, "function", _FUNCTION),
    errors.ClockError: _Kind(503, "clock"),
    errors.RunInProgressError: _Kind(409, "busy"),
    errors.FencedError: _Kind(409, "busy", "A run has begun meanwhile. Try again."),
    errors.OnlineStoreError: _Kind(503, "online-store", _STORE),
    errors.RegistryError: _Kind(503, "registry", "The registry cannot be read now. Try again."),
    errors.StorageError: _Kind(503, "online-store", "The server cannot read or write its files now. Try again later."),
    TimeoutError: _Kind(503, "online-store", _STORE),
}


def refusal_of(error: BaseException) -> Refusal:
    """An error as what the world is told. What is ours to mend (5xx) is logged, with neither values nor keys."""
    if isinstance(error, Refusal):
        return error
    kind = next((_KINDS[one] for one in type(error).__mro__ if one in _KINDS), _INTERNAL)
    headers = {"retry-after": str(RETRY_SECONDS)} if kind.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    if kind is _INTERNAL:
        _log_fault(error)
    elif kind.detail is not None:
        _log_outage(kind.kind, error)
    return Refusal(kind.status, kind.kind, kind.detail or str(error), headers=headers)


def malformed(error: Exception) -> Refusal:
    """The refusal of a body that cannot be read; the decoder's words name places, never values."""
    said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error).rstrip(".")
    if isinstance(error, UnicodeDecodeError):
        said = "it is not UTF-8"
    return Refusal(400, "malformed-body", f"The body cannot be read: {said}.")


async def send_refusal(refusal: Refusal, path: str, send: Send) -> None:
    """Answer with the problem document."""
    body = refusal.document(path)
    await send({"type": "http.response.start", "status": refusal.status, "headers": refusal.raw_headers(len(body))})
    await send({"type": "http.response.body", "body": body})


def _log_fault(error: BaseException) -> None:
    # The frames, not the message: a foreign exception's words may quote a value.
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("A request failed with %s:\n%s", type(error).__name__, where)


_logged: dict[str, float] = {}


def _log_outage(kind: str, error: BaseException) -> None:
    # An outage meets every request; one line every few seconds tells of it.
    now = time.monotonic()
    if now - _logged.get(kind, -_LOG_SECONDS) < _LOG_SECONDS:
        return
    _logged[kind] = now
    said = error if isinstance(error, errors.HithertoError) else type(error).__name__
    logger.warning("Requests are being refused: %s", said)
