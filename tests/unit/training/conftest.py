"""One small project, materialized once; tests that change something make their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hitherto import FeatureService, Field
from hitherto.types import Float64, Int64, String
from journeys.projects import Project, source, table, view

SETTINGS = '[offline]\nmemory_limit = "512MB"\nthreads = 2\n'
ROWS = [("a", 1, 1.0, "one"), ("a", 5, 5.0, None), ("b", 3, float("nan"), "three"), ("old", 0, 0.0, "")]


def definitions() -> list[Any]:
    """Two views and services over them; the second is known two hours late and lives six."""
    readings = view(
        source=source("data/a.parquet"), schema=[Field("value", Float64), Field("note", String), Field("big", Int64)]
    )
    long_ago = source("data/long.parquet", name="long_ago", known_after="2h")
    late = view("late", source=long_ago, schema=[Field("value", Float64)], ttl="6h")
    other = readings.with_name("other").with_join_key_map({"sensor": "neighbour"})
    return [
        readings,
        late,
        FeatureService("both", features=[readings[["value", "big"]], late]),
        FeatureService("pair", features=[readings[["value"]], other[["value"]]]),
    ]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Nothing applied yet; the clock stands at hour 24."""
    one = Project(tmp_path / "project", SETTINGS)
    yield one
    one.store.close()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project of most tests; nobody changes it."""
    one = Project(tmp_path_factory.mktemp("training") / "project", SETTINGS)
    one.deliver(table(ROWS, big=[2**53 + 1, None, -(2**63), 0]))
    one.deliver(table(ROWS), "long.parquet")
    one.store.apply(definitions())
    one.store.materialize()
    yield one
    one.store.close()
