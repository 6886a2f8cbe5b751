from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hitherto.cli import scaffold
from hitherto.errors import SourceError, StorageError, UnknownNameError, UsageError
from hitherto.feature_store import FeatureStore
from hitherto.types import is_name

ROWS = 20
TRIPS = pa.table(
    {
        "TaxiID": pa.array(range(ROWS), pa.int32()),
        "Shop Name": pa.array([f"shop {number % 3}" for number in range(ROWS)]).dictionary_encode(),
        "At": pa.array(
            [dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=hour) for hour in range(ROWS)],
            pa.timestamp("ns"),
        ),
        "Fare Amount": pa.array([number * 1.5 for number in range(ROWS)]),
        "fare_amount": pa.array(range(ROWS), pa.uint8()),
        "2nd": pa.array([Decimal(number) for number in range(ROWS)], pa.decimal128(10, 2)),
        "tags": pa.array([["a", "b"]] * ROWS),
        "position": pa.array([{"x": 1.0, "Y": 2}] * ROWS),
        "Größe": pa.array(["é"] * ROWS),
        "day": pa.array([dt.date(2024, 1, 1)] * ROWS),
        "lambda": pa.array([b"x"] * ROWS),
        "by_name": pa.array([[("a", 1)]] * ROWS, pa.map_(pa.string(), pa.int32())),
    }
)


@pytest.fixture
def trips(tmp_path: Path) -> str:
    path = tmp_path / "files" / "My Trips.parquet"
    path.parent.mkdir()
    pq.write_table(TRIPS, path)
    return str(path)


def test_what_init_writes_runs_at_once_with_the_values_of_the_file(trips, tmp_path):
    made = scaffold.write(tmp_path / "repo", data=trips, keys=["TaxiID", "Shop Name"], time="At")
    assert made.keys == ("taxi_id", "shop_name")
    with FeatureStore(tmp_path / "repo") as store:
        store.apply()
        assert store.materialize().ok
        found = store.read(made.view).to_arrow().sort_by("taxi_id")
    assert found["taxi_id"].to_pylist() == TRIPS["TaxiID"].to_pylist()
    assert found["fare_amount_2"].to_pylist() == TRIPS["Fare Amount"].to_pylist()
    assert found["column_2nd"].to_pylist() == TRIPS["2nd"].to_pylist()
    assert found["position"].to_pylist() == TRIPS["position"].to_pylist()
    assert found["grosse"].to_pylist() == TRIPS["Größe"].to_pylist()


def test_types_are_those_of_the_file_and_names_are_valid(trips, tmp_path):
    made = scaffold.write(tmp_path / "repo", data=trips, keys=["TaxiID"], time="At")
    with FeatureStore(tmp_path / "repo") as store:
        view = store.definitions().feature_views["my_trips"]
    assert {field.name: repr(field.dtype) for field in view.schema} == {
        "shop_name": "String",
        "fare_amount_2": "Float64",
        "fare_amount": "Int16",
        "column_2nd": "Decimal(10, 2)",
        "tags": "List(String)",
        "position": "Struct({'x': Float64, 'Y': Int64})",
        "grosse": "String",
        "day": "Date",
        "lambda": "Bytes",
    }
    assert all(is_name(name) for name in made.features)


def test_a_column_that_has_a_valid_name_keeps_it(trips, tmp_path):
    scaffold.write(tmp_path / "repo", data=trips, keys=["TaxiID"], time="At")
    text = (tmp_path / "repo" / "definitions.py").read_text(encoding="utf-8")
    assert 'Field("fare_amount", Int16),' in text
    assert 'Field("fare_amount_2", Float64, source_column="Fare Amount"),' in text


def test_a_column_without_a_type_is_left_out_and_told(trips, tmp_path):
    made = scaffold.write(tmp_path / "repo", data=trips, keys=["TaxiID"], time="At")
    assert any("'by_name'" in note and "map" in note for note in made.notes)
    assert "by_name" not in made.features


def test_the_first_lookup_takes_the_keys_of_the_first_row(trips, tmp_path):
    made = scaffold.write(tmp_path / "repo", data=trips, keys=["TaxiID", "Shop Name"], time="At")
    assert made.entity_options == " --entity taxi_id=0 --entity 'shop_name=shop 0'"


