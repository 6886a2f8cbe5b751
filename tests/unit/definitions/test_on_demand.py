"""On-demand feature views: what a definition takes, what it refuses, what its functions may look like."""

from __future__ import annotations

import decimal
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypedDict

import pytest

from hitherto.definitions import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    OnDemandFeatureView,
    ParquetSource,
    RequestSource,
    expect,
    on_demand_feature_view,
    signature,
)
from hitherto.definitions.on_demand import OnDemandProjection, bind
from hitherto.errors import DefinitionError
from hitherto.registry import discovery
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

AIRPORT = Entity("airport", join_keys={"airport": String})
WEATHER = FeatureView(
    "weather",
    entities=[AIRPORT],
    source=ParquetSource("weather.parquet", timestamp_field="at"),
    schema=[Field("wind", Float64), Field("sky", String)],
)
TRAFFIC = FeatureView(
    "traffic",
    entities=[AIRPORT],
    source=ParquetSource("traffic.parquet", timestamp_field="at"),
    schema=[Field("wind", Float64), Field("flights", Int64)],
)
TRIP = RequestSource("trip", schema=[Field("departs_at", Timestamp), Field("bags", Int64)])
ONE = [Field("x", Float64)]


def made(function: Any, *sources: Any, schema: Sequence[Field] = ONE, **more: Any) -> OnDemandFeatureView:
    return on_demand_feature_view(sources=sources, schema=schema, **more)(function)


def problems(*objects: Any) -> str:
    with pytest.raises(DefinitionError) as caught:
        discovery.collect(objects)
    return str(caught.value)


def minutes(departs_at: datetime | None, now: datetime) -> float | None:
    """Minutes to departure."""
    return None if departs_at is None else (departs_at - now).total_seconds() / 60


def test_a_decorated_function_is_a_view_with_the_functions_name_path_and_hash() -> None:
    view = made(minutes, TRIP)
    assert (view.name, view.description, view.mode) == ("minutes", "Minutes to departure.", "python")
    assert view.parameters == ("departs_at", "now")
    assert view.import_path == f"{__name__}:minutes"
    assert len(view.source_hash) == 64
    assert view.location is not None
    assert view.location.file == __file__
    at = datetime.fromisoformat("2013-01-01T12:00Z")
    assert view(at, at) == 0


def test_the_hash_is_of_the_function_alone_not_of_its_decorators_nor_of_blanks() -> None:
    def source(text: str) -> str:
        import linecache

        name = f"<hashed {len(text)} {hash(text)}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        room: dict[str, Any] = {"plain": lambda function: function}
        exec(compile(text, name, "exec"), room)
        return signature.source_hash(room["f"], "f", None)

    first = source("def f(a):\n    return a\n")
    assert first == source("@plain\ndef f(a):\n    return a   \n")
    assert first == source("if True:\n    @plain\n    @plain\n    def f(a):\n        return a\n")
    assert first != source("def f(a):\n    return a + 1\n")


def test_its_sources_are_views_whole_or_in_part_other_on_demand_views_and_request_sources() -> None:
    inner = made(minutes, TRIP)

    def late(minutes: float | None, flights: int | None) -> float | None:
        return minutes

    outer = made(late, made(minutes, TRIP, schema=[Field("minutes", Float64)]), TRAFFIC[["flights"]])
    assert [one.feature for one in outer.inputs] == ["minutes", "flights"]
    assert inner["x"] == OnDemandProjection(inner, ("x",))
    service = FeatureService("model", features=[WEATHER, outer, inner[["x"]]])
    assert [one.name for one in service.projections] == ["weather", "late", "minutes"]


