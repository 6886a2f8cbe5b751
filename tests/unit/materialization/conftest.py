"""A small project of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from journeys.projects import Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Nothing applied yet; the clock stands at hour 24."""
    one = Project(tmp_path / "project", '[offline]\nmemory_limit = "512MB"\nthreads = 2\n')
    yield one
    one.store.close()
