"""Entity rows in every form that people have them, and what is refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hitherto.errors import (
    HithertoError,
    JoinKeyError,
    KeyTypeError,
    NameCollisionError,
    SourceError,
    UnknownNameError,
    UsageError,
)
from hitherto.training.entity_rows import floored_micros, key_column, times
from hitherto.types import Bool, Bytes, DataType, Date, Int8, Int64, String, Timestamp
from journeys.projects import Project, entity_rows, hour

ASKED = [("a", 4), ("b", 4), ("a", 6), ("none", 6), ("a", 4)]
PLAIN = entity_rows(ASKED).append_column("extra", pa.array([[1], None, [], [2, None], [1]]))
VALUES = "[1.0, nan, 5.0, None, 1.0]"

FORMS: dict[str, Callable[[Path], Any]] = {
    "pandas": lambda _: PLAIN.to_pandas(),
    "pandas with an index": lambda _: PLAIN.to_pandas().set_index(pd.Index([9, 8, 7, 6, 5])),
    "polars": lambda _: pl.from_arrow(PLAIN),
    "lazy polars": lambda _: pl.from_arrow(PLAIN).lazy(),
    "arrow": lambda _: PLAIN,
    "arrow in batches": lambda _: pa.RecordBatchReader.from_batches(PLAIN.schema, PLAIN.to_batches(max_chunksize=2)),
    "a path": lambda folder: _written(folder),
    "duckdb": lambda _: duckdb.from_arrow(PLAIN),
}


def _written(folder: Path) -> Path:
    pq.write_table(PLAIN, folder / "entities.parquet")
    return folder / "entities.parquet"


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_entity_rows_gives_the_same_answer_in_their_order(
    shared: Project, form: str, tmp_path: Path
) -> None:
    training = shared.store.get_historical_features(FORMS[form](tmp_path), ["readings:value", "readings:note"])
    table = training.to_arrow()
    assert table.column_names == ["sensor", "event_timestamp", "extra", "value", "note"]
    assert repr(table.column("value").to_pylist()) == VALUES
    assert table.column("sensor").to_pylist() == [sensor for sensor, _ in ASKED]
    assert [None if one is None else list(one) for one in table.column("extra").to_pylist()] == PLAIN.column(
        "extra"
    ).to_pylist()


# DuckDB gives its times the session's zone, and pandas has types of its own.
@pytest.mark.parametrize("form", [one for one in FORMS if not one.startswith(("pandas", "duckdb"))])
def test_the_forms_that_keep_arrow_types_have_one_content_hash(shared: Project, form: str, tmp_path: Path) -> None:
    def digest(rows: Any) -> str:
        return shared.store.get_historical_features(rows, ["readings:value"]).content_hash

    assert digest(FORMS[form](tmp_path)) == digest(PLAIN)


def test_sql_sees_the_sources_by_name(shared: Project) -> None:
    sql = (
        """select sensor, "at" + interval '3 hours' as event_timestamp, upper(sensor) as loud """
        "from readings where value < 2 order by sensor"
    )
    table = shared.store.get_historical_features(sql, ["readings:value"]).to_arrow()
    assert table.select(["loud", "value"]).to_pylist() == [{"loud": "A", "value": 1.0}, {"loud": "OLD", "value": 0.0}]


def test_sql_names_sources_in_any_case(shared: Project) -> None:
    sql = """select sensor, "at" as event_timestamp from READINGS limit 1"""
    assert shared.store.get_historical_features(sql, ["readings:value"]).to_arrow().num_rows == 1


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select * from nowhere", "nowhere"),
        ("select 1; select 2", "SELECT"),
        ("drop table readings", "SELECT"),
        ("select * from read_parquet('x')", "read_parquet"),
        ("select nothing from readings", "nothing"),
        ("selec", "refused"),
    ],
)
def test_other_sql_is_refused_or_fails_as_our_own_error(shared: Project, sql: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        shared.store.get_historical_features(sql, ["readings:value"])


def test_what_is_no_table_is_refused(shared: Project, tmp_path: Path) -> None:
    for rows in ({"sensor": ["a"]}, 5, None, [1], pd.Series([1])):
        with pytest.raises(UsageError, match="is not a table"):
            shared.store.get_historical_features(rows, ["readings:value"])
    with pytest.raises(SourceError, match="There is no file"):
        shared.store.get_historical_features(tmp_path / "no.parquet", ["readings:value"])


def ask(project: Project, column: pa.Array, **options: Any) -> Any:
    rows = pa.table({"sensor": pa.array(["a"] * len(column)), "event_timestamp": column})
    return project.store.get_historical_features(rows, ["readings:value"], **options).to_arrow()


ELEVEN = 1577840400  # hour 1 of the project, in seconds


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array([ELEVEN - 1, ELEVEN], pa.timestamp("s")), [None, 1.0]),
        (pa.array([ELEVEN * 10**3 - 1, ELEVEN * 10**3], pa.timestamp("ms", "UTC")), [None, 1.0]),
        (pa.array([ELEVEN * 10**6 - 1, ELEVEN * 10**6], pa.timestamp("us", "America/New_York")), [None, 1.0]),
        (pa.array([ELEVEN * 10**9 - 1, ELEVEN * 10**9 + 999], pa.timestamp("ns")), [None, 1.0]),
        (pa.array([dt.date(2020, 1, 1), dt.date(2020, 1, 2)]), [None, 5.0]),
        (pa.array([dt.date(2020, 1, 1), dt.date(2020, 1, 2)], pa.date64()), [None, 5.0]),
        (pa.array([ELEVEN], pa.timestamp("s")).dictionary_encode(), [1.0]),
        (pa.nulls(2), [None, None]),
        (pa.nulls(2, pa.timestamp("ns")), [None, None]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_times_of_every_unit_and_zone_are_floored_to_microseconds(
    shared: Project, column: pa.Array, values: list[Any]
) -> None:
    table = ask(shared, column)
    assert table.column("value").to_pylist() == values
    assert table.column("event_timestamp").equals(pa.chunked_array([column]))


def test_naive_and_zoned_pandas_times_are_utc(shared: Project) -> None:
    naive = pd.DataFrame({"sensor": ["a"], "event_timestamp": [dt.datetime(2020, 1, 1, 1)]})
    zoned = naive.assign(event_timestamp=[dt.datetime(2019, 12, 31, 20, tzinfo=ZoneInfo("America/New_York"))])
    for frame in (naive, zoned):
        assert shared.store.get_historical_features(frame, ["readings:value"]).to_pandas()["value"].tolist() == [1.0]


def test_flooring_before_1970_goes_down_not_toward_zero() -> None:
    column = pa.chunked_array([pa.array([-1, -1000, -1001, 0, 999, None, 1000], pa.timestamp("ns"))])
    assert floored_micros(column).to_pylist() == [-1, -1, -2, 0, 0, None, 1]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["2020-01-01"]),
        pa.array([5]),
        pa.array([2**60], pa.timestamp("s")),
        pa.array([2**62], pa.timestamp("ms")),
        pa.array([-(2**62)], pa.timestamp("us")),
    ],
    ids=lambda column: str(column.type),
)
def test_times_that_are_none_are_refused_with_a_hint(shared: Project, column: pa.Array) -> None:
    with pytest.raises(UsageError, match="years 1 to 9999|Convert it first"):
        ask(shared, column)


def test_another_timestamp_field_is_taken_and_a_wrong_one_refused_with_the_nearest(shared: Project) -> None:
    rows = entity_rows([("a", 4)]).rename_columns(["sensor", "seen_at"])
    assert shared.store.get_historical_features(rows, ["readings:value"], timestamp_field="seen_at").to_arrow()[
        "value"
    ].to_pylist() == [1.0]
    with pytest.raises(UnknownNameError, match="Did you mean 'seen_at'"):
        shared.store.get_historical_features(rows, ["readings:value"], timestamp_field="seen").to_arrow()


def test_a_missing_key_column_is_refused_with_the_columns_that_are_there(shared: Project) -> None:
    with pytest.raises(JoinKeyError, match="no column 'sensor', a join key of 'readings'. Their columns: senzor"):
        shared.store.get_historical_features(
            entity_rows([("a", 4)]).rename_columns(["senzor", "event_timestamp"]), ["readings:value"]
        ).to_arrow()


@pytest.mark.parametrize(
    "column",
    [pa.array([1]), pa.array([1.5]), pa.array([b"a"]), pa.array([True]), pa.array([["a"]])],
    ids=lambda one: str(one.type),
)
def test_a_key_of_another_type_is_refused(shared: Project, column: pa.Array) -> None:
    rows = pa.table({"sensor": column, "event_timestamp": [hour(1)]})
    with pytest.raises(KeyTypeError, match="'sensor'.*as a join key it is String"):
        shared.store.get_historical_features(rows, ["readings:value"]).to_arrow()


@pytest.mark.parametrize(
    ("kind", "column", "wanted"),
    [
        (Int64, pa.array([1.0, float("nan"), None, -3.0]), [1, None, None, -3]),
        (Int64, pa.array([2**63 - 1], pa.uint64()), [2**63 - 1]),
        (Int8, pa.array([127], pa.int64()), [127]),
        (String, pa.array(["a", None]).dictionary_encode(), ["a", None]),
        # Polars' Categorical.
        (
            String,
            pa.DictionaryArray.from_arrays(pa.array([0, None], pa.uint32()), pa.array(["a"], pa.string_view())),
            ["a", None],
        ),
        (String, pa.array(["a", None], pa.string_view()), ["a", None]),
        (String, pa.array(["a", None], pa.large_string()), ["a", None]),
        (Bytes, pa.array([b"ab", None], pa.binary(2)), [b"ab", None]),
        (Date, pa.array([dt.date(2020, 1, 1)], pa.date64()), [dt.date(2020, 1, 1)]),
        (Bool, pa.array([True, None]), [True, None]),
        (Int64, pa.nulls(2), [None, None]),
        (Timestamp, pa.array([-1], pa.timestamp("ns")), [dt.datetime(1969, 12, 31, 23, 59, 59, 999999)]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_a_key_column_that_fits_is_taken(kind: DataType, column: pa.Array, wanted: list[Any]) -> None:
    assert key_column(pa.chunked_array([column]), "k", kind).to_pylist() == wanted


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        (Int8, pa.array([128])),
        (Int64, pa.array([1.5])),
        (Int64, pa.array([float("inf")])),
        (Int64, pa.array([2**63], pa.uint64())),
        (Int64, pa.array(["1"])),
        (Bool, pa.array([1])),
        (Date, pa.array([hour(1)])),
        (Timestamp, pa.array([dt.date(2020, 1, 1)])),
        (Timestamp, pa.array([2**61], pa.timestamp("s"))),
    ],
    ids=str,
)
def test_a_key_column_that_would_lose_something_is_refused(kind: DataType, column: pa.Array) -> None:
    with pytest.raises((KeyTypeError, UsageError)):
        key_column(pa.chunked_array([column]), "k", kind)


def test_key_columns_that_sql_cannot_tell_apart_are_refused(project: Project) -> None:
    from hitherto import FeatureService
    from journeys.projects import view

    project.deliver([("a", 1, 1.0), ("b", 1, 2.0)])
    one = view()
    services = [
        FeatureService(
            "case",
            features=[
                one.with_join_key_map({"sensor": "k"}),
                one.with_name("other").with_join_key_map({"sensor": "K"}),
            ],
        ),
        FeatureService("ours", features=[one.with_join_key_map({"sensor": "__row"})]),
    ]
    project.store.apply([one, *services])
    project.store.materialize()
    for service, columns in (("case", ["k", "K"]), ("ours", ["__row"])):
        rows = pa.table({**{name: ["a"] for name in columns}, "event_timestamp": [hour(2)]})
        with pytest.raises(UsageError, match="cannot be told apart"):
            project.store.get_historical_features(rows, service, full_feature_names=True).to_arrow()


def test_an_output_that_hides_an_entity_column_is_refused(shared: Project) -> None:
    rows = entity_rows([("a", 4)]).append_column("value", pa.array([1]))
    with pytest.raises(NameCollisionError, match="'value'"):
        shared.store.get_historical_features(rows, ["readings:value"])
    named = shared.store.get_historical_features(rows, ["readings:value"], full_feature_names=True).to_arrow()
    assert named.column_names == ["sensor", "event_timestamp", "value", "readings__value"]


def test_times_of_a_type_that_is_none_raise_only_our_errors() -> None:
    for array in (pa.array([1.5]), pa.array([dt.time(1)]), pa.array([True])):
        with pytest.raises(HithertoError):
            times(pa.chunked_array([array]), "t")


def test_no_entity_rows_are_a_training_set_without_rows(shared: Project) -> None:
    training = shared.store.get_historical_features(entity_rows([]), ["readings:value"])
    assert (len(training), training.to_arrow().column_names[-1]) == (0, "value")
    assert training.coverage["readings"].rows == 0
