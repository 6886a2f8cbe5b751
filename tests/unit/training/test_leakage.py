from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from hitherto.training.leakage import FeatureLeakage, LeakageReport, as_numbers, auc


def area(values: list[Any], label: list[Any], kind: pa.DataType | None = None) -> float | None:
    return auc(pa.chunked_array([pa.array(values, kind)]), pa.chunked_array([pa.array(label)]))


@pytest.mark.parametrize(
    ("values", "label", "wanted"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 1.0),
        ([4, 3, 2, 1], [0, 0, 1, 1], 0.0),
        ([1, 1, 1, 1], [0, 1, 0, 1], 0.5),
        ([1, 2, 2, 3], [0, 0, 1, 1], 0.875),
        ([1.0, float("nan"), None, 2.0], [False, True, True, True], 1.0),
        ([True, False], [1.5, 0.5], 1.0),
        ([Decimal("1.10"), Decimal("1.2")], [0, 1], 1.0),
        ([1, 2], [0, 0], None),
        ([1, 2, 3], [0, 1, 2], None),
        (["a", "b"], [0, 1], None),
        ([1, 2], ["a", "b"], None),
        ([None, None], [0, 1], None),
    ],
)
def test_the_area_is_by_ranks_with_ties_counted_half_and_none_where_it_has_no_meaning(
    values: list[Any], label: list[Any], wanted: float | None
) -> None:
    assert area(values, label) == wanted


def test_int64_values_do_not_fail_beyond_what_a_float_holds() -> None:
    assert area([2**63 - 1, -(2**63)], [1, 0]) == 1.0
    assert as_numbers(pa.chunked_array([pa.array([[1]])])) is None


@pytest.mark.parametrize(("value", "wanted"), [(0.95, True), (0.05, True), (0.9, True), (0.5, False), (None, False)])
def test_an_area_near_one_or_near_zero_is_suspicious(value: float | None, wanted: bool) -> None:
    assert FeatureLeakage("f", "v", 0.0, value, False).suspicious is wanted


def test_a_report_names_what_a_person_should_look_at() -> None:
    features = (FeatureLeakage("leak", "v", 1.0, 0.99, True), FeatureLeakage("fine", "v", 0.0, None, False))
    report = LeakageReport("late", features)
    assert report.suspicious == features[:1]
    lines = str(report).splitlines()
    assert "SUSPICIOUS: alone it all but decides the label; of the label's own table" in lines[1]
    assert lines[2].split() == ["fine", "-", "0.0%"]
    assert report._repr_html_().startswith("<pre>")
