"""The routes beside the lookup: probes, metrics, push, what is deployed. None of them is on the way of a lookup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from hitherto.feature_store import FeatureStore
from hitherto.serving.auth import ADMIN, READ, WRITE, Scope
from hitherto.serving.body import check_headers, read_body
from hitherto.serving.metrics import CONTENT_TYPE, Metrics
from hitherto.serving.models import (
    FeatureServices,
    FeatureViewModel,
    FeatureViews,
    Health,
    Pushed,
    Ready,
    Refreshed,
    describe_service,
    describe_view,
)
from hitherto.serving.problems import malformed
from hitherto.serving.pushed_rows import PushBody, to_table
from hitherto.serving.readiness import Readiness
from hitherto.serving.snapshots import Snapshots

OPEN = frozenset({"/health", "/ready", "/openapi.json", "/docs"})
"""Paths that need no token: they tell nothing about features."""
DOCS_PREFIX = "/docs/"
_SCOPES: dict[str, Scope | None] = {"/metrics": None, "/push": WRITE, "/refresh": ADMIN}


def is_open(path: str) -> bool:
    """Whether a path needs no token."""
    return path in OPEN or path.startswith(DOCS_PREFIX)


def scope_of(path: str) -> Scope | None:
    """The scope that a path needs; read, if it is not said. None: any token."""
    return _SCOPES.get(path, READ)


@dataclass(frozen=True)
class Parts:
    """What the routes work with."""

    store: FeatureStore
    snapshots: Snapshots
    readiness: Readiness
    metrics: Metrics
    refresh: Callable[[], int]
    """Reads the registry and the tokens at once; returns the serial."""


def make_router(parts: Parts) -> APIRouter:
    """All of them."""
    router = APIRouter()
    _add_probes(router, parts)
    _add_registry(router, parts)
    _add_push(router, parts)
    return router


def _add_probes(router: APIRouter, parts: Parts) -> None:
    @router.get("/health", tags=["probes"])
    async def get_health() -> Health:
        """The process lives."""
        return Health()

    @router.get("/ready", tags=["probes"])
    def get_ready() -> Ready:
        """Lookups can be answered: the online store answers, and a registry has been read."""
        return parts.readiness.check()

    @router.get("/metrics", tags=["probes"], response_class=Response)
    def get_metrics() -> Response:
        """Metrics for Prometheus. Any token will do, if there are tokens."""
        return Response(parts.metrics.text(), headers={"content-type": CONTENT_TYPE})


def _add_registry(router: APIRouter, parts: Parts) -> None:
    @router.get("/feature-views", tags=["registry"])
    async def list_feature_views() -> FeatureViews:
        """All feature views, as they are served now. Scope: read."""
        views = parts.snapshots.current.views
        return FeatureViews(feature_views=[describe_view(name, view) for name, view in views.items()])

    @router.get("/feature-views/{name}", tags=["registry"])
    async def get_feature_view(name: str) -> FeatureViewModel:
        """One feature view, or a version of it (`view@2`). Scope: read."""
        served = parts.snapshots.current.view(name)
        return describe_view(served.definition.name, served)

    @router.get("/feature-services", tags=["registry"])
    async def list_feature_services() -> FeatureServices:
        """All feature services. Scope: read."""
        services = parts.snapshots.current.definitions.feature_services
        return FeatureServices(feature_services=[describe_service(one) for one in services.values()])

    @router.post("/refresh", tags=["registry"])
    def refresh_registry() -> Refreshed:
        """Read the registry at once, rather than at the next poll. Of several workers, the one that answers. Scope: admin."""
        return Refreshed(serial=parts.refresh())


def _add_push(router: APIRouter, parts: Parts) -> None:
    decode = msgspec.json.Decoder(PushBody).decode
    limit = parts.store.config.server.max_body_bytes

    @router.post("/push", tags=["push"], openapi_extra=_push_body())
    async def push_rows(request: Request) -> Pushed:
        """Write rows to the online store ahead of the next run; an older row replaces nothing. Scope: write."""
        check_headers(dict(request.scope["headers"]), limit=limit)
        raw = await read_body(request.receive, limit=limit)
        try:
            body = decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(error) from None
        return Pushed(stored=await run_in_threadpool(_push, body))

    def _push(body: PushBody) -> int:
        view = parts.snapshots.current.view(body.feature_view).definition
        return parts.store.push(body.feature_view, to_table(view, body.rows))


def _push_body() -> dict[str, Any]:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["feature_view", "rows"],
        "properties": {
            "feature_view": {"type": "string", "examples": ["airport_weather"]},
            "rows": {"type": "array", "items": {"type": "object"}, "description": PushBody.__doc__},
        },
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
