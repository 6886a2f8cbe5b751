"""On-demand features in lookups: values, statuses, event times, request fields; and the parity of all of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hitherto import FunctionError, RequestFieldError
from hitherto.errors import JoinKeyError, KeyTypeError, NameCollisionError
from hitherto.online.answer import Status
from hitherto.online.plan import plan_lookup
from journeys.on_demand import EVERYTHING
from journeys.projects import Project, assert_parity, hour, table

ROWS = [("a", 1, 1.0, "one"), ("a", 5, 5.0, None), ("b", 3.5, float("nan"), "three"), ("old", 0, 0.0, "")]
EVERY_FEATURE = [
    *(f"headroom:{name}" for name in ("over", "minutes", "told")),
    *(f"headroom_fast:{name}_fast" for name in ("over", "minutes", "told")),
    *("doubled:doubled", "fragile:length", "fragile:half", "hour_of_day:hour"),
]


@pytest.fixture
def trips(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Nobody changes it; the clock stands at hour 24."""
    one = Project(tmp_path_factory.mktemp("trips") / "project", '[offline]\nmemory_limit = "512MB"\nthreads = 2\n')
    one.deliver(table(ROWS))
    one.store.apply(EVERYTHING)
    one.store.materialize()
    yield one
    one.store.close()


def request(**more: Any) -> dict[str, Any]:
    return {
        "sensor": ["a", "b", "none", None],
        "neighbour": ["b", "a", "a", "none"],
        "limit": [0.5, 1.0, None, 2],
        "departs_at": [hour(25), hour(24), None, hour(23)],
        "label": ["x", None, "", "z"],
        **more,
    }


def test_values_and_statuses_are_those_of_the_function_now(trips: Project) -> None:
    features = ["headroom:over", "headroom:minutes", "headroom:told", "hour_of_day:hour"]
    answer = trips.store.get_online_features(features, {k: v for k, v in request().items() if k != "neighbour"})
    found = answer.to_dict(include_metadata=True)
    assert repr([found[name] for name in ("over", "minutes", "told", "hour")]) == repr(
        [
            [4.5, float("nan"), None, None],
            [60.0, 0.0, None, -60.0],
            ["x!", None, "!", "z!"],
            [0, 0, 0, 0],
        ]
    )
    assert found["over__status"] == ["PRESENT", "PRESENT", "NULL_VALUE", "NULL_VALUE"]
    assert found["sensor"] == ["a", "b", "none", None]
    assert found["limit"] == [0.5, 1.0, None, 2]
    assert answer.names[-4:] == ("over", "minutes", "told", "hour")
    asynchronous = asyncio.run(
        trips.store.get_online_features_async(features, {k: v for k, v in request().items() if k != "neighbour"})
    )
    assert repr(asynchronous.to_dict()) == repr(answer.to_dict())
    assert "PRESENT" not in str(answer)


def test_the_event_time_is_that_of_the_oldest_row_that_went_in_or_of_the_request(trips: Project) -> None:
    found = trips.store.get_online_features(["doubled:doubled", "hour_of_day:hour"], request()).to_dict(
        include_metadata=True
    )
    # a and b: b's row of 3:30 is older; nobody and a: a's alone; nobody at all: now.
    assert found["doubled__event_time"] == [hour(3.5), hour(3.5), hour(5), hour(24)]
    assert found["doubled__age"][0] == timedelta(hours=20.5)
    assert found["hour__event_time"] == [hour(24)] * 4


def test_failures_are_errors_of_their_row_and_the_rest_is_answered(trips: Project) -> None:
    features = ["fragile:length", "fragile:half", "readings:value"]
    rows = {"sensor": ["a", "a", "a"], "label": ["abc", None, ""], "limit": [3.0, 4.0, None]}
    answer = trips.store.get_online_features(features, rows)
    found = answer.to_dict(include_metadata=True)
    assert (found["length"], found["half"], found["value"]) == ([3, None, 0], [None, None, None], [5.0] * 3)
    assert found["length__status"] == [Status.PRESENT, Status.ERROR, Status.PRESENT]
    assert found["half__status"] == [Status.ERROR, Status.ERROR, Status.NULL_VALUE]
    document = json.loads(answer.to_json())
    assert document["metadata"]["feature_names"] == ["sensor", "label", "limit", "length", "half", "value"]
    assert document["results"][4] == {
        "values": [None, None, None],
        "statuses": ["ERROR", "ERROR", "NULL_VALUE"],
        "event_timestamps": ["2020-01-02T00:00:00Z"] * 3,
    }
    assert "ERROR" in str(answer)


def test_one_row_is_answered_as_many_are(trips: Project) -> None:
    every = request()
    for row in range(4):
        one = trips.store.get_online_features(EVERY_FEATURE, {name: [values[row]] for name, values in every.items()})
        many = trips.store.get_online_features(EVERY_FEATURE, every)
        whole = json.loads(many.to_json())["results"]
        alone = json.loads(one.to_json())["results"]
        assert [{key: [values[row]] for key, values in column.items()} for column in whole] == alone


