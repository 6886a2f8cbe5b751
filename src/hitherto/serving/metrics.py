"""Metrics for Prometheus: requests, latency, statuses per view. Labels are bounded: routes and views, never what a client sent."""

from __future__ import annotations

import os
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

from hitherto.encoding.row_codec import NULL
from hitherto.online.answer import Answer, Status
from hitherto.registry.snapshot import Snapshot

CONTENT_TYPE = CONTENT_TYPE_LATEST
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's own: the folder in which workers add up, set before it is imported."""
LOOKUP_ROUTE = "/get-online-features"
OTHER_ROUTE = "other"
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_MICROS = 1_000_000


class Metrics:
    """What one server counts; with several workers, their sum."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        shared = self._registry
        self._requests = Counter("hitherto_requests", "Requests answered.", ["route", "status"], registry=shared)
        self._seconds = Histogram(
            "hitherto_request_seconds", "Seconds from request to answer.", ["route"], buckets=_BUCKETS, registry=shared
        )
        self._values = Counter(
            "hitherto_lookup_values", "Values looked up, by status.", ["feature_view", "status"], registry=shared
        )
        self._serial = Gauge(
            "hitherto_registry_serial",
            "Serial of the registry that is served.",
            registry=shared,
            multiprocess_mode="livemin",
        )
        self._registry_up = Gauge(
            "hitherto_registry_up",
            "1 if the registry answered last time.",
            registry=shared,
            multiprocess_mode="livemin",
        )
        self._watermark = Gauge(
            "hitherto_watermark_seconds",
            "End of what a feature view has published, seconds since 1970.",
            ["feature_view"],
            registry=shared,
            multiprocess_mode="livemin",
        )
        self._lookup_seconds = self._seconds.labels(LOOKUP_ROUTE)
        self._lookup_ok = self._requests.labels(LOOKUP_ROUTE, "200")
        self._lookup_values: dict[str, dict[Status, Counter]] = {}
        self._seen: Snapshot | None = None

    def count(self, route: str, status: int, seconds: float) -> None:
        """One request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_lookup(self, answer: Answer, seconds: float) -> None:
        """One lookup that was answered, and the status of each of its values."""
        self._lookup_ok.inc()
        self._lookup_seconds.observe(seconds)
        for read, view in zip(answer.plan.reads, answer.views, strict=True):
            counters = self._lookup_values.get(read.projection.place.view)
            if counters is None:
                counters = self._new_counters(read.projection.place.view)
            nulls = 0
            for column in view.columns:
                nulls += column.count(NULL)
            width = len(view.columns)
            present = answer.rows * width - nulls
            if present:
                counters[Status.PRESENT].inc(present)
            if nulls:
                self._count_absent(counters, list(view.exceptions.values()), width, nulls)

    def show(self, snapshot: Snapshot, *, answers: bool) -> None:
        """What is served now."""
        self._registry_up.set(answers)
        if snapshot is self._seen:
            return
        self._seen = snapshot
        self._serial.set(snapshot.serial)
        for name, view in snapshot.views.items():
            if view.watermark is not None:
                self._watermark.labels(name).set(view.watermark / _MICROS)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        if FOLDER_VARIABLE not in os.environ:
            return generate_latest(self._registry)
        summed = CollectorRegistry()
        MultiProcessCollector(summed)  # type: ignore[no-untyped-call]  # prometheus-client leaves it untyped
        return generate_latest(summed)

    def _new_counters(self, view: str) -> dict[Status, Counter]:
        found = self._lookup_values[view] = {status: self._values.labels(view, status.value) for status in Status}
        return found

    def _count_absent(
        self, counters: dict[Status, Counter], exceptions: Sequence[Status], width: int, nulls: int
    ) -> None:
        for status in (Status.NOT_FOUND, Status.OUTSIDE_MAX_AGE):
            rows = exceptions.count(status)
            if rows:
                counters[status].inc(rows * width)
        null_values = nulls - len(exceptions) * width
        if null_values:
            counters[Status.NULL_VALUE].inc(null_values)
