from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hitherto.cli import faults
from hitherto.cli.answers import entity_columns, json_rows
from hitherto.errors import JoinKeyError, UsageError

SQL = "select sensor, measured_at as event_timestamp from readings order by measured_at, sensor"
FEATURES = ("--features", "readings:temperature,readings:humidity")


def test_a_training_set_of_sql_shows_its_head_and_coverage(hitherto, materialized):
    told = hitherto("get-historical-features", "--entities", SQL, *FEATURES, repo=materialized)
    assert told.code == 0
    assert told.out.startswith("216 rows x 4 columns")
    assert "readings: 216 of 216 rows found (100.0%)" in told.out


def test_entity_rows_come_from_parquet_and_from_an_sql_file(hitherto, materialized, tmp_path):
    rows = pa.table(
        {"sensor": ["attic"], "at": pa.array([dt.datetime(2025, 1, 2, tzinfo=dt.UTC)], pa.timestamp("us", tz="UTC"))}
    )
    pq.write_table(rows, tmp_path / "rows.parquet")
    (tmp_path / "rows.sql").write_text(SQL)
    one = hitherto(
        "get-historical-features",
        "--entities",
        str(tmp_path / "rows.parquet"),
        "--timestamp-field",
        "at",
        *FEATURES,
        "--json",
        repo=materialized,
    )
    assert one.document["rows"] == 1
    assert one.document["head"][0]["at"] == "2025-01-02T00:00:00Z"
    many = hitherto(
        "get-historical-features", "--entities", str(tmp_path / "rows.sql"), *FEATURES, "--json", repo=materialized
    )
    assert many.document["rows"] == 216
    assert many.document["coverage"]["readings"]["found"] == 216


def test_a_training_set_is_written_to_parquet(hitherto, materialized, tmp_path):
    told = hitherto(
        "get-historical-features",
        "--entities",
        SQL,
        *FEATURES,
        "--output",
        str(tmp_path / "t.parquet"),
        repo=materialized,
    )
    assert f"Wrote {tmp_path / 't.parquet'}" in told.out
    assert pq.read_table(tmp_path / "t.parquet").column_names == [
        "sensor",
        "event_timestamp",
        "temperature",
        "humidity",
    ]


def test_one_row_is_explained(hitherto, materialized):
    told = hitherto("get-historical-features", "--entities", SQL, *FEATURES, "--explain", "3", repo=materialized)
    assert "row 3 at 2025-01-01T01:00:00Z" in told.out
    assert "the newest row known by then" in told.out
    document = hitherto(
        "get-historical-features", "--entities", SQL, *FEATURES, "--explain", "0", "--json", repo=materialized
    ).document
    assert document["explanation"]["views"][0]["statuses"]["temperature"] == "PRESENT"


def test_many_columns_are_shown_as_lines(hitherto, materialized):
    rows = "select *, measured_at as event_timestamp from readings"
    told = hitherto("get-historical-features", "--entities", rows, *FEATURES, "--full-feature-names", repo=materialized)
    assert "row 0" in told.out
    assert "readings__temperature" in told.out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--entities", SQL], faults.USAGE, "--service NAME: one of them"),
        (["--entities", SQL, *FEATURES, "--service", "all"], faults.USAGE, "one of them"),
        (["--entities", SQL, "--features", "readings:temprature"], faults.USAGE, "Did you mean 'temperature'?"),
        (["--entities", "gone.parquet", *FEATURES], faults.SAID_NO, "gone.parquet"),
        (["--entities", "gone.sql", *FEATURES], faults.ENVIRONMENT, "gone.sql cannot be read"),
        (["--entities", SQL, *FEATURES, "--explain", "216"], faults.USAGE, "There is no row 216"),
        (["--entities", SQL, *FEATURES, "--missing", "ignore"], faults.USAGE, "ignore"),
        (["--entities", SQL, *FEATURES, "--output", "/proc/none/t.parquet"], faults.ENVIRONMENT, "cannot be written"),
    ],
)
def test_a_training_set_that_cannot_be_is_refused_by_its_code(arguments, code, told, hitherto, materialized):
    outcome = hitherto("get-historical-features", *arguments, repo=materialized)
    assert outcome.code == code
    assert told in outcome.err


