"""What is wrong between objects, each with the place of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal as Number
from typing import Any

import pytest

from hitherto.definitions import Entity, Expectation, FeatureService, FeatureView, Field, ParquetSource, expect
from hitherto.definitions.collection import Definitions
from hitherto.definitions.rules import check
from hitherto.errors import Location
from hitherto.types import (
    Bool,
    Bytes,
    DataType,
    Date,
    Decimal,
    Float32,
    Float64,
    Int8,
    Int64,
    List,
    String,
    Struct,
    Timestamp,
)

AIRPORT = Entity("airport", join_keys={"airport": String}, location=Location("e.py", 1))
SOURCE = ParquetSource("weather.parquet", timestamp_field="at", location=Location("s.py", 2))


def view(name: str = "weather", **changes: Any) -> FeatureView:
    given = {
        "entities": [AIRPORT],
        "source": SOURCE,
        "schema": [Field("wind", Float64)],
        "location": Location("v.py", 3),
    }
    return FeatureView(name, **{**given, **changes})


def messages(views: Sequence[FeatureView], *services: FeatureService, **more: Any) -> list[str]:
    collected = Definitions(
        **{
            "entities": {entity.name: entity for one in views for entity in one.entities},
            "sources": {one.source.name: one.source for one in views},
            "feature_views": {one.name: one for one in views},
            "feature_services": {one.name: one for one in services},
            **more,
        }
    )
    return [str(problem) for problem in check(collected)]


def test_a_repo_without_conflicts_has_no_problems():
    one = view(schema=[Field("wind", Float64, expect=[expect.between(0, 100)])], expect=[expect.mean_change("wind", 2)])
    renamed = one.with_name("alternate").with_join_key_map({"airport": "other"})
    assert messages([one], FeatureService("s", features=[one, renamed]), FeatureService("t", features=[renamed])) == []


def test_a_join_key_has_one_type_everywhere():
    other = Entity("runway", join_keys={"airport": Int64}, location=Location("e.py", 9))
    assert messages([view(), view("runways", entities=[other])]) == [
        "e.py:9: entity 'runway': its join key 'airport' is Int64, but entity 'airport' (e.py:1) has it as String; "
        "a column has one type. Use one type, or two names."
    ]


def test_a_view_has_each_join_key_once():
    other = Entity("field", join_keys={"airport": String})
    assert messages([view(entities=[AIRPORT, other])]) == [
        "v.py:3: feature view 'weather': its entity 'field' brings the join key 'airport', which another of its entities has already."
    ]


def test_an_entity_a_source_and_a_view_have_one_definition():
    entity = replace(AIRPORT, description="x", location=Location("e.py", 8))
    source = replace(SOURCE, timestamp_field="time", location=Location("s.py", 9))
    service = FeatureService("s", features=[view(ttl="1h", location=Location("v.py", 7))])
    found = messages(
        [view(entities=[entity], source=source)], service, entities={"airport": AIRPORT}, sources={"weather": SOURCE}
    )
    assert [text.split("; the")[0] for text in found] == [
        "e.py:8: entity 'airport': it is defined a second time, differently",
        "s.py:9: source 'weather': it is defined a second time, differently",
        "v.py:7: feature view 'weather': it is defined a second time, differently",
    ]
    assert "first definition is at e.py:1. Rename one of them" in found[0]
    assert "first definition is at s.py:2. Give one of them another name=." in found[1]


def test_a_service_may_not_call_a_view_by_the_name_of_another():
    (found,) = messages([view(), view("wind")], FeatureService("s", features=[view().with_name("wind")]))
    assert (
        "feature service 's': it calls feature view 'weather' 'wind', which is the name of another view (v.py:3)"
        in found
    )


def test_a_name_given_by_services_means_one_thing():
    first = FeatureService("s", features=[view().with_name("other").with_join_key_map({"airport": "origin"})])
    same = FeatureService("t", features=[view()[["wind"]].with_name("other").with_join_key_map({"airport": "origin"})])
    differs = FeatureService("u", features=[view().with_name("other")])
    (found,) = messages([view()], first, same, differs)
    assert "feature service 'u': it uses the name 'other' for 'weather' (airport from airport)" in found
    assert "feature service 's'" in found
    assert "for 'weather' (airport from origin)" in found


def test_two_views_without_keys_may_not_share_a_name_given_by_services():
    one, two = view("one", entities=[]), view("two", entities=[])
    services = [FeatureService(name, features=[used.with_name("same")]) for name, used in (("s", one), ("t", two))]
    (found,) = messages([one, two], *services)
    assert "it uses the name 'same' for 'two', but feature service 's'" in found


def test_an_entity_column_has_one_type_within_a_service():
    number = view("numbers", entities=[Entity("number", join_keys={"number": Int64})])
    service = FeatureService("s", features=[view(), number.with_join_key_map({"number": "airport"})])
    (found,) = messages([view(), number], service)
    assert "the entity column 'airport' would be String for 'weather' and Int64 for 'numbers'" in found


NUMBERS = [Int8, Int64, Float32, Float64, Decimal(5, 2)]


@pytest.mark.parametrize(
    ("kind", "expectation"),
    [
        *((kind, expect.between(0, 1.5)) for kind in NUMBERS),
        *((kind, expect.between(None, Number("1.5"))) for kind in NUMBERS),
        *((kind, expect.is_in([1, 2])) for kind in NUMBERS),
        (String, expect.between("a", "b")),
        (String, expect.is_in(["a"])),
        (String, expect.matches("a+")),
        (String, expect.length(1)),
        (Bytes, expect.length(1)),
        (Bytes, expect.is_in([b"a"])),
        (List(String), expect.length(1, 2)),
        (List(String), expect.is_in([["a"]])),
        (Struct({"x": Int64}), expect.not_null()),
        (Struct({"x": Int64}), expect.unique()),
        (Bool, expect.is_in([True])),
        (Date, expect.between(date(2013, 1, 1), None)),
        (Date, expect.between(None, "2014-01-01")),
        (Timestamp, expect.between("2013-01-01T00:00:00Z", None)),
        (Timestamp, expect.between(datetime.fromisoformat("2013-01-01T00:00:00Z"), None)),
        (Float64, expect.sql("x > 0")),
    ],
)
def test_a_check_that_fits_its_field_is_accepted(kind, expectation):
    assert messages([view(schema=[Field("x", kind, expect=[expectation])])]) == []


@pytest.mark.parametrize(
    ("kind", "expectation", "message"),
    [
        (Int64, expect.matches("a"), "a pattern needs a String, and the field is Int64."),
        (Float64, expect.length(1), "only String, Bytes and List have a length, and the field is Float64."),
        (Bool, expect.between(0, 1), "Bool has no order that bounds could be on."),
        (List(Int64), expect.between(0, 1), "List(Int64) has no order that bounds could be on."),
        (Struct({"x": Int64}), expect.between(0, 1), "Struct({'x': Int64}) has no order that bounds could be on."),
        (Int64, expect.between("a", "b"), "'a' (str) cannot be compared with the field's type Int64."),
        (Float64, expect.between(None, True), "True (bool) cannot be compared with the field's type Float64."),
        (String, expect.is_in(["a", 1]), "1 (int) cannot be compared with the field's type String."),
        (Bytes, expect.is_in(["a"]), "'a' (str) cannot be compared with the field's type Bytes."),
        (Bool, expect.is_in([1]), "1 (int) cannot be compared with the field's type Bool."),
        (Date, expect.between("soon", None), "'soon' (str) cannot be compared with the field's type Date."),
        (Timestamp, expect.between(5, None), "5 (int) cannot be compared with the field's type Timestamp."),
        (
            Decimal(5, 2),
            expect.is_in([timedelta(1)]),
            "datetime.timedelta(days=1) (timedelta) cannot be compared with the field's type Decimal(5, 2).",
        ),
    ],
)
def test_a_check_that_does_not_fit_its_field_is_a_problem_at_its_line(
    kind: DataType, expectation: Expectation, message
):
    placed = replace(expectation, location=Location("v.py", 5))
    (found,) = messages([view(schema=[Field("x", kind, expect=[placed])])])
    assert found == f"v.py:5: feature view 'weather', field 'x', {expectation.name}: {message}"


def test_a_mean_is_of_numbers_only():
    text = view(schema=[Field("x", String)], expect=[expect.mean_change("x", 1.0)])
    (found,) = messages([text])
    assert "mean_change(column='x', 'high'" not in found
    assert found.endswith("'x' is String, which has no mean; use it on a number.")
