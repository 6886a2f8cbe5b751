"""POST /get-online-features, as a plain ASGI callable: body, plan, one read of the store, bytes out.

The framework's own machinery for routes costs more than everything here together. From here to the store it is one call.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import msgspec

from hitherto.config.settings import ServerSettings
from hitherto.online.answer import Answer
from hitherto.online.plan import LookupPlan, plan_lookup
from hitherto.online.reader import answer, prepare
from hitherto.online.store import OnlineStore
from hitherto.registry.snapshot import Snapshot
from hitherto.serving.auth import READ, Tokens
from hitherto.serving.body import Disconnected, Receive, check_headers, read_body
from hitherto.serving.deadlines import Deadlines
from hitherto.serving.metrics import LOOKUP_ROUTE, Metrics
from hitherto.serving.problems import Message, Refusal, Send, malformed, refusal_of, send_refusal
from hitherto.serving.snapshots import Snapshots
from hitherto.timeline import EPOCH, MICROSECOND, Clock

MOST_PLANS = 1_024
_JSON = (b"content-type", b"application/json")


class LookupBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body, as Feast's clients send it."""

    entities: dict[str, list[Any]]
    """Join key or entity column -> its values, one per row."""
    features: tuple[str, ...] | None = None
    """References, "view:feature"; or feature_service."""
    feature_service: str | None = None
    full_feature_names: bool = False
    include_feature_view_version_metadata: Any = None
    """Feast's clients send it; it means nothing here."""


class LookupRoute:
    """The route. One per server; it holds no state of a request."""

    def __init__(
        self,
        store: OnlineStore,
        snapshots: Snapshots,
        *,
        clock: Clock,
        settings: ServerSettings,
        tokens: Tokens,
        metrics: Metrics,
    ) -> None:
        self._store, self._snapshots, self._clock = store, snapshots, clock
        self._settings, self._tokens, self._metrics = settings, tokens, metrics
        self._deadlines = Deadlines(settings.request_timeout)
        self._decode = msgspec.json.Decoder(LookupBody).decode
        self._plans: tuple[Snapshot, dict[Any, LookupPlan]] = (snapshots.current, {})

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; a refusal is a problem document, whatever happened."""
        began = perf_counter()
        try:
            answered = await self._answer(scope, receive)
            body = answered.to_json()
        except Disconnected:
            return
        except Exception as error:  # noqa: BLE001  (nothing of a fault may reach the client)
            refusal = refusal_of(error)
            self._metrics.count(LOOKUP_ROUTE, refusal.status, perf_counter() - began)
            await send_refusal(refusal, scope["path"], send)
            return
        self._metrics.lookups.add(answered, perf_counter() - began)
        await send(
            {"type": "http.response.start", "status": 200, "headers": [_JSON, (b"content-length", b"%d" % len(body))]}
        )
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Message, receive: Receive) -> Answer:
        settings, headers = self._settings, dict(scope["headers"])
        if scope["method"] != "POST":
            raise Refusal(405, "method", "Lookups are POST requests.", headers={"allow": "POST"})
        if self._tokens.needed:
            self._tokens.check(headers.get(b"authorization"), READ)
        check_headers(headers, limit=settings.max_body_bytes)
        try:
            body = self._decode(await read_body(receive, limit=settings.max_body_bytes))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(error) from None
        plan = self._plan(body)
        rows = max(map(len, body.entities.values()), default=1)
        if rows > settings.max_entities:
            raise _too_many("entity rows", rows, settings.max_entities)
        # The clock is read once: keys, ages and watermarks of a request are judged at one instant.
        now = (self._clock() - EPOCH) // MICROSECOND
        request = prepare(plan, body.entities, now=now, json=True)
        with self._deadlines.wait():
            values = await self._store.read_many_async(request.reads)
        return answer(plan, request, values, now=now)

    def _plan(self, body: LookupBody) -> LookupPlan:
        snapshot, plans = self._plans
        if snapshot is not self._snapshots.current or len(plans) >= MOST_PLANS:
            snapshot, plans = self._plans = (self._snapshots.current, {})
        if bool(body.features) == (body.feature_service is not None):
            raise Refusal(400, "usage", 'Give features, ["view:feature", ...], or feature_service: one of the two.')
        wanted = (body.features or body.feature_service, body.full_feature_names)
        plan = plans.get(wanted)
        if plan is None:
            plan = plans[wanted] = self._new_plan(body, snapshot)
        return plan

    def _new_plan(self, body: LookupBody, snapshot: Snapshot) -> LookupPlan:
        most, asked = self._settings.max_features, len(body.features or ())
        if asked > most:
            raise _too_many("features", asked, most)
        wanted = body.features or snapshot.feature_service(body.feature_service or "")
        plan = plan_lookup(snapshot, wanted, full_feature_names=body.full_feature_names)
        if len(plan.columns) > most:
            raise _too_many("features", len(plan.columns), most)
        return plan


def _too_many(what: str, asked: int, most: int) -> Refusal:
    return Refusal(413, "too-large", f"{asked} {what} are asked for, {most} are allowed. Ask in several requests.")