def test_a_file_inside_the_repo_is_named_from_the_repo(tmp_path):
    (tmp_path / "repo" / "data").mkdir(parents=True)
    pq.write_table(TRIPS, tmp_path / "repo" / "data" / "trips.parquet")
    scaffold.write(
        tmp_path / "repo", data=str(tmp_path / "repo" / "data" / "trips.parquet"), keys=["TaxiID"], time="At"
    )
    assert '    "data/trips.parquet",' in (tmp_path / "repo" / "definitions.py").read_text(encoding="utf-8")


def test_a_folder_of_partitions_is_one_source(tmp_path):
    for shop in ("a", "b"):
        folder = tmp_path / "trips" / f"shop={shop}"
        folder.mkdir(parents=True)
        pq.write_table(TRIPS.select(["TaxiID", "At", "fare_amount"]), folder / "part.parquet")
    made = scaffold.write(tmp_path / "repo", data=str(tmp_path / "trips"), keys=["shop"], time="At")
    assert (made.view, made.keys, made.features) == ("trips", ("shop",), ("taxi_id", "fare_amount"))


@pytest.mark.parametrize(
    ("keys", "time", "error", "told"),
    [
        ([], "At", UsageError, "--key COLUMN. Columns: TaxiID"),
        (["TaxiId"], "At", UnknownNameError, "Did you mean 'TaxiID'?"),
        (["Fare Amount"], "At", UsageError, "type double, which cannot be a key"),
        (["TaxiID"], None, UsageError, "Columns of times: At, day."),
        (["TaxiID"], "Shop Name", UsageError, 'cast("Shop Name" as timestamp)'),
        (["TaxiID"], "dai", UnknownNameError, "Did you mean 'day'?"),
    ],
)
def test_what_cannot_be_a_key_or_a_time_is_refused_with_what_could(trips, tmp_path, keys, time, error, told):
    with pytest.raises(error) as refused:
        scaffold.write(tmp_path / "repo", data=trips, keys=keys, time=time)
    assert told in str(refused.value)
    assert not (tmp_path / "repo").exists()


def test_a_file_without_features_is_refused(tmp_path):
    pq.write_table(TRIPS.select(["TaxiID", "At"]), tmp_path / "bare.parquet")
    with pytest.raises(UsageError, match="no column that could be a feature"):
        scaffold.write(tmp_path / "repo", data=str(tmp_path / "bare.parquet"), keys=["TaxiID"], time="At")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"gone\.parquet"):
        scaffold.write(tmp_path / "repo", data=str(tmp_path / "gone.parquet"), keys=["a"], time="b")


def test_columns_without_a_file_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--from"):
        scaffold.write(tmp_path / "repo", data=None, keys=["a"], time=None)


@pytest.mark.parametrize("name", ["hitherto.toml", "definitions.py"])
def test_nothing_is_overwritten(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match="overwrites nothing"):
        scaffold.write(tmp_path, data=None, keys=[], time=None)
    assert (tmp_path / name).read_text() == "mine"


def test_a_gitignore_that_is_there_stays(tmp_path):
    (tmp_path / ".gitignore").write_text("mine")
    made = scaffold.write(tmp_path, data=None, keys=[], time=None)
    assert (tmp_path / ".gitignore").read_text() == "mine"
    assert tmp_path / ".gitignore" not in made.written


def test_other_python_files_of_the_folder_are_told(tmp_path):
    (tmp_path / "train.py").write_text("")
    made = scaffold.write(tmp_path, data=None, keys=[], time=None)
    assert any("train.py" in note for note in made.notes)


def test_a_folder_that_cannot_be_written_is_the_environments_fault(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        scaffold.write(tmp_path / "file" / "repo", data=None, keys=[], time=None)


@pytest.mark.parametrize("text", ["x" * 200, "", "__", "9", "日本語", "a__b", "CamelCase", "naïve", "a-b c"])
def test_every_text_becomes_a_name_and_twice_another_one(text):
    first = scaffold._unused(text, [])
    second = scaffold._unused(text, [first])
    assert is_name(first)
    assert is_name(second)
    assert first != second
