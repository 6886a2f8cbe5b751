"""What is written comes back equal, and only what semantics 6 names starts a version."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest

from hitherto.definitions import Expectation, Field, expect
from hitherto.errors import DefinitionError, Location, RegistryError
from hitherto.registry import json_format
from hitherto.types import Float32, Float64, Int64, List
from unit.registry.samples import AIRPORT, EVERYTHING, JOINED, SERVICE, VIEW, WEATHER, definitions


def there_and_back(definition, **options):
    return json_format.from_json(json.loads(json_format.dumps(json_format.to_json(definition))), **options)


@pytest.mark.parametrize(
    "definition", [AIRPORT, WEATHER, VIEW, EVERYTHING, JOINED, VIEW.schema[0], EVERYTHING.expect[1]]
)
def test_a_definition_comes_back_equal(definition):
    assert there_and_back(definition) == definition


def test_places_come_back_but_are_no_part_of_the_comparable_text():
    back = there_and_back(VIEW)
    assert back.location == VIEW.location
    assert back.schema[0].expect[0].location == VIEW.schema[0].expect[0].location
    moved = replace(VIEW, location=Location("elsewhere.py", 7))
    assert json_format.comparable(moved) == json_format.comparable(VIEW)
    assert "samples.py" not in json_format.comparable(VIEW)


def test_a_service_finds_its_views_by_name():
    assert there_and_back(SERVICE, views={VIEW.name: VIEW}) == SERVICE
    with pytest.raises(RegistryError, match="cannot be read"):
        there_and_back(SERVICE)


def test_all_definitions_come_back_in_their_order():
    whole = definitions(VIEW, EVERYTHING, services=[SERVICE])
    back = there_and_back(whole)
    assert back == whole
    assert list(back.feature_views) == ["airport_weather", "everything"]
    assert list(back.feature_views["everything"].join_keys) == ["b", "a", "airport"]


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        2**70,
        1.0,
        -0.0,
        1e300,
        True,
        None,
        "",
        "é\0\n",
        b"",
        [1, [2]],
        (1, (2.5,)),
        {"a": date(2013, 1, 1)},
        timedelta(0),
    ],
)
def test_a_value_of_a_check_comes_back_with_its_type(value):
    back = there_and_back(Expectation("is_in", (("values", (value,)),)))
    (found,) = back.bounds["values"]
    assert (repr(found), type(found)) == (repr(value), type(value))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_floats_that_json_does_not_know_come_back(value):
    back = there_and_back(Expectation("is_in", (("values", (value,)),)))
    assert repr(back.bounds["values"]) == repr((value,))
    json.loads(json_format.dumps(json_format.to_json(expect.is_in([value]))), parse_constant=pytest.fail)


def test_a_scalar_of_numpy_becomes_a_plain_number():
    numpy = pytest.importorskip("numpy", reason="NumPy comes with the development environment's pandas")
    back = there_and_back(expect.is_in([numpy.int64(3), numpy.float64(2.5)]))
    assert [type(one) for one in back.bounds["values"]] == [int, float]


def test_a_value_that_json_cannot_hold_is_a_problem_with_its_place():
    check = expect.is_in([object()])
    with pytest.raises(DefinitionError, match="type object, which cannot be stored") as caught:
        json_format.to_json(check)
    assert caught.value.problems[0].location == check.location


def test_what_was_accepted_once_stays_readable_when_the_rules_get_stricter():
    document = json_format.to_json(VIEW)
    document["ttl"] = -1
    assert json_format.from_json(document).ttl == timedelta(microseconds=-1)


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "magic"},
        {},
        {"kind": "entity", "name": "x"},
        {"kind": "definitions"},
        {**json_format.to_json(VIEW.schema[1]), "dtype": "Quaternion"},
        {
            "kind": "expectation",
            "check": "is_in",
            "params": [["values", {"$decimal": "x"}]],
            "severity": "fail",
            "at_least": None,
        },
    ],
)
def test_a_document_that_is_no_definition_is_a_registry_error(document):
    with pytest.raises(RegistryError, match="cannot be read"):
        json_format.from_json(document)


def changed_source(**changes):
    return replace(VIEW, source=replace(WEATHER, **changes))


@pytest.mark.parametrize(
    "view",
    [
        replace(VIEW, schema=[*VIEW.schema, Field("more", Int64)]),
        replace(VIEW, schema=VIEW.schema[::-1]),
        replace(VIEW, schema=[replace(VIEW.schema[0], source_column="t"), VIEW.schema[1]]),
        replace(VIEW, schema=[VIEW.schema[0], Field("wind", Float32)]),
        replace(VIEW, schema=[VIEW.schema[0], Field("wind", List(Float64))]),
        replace(VIEW, entities=[replace(AIRPORT, join_keys={"airport": Int64})]),
        replace(VIEW, entities=[replace(AIRPORT, join_keys={"code": AIRPORT.join_keys["airport"]})]),
        replace(VIEW, entities=[]),
        changed_source(path="data/other.parquet"),
        changed_source(timestamp_field="at"),
        changed_source(created_timestamp_field="made"),
        changed_source(known_after=None, known_timestamp_field="known"),
        changed_source(known_after="31m"),
        replace(VIEW, transform="select 1"),
        replace(VIEW, transform="select 1", lookback="1h"),
    ],
)  # fmt: skip
def test_schema_keys_source_transform_and_known_time_start_a_version(view):
    assert json_format.version_key(view) != json_format.version_key(VIEW)


@pytest.mark.parametrize(
    "view",
    [
        replace(VIEW, description="d", owner="o", tags={"a": "b"}, ttl="7h", online=False, online_retention="9d"),
        replace(VIEW, expect=[expect.row_count(1), expect.freshness("1d")]),
        replace(VIEW, schema=[replace(VIEW.schema[0], expect=()), replace(VIEW.schema[1], description="x")]),
        replace(VIEW, schema=[VIEW.schema[0], replace(VIEW.schema[1], default=0)]),
        replace(VIEW, schema=[VIEW.schema[0], replace(VIEW.schema[1], source_column="wind")]),
        replace(VIEW, entities=[replace(AIRPORT, name="field", description="d")]),
        changed_source(name="other_name", description="d", owner="o"),
    ],
)
def test_description_ttl_checks_and_retention_change_in_place(view):
    assert json_format.version_key(view) == json_format.version_key(VIEW)
    assert json_format.comparable(view) != json_format.comparable(VIEW)


def test_no_delay_and_a_delay_of_nothing_are_one_rule():
    none, zero = changed_source(known_after=None), changed_source(known_after="0s")
    assert json_format.version_key(none) == json_format.version_key(zero)


def test_white_space_around_a_transform_starts_no_version():
    one, other = replace(VIEW, transform="select 1"), replace(VIEW, transform="\n select 1\n")
    assert json_format.version_key(one) == json_format.version_key(other)


def test_the_hash_of_definitions_is_that_of_their_content_in_any_order():
    whole = definitions(VIEW, EVERYTHING, services=[SERVICE])
    turned = definitions(EVERYTHING, VIEW, services=[SERVICE])
    assert json_format.definitions_hash(whole) == json_format.definitions_hash(turned)
    assert len(json_format.definitions_hash([VIEW])) == 64
    assert json_format.definitions_hash([VIEW]) != json_format.definitions_hash([replace(VIEW, ttl="7h")])
    assert json_format.definitions_hash([VIEW]) == json_format.definitions_hash(
        [replace(VIEW, location=Location("x.py", 1))]
    )


def test_canonical_text_sorts_keys_and_plain_text_keeps_their_order():
    assert json_format.dumps({"b": 1, "a": 2}) == '{"a":2,"b":1}'
    assert json_format.dumps({"b": 1, "a": 2}, canonical=False) == '{"b":1,"a":2}'
    with pytest.raises(TypeError, match="object"):
        json_format.dumps(object())


def test_a_view_of_one_source_is_written_as_ever():
    """What registries hold already must not look changed."""
    assert "sources" not in json_format.to_json(VIEW)
    assert json_format.version_key(replace(VIEW, transform="select 1", lookback="1h")) == (
        '{"keys":[["airport","String"]],"lookback":3600000000,"schema":[["temperature","Float64","temp"],["wind","Float64","wind"]],'
        '"source":{"created_timestamp_field":null,"known_after":1800000000,"known_timestamp_field":null,"path":"data/weather.parquet",'
        '"timestamp_field":"observed_at"},"transform":"select 1"}'
    )


def test_a_joined_view_comes_back_with_its_first_source_first():
    back = there_and_back(JOINED)
    assert back.source == WEATHER
    assert next(iter(back.all_sources)) == "reports"
    reports, stations, before = (JOINED.all_sources[name] for name in ("reports", "stations", "before"))
    shuffled = replace(JOINED, sources={"reports": reports, "before": before, "stations": stations})
    assert json_format.comparable(shuffled) == json_format.comparable(JOINED)
    assert json_format.version_key(shuffled) == json_format.version_key(JOINED)


@pytest.mark.parametrize(
    "sources",
    [
        {"stations": JOINED.all_sources["stations"], "reports": WEATHER, "before": WEATHER},
        {**JOINED.all_sources, "stations": replace(JOINED.all_sources["stations"], path="other.parquet")},
        {**JOINED.all_sources, "stations": replace(JOINED.all_sources["stations"], known_after="1h")},
        {"reports": WEATHER, "stations": JOINED.all_sources["stations"], "earlier": WEATHER},
        {"reports": WEATHER, "stations": JOINED.all_sources["stations"]},
    ],
)
def test_other_sources_start_a_new_version(sources):
    changed = replace(JOINED, source=None, sources=sources)
    assert json_format.version_key(changed) != json_format.version_key(JOINED)
    assert changed != JOINED


def test_the_description_of_a_further_source_changes_in_place():
    stations = replace(JOINED.all_sources["stations"], description="Towers", name="towers")
    changed = replace(JOINED, sources={**JOINED.all_sources, "stations": stations})
    assert json_format.version_key(changed) == json_format.version_key(JOINED)
    assert json_format.comparable(changed) != json_format.comparable(JOINED)


def test_lookbacks_by_name_come_back_and_start_a_new_version():
    view = replace(JOINED, lookback={"reports": "2h", "stations": None})
    assert there_and_back(view) == view
    assert there_and_back(view).lookbacks == {"reports": 7_200_000_000, "stations": None, "before": None}
    assert json_format.version_key(view) != json_format.version_key(JOINED)
    assert json_format.version_key(replace(view, lookback={"reports": "120m"})) == json_format.version_key(view)
