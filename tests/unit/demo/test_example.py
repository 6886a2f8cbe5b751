from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hitherto.demo import example
from hitherto.demo.example import WeatherFeed
from hitherto.errors import StorageError, UsageError
from hitherto.registry import discovery

EVENING = datetime(2013, 12, 27, 18, tzinfo=UTC)


def test_the_example_is_found_and_its_copy_defines_the_same(tmp_path: Path):
    example.lay_out(tmp_path / "demo")
    found, copied = discovery.load(example.find()), discovery.load(tmp_path / "demo")
    assert set(found.feature_views) == set(copied.feature_views)
    assert (tmp_path / "demo" / "data" / "NOTICE.md").is_file()


def test_what_a_repo_makes_by_itself_is_not_copied(tmp_path: Path):
    example.lay_out(tmp_path / "demo")
    assert {path.name for path in (tmp_path / "demo").iterdir() if path.name.startswith((".", "__"))} == {example.MARK}


def test_an_earlier_demo_is_made_anew(tmp_path: Path):
    example.lay_out(tmp_path / "demo")
    (tmp_path / "demo" / "left_over.py").write_text("", encoding="utf-8")
    example.lay_out(tmp_path / "demo")
    assert not (tmp_path / "demo" / "left_over.py").exists()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_not_a_demos_is_never_emptied(tmp_path: Path, kind: str):
    mine = tmp_path / "mine"
    if kind == "folder":
        mine.mkdir()
        (mine / "thesis.tex").write_text("all of it", encoding="utf-8")
    else:
        mine.write_text("all of it", encoding="utf-8")
    with pytest.raises(UsageError, match=r"is not a demo's folder. Name another one with --keep DIR"):
        example.lay_out(mine)
    assert (mine / "thesis.tex" if kind == "folder" else mine).read_text(encoding="utf-8") == "all of it"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="cannot write to .*file/demo.*--keep DIR"):
        example.lay_out(tmp_path / "file" / "demo")


def test_the_settings_are_those_of_the_file_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HITHERTO_ENV", "prod")
    monkeypatch.setenv("HITHERTO_ONLINE__URL", "redis://production:6379/0")
    example.lay_out(tmp_path)
    config = example.lay_out_settings(tmp_path)
    assert config.online_url == f"lmdb:///{tmp_path}/.hitherto/online"
    assert config.repo_path == tmp_path


def test_another_store_and_project_are_written_into_the_copy(tmp_path: Path):
    example.lay_out(tmp_path)
    config = example.lay_out_settings(tmp_path, url="redis://localhost:6379/0", project="mine")
    assert (config.project, config.online_url) == ("mine", "redis://localhost:6379/0")
    text = (tmp_path / "hitherto.toml").read_text(encoding="utf-8")
    assert 'project = "mine"' in text
    assert 'url = "redis://localhost:6379/0"' in text


def test_a_broken_delivery_breaks_one_column_from_an_instant_on_and_the_next_repairs_it(tmp_path: Path):
    example.lay_out(tmp_path)
    path = tmp_path / "data" / "weather.parquet"
    before = pq.read_table(path)
    feed = WeatherFeed(tmp_path)
    broken = feed.deliver_broken(EVENING)
    after = pq.read_table(path)
    assert after.drop_columns("visib").equals(before.drop_columns("visib"))
    changed = after.filter(pc.equal(after["visib"], example.BROKEN_VISIBILITY))
    assert 0 < broken == changed.num_rows == pc.sum(pc.greater_equal(before["observed_at"], EVENING)).as_py()
    assert pc.min(changed["observed_at"]).as_py() == EVENING
    feed.deliver_again()
    assert pq.read_table(path).equals(before)
