"""What the published rows say about where to look."""

from __future__ import annotations

from pathlib import Path

from hitherto.feature_store import FeatureStore
from hitherto.monitoring.samples import event_times, sample_keys
from hitherto.offline.duckdb.connection import Limits, connect
from hitherto.offline.plan import SegmentRead, visible_state
from hitherto.registry import ledger
from unit.monitoring.small_store import EVERYBODY, PAIRS, START, USERS

HOUR = 3_600_000_000


def state(store: FeatureStore, view: str) -> tuple[SegmentRead, ...]:
    pieces = ledger.pieces(store.registry.publications(view, 1))
    return visible_state(pieces, store.registry.segments(view, 1), store.config.offline_path)


def test_all_keys_are_found_once_and_typed(store: FeatureStore):
    with connect(Limits()) as con:
        keys = sample_keys(con, PAIRS, state(store, "pairs"), limit=None)
    found = sorted(zip(*(column.to_pylist() for column in keys.columns), strict=True))
    assert found == [(1, "11"), (1, "a"), (2, "b"), (3, "c"), (11, "1")]
    assert keys.schema.types == [kind.arrow for kind in PAIRS.join_keys.values()]


def test_a_sample_is_the_same_each_time(store: FeatureStore, root: Path):
    with connect(Limits()) as con:
        one, other = (sample_keys(con, USERS, state(store, "users"), limit=2).to_pylist() for _ in range(2))
    assert one == other
    assert len(one) == 2


def test_event_times_are_those_of_the_rows_that_lookups_find(store: FeatureStore):
    start = int(START.timestamp() * 1_000_000)
    with connect(Limits()) as con:
        assert event_times(con, EVERYBODY, state(store, "everybody")) == (start + 9 * HOUR,)
        assert event_times(con, PAIRS, state(store, "pairs")) == (start + 9 * HOUR, start + 7 * HOUR)
        assert event_times(con, PAIRS, ()) == ()
