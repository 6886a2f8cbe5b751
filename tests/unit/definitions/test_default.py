"""Defaults: values of the type, taken without loss; everything else is refused when it is declared."""

from datetime import UTC, date, datetime
from decimal import Decimal as Number
from math import inf, isnan, nan

import pytest

from hitherto import Aggregation, DefinitionError, Entity, FeatureView, Field, ParquetSource
from hitherto.definitions.default import taken
from hitherto.registry import json_format
from hitherto.types import (
    Bool,
    Bytes,
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
)  # fmt: skip

NESTED = List(Struct({"x": Float64, "tags": List(String)}))
NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
SUITED = [
    (Bool, False, False),
    (Int8, -128, -128),
    (Int64, 2**63 - 1, 2**63 - 1),
    (Float64, 0, 0.0),
    (Float64, -0.0, -0.0),
    (Float64, inf, inf),
    (Float32, 0.1, 0.10000000149011612),
    (String, "", ""),
    (Bytes, b"\x00\xff", b"\x00\xff"),
    (Date, date(2013, 1, 1), date(2013, 1, 1)),
    (Timestamp, NOON, NOON),
    (Decimal(10, 2), 1, Number("1.00")),
    (List(Int8), (), []),
    (List(Decimal(3, 1)), [None, 1], [None, Number("1.0")]),
    (NESTED, [{"x": 1, "tags": ["\x1f"]}, {}], [{"x": 1.0, "tags": ["\x1f"]}, {"x": None, "tags": None}]),
]
UNSUITED = [
    (Bool, 0),
    (Int8, 128),
    (Int64, 1.0),
    (Int64, True),
    (Float64, 2**53 + 1),
    (Float64, "0"),
    (Float32, 0.1000000001),
    (Float32, 1e300),
    (String, b"a"),
    (String, "\ud800"),
    (Date, NOON),
    (Timestamp, datetime(2013, 1, 1)),
    (Timestamp, "2013-01-01T00:00:00Z"),
    (Decimal(4, 2), 100),
    (Decimal(10, 2), Number("0.001")),
    (List(Int8), {1}),
    (List(Float32), [1.0, 16777217]),
    (NESTED, [{"z": 1}]),
    (Struct({"at": Timestamp}), {"at": datetime(2013, 1, 1)}),
]


@pytest.mark.parametrize(("kind", "given", "wanted"), SUITED, ids=repr)
def test_a_default_is_taken_as_answers_have_it_and_comes_back_from_json(kind, given, wanted):
    field = Field("x", kind, default=given)
    assert repr(field.default) == repr(wanted)
    document = json_format.to_json(field)
    assert repr(json_format.from_json(document).default) == repr(wanted)
    assert json_format.comparable(json_format.from_json(document)) == json_format.comparable(field)


@pytest.mark.parametrize(("kind", "given"), UNSUITED, ids=repr)
def test_what_is_no_value_of_the_type_is_refused(kind, given):
    with pytest.raises(ValueError, match="default="):
        taken(kind, given)
    with pytest.raises(DefinitionError, match="default=") as refused:
        Field("x", kind, default=given)
    assert refused.value.problems[0].object == "field 'x'"


def test_nan_is_a_default_and_equals_itself():
    assert isnan(Field("x", Float64, default=nan).default)
    assert Field("x", Float64, default=nan) == Field("x", Float64, default=nan)


def test_a_field_without_a_default_is_written_as_before_there_were_any():
    assert "default" not in json_format.to_json(Field("x", Float64))
    assert json_format.comparable(Field("x", Float64, default=1)) != json_format.comparable(Field("x", Float64))


def windowed(*aggregations, **options):
    source = ParquetSource("payments.parquet", timestamp_field="at")
    customer = Entity("customer", join_keys={"customer": Int64})
    return FeatureView("spend", entities=[customer], source=source, aggregations=aggregations, **options)


def test_counts_have_zero_and_the_others_what_they_are_given():
    view = windowed(
        Aggregation("amount", "count", windows=["1h"]),
        Aggregation("amount", "count_distinct", windows=["1h"], default=-1),
        Aggregation("amount", "sum", windows=["1h", "2h"], default=0),
        Aggregation("amount", "mean", windows=["1h"]),
        Aggregation("amount", "last", n=2, default=[]),
    )
    assert view.defaults == {
        "amount_count_1h": 0,
        "amount_count_distinct_1h": -1,
        "amount_sum_1h": 0.0,
        "amount_sum_2h": 0.0,
        "amount_last_2": [],
    }
    again = json_format.from_json(json_format.to_json(view))
    assert again.defaults == view.defaults
    assert json_format.comparable(again) == json_format.comparable(view)


def test_a_default_of_an_aggregation_is_of_the_features_type():
    with pytest.raises(DefinitionError, match="default=0.5 is not a value of Int64"):
        windowed(Aggregation("amount", "sum", dtype=Int64, windows=["1h"], default=0.5))


def test_a_column_that_is_aggregated_has_no_default_of_its_own():
    with pytest.raises(DefinitionError, match="belongs to its Aggregation"):
        windowed(Aggregation("amount", "sum", windows=["1h"]), schema=[Field("amount", Float64, default=1)])


def test_a_default_starts_no_version():
    plain, given = (windowed(Aggregation("amount", "sum", default=one)) for one in (None, 0))
    assert json_format.version_key(plain) == json_format.version_key(given)
