"""Parity on a real project: lookups equal retrieval after every kind of publish, and what differs is found."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from hitherto.encoding.key_codec import encode_key
from hitherto.errors import ClockError, StorageError, UnknownNameError, UsageError
from hitherto.feature_store import FeatureStore
from hitherto.monitoring.parity_sides import entity_rows
from hitherto.online.store import Place
from hitherto.types import Bool, Bytes, Date, Int8, Int64, String, Timestamp
from unit.monitoring import small_store
from unit.monitoring.small_store import OBJECTS, ROWS, SERVICE, START, USERS, open_project, table, write

WATERMARK = datetime(2020, 1, 1, 12, tzinfo=UTC)


def test_lookups_equal_retrieval_at_twenty_instants_on_every_key(store: FeatureStore):
    report = store.check_parity("model", instants=20, sample=None)
    assert report.ok
    assert report.equal == report.checked > 1_000
    assert report.present > 0
    assert len(report.instants) == 20
    assert min(report.instants) >= WATERMARK.timestamp() * 1e6


def test_a_service_and_references_to_versions_can_be_compared(store: FeatureStore):
    assert store.check_parity(SERVICE).ok
    assert store.check_parity(["pairs@1:price", "users:x"], instants=[WATERMARK, "2020-01-02"]).ok


@pytest.mark.parametrize("sample", [0, 1, 2])
def test_a_sample_looks_at_fewer_keys(store: FeatureStore, sample: int):
    some = store.check_parity(["pairs:x"], sample=sample, instants=3)
    assert some.ok
    assert some.checked < store.check_parity(["pairs:x"], sample=None, instants=3).checked


def test_parity_holds_after_a_correction_that_takes_rows_away(root: Path):
    with open_project(root, "2020-01-01T13:00:00Z") as store:
        write(root, "a.parquet", ROWS[:1])
        store.materialize_incremental()
        report = store.check_parity("model", instants=20, sample=None)
    # Keys that are gone are still asked for.
    assert report.ok
    assert report.checked >= 20 * 5 * len(ROWS)


def test_parity_holds_after_a_late_file_and_a_repeated_run(root: Path):
    with open_project(root, "2020-01-01T13:00:00Z") as store:
        write(root, "late.parquet", [(5, "z", 4, 1.0), (2, "b", 11.5, 7.0)])
        store.materialize_incremental()
        store.materialize("2020-01-01", "2020-01-01T13:00:00Z")
        assert store.check_parity("model", instants=20, sample=None).ok


def test_a_push_is_ahead_of_the_runs_and_no_mismatch(root: Path):
    with open_project(root, "2020-01-01T13:00:00Z") as store:
        store.materialize_incremental()
        assert store.push("users", table([(2, "", 12.5, 9.0)])) == 1
        assert store.push("everybody", table([(2, "", 12.5, 9.0)])) == 1
        report = store.check_parity("model", instants=5, sample=None)
    assert report.ok
    assert report.pushed > 0
    assert report.equal + report.pushed == report.checked


def test_a_row_that_is_missing_online_is_found(store: FeatureStore):
    place = Place("small", "users", 1, 1)
    key = encode_key([Int64], [2])
    removed = pa.record_batch({"key": pa.array([key]), "value": pa.array([None], pa.binary())})
    store.online_store.write(place, [removed], token=2**60, sequence=2**60)
    report = store.check_parity(["users:x"], instants=3, sample=None)
    assert not report.ok
    assert {(one.view, one.feature, one.retrieved, one.looked_up) for one in report.mismatches} == {
        ("users", "x", "PRESENT", "NOT_FOUND")
    }
    assert {one.instant for one in report.mismatches} == set(report.instants)


def test_an_instant_before_the_watermark_is_refused(store: FeatureStore):
    with pytest.raises(ClockError, match="before|materialized up to"):
        store.check_parity("model", instants=["2020-01-01T11:59:59Z"])


def test_what_is_not_served_online_cannot_be_compared(store: FeatureStore):
    with pytest.raises(UsageError, match="online=False"):
        store.check_parity(["offline_only:x"])
    with pytest.raises(UnknownNameError, match="users"):
        store.check_parity(["user:x"])


def test_views_that_never_ran_have_nothing_on_both_sides(tmp_path: Path):
    with small_store.new_project(tmp_path / "project") as store:
        report = store.check_parity("model", instants=2)
    assert report.ok
    assert report.present == 0


def test_an_old_version_keeps_parity_beside_the_new_one(root: Path):
    with open_project(root, "2020-01-01T13:00:00Z") as store:
        newer = small_store.FeatureView(
            "users",
            entities=[small_store.USER],
            source=small_store.EVENTS,
            schema=[*USERS.schema, small_store.Field("item_bought", String, source_column="item")],
        )
        service = small_store.FeatureService("model", features=[newer])
        kept = [one for one in OBJECTS if one not in (USERS, SERVICE)]
        store.apply([*kept, newer, service])
        assert store.check_parity(["users:x"], instants=3).ok
        store.materialize_incremental()
        assert store.check_parity(["users@1:x"], instants=3).ok
        assert store.check_parity("model", instants=3).ok


def test_a_segment_that_is_gone_is_an_error_of_storage(store: FeatureStore, root: Path):
    for path in (root / ".hitherto" / "offline" / "users").glob("v1/*.duckdb"):
        path.unlink()
    with pytest.raises(StorageError, match="users"):
        store.check_parity(["users:x"])


# -- which rows to ask for ---------------------------------------------------------------------------------------------


def test_every_key_of_every_view_is_asked_for_and_unknown_and_null_ones():
    known = {("user_id",): [(1,), (2,), (3,)], ("item",): [("a",)], ("user_id", "item"): [(1, "11"), (11, "1")]}
    rows = entity_rows(known, {"user_id": Int64, "item": String})
    pairs = list(zip(rows.columns["user_id"], rows.columns["item"], strict=True))
    assert rows.count == len(pairs)
    assert {1, 2, 3, 11} <= set(rows.columns["user_id"])
    assert {(1, "11"), (11, "1")} <= set(pairs)
    assert (None, None) in pairs
    assert any(one is None and other is not None for one, other in pairs)
    assert pairs[-1] == pairs[0]


def test_views_without_keys_are_asked_for_once():
    assert entity_rows({}, {}).count == 1


def test_a_view_without_rows_is_asked_for_unknown_keys_of_its_types():
    kinds = {"a": Bool, "b": Int8, "c": Bytes, "d": Date, "e": Timestamp, "f": String}
    rows = entity_rows({tuple(kinds): []}, kinds)
    unknown = [rows.columns[name][0] for name in kinds]
    assert [type(one) for one in unknown] == [bool, int, bytes, date, datetime, str]
    assert rows.columns["e"][0] < START
