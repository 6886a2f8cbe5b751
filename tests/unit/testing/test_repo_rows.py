"""Numbers that rows write down: the gate sees them as they are, whatever their column is declared as."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal as Number
from typing import Any

import pytest

from hitherto import Entity, FeatureView, Field, ParquetSource
from hitherto.errors import KeyTypeError, MaterializationFailed
from hitherto.testing import Repo
from hitherto.types import Date, Float32, Float64, Int8, Int64, List, Struct, Timestamp

NOON = "2013-01-01T12:00Z"


def one_field(kind: Any) -> FeatureView:
    return FeatureView("one", source=ParquetSource("x.parquet", timestamp_field="at"), schema=[Field("x", kind)])


@pytest.mark.parametrize("kind", [Int64, Int8])
@pytest.mark.parametrize("value", [5.7, Number("5.7")])
def test_a_part_of_a_whole_number_is_not_cut_off(kind: Any, value: Any) -> None:
    with Repo([one_field(kind)], now=NOON) as repo:
        rows = [{"at": "2013-01-01T10:00Z", "x": value}, {"at": "2013-01-01T09:00Z", "x": 7.0}]
        repo.load("x", rows if isinstance(value, float) else rows[:1])
        (run,) = repo.advance("1m").runs
        assert (run.rows_written, run.rows_quarantined) == (len(rows) - 1 if isinstance(value, float) else 0, 1)


@pytest.mark.parametrize("loads", [(3, 5.7), (5.7, 3), (None, 3, 5.7), (3, 4, 5.7, 6)])
def test_the_gate_sees_a_part_of_a_number_beside_whole_ones_of_other_loads(loads: tuple[Any, ...]) -> None:
    with Repo([one_field(Int64)], now=NOON) as repo:
        for hour, value in enumerate(loads):
            repo.load("x", [{"at": f"2013-01-01T0{hour}:00Z", "x": value}])
            quarantined = sum(run.rows_quarantined for run in repo.advance("1m").runs)
            assert quarantined == (value == 5.7)
        times = [{"event_timestamp": f"2013-01-01T0{hour}:30Z"} for hour, value in enumerate(loads) if value != 5.7]
        found = [row["x"] for row in repo.training_set(times, ["one:x"]).to_dicts()]
        assert found == [value for value in loads if value != 5.7]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (List(Int64), [1, 5.7]),
        (Struct({"n": Int64}), {"n": 5.7}),
        (Struct({"n": List(Int64)}), {"n": [5.7]}),
    ],
)
def test_nor_is_it_cut_off_inside_lists_and_structs(kind: Any, value: Any) -> None:
    with Repo([one_field(kind)], now=NOON) as repo:
        repo.load("x", [{"at": "2013-01-01T09:00Z", "x": value}])
        assert repo.advance("1m").runs[0].rows_quarantined == 1


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Date, datetime(2013, 1, 1, 5, tzinfo=UTC)),
        (Date, 5),
        (Timestamp, 5.7),
        (Float64, True),
        (Float32, 1e300),
    ],
)
def test_what_would_become_another_value_fails_the_run(kind: Any, value: Any) -> None:
    with Repo([one_field(kind)], now=NOON) as repo:
        repo.load("x", [{"at": "2013-01-01T09:00Z", "x": value}])
        with pytest.raises(MaterializationFailed, match="column 'x' is"):
            repo.advance("1m")


def test_a_midnight_is_a_day_and_infinity_is_a_small_float() -> None:
    for kind, value in ((Date, datetime(2013, 1, 1)), (Float32, float("inf"))):
        with Repo([one_field(kind)], now=NOON) as repo:
            repo.load("x", [{"at": "2013-01-01T09:00Z", "x": value}])
            repo.advance("1m")
            assert repo.lookup({}, ["one:x"])["x"] == (value.date() if kind == Date else value)


def test_entity_rows_are_not_cut_off_either() -> None:
    account = Entity("account", join_keys={"account": Int64})
    source = ParquetSource("x.parquet", timestamp_field="at")
    view = FeatureView("by_account", entities=[account], source=source, schema=[Field("x", Int64)])
    with Repo([view], now=NOON) as repo:
        repo.load("x", [{"account": 1, "at": "2013-01-01T09:00Z", "x": 1}])
        repo.advance("1m")
        with pytest.raises(KeyTypeError, match="'account'"):
            repo.training_set([{"account": 1.9, "event_timestamp": NOON}], ["by_account:x"])
        with pytest.raises(KeyTypeError, match="'account'"):
            repo.lookup({"account": 1.9}, ["by_account:x"])
        assert repo.training_set([{"account": 1, "event_timestamp": NOON}], ["by_account:x"]).to_dicts()[0]["x"] == 1


@pytest.mark.parametrize("loads", [(5, 5.7), (None, 5, 5.7), (5.0, 5.7), (5.7, 5)])
def test_real_numbers_after_whole_ones_are_real(loads: tuple[Any, ...]) -> None:
    source = ParquetSource("x.parquet", timestamp_field="at")
    view = FeatureView(
        "same", source=source, transform='select "at", x * 1.0 as x from source', schema=[Field("x", Float64)]
    )
    with Repo([view], now=NOON) as repo:
        for hour, value in enumerate(loads):
            repo.load("x", [{"at": f"2013-01-01T0{hour}:00Z", "x": value}])
            repo.advance("1m")
            assert repo.lookup({}, ["same:x"]) == {"x": value}


def test_a_whole_number_too_large_to_be_real_stays_itself_and_the_run_says_so() -> None:
    with Repo([one_field(Int64)], now=NOON) as repo:
        repo.load("x", [{"at": "2013-01-01T09:00Z", "x": 2**53 + 1}])
        repo.advance("1m")
        repo.load("x", [{"at": "2013-01-01T10:00Z", "x": 5.7}])
        with pytest.raises(MaterializationFailed, match="column 'x' is int64 in .* but double in"):
            repo.advance("1m")
        assert repo.lookup({}, ["one:x"]) == {"x": 2**53 + 1}