def test_a_parameter_is_the_one_input_of_its_name_or_is_told_apart_by_its_view() -> None:
    def f(wind: float, weather__wind: float, bags: int, now: datetime) -> float:
        return wind

    view = made(f, WEATHER, TRAFFIC, TRIP)
    assert "call it weather__wind or traffic__wind" in str(bind(view, "wind"))
    assert "Did you mean 'bags'?" in str(bind(view, "bag"))
    found = [one.feature for one in view.inputs]
    assert found == ["wind", "bags", "now"]
    assert view.inputs[2].is_now
    said = problems(view)
    assert (
        "its parameter 'wind' could be given by several of its sources; call it weather__wind or traffic__wind." in said
    )
    assert __file__.rpartition("/")[2] in said


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda bags: bags, "a lambda has no source of its own"),
        (len, "which is no function"),
        (lambda: None, "a lambda"),
    ],
)
def test_what_is_no_plain_function_is_refused(function: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        made(function, TRIP, name="f")


def test_parameters_that_take_anything_or_have_defaults_are_refused() -> None:
    def stars(*values: float) -> float:
        return 0.0

    def default(bags: int = 3) -> float:
        return 0.0

    async def later(bags: int) -> float:
        return 0.0

    def many(bags: int) -> Any:
        yield bags

    for function, said in (
        (stars, "takes anything"),
        (default, "has a default"),
        (later, "async or a generator"),
        (many, "async or a generator"),
    ):
        with pytest.raises(DefinitionError, match=said):
            made(function, TRIP)


def test_what_is_wrong_with_a_definition_is_said_when_it_is_built() -> None:
    for more, said in (
        ({"schema": []}, "no fields"),
        ({"schema": "x"}, "list of fields"),
        ({"schema": [Field("x", Float64), Field("x", Int64)]}, "stands twice"),
        ({"schema": [Field("x", Float64, expect=[expect.not_null()])]}, "rows that a run reads"),
        ({"mode": "pandas"}, "neither 'python' nor 'polars'"),
        ({"name": "Not a name"}, "is not a name"),
    ):
        with pytest.raises(DefinitionError, match=said):
            made(minutes, TRIP, **more)
    with pytest.raises(DefinitionError, match="neither a feature view nor a RequestSource"):
        made(minutes, AIRPORT)
    with pytest.raises(DefinitionError, match="two of its sources are called 'trip'"):
        made(minutes, TRIP, TRIP)
    with pytest.raises(DefinitionError, match="has no feature 'y'"):
        made(minutes, TRIP)[["y"]]
    with pytest.raises(DefinitionError, match="rows that a run reads"):
        RequestSource("trip", schema=[Field("bags", Int64, source_column="Bags")])


class Typed(TypedDict):
    x: float


@pytest.mark.parametrize(
    ("kind", "fitting", "other"),
    [
        (Bool, bool, int),
        (Int64, int, str),
        (Int8, float, bool),
        (Float64, float, int),
        (Float32, float | None, str),
        (String, str | None, bytes),
        (Bytes, bytes, str),
        (Date, date, datetime),
        (Timestamp, datetime, date),
        (Decimal(10, 2), decimal.Decimal, float),
        (List(Int64), list[int], list[str]),
        (List(Int64), list, set),
        (List(String), Sequence[str], str),
        (Struct({"a": Int64}), dict[str, Any], list),
        (Struct({"x": Float64}), Typed, str),
        (Struct({"a": Int64}), Mapping[str, int], int),
        (Float64, Any, str),
        (Float64, object, bytes),
    ],
)
def test_an_annotation_fits_what_the_type_is_in_python(kind: DataType, fitting: Any, other: Any) -> None:
    assert signature.takes(fitting, kind)
    assert not signature.takes(other, kind)


def test_functions_without_annotations_or_with_wrong_ones_are_refused_with_the_fix() -> None:
    def bare(bags, now):
        return bags

    def wrong(bags: str, now: date) -> str:
        return bags

    said = problems(made(bare, TRIP), made(wrong, TRIP, schema=[Field("y", Float64), Field("z", Int64)]))
    assert "its parameter 'bags' has no annotation; it is given Int64: write bags: int | None." in said
    assert "write now: datetime | None" in said
    assert "what it returns has no annotation" in said
    assert "its parameter 'bags' is annotated with str, and is given Int64: write bags: int | None." in said
    assert "it returns str by its annotation; a dict of features is needed." in said


def test_annotations_that_cannot_be_resolved_are_refused() -> None:
    def f(bags: Nowhere) -> float:  # type: ignore[name-defined]  # noqa: F821
        return 0.0

    assert "import at run time what they name" in problems(made(f, TRIP))


def test_what_returns_a_dict_or_the_one_value_by_its_annotation_is_taken() -> None:
    def as_dict(bags: int) -> dict[str, Any]:
        return {}

    def as_typed(bags: int) -> Typed | None:
        return None

    def as_int(bags: int) -> int | None:
        return bags

    discovery.collect([made(as_dict, TRIP), made(as_typed, TRIP), made(as_int, TRIP)])


def test_unknown_inputs_are_refused_at_plan() -> None:
    def f(windd: float) -> float:
        return windd

    said = problems(made(f, WEATHER))
    assert "its parameter 'windd' is neither an input of its sources nor 'now'. Did you mean 'wind'?" in said


def test_views_built_on_each_other_in_a_circle_are_refused() -> None:
    def first(bags: int | None) -> int | None:
        return bags

    def second(a: int | None) -> int | None:
        return a

    def third(b: int | None) -> int | None:
        return b

    one = made(first, TRIP, schema=[Field("a", Int64)], name="one")
    two = made(second, one, schema=[Field("b", Int64)], name="two")
    # Defined again, on what is built on it: names are what views are known by.
    with pytest.raises(DefinitionError, match="it is built on itself: one -> two -> one. Break the circle."):
        made(third, two, schema=[Field("a", Int64)], name="one")
    with pytest.raises(DefinitionError, match="it is built on itself: one -> one"):
        made(second, one, schema=[Field("b", Int64)], name="one")
    other_two = made(first, TRIP, schema=[Field("b", Int64)], name="two")
    other_one = made(third, other_two, schema=[Field("a", Int64)], name="one")
    # No single object goes round here, so that the second definitions are what is wrong.
    assert "defined a second time, differently" in problems(two, other_one)


def test_names_keys_and_request_fields_mean_one_thing() -> None:
    def f(bags: int | None) -> int | None:
        return bags

    def g(wind: float | None) -> float | None:
        return wind

    assert "it has the name of a feature view" in problems(made(f, TRIP, name="weather"), WEATHER)
    clash = RequestSource("other", schema=[Field("bags", String)])
    assert "its field 'bags' is String, but that of request source 'trip'" in problems(
        made(f, TRIP, name="a"), made(f, clash, name="b")
    )
    key = RequestSource("keys", schema=[Field("airport", Int64)])
    assert "the join key of entity 'airport'" in problems(made(f, key, TRIP, name="a"), AIRPORT)
    twice = RequestSource("trip", schema=[Field("bags", Int64)])
    assert "request source 'trip': it is defined a second time" in problems(
        made(f, TRIP, name="a"), made(f, twice, name="b")
    )
    moved = WEATHER.with_join_key_map({"airport": "alternate"})
    assert "give that a name of its own with .with_name(...)" in problems(made(g, moved, name="a"))
    renamed = moved.with_name("traffic")
    assert "which is the name of another view" in problems(made(g, renamed, name="a"), TRAFFIC)
    field = RequestSource("field", schema=[Field("alternate", Int64), Field("wind", Float64)])
    said = problems(made(g, field, name="a"), WEATHER, FeatureService("service", features=[renamed]))
    assert "its field 'alternate' is Int64, but the column that 'traffic' takes its key 'airport' from" in said

    def h(field__wind: float | None) -> float | None:
        return field__wind

    assert "its field 'alternate' is Int64, but the column" in problems(made(h, field, renamed, name="a"), WEATHER)
    same = RequestSource("field", schema=[Field("alternate", String), Field("wind", Float64)])
    assert discovery.collect([made(h, same, renamed, name="a"), WEATHER]).on_demand_feature_views


def test_an_input_called_now_is_not_taken_for_the_instant_nor_the_other_way_round() -> None:
    clock = RequestSource("clock", schema=[Field("now", Timestamp)])

    def f(now: datetime) -> float | None:
        return None

    def g(clock__now: datetime | None) -> float | None:
        return None

    said = problems(made(f, clock))
    assert (
        "its parameter 'now' is the instant, but 'clock' has an input of that name: call the parameter clock__now"
        in said
    )
    named = made(g, clock)
    assert [one.is_now for one in named.inputs] == [False]
    assert discovery.collect([named]).on_demand_feature_views


def test_a_projection_hides_what_it_leaves_out() -> None:
    def f(sky: str | None) -> float | None:
        return None

    assert "neither an input" in problems(made(f, WEATHER[["wind"]]))
