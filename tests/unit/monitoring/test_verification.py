"""Verification: everything that can have gone wrong with stored data is found, named, and nothing else is."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from hitherto.errors import OnlineStoreUnavailable
from hitherto.feature_store import FeatureStore
from hitherto.monitoring.verification import VerificationReport, verify
from hitherto.offline.duckdb.segments import file_hash
from unit.monitoring.small_store import ROWS, open_project, write


def segment_file(root: Path, view: str) -> Path:
    (found,) = (root / ".hitherto" / "offline" / view).glob("v1/*.duckdb")
    return found


def registry_file(root: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(root / ".hitherto" / "registry.db") as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


def errors(report: VerificationReport) -> list[str]:
    return [str(one) for one in report.findings if one.severity == "error"]


def test_a_sound_project_has_no_findings(store: FeatureStore):
    report = store.verify()
    assert report.findings == ()
    assert report.ok
    assert report.counts == {"view_versions": 4, "segments": 4, "rows": 24, "runs": 4, "training_sets": 1}
    assert report.parity.ok
    assert report.parity.present > 0
    assert str(report).endswith("All is well.")
    assert json.loads(json.dumps(report.to_json()))["ok"]
    assert "All is well." in report._repr_html_()


def test_a_segment_file_that_is_gone_is_found(store: FeatureStore, root: Path):
    path = segment_file(root, "users")
    path.unlink()
    (found,) = errors(store.verify())
    assert "users@1" in found
    assert f"{path} is gone" in found


def test_one_changed_byte_of_a_segment_is_found_and_the_file_is_not_opened(store: FeatureStore, root: Path):
    path = segment_file(root, "pairs")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    found = errors(store.verify())
    assert any("pairs@1, segment" in one and "has changed since it was written" in one for one in found)
    # A training set was built from it.
    assert any("training set bought@1" in one for one in found)
    assert len(found) == 2


@pytest.mark.parametrize(
    "change",
    ["update rows set x = 17 where x = 2.0", "delete from rows where x = 2.0", "update rows set x = 0 where x is null"],
)
def test_rows_that_differ_from_the_published_ones_are_found_behind_a_forged_file_hash(
    store: FeatureStore, root: Path, change: str
):
    path = segment_file(root, "users")
    with duckdb.connect(str(path)) as con:
        con.execute(change)
    registry_file(root, "UPDATE segments SET file_hash = ? WHERE view = 'users'", file_hash(path))
    (found,) = errors(store.verify())
    assert "users@1" in found
    assert "its rows are not those that were published" in found


def test_a_publication_without_its_segment_is_found(store: FeatureStore, root: Path):
    registry_file(root, "DELETE FROM segments WHERE view = 'everybody'")
    report = store.verify()
    assert any("everybody@1, publication" in one and "is not in the registry" in one for one in errors(report))
    assert any("nothing refers to this file" in one.message for one in report.findings if one.severity == "warning")


def test_a_publication_that_does_not_cover_its_segment_is_found(store: FeatureStore, root: Path):
    registry_file(root, "UPDATE publications SET interval_end = interval_end - 1 WHERE view = 'offline_only'")
    (found,) = errors(store.verify())
    assert "offline_only@1, publication" in found


def test_a_publication_of_a_run_that_was_not_published_is_found(store: FeatureStore, root: Path):
    registry_file(root, "UPDATE runs SET state = 'failed' WHERE view = 'users'")
    (found,) = errors(store.verify())
    assert "is failed" in found


def test_a_segment_that_no_publication_refers_to_is_a_warning(store: FeatureStore, root: Path):
    registry_file(root, "DELETE FROM publications WHERE view = 'offline_only'")
    report = store.verify()
    assert report.ok
    assert [one.message for one in report.findings] == ["no publication refers to it."]


def test_a_run_whose_rows_do_not_add_up_is_found(store: FeatureStore, root: Path):
    registry_file(root, "UPDATE runs SET rows_read = rows_read + 1 WHERE view = 'users'")
    (found,) = errors(store.verify())
    assert "users@1, run" in found
    assert "8 rows read, 7 accounted for" in found


def test_quarantined_rows_that_are_gone_are_a_warning(store: FeatureStore, root: Path):
    for path in (root / ".hitherto" / "offline").glob("users/v1/*.quarantine.parquet"):
        path.unlink()
    report = store.verify()
    assert report.ok
    assert ["quarantine" in one.message for one in report.findings] == [True]


def test_a_file_that_nothing_refers_to_is_a_warning(store: FeatureStore, root: Path):
    (segment_file(root, "users").with_name("r999999.duckdb")).write_bytes(b"")
    report = store.verify()
    assert report.ok
    assert [one.object.endswith("r999999.duckdb") for one in report.findings] == [True]


def test_source_files_that_changed_since_are_a_warning_that_a_run_ends(root: Path):
    with open_project(root, "2020-01-01T13:00:00Z") as store:
        write(root, "late.parquet", ROWS[:1])
        report = store.verify()
        assert report.ok
        assert {one.object for one in report.findings} == {"source events"}
        store.materialize_incremental()
        assert not store.verify().findings


def test_a_source_that_is_gone_is_a_warning(store: FeatureStore, root: Path):
    (root / "data" / "a.parquet").unlink()
    report = store.verify()
    assert report.ok
    assert {(one.severity, one.object) for one in report.findings} == {("warning", "source events")}


def test_an_online_generation_that_is_gone_is_found(store: FeatureStore):
    (place,) = store.online_store.places("small", "users")
    store.online_store.drop(place)
    (found,) = errors(store.verify())
    assert "users@1: " in found
    assert "lookups differ from retrieval, first at 2020-01-01T12:00:00Z" in found


def test_an_online_store_that_does_not_answer_is_a_finding_and_the_rest_is_verified(store: FeatureStore):
    def down(references: list[str]) -> object:
        raise OnlineStoreUnavailable("The online store cannot be reached.")

    report = verify(store._looked_at(), measure=down)  # type: ignore[arg-type]  # it never returns
    assert len(errors(report)) == 3
    assert report.counts["segments"] == 4


def test_a_training_set_whose_entity_rows_are_gone_is_found(store: FeatureStore, root: Path):
    (path,) = (root / ".hitherto" / "offline" / "training_sets").glob("**/*.arrow")
    path.unlink()
    (found,) = errors(store.verify())
    assert "training set bought@1" in found


@pytest.mark.parametrize("sides", ["measure", "recreate"])
def test_what_is_not_given_is_left_out(store: FeatureStore, sides: str):
    given: dict[str, Callable[..., object]] = {"recreate": lambda record: None} if sides == "measure" else {}
    report = verify(store._looked_at(), **given)  # type: ignore[arg-type]  # one of the two is left out
    assert report.ok
    assert report.parity.checked == 0


def test_verifying_changes_nothing(store: FeatureStore, root: Path):
    before = store.registry.serial()
    files = {path: path.stat().st_mtime_ns for path in (root / ".hitherto" / "offline").rglob("*.duckdb")}
    store.verify()
    assert store.registry.serial() == before
    assert files == {path: path.stat().st_mtime_ns for path in files}
