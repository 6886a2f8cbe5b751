"""One small project, materialized once and copied for each test that changes something."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hitherto.feature_store import FeatureStore
from unit.monitoring.small_store import materialized_project, open_project


@pytest.fixture(scope="session")
def materialized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the project after its first materialization, never to be changed."""
    root = tmp_path_factory.mktemp("small") / "project"
    with materialized_project(root):
        return root


@pytest.fixture
def root(materialized: Path, tmp_path: Path) -> Path:
    """A copy of its own."""
    return Path(shutil.copytree(materialized, tmp_path / "project"))


@pytest.fixture
def store(root: Path) -> Iterator[FeatureStore]:
    with open_project(root) as opened:
        yield opened
