from __future__ import annotations

from typing import Any

import pytest

from hitherto.definitions import Entity, Expectation, FeatureView, Field, ParquetSource, expect
from hitherto.types import Bool, Bytes, DataType, Date, Float64, Int64, List, String, Timestamp
from hitherto.validation.columns import check_columns

RIDER = Entity("rider", join_keys={"rider": Int64})
SOURCE = ParquetSource("a.parquet", timestamp_field="ts", created_timestamp_field="made", known_timestamp_field="known")
GOOD = {"rider": "BIGINT", "ts": "TIMESTAMP", "made": "DATE", "known": "TIMESTAMP", "temp": "DOUBLE"}


def view(*checks: Expectation, kind: DataType = Float64, on_view: tuple[Expectation, ...] = ()) -> FeatureView:
    field = Field("temperature", kind, source_column="temp", expect=checks)
    return FeatureView("rides", entities=[RIDER], source=SOURCE, schema=[field], expect=on_view)


def test_a_view_that_fits_has_no_problem() -> None:
    assert check_columns(view(), GOOD) == ()


def test_all_problems_come_at_once_each_with_what_it_concerns() -> None:
    problems = check_columns(
        view(), {"ridder": "BIGINT", "ts": "VARCHAR", "made": "DATE", "known": "BIGINT", "temp": "VARCHAR"}
    )
    assert problems == (
        "join key 'rider': there is no column 'rider'. Did you mean 'ridder'?",
        "event time: column 'ts' is VARCHAR, which cannot be cast to Timestamp without loss.",
        "known time: column 'known' is BIGINT, which cannot be cast to Timestamp without loss.",
        "feature 'temperature': column 'temp' is VARCHAR, which cannot be cast to Float64 without loss.",
    )


@pytest.mark.parametrize(
    ("kind", "check", "said"),
    [
        (Float64, expect.between("a", "b"), "'a' cannot be compared with Float64"),
        (String, expect.between(1, 2), "1 cannot be compared with String"),
        (Bool, expect.is_in([1]), "1 cannot be compared with Bool"),
        (Date, expect.between("soon", None), "Invalid isoformat"),
        (Timestamp, expect.between("soon", None), "is not an ISO 8601 instant"),
        (Bytes, expect.is_in(["x"]), "cannot be compared with Bytes"),
        (Int64, expect.matches("x"), "only a String matches a pattern"),
        (String, expect.matches("("), "DuckDB refuses it"),
        (Int64, expect.length(1), "a Int64 has no length"),
        (List(Int64), expect.unique(), "it is for plain values"),
        (List(Int64), expect.between(1, 2), "cannot be compared with List(Int64)"),
        (Float64, expect.sql("temprature > 0"), "Did you mean 'temperature'"),
        (Float64, expect.sql("temperature > (select 1)"), "it has a subquery"),
        (Float64, expect.sql("temperature + rider"), "it gives DOUBLE, not true or false"),
        (Float64, expect.sql("no_such(temperature)"), "DuckDB refuses it"),
    ],
)  # fmt: skip
def test_a_check_that_its_type_cannot_have_is_a_problem(kind: DataType, check: Expectation, said: str) -> None:
    columns = {**GOOD, "temp": "BIGINT[]" if kind.is_nested else '"NULL"'}
    (problem,) = check_columns(view(check, kind=kind), columns)
    assert problem.startswith("feature 'temperature': ")
    assert said in problem
    assert "test_columns.py" in problem


def test_a_predicate_on_the_view_is_checked_too() -> None:
    (problem,) = check_columns(view(on_view=(expect.sql("now() > event_time"),)), GOOD)
    assert (
        problem.startswith("view 'rides': sql(") and "now() gives another result" in problem
    ) or "current_timestamp" in problem


def test_good_checks_of_every_kind_are_no_problem() -> None:
    checks: list[tuple[DataType, Any]] = [
        (String, expect.matches("[a-z]+")), (String, expect.length(1, 2)), (String, expect.between("a", "b")),
        (Float64, expect.is_in([1, float("nan")])), (Float64, expect.sql("temperature > rider and event_time < known")),
        (Date, expect.between("2020-01-01", None)), (Timestamp, expect.between("2020-01-01", None)),
        (List(Int64), expect.length(0, 5)), (Bytes, expect.length(1)), (Int64, expect.unique()), (Bool, expect.is_in([True])),
    ]  # fmt: skip
    for kind, check in checks[:4] + checks[5:]:
        assert check_columns(view(check, kind=kind), {**GOOD, "temp": "BIGINT[]" if kind.is_nested else '"NULL"'}) == ()
    (problem,) = check_columns(view(checks[4][1]), GOOD)
    assert "it names 'known'" in problem
