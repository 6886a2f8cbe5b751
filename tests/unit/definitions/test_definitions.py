"""Every refusal of a definition comes when it is built, with object, file and line, and says what to do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hitherto.definitions import (
    Entity,
    Expectation,
    FeatureService,
    FeatureView,
    FeatureViewProjection,
    Field,
    ParquetSource,
    expect,
)
from hitherto.definitions.problems import collecting
from hitherto.definitions.source import name_of
from hitherto.errors import DefinitionError, Location
from hitherto.types import Date, Decimal, Float64, Int64, List, String, Timestamp

AIRPORT = Entity("airport", join_keys={"airport": String})
SOURCE = ParquetSource("data/weather.parquet", timestamp_field="at", known_after="30m")


def view(name: str = "weather", **changes: Any) -> FeatureView:
    given = {"entities": [AIRPORT], "source": SOURCE, "schema": [Field("wind", Float64), Field("text", String)]}
    return FeatureView(name, **{**given, **changes})


def refusal(build: Callable[[], object]) -> str:
    """The message of the first problem, whose place is the line that builds: in the test, or in `view` above."""
    with pytest.raises(DefinitionError) as caught:
        build()
    problem = caught.value.problems[0]
    assert problem.location is not None
    assert problem.location.file == __file__
    spans = [inspect.getsourcelines(builder) for builder in (build, view)]
    assert any(first <= problem.location.line < first + len(lines) for lines, first in spans)
    return f"{problem.object}: {problem.message}"


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", "Delay", "1st", "a__b", "a-b", "a b", "é", "_x", "x" * 64, "drop table;", 5, None]
)
def test_a_name_that_is_none_is_refused_everywhere(name):
    for build, what in (
        (lambda: Entity(name, join_keys={"k": Int64}), f"entity {name!r}"),
        (lambda: Field(name, Int64), f"field {name!r}"),
        (lambda: view(name), f"feature view {name!r}"),
        (lambda: FeatureService(name, features=[view()]), f"feature service {name!r}"),
        (lambda: view().with_name(name), "feature view 'weather' with_name"),
    ):
        if name is None and "with_name" in what:
            continue  # no alias
        with pytest.raises(DefinitionError) as caught:
            build()
        assert caught.value.problems[0].object == what
        assert f"{name!r} is not a name: use lower-case letters" in caught.value.problems[0].message
        assert caught.value.problems[0].location.file == __file__


@pytest.mark.parametrize("name", ["a", "a_b", "delay_15", "x" * 63])
def test_a_name_of_small_letters_digits_and_single_underscores_is_taken(name):
    assert Field(name, Int64).name == name


# -- entity ----------------------------------------------------------------------------------------------------------


def test_an_entity_without_keys_is_refused():
    assert refusal(lambda: Entity("e", join_keys={})).startswith("entity 'e': it has no join keys")


@pytest.mark.parametrize("kind", [Float64, Decimal(5, 2), List(Int64), "String", str])
def test_a_key_of_a_type_that_is_no_keys_is_refused(kind):
    assert "join key 'k' has type" in refusal(lambda: Entity("e", join_keys={"k": kind}))


def test_a_key_needs_a_name():
    assert "'K' is not a name" in refusal(lambda: Entity("e", join_keys={"K": Int64}))


@pytest.mark.parametrize("kind", [Date, Timestamp, Int64, String])
def test_an_entity_keeps_its_keys_in_their_order(kind):
    entity = Entity("e", join_keys={"z": kind, "a": Int64})
    assert list(entity.join_keys) == ["z", "a"]


# -- source ----------------------------------------------------------------------------------------------------------


def test_known_time_is_a_column_or_a_delay():
    assert "give known_timestamp_field or known_after, not both" in refusal(
        lambda: ParquetSource("x.parquet", timestamp_field="at", known_timestamp_field="known", known_after="1h")
    )


def test_a_negative_delay_is_refused():
    message = refusal(lambda: ParquetSource("x.parquet", timestamp_field="at", known_after=timedelta(seconds=-1)))
    assert message.startswith("source 'x': known_after=")
    assert "is negative: a value cannot be known before it happens" in message


@pytest.mark.parametrize("text", ["soon", "", "30", "1 fortnight"])
def test_a_delay_that_is_no_duration_is_refused(text):
    assert "is not a timedelta or a text such as" in refusal(
        lambda: ParquetSource("x.parquet", timestamp_field="at", known_after=text)
    )


@pytest.mark.parametrize(
    "columns",
    [
        {"timestamp_field": ""},
        {"timestamp_field": "at", "created_timestamp_field": "at"},
        {"timestamp_field": "at", "known_timestamp_field": "at"},
        {"timestamp_field": "at", "created_timestamp_field": "x", "known_timestamp_field": "x"},
    ],
)
def test_the_time_columns_are_different_ones(columns):
    assert "must be different columns" in refusal(lambda: ParquetSource("x.parquet", **columns))


def test_a_source_knows_its_times():
    source = ParquetSource(Path("data") / "x.parquet", timestamp_field="at", known_timestamp_field="known")
    assert source.path == "data/x.parquet"
    assert source.time_columns == ("at", "known")
    assert source.delay == timedelta(0)
    assert SOURCE.delay == timedelta(minutes=30)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/weather.parquet", "weather"),
        ("flights/year=*/month=*/*.parquet", "flights"),
        ("s3://bucket/Clicks-2013/", "clicks_2013"),
        ("2013.parquet", "source_2013"),
        ("*.parquet", "source"),
        ("data\\x.parquet", "x"),
        ("A" * 80 + ".parquet", "source_" + "a" * 56),
    ],
)
def test_a_source_takes_its_name_from_its_path(path, name):
    assert name_of(path) == name
    assert ParquetSource(path, timestamp_field="at").name == name


# -- field -----------------------------------------------------------------------------------------------------------


def test_a_type_is_one_of_ours():
    assert "<class 'float'> is not a type of hitherto.types" in refusal(lambda: Field("x", float))


@pytest.mark.parametrize("check", [expect.row_count(1), expect.freshness("1d"), "not_null"])
def test_a_field_takes_checks_on_values_only(check):
    assert "is not a check on a field's values" in refusal(lambda: Field("x", Int64, expect=[check]))


def test_what_is_a_list_is_given_as_a_list():
    assert "expect= is a list of checks" in refusal(lambda: Field("x", Int64, expect=expect.not_null()))
    view = FeatureView("v", entities=[AIRPORT], source=SOURCE, schema=[Field("x", Int64)])
    assert "features= is a list of feature views" in refusal(lambda: FeatureService("s", features=view))


def test_a_transform_is_text_or_the_path_of_a_file():
    given = {"entities": [AIRPORT], "source": SOURCE, "schema": [Field("x", Int64)], "transform": 5}
    assert "transform=5 is neither a SELECT nor the Path" in refusal(lambda: FeatureView("v", **given))


def test_a_field_reads_the_column_of_its_name_unless_told():
    assert Field("x", Int64).column == "x"
    assert Field("x", Int64, source_column="Some Column").column == "Some Column"


# -- feature view ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attribute", ["ttl", "online_retention"])
def test_a_negative_duration_is_refused(attribute):
    assert f"{attribute}=" in refusal(lambda: view(**{attribute: "-1h"}))
    assert "is negative" in refusal(lambda: view(**{attribute: "-1h"}))


def test_a_negative_lookback_is_refused():
    assert "lookback=" in refusal(lambda: view(transform="select 1", lookback="-1h"))


@pytest.mark.parametrize("attribute", ["ttl", "lookback", "online_retention"])
def test_a_text_that_is_no_duration_is_refused(attribute):
    assert f"The {attribute} 'soon' is not" in refusal(lambda: view(transform="select 1", **{attribute: "soon"}))


def test_known_after_above_the_ttl_is_refused():
    assert "known_after=0:30:00 is above ttl=0:29:00" in refusal(lambda: view(ttl="29m"))
    assert view(ttl="30m").ttl == timedelta(minutes=30)


def test_a_retention_below_the_ttl_is_refused():
    assert "valid rows would vanish from lookups" in refusal(lambda: view(ttl="2h", online_retention="1h"))
    assert "ttl=for ever" in refusal(lambda: view(online_retention="1h"))
    assert view(ttl="2h", online_retention="2h").online_retention == timedelta(hours=2)


def test_lookback_needs_a_transform():
    assert "there is no transform" in refusal(lambda: view(lookback="1h"))


def test_a_view_without_features_is_refused():
    assert "it has no features" in refusal(lambda: view(schema=[]))


def test_a_name_stands_once_among_keys_and_features():
    assert "the name 'x' stands twice" in refusal(lambda: view(schema=[Field("x", Int64), Field("x", Float64)]))
    assert "the name 'airport' stands twice" in refusal(lambda: view(schema=[Field("airport", String)]))


def test_a_check_on_one_fields_values_belongs_to_the_field():
    assert "put it into that Field's expect" in refusal(lambda: view(expect=[expect.not_null()]))
    assert view(expect=[expect.sql("wind > 0")]).expect[0].kind == "sql"


def test_a_check_on_a_column_names_a_feature():
    message = refusal(lambda: view(expect=[expect.null_share_change("wimd", 0.1)]))
    assert "'wimd', which is not a feature. Did you mean 'wind'?" in message


def test_a_transform_is_read_from_a_file_beside_the_definition(tmp_path):
    path = tmp_path / "t.sql"
    assert "cannot be read" in refusal(lambda: view(transform=path))
    path.write_bytes(b"\xff\xfe")
    assert "cannot be read" in refusal(lambda: view(transform=path))
    path.write_text("select é from source", encoding="utf-8")
    assert view(transform=path).transform == "select é from source"
    placed = Location(str(tmp_path / "views.py"), 1)
    assert view(transform=Path("t.sql"), location=placed).transform == "select é from source"


def test_a_view_has_the_keys_of_all_its_entities_in_order():
    pair = Entity("pair", join_keys={"z": Int64, "a": String})
    assert view(entities=[pair, AIRPORT]).join_keys == {"z": Int64, "a": String, "airport": String}
    assert list(view(entities=[pair, AIRPORT]).join_keys) == ["z", "a", "airport"]
    assert view(entities=[]).join_keys == {}
    assert view().feature_names == ("wind", "text")
    assert view().field("wind") == Field("wind", Float64)
    assert view().field("none") is None


# -- projection and service ------------------------------------------------------------------------------------------


def test_a_projection_takes_features_name_and_keys():
    taken = view()[["text"]].with_name("other").with_join_key_map({"airport": "origin"})
    assert (taken.name, taken.feature_names, taken.key_columns) == ("other", ("text",), {"airport": "origin"})
    assert view()["wind"].feature_names == ("wind",)
    assert view().with_join_key_map({"airport": "origin"}).name == "weather"


def test_a_projection_of_what_is_not_there_is_refused():
    assert "'weather' has no feature 'wimd'. Did you mean 'wind'?" in refusal(lambda: view()[["wimd"]])
    assert "it takes no feature at all" in refusal(lambda: view()[[]])
    assert "'airprt' is not a join key of 'weather'. Did you mean 'airport'?" in refusal(
        lambda: view().with_join_key_map({"airprt": "x"})
    )
    assert "which is not a column name" in refusal(lambda: view().with_join_key_map({"airport": ""}))


def test_a_service_has_views_and_each_name_once():
    assert "it has no features" in refusal(lambda: FeatureService("s", features=[]))
    assert "'weather:wind' is not a feature view" in refusal(lambda: FeatureService("s", features=["weather:wind"]))
    assert "it takes feature view 'weather' twice" in refusal(lambda: FeatureService("s", features=[view(), view()]))
    service = FeatureService("s", features=[view(), view().with_name("other")])
    assert [one.name for one in service.projections] == ["weather", "other"]
    assert all(isinstance(one, FeatureViewProjection) for one in service.features)


# -- expectations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: expect.not_null(severity="error"), "severity 'error' is not one of fail, quarantine, nullify, warn"),
        (lambda: expect.not_null(at_least=0), "is not a share: above 0, at most 1"),
        (lambda: expect.not_null(at_least=1.1), "is not a share: above 0, at most 1"),
        (lambda: expect.not_null(severity="quarantine", at_least=0.9), "at_least= goes with fail and warn"),
        (lambda: expect.unique(severity="nullify", at_least=0.9), "at_least= goes with fail and warn"),
        (lambda: expect.row_count(1, severity="quarantine"), "its severity is fail or warn, not quarantine"),
        (lambda: expect.freshness("1d", severity="nullify"), "its severity is fail or warn, not nullify"),
        (lambda: expect.not_null(severity="nullify"), "nullify would put back the null"),
        (lambda: expect.between(None, None), "it needs a low or a high bound"),
        (lambda: expect.between(2, 1), "low=2 and high=1 are not bounds"),
        (lambda: expect.between(1, "a"), "they must be of one type"),
        (lambda: expect.not_null(at_least="x"), "is not a share"),
        (lambda: expect.new_keys("x"), "is not a share"),
        (lambda: expect.length("a"), "are not bounds of a length"),
        (lambda: expect.is_in(5), "a list of at least one value"),
        (lambda: expect.is_in([]), "it needs a list of at least one value and no None"),
        (lambda: expect.is_in([1, None]), "it needs a list of at least one value and no None"),
        (lambda: expect.length(), "are not bounds of a length"),
        (lambda: expect.length(-1), "are not bounds of a length"),
        (lambda: expect.length(3, 2), "are not bounds of a length"),
        (lambda: expect.row_count(), "are not bounds of a count"),
        (lambda: expect.row_count(3, 2), "are not bounds of a count"),
        (lambda: expect.freshness("soon"), "The max_age 'soon' is not"),
        (lambda: expect.freshness("0s"), "must be positive"),
        (lambda: expect.new_keys(1.5), "is not a share: 0 to 1"),
        (lambda: expect.null_share_change("x", -0.1), "is not a share: 0 to 1"),
        (lambda: expect.mean_change("x", 0), "must be a positive number"),
    ],
)
def test_a_check_that_means_nothing_is_refused(build, message):
    found = refusal(build)
    assert found.startswith("expect.")
    assert message in found


def test_a_check_says_what_it_is():
    assert expect.between(-40, 120).name == "between(-40, 120)"
    assert expect.freshness("1d").bounds == {"max_age": timedelta(days=1)}
    assert expect.row_count(5).name == "row_count(low=5)"
    assert expect.not_null().is_row_check
    assert not expect.new_keys(0.5).is_row_check
    assert expect.sql("  x > 0 ").bounds == {"predicate": "x > 0"}


# -- all definitions -------------------------------------------------------------------------------------------------

OBJECTS = [
    (AIRPORT, {"description": "other"}),
    (SOURCE, {"path": "other.parquet"}),
    (Field("x", Int64), {"source_column": "y"}),
    (expect.between(1, 2), {"severity": "warn"}),
    (view(), {"ttl": "1h"}),
    (view().with_name("other"), {"alias": "another"}),
    (FeatureService("s", features=[view()]), {"owner": "me"}),
]


@pytest.mark.parametrize(("definition", "changes"), OBJECTS)
def test_definitions_are_frozen_hashable_and_compared_without_their_places(definition, changes):
    name = next(iter(changes))
    with pytest.raises(FrozenInstanceError):
        setattr(definition, name, None)
    moved = replace(definition, location=Location("elsewhere.py", 1))
    assert moved == definition
    assert hash(moved) == hash(definition)
    assert replace(definition, **changes) != definition


def test_a_definition_keeps_its_own_copies_of_what_it_was_given():
    keys, tags = {"airport": String}, {"a": "b"}
    entity = Entity("airport", join_keys=keys, tags=tags)
    keys["more"], tags["c"] = String, "d"
    assert (entity.join_keys, entity.tags) == ({"airport": String}, {"a": "b"})
    schema = [Field("wind", Float64)]
    one = view(schema=schema)
    schema.append(Field("more", Float64))
    assert one.feature_names == ("wind",)


def test_problems_are_gathered_while_a_repo_is_loaded():
    with collecting() as problems:
        Entity("A", join_keys={})
        with collecting() as inner:
            Field("B", Int64)
        Field("C", Int64)
    assert [problem.object for problem in problems] == ["entity 'A'", "entity 'A'", "field 'C'"]
    assert [problem.object for problem in inner] == ["field 'B'"]
    with pytest.raises(DefinitionError):
        Field("D", Int64)


def test_an_object_knows_the_line_that_built_it():
    entity = Entity("airport", join_keys={"airport": String})
    frame = inspect.currentframe()
    assert frame is not None
    assert entity.location == Location(__file__, frame.f_lineno - 3)
    assert expect.not_null().location == Location(__file__, frame.f_lineno)
    assert view()[["wind"]].location == Location(__file__, frame.f_lineno)
    assert isinstance(expect.not_null(), Expectation)
