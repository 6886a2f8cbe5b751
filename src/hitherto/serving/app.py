"""create_app: the FastAPI app of one feature store. The lookup goes past the framework; all else goes through one gate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from hitherto import __version__
from hitherto.errors import HithertoError
from hitherto.feature_store import FeatureStore
from hitherto.serving import docs, openapi
from hitherto.serving.auth import Tokens
from hitherto.serving.body import Disconnected, Receive
from hitherto.serving.functions import ServedFunctions
from hitherto.serving.lookup import LookupRoute, Lookups
from hitherto.serving.metrics import LOOKUP_ROUTE, OTHER_ROUTE, Metrics
from hitherto.serving.problems import Message, Refusal, Send, refusal_of, send_refusal
from hitherto.serving.readiness import Readiness
from hitherto.serving.routes import Parts, is_open, make_router, scope_of
from hitherto.serving.snapshots import Snapshots

_DESCRIPTION = (
    "A feature store that never looks into the future. Lookups take and answer the JSON of Feast's feature server."
)


class ServerApp(FastAPI):
    """The app, with what stands before its routes."""

    lookup: LookupRoute
    tokens: Tokens
    metrics: Metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Lookups at once; everything else past the tokens into the framework."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
        elif scope["path"] == LOOKUP_ROUTE:
            await self.lookup(scope, receive, send)
        else:
            await self._pass_gate(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, with the lookup."""
        if self.openapi_schema is None:
            self.openapi_schema = openapi.describe(self)
        return self.openapi_schema

    async def _pass_gate(self, scope: Message, receive: Receive, send: Send) -> None:
        began, status = perf_counter(), 0

        async def send_counted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            if not is_open(scope["path"]):
                self.tokens.check(dict(scope["headers"]).get(b"authorization"), scope_of(scope["path"]))
            await super().__call__(scope, receive, send_counted)
        except Disconnected:
            return
        except Exception as error:  # noqa: BLE001  (nothing of a fault may reach the client, or a value the log)
            if not status:
                await send_refusal(refusal_of(error), scope["path"], send_counted)
        route = getattr(scope.get("route"), "path", OTHER_ROUTE)
        self.metrics.count(route, status, perf_counter() - began)


def create_app(store: FeatureStore, *, close_store: bool = False, allow_changed_functions: bool = False) -> FastAPI:
    """The server of a feature store, as an ASGI app.

    Args:
        store: What it serves; its clock is the server's.
        close_store: Whether the store ends with the app.
        allow_changed_functions: Whether functions of on-demand feature views may differ from those that were applied.

    Raises:
        RegistryError: The registry does not answer; a server needs one snapshot to begin with.
        ConfigError: The file of tokens cannot be read.
        FunctionError: A function of an on-demand feature view is not there, or not the one that was applied.
    """
    settings, online, metrics = store.config.server, store.online_store, Metrics()
    tokens = Tokens(store.config.tokens_path)

    def after_poll() -> None:
        metrics.show(snapshots.current, answers=snapshots.problem is None)
        tokens.reload()
        functions.follow(snapshots.current)

    def refresh() -> int:
        serial = snapshots.refresh().serial
        functions.follow(snapshots.current, again=True)
        after_poll()
        return serial

    snapshots = Snapshots(store.registry, seconds=settings.poll_seconds, also=after_poll)
    functions = ServedFunctions(store.functions, snapshots.current, allow_changed=allow_changed_functions)
    after_poll()
    app = ServerApp(
        title="Hitherto",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(store, snapshots, metrics, close_store=close_store),
    )
    app.tokens, app.metrics = tokens, metrics
    lookups = Lookups(
        online,
        snapshots,
        clock=store.clock,
        settings=settings,
        metrics=metrics,
        functions=lambda: store.functions,
    )
    app.lookup = LookupRoute(lookups, tokens)
    readiness = Readiness(online, snapshots, clock=store.clock, tokens=tokens, functions=functions)
    app.include_router(make_router(Parts(store, snapshots, readiness, metrics, refresh)))
    app.include_router(docs.router)
    _refuse_with_problems(app)
    return app


def _lifespan(
    store: FeatureStore, snapshots: Snapshots, metrics: Metrics, *, close_store: bool
) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def poll_meanwhile(app: FastAPI) -> AsyncIterator[None]:
        snapshots.start()
        try:
            yield
        finally:
            snapshots.stop()
            metrics.show(snapshots.current, answers=snapshots.problem is None)
            if close_store:
                store.close()

    return poll_meanwhile


def _refuse_with_problems(app: FastAPI) -> None:
    async def answer_error(request: Request, error: Exception) -> Response:
        refusal = _http_refusal(error) if isinstance(error, HTTPException) else refusal_of(error)
        return _response(refusal, request.url.path)

    async def answer_invalid(request: Request, error: Exception) -> Response:
        # The framework's message quotes what was sent; ours does not.
        return _response(
            Refusal(400, "usage", "A parameter of the request is not what the route takes."), request.url.path
        )

    for kind in (HTTPException, HithertoError, Refusal, Exception):
        app.add_exception_handler(kind, answer_error)
    app.add_exception_handler(RequestValidationError, answer_invalid)


def _http_refusal(error: HTTPException) -> Refusal:
    kind = {404: "unknown-route", 405: "method"}.get(error.status_code, "http")
    details = {404: "There is no such route. See /docs.", 405: "The route has no such method. See /docs."}
    return Refusal(error.status_code, kind, details.get(error.status_code, str(error.detail)), headers=error.headers)


def _response(refusal: Refusal, path: str) -> Response:
    response = Response(refusal.document(path), status_code=refusal.status)
    response.raw_headers = refusal.raw_headers(len(response.body))
    return response
