"""POST /get-online-features: body, plan, one read of the store, bytes out; and the same as a plain ASGI callable.

The framework's own machinery for routes costs more than everything here together. From here to the store it is one call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import msgspec

from hitherto.config.settings import ServerSettings
from hitherto.on_demand.functions import Functions
from hitherto.online.plan import LookupPlan, plan_lookup
from hitherto.online.reader import Request, answer, prepare
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


class Lookups:
    """From the bytes of a body to the store, and from there to the bytes of the answer. It holds no state of a request."""

    def __init__(
        self,
        store: OnlineStore,
        snapshots: Snapshots,
        *,
        clock: Clock,
        settings: ServerSettings,
        metrics: Metrics,
        functions: Callable[[], Functions] | None = None,
    ) -> None:
        self.store, self.settings, self.metrics = store, settings, metrics
        self.deadlines = Deadlines(settings.request_timeout)
        self._snapshots, self._clock, self._most_rows = snapshots, clock, settings.max_entities
        self._functions = functions
        self._decode = msgspec.json.Decoder(LookupBody).decode
        self._plans: tuple[Snapshot, dict[Any, LookupPlan]] = (snapshots.current, {})

    def begin(self, raw: bytes | bytearray) -> Request:
        """Understand a body; what the store has for the request's reads finishes it. Raises Refusal or an error of ours."""
        try:
            body = self._decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(error) from None
        plan = self._plan(body)
        for values in body.entities.values():
            if len(values) > self._most_rows:
                raise _too_many("entity rows", max(map(len, body.entities.values())), self._most_rows)
        # The clock is read once: keys, ages and watermarks of a request are judged at one instant.
        now = (self._clock() - EPOCH) // MICROSECOND
        return prepare(plan, body.entities, now=now, json=True)

    def finish(self, request: Request, values: Sequence[Sequence[bytes | None]], *, began: float) -> bytes:
        """The answer, which is counted."""
        answered = answer(request, values)
        body = answered.to_json()
        self.metrics.lookups.add(answered, perf_counter() - began)
        return body

    def refuse(self, error: BaseException, *, began: float) -> Refusal:
        """The refusal that an error is, which is counted."""
        refusal = refusal_of(error)
        self.metrics.count(LOOKUP_ROUTE, refusal.status, perf_counter() - began)
        return refusal

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
        most, asked = self.settings.max_features, len(body.features or ())
        if asked > most:
            raise _too_many("features", asked, most)
        wanted = body.features or snapshot.feature_service(body.feature_service or "")
        full = body.full_feature_names
        plan = plan_lookup(snapshot, wanted, full_feature_names=full, functions=self._functions)
        if len(plan.columns) > most:
            raise _too_many("features", len(plan.columns), most)
        return plan


class LookupRoute:
    """The route as an ASGI callable. `serving.direct` answers most lookups before they get here, with the same bytes."""

    def __init__(self, lookups: Lookups, tokens: Tokens) -> None:
        self.lookups, self.tokens = lookups, tokens

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; a refusal is a problem document, whatever happened."""
        began = perf_counter()
        try:
            if scope["method"] != "POST":
                raise Refusal(405, "method", "Lookups are POST requests.", headers={"allow": "POST"})
            self.check(dict(scope["headers"]))
            body = await self._answer(await read_body(receive, limit=self.lookups.settings.max_body_bytes), began)
        except Disconnected:
            return
        except Exception as error:  # noqa: BLE001  (nothing of a fault may reach the client)
            await send_refusal(self.lookups.refuse(error, began=began), scope["path"], send)
            return
        await send(
            {"type": "http.response.start", "status": 200, "headers": [_JSON, (b"content-length", b"%d" % len(body))]}
        )
        await send({"type": "http.response.body", "body": body})

    def check(self, headers: Mapping[bytes, bytes]) -> None:
        """Refuse what its headers rule out: before the body is read. Raises Refusal."""
        if self.tokens.needed:
            self.tokens.check(headers.get(b"authorization"), READ)
        check_headers(headers, limit=self.lookups.settings.max_body_bytes)

    async def _answer(self, raw: bytes, began: float) -> bytes:
        request = self.lookups.begin(raw)
        with self.lookups.deadlines.wait():
            values = await self.lookups.store.read_many_async(request.reads)
        return self.lookups.finish(request, values, began=began)


def _too_many(what: str, asked: int, most: int) -> Refusal:
    return Refusal(413, "too-large", f"{asked} {what} are asked for, {most} are allowed. Ask in several requests.")