def test_request_fields_and_keys_are_checked(trips: Project) -> None:
    store, rows = trips.store, {"sensor": ["a"], "limit": [1.0]}
    one = ["headroom:over"]
    every = {**rows, "departs_at": [None], "label": [None]}
    assert store.get_online_features(one, every).to_dict()["over"] == [4.0]
    assert store.get_online_features(one, [{"sensor": "a", "limit": 1, "departs_at": None, "label": None}]).to_dict()[
        "over"
    ] == [4.0]
    with pytest.raises(RequestFieldError, match=r"The request field 'departs_at' \(Timestamp\) is missing"):
        store.get_online_features(one, rows)
    with pytest.raises(RequestFieldError, match="'limit' is Float64; the value of row 0, of type str") as caught:
        store.get_online_features(one, {**every, "limit": ["secret"]})
    assert "secret" not in str(caught.value)
    with pytest.raises(JoinKeyError, match="join key 'sensor' is missing"):
        store.get_online_features(one, {name: values for name, values in every.items() if name != "sensor"})
    with pytest.raises(JoinKeyError, match="'other' is not a join key"):
        store.get_online_features(one, {**every, "other": [1]})
    # What a request source has and no function takes may come along.
    assert (
        store.get_online_features(["fragile:length"], {"label": ["ab"], "limit": [1], "departs_at": [None]}).rows == 1
    )
    with pytest.raises(KeyTypeError):
        store.get_online_features(one, {**every, "sensor": [1]})
    with pytest.raises(JoinKeyError, match="one length"):
        store.get_online_features(one, {**every, "limit": [1.0, 2.0]})


def test_functions_of_the_request_alone_read_nothing(trips: Project) -> None:
    answer = trips.store.get_online_features(["fragile:length"], {"label": ["a", "ab"], "limit": [None, None]})
    assert answer.to_dict()["length"] == [1, 2]
    assert answer.plan.reads == ()
    nothing = trips.store.get_online_features(["hour_of_day:hour"], {})
    assert nothing.to_dict() == {"hour": [0]}
    assert json.loads(nothing.to_json())["results"][0]["values"] == [0]


def test_what_is_planned_does_not_depend_on_the_request(trips: Project) -> None:
    plan = trips.store.get_online_features(EVERY_FEATURE, request()).plan
    assert trips.store.get_online_features(EVERY_FEATURE, request()).plan is plan
    assert plan.on_demand is not None
    assert len(plan.on_demand.computed) == len(EVERY_FEATURE)
    assert trips.store.get_online_features(["readings:value"], {"sensor": ["a"]}).plan.on_demand is None


def test_plans_need_the_functions_and_names_of_their_own(trips: Project) -> None:
    snapshot = trips.store.registry.snapshot()
    with pytest.raises(FunctionError, match="is not in the repo"):
        plan_lookup(snapshot, ["headroom:over"])
    from hitherto import Field, RequestSource, on_demand_feature_view
    from hitherto.registry import discovery
    from hitherto.types import Float64

    @on_demand_feature_view(
        sources=[RequestSource("own", schema=[Field("level", Float64)])], schema=[Field("level", Float64)]
    )
    def same(level: float | None) -> float | None:
        return level

    from dataclasses import replace

    clashing = replace(snapshot, definitions=discovery.collect([same]))
    from hitherto.on_demand.functions import Functions

    functions = Functions.none()
    functions.give([same])
    with pytest.raises(NameCollisionError, match="the request field and the feature 'same:level'"):
        plan_lookup(clashing, ["same:level"], functions=lambda: functions)
    assert plan_lookup(clashing, ["same:level"], full_feature_names=True, functions=lambda: functions).on_demand


def test_a_field_that_no_function_takes_is_refused_if_it_is_sent_and_named_like_a_feature(trips: Project) -> None:
    asked: dict[str, Any] = {"sensor": ["a"], "limit": [1.0], "departs_at": [None], "label": [None]}
    functions = trips.store.functions
    plan = plan_lookup(trips.store.registry.snapshot(), ["fragile:half", "readings:note"], functions=lambda: functions)
    assert plan.on_demand is not None
    named = replace(plan.columns[1], name="departs_at")
    clashing = replace(plan, columns=(plan.columns[0], named))
    taken = {name: asked[name] for name in ("sensor", "limit", "label")}
    assert plan.on_demand.take(clashing, taken, json=False)
    with pytest.raises(
        NameCollisionError, match="called 'departs_at': the request field and the feature 'readings:note'"
    ):
        plan.on_demand.take(clashing, asked, json=False)
    assert plan.on_demand.take(plan, asked, json=False)


def test_lookups_equal_retrieval(trips: Project) -> None:
    assert_parity(trips.store, EVERY_FEATURE)
    assert_parity(trips.store, ["doubled:doubled", "readings:value", "readings:note"], instants=[hour(24), hour(30.25)])
    report = trips.store.verify()
    assert report.ok
    # Its inputs, and what is computed from them.
    assert report.parity.checked > trips.store.check_parity(["readings:value", "readings:note"], sample=None).checked
    trips.store.push("readings", table([("a", 23, 9.0, "pushed")]))
    pushed = trips.store.check_parity(["headroom:over", "doubled:doubled"], sample=None)
    assert pushed.ok
    assert pushed.pushed
