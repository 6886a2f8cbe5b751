"""The example, and once per test process the example with everything in it published."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from documentation.blocks import ROOT
from hitherto import FeatureStore
from hitherto.testing import FakeClock

STORY = "2013-12-27T18:00:00Z"
"""The instant that the pages stand at: the data is of 2013."""


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example as a checkout has it."""
    folder = tmp_path_factory.mktemp("example") / "feature_repo"
    shutil.copytree(ROOT / "feature_repo", folder, ignore=shutil.ignore_patterns(".hitherto", "__pycache__"))
    return folder


@pytest.fixture(scope="session")
def materialized(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, published up to STORY."""
    folder = tmp_path_factory.mktemp("materialized") / "feature_repo"
    shutil.copytree(example, folder)
    with FeatureStore(folder, clock=FakeClock(STORY)) as store:
        store.apply()
        store.materialize()
    return folder


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with the environment of somebody who has set nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    for name in [name for name in os.environ if name.startswith("HITHERTO_")]:
        monkeypatch.delenv(name)
    return tmp_path
