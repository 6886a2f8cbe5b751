"""On-demand features in a repo in memory, with defaults, and the windows and views that they are built on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from hitherto import Aggregation, Entity, FeatureView, Field, ParquetSource, RequestSource, on_demand_feature_view
from hitherto.errors import RequestFieldError
from hitherto.testing import Repo
from hitherto.types import Float64, Int64, List, String, Timestamp

AIRPORT = Entity("airport", join_keys={"airport": String})
WEATHER = FeatureView(
    "weather",
    entities=[AIRPORT],
    source=ParquetSource("s3://weather/reports", name="reports", timestamp_field="at"),
    schema=[Field("wind", Float64, default=3.0), Field("sky", String)],
)
TRIP = RequestSource("trip", schema=[Field("departs_at", Timestamp), Field("bags", Int64)])


@on_demand_feature_view(
    sources=[WEATHER, TRIP],
    schema=[Field("risk", Float64, default=-1.0), Field("minutes", Float64), Field("letters", Int64, default=0)],
)
def risk(wind: float, sky: str, departs_at: datetime, now: datetime) -> dict[str, float]:
    """Of wind, whose default stands for what is not known, and of the sky, which raises where there is none."""
    return {"risk": wind / 10, "minutes": (departs_at - now).total_seconds() / 60, "letters": len(sky)}


@on_demand_feature_view(sources=[risk], schema=[Field("twice", Float64)])
def twice(risk: float) -> float:
    """Is told the default of what failed."""
    return risk * 2


@pytest.fixture
def repo() -> Iterator[Repo]:
    with Repo([WEATHER, risk, twice], now="2013-01-01T12:00Z") as one:
        one.load("reports", [{"airport": "JFK", "at": "2013-01-01T12:00Z", "wind": 20.0, "sky": "grey"}])
        one.advance("1h")
        yield one


FEATURES = ["risk:risk", "risk:minutes", "risk:letters", "twice:twice", "weather:wind"]


def test_a_function_is_given_defaults_and_its_own_stand_for_its_errors(repo: Repo) -> None:
    departs = datetime.fromisoformat("2013-01-01T14:00Z")
    known = {"airport": "JFK", "departs_at": departs, "bags": 1}
    asked = [
        {**known, "airport": airport, "departs_at": at}
        for airport, at in (("JFK", departs), ("LGA", departs), ("JFK", None))
    ]
    for row in asked:
        row.pop("bags")
    assert repo.lookup(asked, FEATURES) == [
        {"risk": 2.0, "minutes": 60.0, "letters": 4, "twice": 4.0, "wind": 20.0},
        {"risk": -1.0, "minutes": None, "letters": 0, "twice": -2.0, "wind": 3.0},
        {"risk": -1.0, "minutes": None, "letters": 0, "twice": -2.0, "wind": 20.0},
    ]
    statuses = repo.statuses(asked, FEATURES)
    assert statuses[1] == {
        "risk": "ERROR",
        "minutes": "ERROR",
        "letters": "ERROR",
        "twice": "PRESENT",
        "wind": "NOT_FOUND",
    }
    training = repo.training_set([{**row, "event_timestamp": repo.now} for row in asked], FEATURES)
    found = [{name: row[name] for name in FEATURES_OUT} for row in training.to_arrow().to_pylist()]
    assert found == repo.lookup(asked, FEATURES)
    assert training.statuses().to_pylist() == statuses
    assert repo.store.check_parity(FEATURES, sample=None).ok


FEATURES_OUT = [reference.partition(":")[2] for reference in FEATURES]


def test_times_may_be_texts_in_training_rows(repo: Repo) -> None:
    row = {"airport": "JFK", "event_timestamp": "2013-01-01T12:30Z", "departs_at": "2013-01-01T13:00Z"}
    training = repo.training_set([row], ["risk:minutes"])
    assert training.to_arrow().column("minutes").to_pylist() == [30.0]


def test_an_online_answer_is_not_changed_by_who_has_it(repo: Repo) -> None:
    asked = {"airport": ["JFK"], "departs_at": [repo.now]}
    answer = repo.store.get_online_features(FEATURES, asked)
    first = answer.to_dict()
    first["risk"].clear()
    first["wind"].clear()
    assert answer.to_dict()["risk"] == [2.0]
    assert answer.to_dict()["wind"] == [20.0]
    assert b'"values":[2.0]' in answer.to_json()


PAYMENTS = FeatureView(
    "spend",
    entities=[Entity("customer", join_keys={"customer": Int64})],
    source=ParquetSource("payments", timestamp_field="paid_at"),
    aggregations=[Aggregation("amount", "sum", windows=["1h"]), Aggregation("amount", "count", windows=["1h"])],
)


@on_demand_feature_view(
    sources=[PAYMENTS, RequestSource("payment", schema=[Field("wanted", Float64)])],
    schema=[Field("ratio", Float64), Field("more", Int64)],
)
def against_last_hour(
    amount_sum_1h: float | None, amount_count_1h: int | None, wanted: float
) -> dict[str, float | None]:
    """Of windows: a sum that is null where there is nothing, a count that is nought."""
    return {"ratio": None if amount_sum_1h is None else wanted / amount_sum_1h, "more": amount_count_1h + 1}


def test_windows_are_inputs_like_others() -> None:
    features = ["against_last_hour:ratio", "against_last_hour:more", "spend:amount_sum_1h"]
    with Repo([PAYMENTS, against_last_hour], now="2025-03-01T10:00Z") as repo:
        paid = [("2025-03-01T09:10Z", 20.0), ("2025-03-01T09:40Z", 5.0)]
        repo.load("payments", [{"customer": 7, "paid_at": at, "amount": amount} for at, amount in paid])
        repo.materialize()
        asked = [{"customer": 7, "wanted": 50.0}, {"customer": 8, "wanted": 50.0}]
        assert repo.lookup(asked, features) == [
            {"ratio": 2.0, "more": 3, "amount_sum_1h": 25.0},
            {"ratio": None, "more": 1, "amount_sum_1h": None},
        ]
        training = repo.training_set([{**row, "event_timestamp": repo.now} for row in asked], features)
        assert training.to_arrow().select(["ratio", "more"]).to_pylist() == [
            {"ratio": 2.0, "more": 3},
            {"ratio": None, "more": 1},
        ]
        assert repo.store.check_parity(features, sample=None).ok


BILLS = FeatureView(
    "bills",
    entities=[AIRPORT],
    source=ParquetSource("s3://weather/bills", name="bills", timestamp_field="at"),
    schema=[Field("amounts", List(Int64))],
)


@on_demand_feature_view(sources=[BILLS], schema=[Field("top", Int64), Field("rest", List(Int64))])
def spoiling(amounts: list[int]) -> dict[str, Any]:
    """Changes its list, and gives it."""
    amounts.sort()
    return {"top": amounts.pop(), "rest": amounts}


@on_demand_feature_view(sources=[BILLS, spoiling], schema=[Field("first", Int64), Field("left", Int64)])
def counting(amounts: list[int], rest: list[int]) -> dict[str, Any]:
    """Changes a list that another function gave."""
    rest.append(0)
    return {"first": amounts[0], "left": len(rest)}


def test_what_a_function_does_to_its_lists_nobody_sees() -> None:
    features = ["spoiling:top", "spoiling:rest", "counting:first", "counting:left", "bills:amounts"]
    wanted = {"top": 5, "rest": [1, 3], "first": 5, "left": 3, "amounts": [5, 1, 3]}
    with Repo([BILLS, spoiling, counting], now="2013-01-01T12:00Z") as one:
        one.load("bills", [{"airport": "JFK", "at": "2013-01-01T12:00Z", "amounts": [5, 1, 3]}])
        one.advance("1h")
        assert one.lookup({"airport": "JFK"}, features) == wanted
        (row,) = one.training_set([{"airport": "JFK", "event_timestamp": one.now}], features).to_dicts()
        assert {name: row[name] for name in wanted} == wanted
        answer = one.store.get_online_features(features, [{"airport": "JFK"}])
        answer.to_dict()["rest"][0].clear()
        answer.to_dict()["amounts"][0].clear()
        assert {name: values[0] for name, values in answer.to_dict().items() if name in wanted} == wanted


@on_demand_feature_view(sources=[TRIP], schema=[Field("weight", Int64)])
def weight(bags: int) -> int:
    """Of whole bags only."""
    return bags * 23


def test_half_a_bag_is_refused_by_training_sets_as_by_lookups() -> None:
    with Repo([weight], now="2013-01-01T12:00Z") as repo:
        with pytest.raises(RequestFieldError, match="'bags'"):
            repo.lookup({"bags": 2.7}, ["weight:weight"])
        for rows in ([2.7], [1, 2.7]):
            asked = [{"bags": bags, "event_timestamp": repo.now} for bags in rows]
            with pytest.raises(RequestFieldError, match=r"'bags'.*1 of its values"):
                repo.training_set(asked, ["weight:weight"])
