"""Lookups between the runs of a replay of flights equal training sets (semantics 4, 11); `journeys.replay` has the long form."""

from __future__ import annotations

from pathlib import Path

import pytest

from journeys import replay
from properties.histories import chosen_seed
from unit.serving.servers import running_valkey

pytestmark = pytest.mark.slow
RUNS, LOOKUPS = 20, 400


def test_lookups_at_random_instants_are_what_training_sets_say_on_lmdb(tmp_path: Path) -> None:
    found = replay.run(tmp_path / "repo", url="lmdb:///online", runs=RUNS, lookups=LOOKUPS, seed=chosen_seed())
    assert len(found.rows) == LOOKUPS
    assert sum(found.at_watermark) == RUNS
    assert found.present_share > 0.5


def test_lookups_at_random_instants_are_what_training_sets_say_on_valkey(tmp_path: Path) -> None:
    with running_valkey() as url:
        found = replay.run(tmp_path / "repo", url=url, runs=RUNS, lookups=LOOKUPS, seed=chosen_seed())
    assert found.present_share > 0.5