def test_a_lookup_shows_each_value_with_its_status(hitherto, materialized):
    told = hitherto(
        "get-online-features", *FEATURES, "--entity", "sensor=attic", "--entity", "sensor=roof", repo=materialized
    )
    assert told.code == 0
    assert "10.5" in told.out
    assert "NOT_FOUND" in told.out


def test_a_lookup_in_json_is_what_the_server_answers(hitherto, materialized):
    told = hitherto(
        "get-online-features", *FEATURES, "--entities", '[{"sensor": "attic"}]', "--json", repo=materialized
    )
    assert told.document["metadata"]["feature_names"] == ["sensor", "temperature", "humidity"]
    assert told.document["results"][1] == {
        "values": [10.5],
        "statuses": ["PRESENT"],
        "event_timestamps": ["2025-01-03T23:00:00Z"],
    }


def test_rows_and_columns_of_json_are_the_same_request(hitherto, materialized):
    rows = hitherto(
        "get-online-features",
        *FEATURES,
        "--entities",
        '[{"sensor": "attic"}, {"sensor": null}]',
        "--json",
        repo=materialized,
    )
    columns = hitherto(
        "get-online-features", *FEATURES, "--entities", '{"sensor": ["attic", null]}', "--json", repo=materialized
    )
    assert rows.document == columns.document


def test_words_become_the_types_of_their_keys(hitherto, tmp_path):
    table = pa.table(
        {
            "id": pa.array([2**62 + 1]),
            "flag": [True],
            "day": [dt.date(2025, 1, 1)],
            "code": [b"\x00\xff"],
            "at": pa.array([dt.datetime(2025, 1, 1, tzinfo=dt.UTC)], pa.timestamp("us")),
            "value": [1.0],
        }
    )
    pq.write_table(table, tmp_path / "facts.parquet")
    keys = [argument for key in ("id", "flag", "day", "code") for argument in ("--key", key)]
    repo = tmp_path / "repo"
    assert hitherto("init", "--from", str(tmp_path / "facts.parquet"), *keys, "--time", "at", repo=repo).code == 0
    assert hitherto("apply", repo=repo).code == hitherto("materialize", repo=repo).code == 0
    words = [f"id={2**62 + 1}", "flag=true", "day=2025-01-01", "code=AP8="]
    given = [argument for word in words for argument in ("--entity", word)]
    told = hitherto("get-online-features", "--features", "facts:value", *given, repo=repo)
    assert told.code == 0, told.err
    assert "PRESENT" in told.out
    assert "flag=true" in told.out
    wrong = hitherto("get-online-features", "--features", "facts:value", *given[2:], "--entity", "id=many", repo=repo)
    assert wrong.code == faults.USAGE
    assert "'id'" in wrong.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--entity", "sensr=attic"], "'sensor'"),
        (["--entity", "attic"], "KEY=VALUE"),
        (["--entities", "[{"], "not JSON"),
        (["--entity", "sensor=attic", "--entities", "[]"], "not both"),
    ],
)
def test_a_lookup_that_is_not_one_is_wrong_usage(arguments, told, hitherto, materialized):
    outcome = hitherto("get-online-features", *FEATURES, *arguments, repo=materialized)
    assert outcome.code == faults.USAGE
    assert told in outcome.err


def test_a_clock_before_the_watermark_is_the_environments_fault(hitherto, materialized):
    outcome = hitherto(
        "get-online-features", *FEATURES, "--entity", "sensor=attic", "--now", "2025-01-02", repo=materialized
    )
    assert outcome.code == faults.ENVIRONMENT
    assert "from the future" in outcome.err


def test_every_row_needs_every_key():
    with pytest.raises(JoinKeyError, match="a 2, b 1 times"):
        entity_columns(["a=1", "a=2", "b=3"])


@pytest.mark.parametrize("text", ['[{"a": 1}, {"b": 2}]', '{"a": 1}', '"a"', "[1]"])
def test_json_that_is_no_entity_rows_is_refused(text):
    with pytest.raises(UsageError, match="every row with the same keys"):
        json_rows(text)
