from __future__ import annotations

import json
import statistics
from typing import Any

import duckdb
import pytest

from hitherto.definitions import Entity, FeatureView, Field, ParquetSource
from hitherto.types import Bool, Bytes, Date, Decimal, Float64, Int64, List, String, Struct, Timestamp
from hitherto.validation import profile

VIEW = FeatureView(
    "rides",
    entities=[Entity("rider", join_keys={"k": Int64})],
    source=ParquetSource("a.parquet", timestamp_field="ts"),
    schema=[
        Field("f", Float64), Field("i", Int64), Field("d", Decimal(10, 2)), Field("s", String), Field("b", Bool),
        Field("day", Date), Field("at", Timestamp), Field("raw", Bytes), Field("l", List(Int64)), Field("st", Struct({"x": Int64})),
    ],
)  # fmt: skip


def computed(rows: int, **options: Any) -> dict[str, Any]:
    with duckdb.connect() as con:
        con.execute(
            "CREATE TABLE t AS SELECT i AS k, make_timestamp(i) AS __event, "
            "CASE WHEN i % 10 = 0 THEN NULL WHEN i % 10 = 1 THEN 'nan'::DOUBLE WHEN i % 10 = 2 THEN 'inf'::DOUBLE ELSE i % 100 END AS f, "
            "i AS i, (i / 4)::DECIMAL(10, 2) AS d, 'v' || i % 3 AS s, i % 4 = 0 AS b, DATE '2020-01-01' AS day, "
            "make_timestamp(i) AS \"at\", 'x'::BLOB AS raw, range(i % 3) AS l, {'x': i} AS st "
            f"FROM range({rows}) r(i)"
        )
        found = profile.compute(con, "t", VIEW, **options)
        assert con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE '__profile%'").fetchall() == [
            (0,)
        ]
    json.dumps(found, allow_nan=False)
    return found


def test_counts_bounds_and_moments_are_of_the_finite_values() -> None:
    found = computed(1000)
    f, i = found["features"]["f"], found["features"]["i"]
    assert found["rows"] == 1000
    assert found["sampled"] is None
    assert (f["count"], f["nulls"], f["null_share"], f["not_finite"]) == (900, 100, 0.1, 200)
    assert (f["min"], f["max"]) == (3.0, 99.0)
    assert (i["min"], i["max"], i["mean"]) == (0, 999, 499.5)
    assert abs(i["stddev"] - 288.8194) < 0.001
    assert abs(i["distinct"] - 1000) < 150
    assert i["quantiles"]["0.5"] == 499.5


def test_each_type_has_what_makes_sense_for_it() -> None:
    features = computed(100)["features"]
    assert (features["d"]["min"], features["d"]["max"]) == ("0.00", "24.75")
    assert (features["s"]["min"], features["s"]["max"], features["s"]["top"][0]) == ("v0", "v2", ["v0", 0.34])
    assert features["b"]["mean"] == 0.25
    assert features["b"]["top"] == [[False, 0.75], [True, 0.25]]
    assert features["day"]["top"] == [["2020-01-01", 1.0]]
    assert features["at"]["max"] == "1970-01-01T00:00:00.000099Z"
    assert features["l"]["length"] == {"min": 0, "max": 2, "mean": 0.99}
    assert set(features["st"]) == {"count", "nulls", "null_share"}
    assert "min" not in features["raw"]


def test_a_histogram_counts_every_finite_value_once() -> None:
    histogram = computed(1000)["features"]["i"]["histogram"]
    assert len(histogram["counts"]) == len(histogram["edges"]) + 1
    assert sum(histogram["counts"]) == 1000
    assert sum(computed(1000)["features"]["f"]["histogram"]["counts"]) == 700


def test_edges_of_an_earlier_profile_are_kept() -> None:
    first = computed(1000)
    later = computed(2000, previous=first)
    for name in ("i", "f", "d"):
        assert later["features"][name]["histogram"]["edges"] == first["features"][name]["histogram"]["edges"]
    assert later["features"]["i"]["histogram"]["counts"][-1] >= 999


def test_above_100_000_rows_quantiles_come_from_the_same_sample_each_time() -> None:
    first, again = computed(300_000), computed(300_000)
    assert 90_000 < first["sampled"] < 110_000
    assert first["sampled"] == again["sampled"]
    assert first["features"]["i"]["quantiles"] == again["features"]["i"]["quantiles"]
    assert abs(first["features"]["i"]["quantiles"]["0.5"] - 150_000) < 3_000


def test_no_rows_have_a_profile_too() -> None:
    found = computed(0)
    assert found["rows"] == 0
    assert found["features"]["f"]["mean"] is None
    assert found["features"]["f"]["null_share"] == 0.0
    assert "histogram" not in found["features"]["f"]
    assert found["features"]["s"]["top"] == []


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-3.3, 7.1), (1e300, 1.7e308), (5e-324, 1e-323), (-1e-9, 1e9), (7, 7)]
)
def test_edges_rise_and_span_the_range(low: float, high: float) -> None:
    edges = profile.round_edges(low, high)
    assert edges == sorted(set(edges))
    assert edges[0] <= low
    assert 1 <= len(edges) <= 24
    assert len(edges) == 1 or edges[-1] >= high


def test_mean_and_spread_keep_their_digits_far_from_zero_and_give_way_to_overflow() -> None:
    values = [1e12 + step / 7 for step in range(1000)]
    one = FeatureView(
        "far",
        entities=[Entity("rider", join_keys={"k": Int64})],
        source=ParquetSource("a.parquet", timestamp_field="ts"),
        schema=[Field("f", Float64), Field("huge", Float64), Field("same", Float64)],
    )
    with duckdb.connect() as con:
        con.execute(
            "CREATE TABLE t AS SELECT unnest($1::DOUBLE[]) AS f, unnest($2::DOUBLE[]) AS huge, 0.1::DOUBLE AS same",
            [values, [1.7e308, -1.7e308] * 500],
        )
        found = profile.compute(con, "t", one)["features"]
    assert found["f"]["mean"] == pytest.approx(statistics.fmean(values), rel=1e-15)
    assert found["f"]["stddev"] == pytest.approx(statistics.stdev(values), rel=1e-6)
    assert found["huge"]["stddev"] is None
    assert (found["same"]["mean"], found["same"]["stddev"]) == (0.1, 0.0)
