"""What is counted, under which labels, and that several workers add up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hitherto import FeatureStore
from hitherto.serving.metrics import LOOKUP_ROUTE, BucketHistogram, Metrics
from hitherto.serving.server import running
from unit.serving.servers import Client


def samples(client: Client) -> dict[str, float]:
    lines = client.get("/metrics").body.decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


@pytest.fixture
def fresh(store: FeatureStore) -> Client:
    """A server that has counted nothing yet."""
    with running(store) as url:
        yield Client(url)


def test_lookups_are_counted_by_status_of_request_and_of_value(fresh: Client):
    fresh.lookup(["weather:temperature", "weather:dry"], station=["JFK", "LGA", "OLD", "XXX", None])
    fresh.lookup(["weather:temperature", "totals:stations"], station=["JFK", "EWR"])
    fresh.lookup(["weather:nothing"], station=["JFK"])
    found = samples(fresh)
    values = {
        status: found[f'hitherto_lookup_values_total{{feature_view="weather",status="{status}"}}']
        for status in ("PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE")
    }
    # JFK: both; LGA: dry, and a null; OLD: two outside; the unknown and the null key: four not found; then two more present.
    assert values == {"PRESENT": 5, "NULL_VALUE": 1, "NOT_FOUND": 4, "OUTSIDE_MAX_AGE": 2}
    assert found['hitherto_lookup_values_total{feature_view="totals",status="PRESENT"}'] == 2
    assert found[f'hitherto_requests_total{{route="{LOOKUP_ROUTE}",status="200"}}'] == 2
    assert found[f'hitherto_requests_total{{route="{LOOKUP_ROUTE}",status="404"}}'] == 1
    assert found[f'hitherto_request_seconds_count{{route="{LOOKUP_ROUTE}"}}'] == 3
    assert 0 < found[f'hitherto_request_seconds_sum{{route="{LOOKUP_ROUTE}"}}'] < 10
    assert found[f'hitherto_request_seconds_bucket{{le="+Inf",route="{LOOKUP_ROUTE}"}}'] == 3


def test_counts_only_grow_by_what_is_new(fresh: Client):
    name = f'hitherto_requests_total{{route="{LOOKUP_ROUTE}",status="200"}}'
    for expected in (1, 2, 3):
        fresh.lookup(["weather:dry"], station=["JFK"])
        assert samples(fresh)[name] == expected
        assert samples(fresh)[name] == expected


def test_labels_are_routes_and_views_and_never_what_a_client_sent(fresh: Client):
    for path in ("/a", "/b", "/feature-views/c", "/feature-views/weather"):
        fresh.get(path)
    fresh.lookup(["d:e"], f=["g"])
    routes = {name.split('route="')[1].split('"')[0] for name in samples(fresh) if 'route="' in name}
    assert routes == {"other", "/feature-views/{name}", LOOKUP_ROUTE} | ({"/metrics"} & routes)


def test_what_is_served_is_shown(fresh: Client):
    found = samples(fresh)
    assert found["hitherto_registry_up"] == 1
    assert found["hitherto_registry_serial"] >= 4
    assert found['hitherto_watermark_seconds{feature_view="weather"}'] == 1357045200


def test_many_observations_at_once_are_what_they_would_be_one_by_one():
    together = BucketHistogram("together", "x", buckets=(1, 2), registry=None)
    apart = BucketHistogram("apart", "x", buckets=(1, 2), registry=None)
    for value in (0.5, 1, 1.5, 3):
        apart.observe(value)
    together.add([2, 1, 1], 6.0)
    values = [[(one.labels, one.value) for one in each._child_samples()] for each in (together, apart)]
    assert values[0][:-1] == values[1][:-1]


def test_without_lookups_there_is_text_all_the_same():
    assert b"hitherto_requests_total" in Metrics().text()


def test_workers_add_up(tmp_path: Path):
    code = (
        "from hitherto.serving.metrics import Metrics\n"
        "metrics = Metrics()\n"
        "metrics.count('/health', 200, 0.001)\n"
        "print(metrics.text().decode())\n"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for expected in (1.0, 2.0):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        assert f'hitherto_requests_total{{route="/health",status="200"}} {expected}' in done.stdout


def test_a_worker_that_died_leaves_its_counts_but_not_its_gauges(tmp_path: Path):
    code = (
        "from hitherto.serving.metrics import Metrics, forget_dead_workers\n"
        "forget_dead_workers()\n"
        "metrics = Metrics()\n"
        "metrics.count('/health', 200, 0.001)\n"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(3):
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert len(list(tmp_path.glob("counter_*.db"))) == 3
    assert len(list(tmp_path.glob("gauge_live*.db"))) == 1
