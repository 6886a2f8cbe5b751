"""What must not matter, on the example: rows of the future, the order of rows, files and row groups, threads, how often it ran."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest

from journeys import example

END = "2013-01-15"


def training_hash(folder: Path, entity: pa.Table, *ends: str) -> str:
    """Materialize up to each end in turn, then the hash of the training set."""
    store, clock = example.open_store(folder, ends[0])
    with store:
        store.apply()
        for end in ends:
            clock.set(end)
            store.materialize_incremental()
        return store.get_historical_features(entity, "delay_model", full_feature_names=True).content_hash


@pytest.fixture(scope="module")
def entity(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """The labels of two weeks, in an order of no meaning."""
    folder = example.copy(tmp_path_factory.mktemp("labels") / "repo")
    store, _ = example.open_store(folder, END)
    with store:
        store.apply()
        labels = f"select * from ({(folder / 'labels.sql').read_text()}) where event_timestamp < timestamptz '{END} 00:00:00+00'"
        store.materialize()
        training = store.get_historical_features(labels, ["airport_weather:temperature"])
        table = training.to_arrow().drop_columns(["temperature"])
    assert len(table) > 10_000
    return table.take(pa.array(random.Random(5).sample(range(len(table)), len(table))))


@pytest.fixture(scope="module")
def plain(entity: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash over the data as shipped, but without anything after the entity rows."""
    changes = {name: example.before(name, END) for name in ("flights", "weather")}
    folder = example.copy(tmp_path_factory.mktemp("plain") / "repo", changes=changes)
    return training_hash(folder, entity, END)


def test_rows_of_the_future_change_nothing(entity: pa.Table, plain: str, tmp_path: Path) -> None:
    folder = example.copy(tmp_path / "repo")
    assert training_hash(folder, entity, "2013-02-01") == plain


def test_the_order_of_rows_files_and_row_groups_and_the_number_of_threads_change_nothing(
    entity: pa.Table, plain: str, tmp_path: Path
) -> None:
    folder = example.copy(tmp_path / "repo")
    settings = (folder / "hitherto.toml").read_text(encoding="utf-8")
    (folder / "hitherto.toml").write_text(settings.replace("[offline]\n", "[offline]\nthreads = 1\n"), encoding="utf-8")
    rng = random.Random(7)
    for name, files in (("flights", 5), ("weather", 3), ("planes", 2)):
        table = example.shipped(name)
        example.scatter(
            folder, name, example.before(name, END)(table) if name in example.TIMES else table, files=files, rng=rng
        )
    assert training_hash(folder, entity, END) == plain


def test_many_small_runs_give_what_one_gives(entity: pa.Table, plain: str, tmp_path: Path) -> None:
    folder = example.copy(tmp_path / "repo")
    ends = ["2013-01-02T07:13:00Z", "2013-01-02T07:14:00Z", "2013-01-09", END]
    assert training_hash(folder, entity, *ends) == plain


def test_another_order_of_entity_rows_is_another_training_set_with_the_same_rows(
    entity: pa.Table, plain: str, tmp_path: Path
) -> None:
    folder = example.copy(tmp_path / "repo")
    store, _ = example.open_store(folder, END)
    with store:
        store.apply()
        store.materialize()
        order = pa.array(range(len(entity) - 1, -1, -1))
        training = store.get_historical_features(entity.take(order), "delay_model", full_feature_names=True)
        assert training.content_hash != plain
        turned = store.get_historical_features(entity, "delay_model", full_feature_names=True).to_arrow().take(order)
        assert turned.equals(training.to_arrow())
