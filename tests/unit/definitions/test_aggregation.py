"""What an aggregation accepts, how its features are called, and what a view makes of it."""

from datetime import timedelta

import pytest

from hitherto import Aggregation, DefinitionError, Entity, FeatureView, Field, ParquetSource, expect
from hitherto.registry import json_format
from hitherto.types import Decimal, Float64, Int32, Int64, List, String

CUSTOMER = Entity("customer", join_keys={"customer": Int64})
PAYMENTS = ParquetSource("payments.parquet", timestamp_field="at")


def view(*aggregations, **options):
    return FeatureView("spend", entities=[CUSTOMER], source=PAYMENTS, aggregations=aggregations, **options)


def test_features_are_named_by_column_function_and_window():
    spend = view(
        Aggregation("amount", "sum", windows=["1h", "24h", timedelta(days=30)]),
        Aggregation("amount", "last", n=5),
        Aggregation("amount", "percentile", p=0.95, windows=["7d"]),
        Aggregation("amount", "percentile", p=0.999, windows=["7d"]),
        Aggregation("amount", "count", windows=["1h 30m"], name="payments"),
    )
    assert spend.feature_names == (
        "amount_sum_1h",
        "amount_sum_24h",
        "amount_sum_30d",
        "amount_last_5",
        "amount_p95_7d",
        "amount_p99_9_7d",
        "payments_1h30m",
    )
    assert spend.column_names == ("amount",)
    assert spend.windowed[1].window == 86_400_000_000


@pytest.mark.parametrize(
    ("function", "kind", "made"),
    [
        ("count", String, Int64),
        ("sum", Int32, Int64),
        ("sum", Float64, Float64),
        ("sum", Decimal(10, 2), Decimal(38, 2)),
        ("mean", Decimal(10, 2), Float64),
        ("max", String, String),
        ("count_distinct", String, Int64),
    ],
)
def test_the_type_of_a_feature_follows_from_the_function_and_the_column(function, kind, made):
    assert [one.dtype for one in view(Aggregation("x", function, dtype=kind)).features] == [made]


def test_last_n_makes_a_list():
    assert view(Aggregation("x", "last", n=2, dtype=String)).features[0].dtype == List(String)


def test_a_column_is_read_as_a_number_where_one_function_needs_one():
    spend = view(Aggregation("amount", "count", windows=["1h"]), Aggregation("amount", "sum", windows=["1h"]))
    assert [(one.name, one.dtype) for one in spend.schema] == [("amount", Float64)]
    assert view(Aggregation("merchant", "count", windows=["1h"])).schema[0].dtype == String


def test_a_type_that_is_written_wins():
    spend = view(Aggregation("amount", "sum"), Aggregation("amount", "max", dtype=Int64))
    assert spend.schema[0].dtype == Int64
    assert [one.dtype for one in spend.features] == [Int64, Int64]


def test_the_schema_declares_type_column_and_checks():
    amount = Field("amount", Decimal(10, 2), source_column="Amount EUR", expect=[expect.not_null()])
    spend = view(Aggregation("amount", "sum"), schema=[amount])
    assert spend.schema == (amount,)
    assert spend.field("amount_sum").dtype == Decimal(38, 2)


def test_rows_are_kept_as_long_as_the_longest_window():
    assert view(Aggregation("amount", "sum", windows=["1h", "2h"])).online_retention_micros == 2 * 3_600_000_000 - 1
    assert view(Aggregation("amount", "sum", windows=["1h"]), Aggregation("amount", "last")).longest_window is None


def test_rows_of_one_event_time_are_versions_only_by_a_created_time():
    created = ParquetSource("p.parquet", timestamp_field="at", created_timestamp_field="written")
    assert not view(Aggregation("amount", "sum")).has_versions
    assert FeatureView("v", entities=[], source=created, aggregations=[Aggregation("amount", "sum")]).has_versions
    assert FeatureView("v", entities=[], source=PAYMENTS, schema=[Field("amount", Float64)]).has_versions


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Aggregation("amount", "summ"), "Did you mean 'sum'"),
        (lambda: Aggregation("Amount", "sum"), "not a name"),
        (lambda: Aggregation("amount", "sum", windows=[]), "windows= is empty"),
        (lambda: Aggregation("amount", "sum", windows="1h"), "is not a list"),
        (lambda: Aggregation("amount", "sum", windows=5), "is not a list"),
        (lambda: Aggregation("amount", "sum", windows=["0s"]), "not above zero"),
        (lambda: Aggregation("amount", "sum", windows=["1 fortnight"]), "is not a timedelta"),
        (lambda: Aggregation("amount", "sum", windows=["24h", "1d"]), "one and the same"),
        (lambda: Aggregation("amount", "sum", n=3), "n= goes with last"),
        (lambda: Aggregation("amount", "last", n=0), "not a number of values"),
        (lambda: Aggregation("amount", "sum", p=0.5), "p= goes with percentile"),
        (lambda: Aggregation("amount", "percentile"), "needs p="),
        (lambda: Aggregation("amount", "percentile", p=95), "needs p="),
        (lambda: Aggregation("amount", "sum", dtype="Float64"), "not a type"),
        (lambda: view(Aggregation("amount", "sum", dtype=String)), "needs a number"),
        (lambda: view(Aggregation("amount", "max", dtype=List(Int64))), "does not take"),
        (
            lambda: view(Aggregation("amount", "sum", dtype=Int64), Aggregation("amount", "max", dtype=Float64)),
            "a column has one type",
        ),
        (
            lambda: view(Aggregation("amount", "sum"), Aggregation("amount", "sum")),
            "Give one of the aggregations another",
        ),
        (lambda: view(Aggregation("customer", "count")), "read it under a second name"),
        (lambda: Aggregation("amount", "sum", tags=5), "is not a mapping"),
        (lambda: view(Aggregation("amount", "sum"), schema=[Field("other", Int64)]), "looked at by no aggregation"),
        (lambda: view(Aggregation("amount", "sum"), ttl="1h"), "their windows say"),
        (lambda: view("sum"), "is not a list of Aggregation"),
        (lambda: view(), "it has no features"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(made, message):
    with pytest.raises(DefinitionError, match=message) as caught:
        made()
    assert "test_aggregation.py" in str(caught.value)


def test_it_comes_back_from_json_equal():
    spend = view(
        Aggregation("amount", "sum", windows=["24h"], description="Spent.", tags={"a": "b"}),
        Aggregation("amount", "last", n=5),
        Aggregation("amount", "percentile", p=0.5, windows=["7d"], name="median"),
    )
    back = json_format.from_json(json_format.to_json(spend))
    assert back == spend
    assert back.windowed == spend.windowed


def test_a_changed_window_starts_a_version_and_a_description_does_not():
    def key(**options):
        return json_format.version_key(view(Aggregation("amount", "sum", **options)))

    assert key(windows=["1h"]) != key(windows=["2h"])
    assert key(windows=["1h"]) == key(windows=["1h"], description="Spent.")


def test_percentiles_that_differ_have_names_that_differ():
    names = [
        Aggregation("x", "percentile", p=p).features(Float64)[0].name for p in (0.9999999, 1, 0.333333, 1 / 3, -0.0)
    ]
    assert names == ["x_p99_99999", "x_p100", "x_p33_3333", "x_p33_33333333", "x_p0"]


def test_a_key_is_counted_under_a_second_name():
    spend = view(
        Aggregation("payments", "count", windows=["1h"]), schema=[Field("payments", Int64, source_column="customer")]
    )
    assert spend.feature_names == ("payments_count_1h",)
