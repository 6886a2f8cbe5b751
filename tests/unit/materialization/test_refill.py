"""An online store that is another one now, or was emptied, is filled again from what is published."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hitherto import Field, expect
from hitherto.errors import OnlineStoreError
from hitherto.types import Float64, String
from journeys.projects import Project, hour, source, table, view


@pytest.fixture
def emptied(project: Project) -> Project:
    """A project whose online store was taken away after a run."""
    project.deliver([("a", 1, 1.0), ("b", 2, 2.0)])
    project.store.apply([view()])
    project.store.materialize_incremental()
    assert project.lookup("a", "b") == [1.0, 2.0]
    project.store.close()
    shutil.rmtree(project.folder / ".hitherto" / "online")
    project.reopen()
    return project


def test_an_incremental_run_fills_it_though_nothing_is_new(emptied: Project) -> None:
    assert emptied.statuses("a") == ["NOT_FOUND"]
    emptied.store.materialize_incremental()
    assert emptied.lookup("a", "b") == [1.0, 2.0]


def test_a_run_over_everything_fills_it_though_nothing_has_changed(emptied: Project) -> None:
    report = emptied.store.materialize()
    assert report["readings"].keys_pushed == 2
    assert emptied.lookup("a", "b") == [1.0, 2.0]


def test_a_run_with_new_rows_brings_the_old_ones_too(emptied: Project) -> None:
    emptied.at(30)
    emptied.deliver([("c", 26, 3.0)], "c.parquet")
    emptied.store.materialize_incremental()
    assert emptied.lookup("a", "b", "c") == [1.0, 2.0, 3.0]


def test_a_push_into_it_is_refused_with_the_command_that_fills_it(emptied: Project) -> None:
    with pytest.raises(OnlineStoreError, match="hitherto materialize --view readings"):
        emptied.store.push("readings", table([("a", 3, 9.0)]))


@pytest.fixture
def restored(project: Project, tmp_path: Path) -> Project:
    """A project whose online store was put back to what it was before the last run, as a restart from a snapshot does."""
    online, copy = project.folder / ".hitherto" / "online", tmp_path / "copy"
    project.deliver([("a", 1, 1.0)])
    project.store.apply([view()])
    project.store.materialize_incremental()
    project.store.close()
    shutil.copytree(online, copy)
    project.at(30)
    project.deliver([("a", 26, 2.0), ("b", 26, 3.0)], "b.parquet")
    project.store.materialize_incremental()
    project.store.close()
    shutil.rmtree(online)
    copy.rename(online)
    project.reopen()
    return project


def test_a_store_that_was_put_back_to_an_older_state_is_filled_by_the_next_run(restored: Project) -> None:
    assert restored.lookup("a", "b") == [1.0, None]
    restored.store.materialize_incremental()
    assert restored.lookup("a", "b") == [2.0, 3.0]
    assert not restored.store.materialize_incremental().runs


def test_of_several_refills_only_the_last_two_generations_stay(restored: Project, tmp_path: Path) -> None:
    online, copy = restored.folder / ".hitherto" / "online", tmp_path / "second"
    restored.store.materialize_incremental()
    restored.store.close()
    shutil.copytree(online, copy)
    restored.at(40)
    restored.deliver([("a", 36, 4.0)], "c.parquet")
    restored.store.materialize_incremental()
    restored.store.close()
    shutil.rmtree(online)
    copy.rename(online)
    restored.reopen()
    restored.store.materialize_incremental()
    assert restored.lookup("a", "b") == [4.0, 3.0]
    assert [place.generation for place in restored.store.online_store.places("small", "readings")] == [2, 3]


def test_a_run_that_failed_meanwhile_does_not_hide_that_it_is_behind(restored: Project) -> None:
    restored.at(40)
    checked = Field("value", Float64, expect=[expect.between(0, 9)])
    restored.store.apply([view(schema=[checked, Field("note", String)])])
    wrong = restored.deliver([("a", 35, 99.0)], "c.parquet")
    assert {run.state for run in restored.store.materialize_incremental(on_error="report").runs} >= {"rejected"}
    wrong.unlink()
    restored.store.materialize_incremental()
    assert restored.lookup("a", "b") == [2.0, 3.0]


def test_a_push_into_an_older_state_is_refused(restored: Project) -> None:
    with pytest.raises(OnlineStoreError, match="hitherto materialize --view readings"):
        restored.store.push("readings", table([("a", 27, 9.0)]))


def test_another_url_is_filled_by_the_next_run(project: Project, tmp_path: Path) -> None:
    project.deliver([("a", 1, 1.0)])
    project.store.apply([view()])
    project.store.materialize_incremental()
    settings = project.folder / "hitherto.toml"
    settings.write_text(settings.read_text() + f'[online]\nurl = "lmdb:///{tmp_path}/elsewhere"\n')
    project.reopen()
    project.store.materialize_incremental()
    assert project.lookup("a") == [1.0]


def test_a_row_without_a_known_time_is_counted_though_it_happened_before_all_others(project: Project) -> None:
    rows = table([("a", 1, 1.0), ("a", 5, 2.0)], known=[None, hour(6)])
    project.deliver(rows)
    project.store.apply([view(source=source(known_timestamp_field="known"))])
    report = project.store.materialize_incremental()["readings"]
    assert (report.rows_read, report.rows_written, report.rows_quarantined) == (2, 1, 1)
