"""Windows in plain Python: numbers that anyone can check by hand."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from hitherto import types
from hitherto.testing import WindowRow, aggregate, rows_of_window
from hitherto.types import Bool, Float64, Int64, String


@pytest.mark.parametrize(
    ("function", "values", "kind", "wanted"),
    [
        ("count", [1, None, 3], Int64, 2),
        ("count", [None], Int64, 0),
        ("sum", [0.1] * 10, Float64, 1.0),
        ("sum", [1e308, 1e308, -1e308], Float64, 1e308),
        ("sum", [1e308, 1e308], Float64, math.inf),
        ("sum", [2**63 - 1, 1], Int64, None),
        ("sum", [Decimal("0.10"), Decimal("0.25")], types.Decimal(4, 2), Decimal("0.35")),
        ("mean", [1, 2], Int64, 1.5),
        ("variance", [1.0, 2.0, 3.0, 4.0], Float64, 5 / 3),
        ("stddev", [1.0, 3.0], Float64, math.sqrt(2)),
        ("stddev", [1.0], Float64, None),
        ("max", [1.0, math.nan, math.inf], Float64, math.nan),
        ("min", [0.0, -0.0], Float64, -0.0),
        ("max", ["\uffff", "\U0001f600"], String, "\U0001f600"),
        ("first", [None, "b", "a"], String, "b"),
        ("last", ["b", "a", None], String, "a"),
        ("count_distinct", [0.0, -0.0, math.nan, math.nan, None], Float64, 2),
        ("count_distinct", [True, False, True], Bool, 2),
        ("approx_count_distinct", ["a", "a", "b"], String, 2),
    ],
)
def test_a_function_of_a_few_values(function: str, values: list[object], kind: types.DataType, wanted: object) -> None:
    found = aggregate(function, values, kind)
    assert repr(found) == repr(wanted)


def test_the_last_n_and_percentiles() -> None:
    assert aggregate("last", [1, None, 2, 3], Int64, n=2) == [2, 3]
    assert aggregate("last", [], Int64, n=2) is None
    assert [aggregate("percentile", [30, 10, 20], Int64, p=p) for p in (0.0, 0.25, 1.0)] == [10.0, 15.0, 30.0]


def test_a_window_begins_behind_its_first_instant_and_ends_with_its_last() -> None:
    rows = [WindowRow(event, event, None, None) for event in (0, 10, 20)]
    assert [[row.event for row in rows_of_window(rows, at, 10)] for at in (9, 10, 19, 20)] == [[0], [10], [10], [20]]


def test_a_row_is_there_from_its_start_until_its_end() -> None:
    rows = [WindowRow(0, 5, 8, "masked"), WindowRow(0, 8, None, "again")]
    assert [[row.value for row in rows_of_window(rows, at, None)] for at in (4, 5, 7, 8)] == [[], ["masked"], ["masked"], ["again"]]  # fmt: skip


def test_of_versions_the_greatest_that_is_there_counts() -> None:
    rows = [WindowRow(0, 0, None, "first"), WindowRow(0, 5, None, "corrected")]
    assert [row.value for row in rows_of_window(rows, 4, None, versions=True)] == ["first"]
    assert [row.value for row in rows_of_window(rows, 5, None, versions=True)] == ["corrected"]
    assert len(rows_of_window(rows, 5, None)) == 2
