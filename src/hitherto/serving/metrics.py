"""Metrics for Prometheus: requests, latency, statuses per view. Labels are bounded: routes and views, never what a client sent.

Lookups are counted in plain numbers that only the event loop changes; what they have grown by is handed on a few times a
second, because one call into the client library for each number costs a fifth of a lookup.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from hitherto.encoding.row_codec import NULL
from hitherto.online.answer import Answer, Status
from hitherto.registry.snapshot import Snapshot

CONTENT_TYPE = CONTENT_TYPE_LATEST
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's own: the folder in which workers add up, set before it is imported."""
LOOKUP_ROUTE = "/get-online-features"
OTHER_ROUTE = "other"
STATUSES = tuple(Status)
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_PRESENT, _NULL_VALUE, _NOT_FOUND, _OUTSIDE, _ERROR = (STATUSES.index(one) for one in Status)
_MICROS = 1_000_000


def forget_dead_workers() -> None:
    """Take the gauges of workers that died out of the sum; what they counted stays."""
    for path in Path(os.environ[FOLDER_VARIABLE]).glob("gauge_live*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # prometheus-client leaves it untyped


class BucketHistogram(Histogram):
    """A histogram that takes many observations at once."""

    def add(self, counts: Sequence[int], total: float) -> None:
        """Observations that somebody has put into buckets already; `total` is the sum of their values."""
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        self._sum.inc(total)


class LookupCounts:
    """What lookups add up to since the server began. One thread writes; any thread may read."""

    def __init__(self) -> None:
        self.buckets = [0] * (len(_BUCKETS) + 1)
        self.seconds = 0.0
        self.values: dict[str, list[int]] = {}
        """Feature view -> number of values, in the order of STATUSES."""

    def add(self, answer: Answer, seconds: float) -> None:
        """One lookup that was answered."""
        self.seconds += seconds
        self.buckets[bisect_left(_BUCKETS, seconds)] += 1
        for view in answer.views:
            read = view.read
            name = read.projection.place.view
            counts = self.values.get(name)
            if counts is None:
                counts = self.values[name] = [0] * len(STATUSES)
            width = len(read.positions)
            # Most rows are there and whole: then nothing is counted one by one.
            nulls = 0 if view.complete else sum([column.count(NULL) for column in view.columns])
            counts[_PRESENT] += answer.rows * width - nulls
            if nulls:
                # The rows that are not there are nulls in every column.
                rows = list(view.exceptions.values())
                outside, errors = rows.count(Status.OUTSIDE_MAX_AGE), rows.count(Status.ERROR)
                counts[_OUTSIDE] += outside * width
                counts[_ERROR] += errors * width
                counts[_NOT_FOUND] += (len(rows) - outside - errors) * width
                counts[_NULL_VALUE] += nulls - len(rows) * width


class Metrics:
    """What one server counts; with several workers, their sum."""

    def __init__(self) -> None:
        self.lookups = LookupCounts()
        self._told = LookupCounts()
        self._telling = threading.Lock()
        self._registry = shared = CollectorRegistry()
        self._requests = Counter("hitherto_requests", "Requests answered.", ["route", "status"], registry=shared)
        self._seconds = BucketHistogram(
            "hitherto_request_seconds", "Seconds from request to answer.", ["route"], buckets=_BUCKETS, registry=shared
        )
        self._values = Counter(
            "hitherto_lookup_values", "Values looked up, by status.", ["feature_view", "status"], registry=shared
        )
        self._serial = Gauge(
            "hitherto_registry_serial",
            "The registry's serial that is served.",
            registry=shared,
            multiprocess_mode="livemin",
        )
        self._registry_up = Gauge(
            "hitherto_registry_up", "1 if the registry answered.", registry=shared, multiprocess_mode="livemin"
        )
        self._watermark = Gauge(
            "hitherto_watermark_seconds",
            "End of what a feature view has published, seconds since 1970.",
            ["feature_view"],
            registry=shared,
            multiprocess_mode="livemin",
        )
        self._seen: Snapshot | None = None

    def count(self, route: str, status: int, seconds: float) -> None:
        """One request that was no answered lookup."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def show(self, snapshot: Snapshot, *, answers: bool) -> None:
        """What is served now, and what was looked up since the last time."""
        self._tell()
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
        self._tell()
        if FOLDER_VARIABLE not in os.environ:
            return generate_latest(self._registry)
        summed = CollectorRegistry()
        MultiProcessCollector(summed)  # type: ignore[no-untyped-call]  # prometheus-client leaves it untyped
        return generate_latest(summed)

    def _tell(self) -> None:
        now, told = self.lookups, self._told
        with self._telling:
            grown = [new - old for new, old in zip(now.buckets, told.buckets, strict=True)]
            seconds = now.seconds - told.seconds
            if not sum(grown):
                return
            self._requests.labels(LOOKUP_ROUTE, "200").inc(sum(grown))
            self._seconds.labels(LOOKUP_ROUTE).add(grown, seconds)
            told.buckets = [old + new for old, new in zip(told.buckets, grown, strict=True)]
            told.seconds += seconds
            for view, counts in list(now.values.items()):
                self._tell_values(view, list(counts))

    def _tell_values(self, view: str, counts: list[int]) -> None:
        before = self._told.values.get(view) or [0] * len(STATUSES)
        for status, new, old in zip(STATUSES, counts, before, strict=True):
            self._values.labels(view, status.value).inc(new - old)
        self._told.values[view] = counts
