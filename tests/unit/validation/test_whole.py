from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hitherto.definitions import Expectation, FeatureView, Field, ParquetSource, expect
from hitherto.types import Float64
from hitherto.validation.whole import WholeFacts, evaluate

HOUR = 3_600_000_000


def profile(**feature: Any) -> dict[str, Any]:
    return {"rows": 100, "features": {"v": {"null_share": 0.1, "mean": 10.0, "stddev": 2.0, **feature}}}


FACTS = WholeFacts(
    rows=100, keys=10, new_keys=1, newest_event=0, end=HOUR, profile=profile(), previous_profile=profile()
)
FIRST = replace(FACTS, new_keys=None, previous_profile=None)


def passes(check: Expectation, facts: WholeFacts = FACTS) -> bool:
    view = FeatureView(
        "v", source=ParquetSource("a.parquet", timestamp_field="t"), schema=[Field("v", Float64)], expect=[check]
    )
    (result,) = evaluate(view, facts)
    assert result.detail
    assert result.broken == (not result.passed)
    assert result.rows == facts.rows
    return result.passed


def now(**feature: Any) -> WholeFacts:
    return replace(FACTS, profile=profile(**feature))


@pytest.mark.parametrize(
    ("check", "facts", "expected"),
    [
        (expect.row_count(100, 100), FACTS, True),
        (expect.row_count(101), FACTS, False),
        (expect.row_count(None, 99), FACTS, False),
        (expect.freshness("1h"), FACTS, True),
        (expect.freshness("59m"), FACTS, False),
        (expect.freshness("1s"), replace(FACTS, newest_event=2 * HOUR), True),
        (expect.freshness("1s"), replace(FACTS, newest_event=None, rows=0), True),
        (expect.new_keys(0.1), FACTS, True),
        (expect.new_keys(0.09), FACTS, False),
        (expect.new_keys(0.0), FIRST, True),
        (expect.new_keys(0.0), replace(FACTS, keys=0, new_keys=0), True),
        (expect.null_share_change("v", 0.1), now(null_share=0.2), True),
        (expect.null_share_change("v", 0.1), now(null_share=0.21), False),
        (expect.null_share_change("v", 0.0), FIRST, True),
        (expect.null_share_change("v", 0.0), replace(now(null_share=1.0), rows=0), True),
        (expect.mean_change("v", 0.5), now(mean=11.0), True),
        (expect.mean_change("v", 0.5), now(mean=11.1), False),
        (expect.mean_change("v", 0.5), FIRST, True),
        (expect.mean_change("v", 0.5), now(mean=None), True),
        (expect.mean_change("v", 5), replace(now(mean=10.1), previous_profile=profile(stddev=0.0)), False),
        (expect.mean_change("v", 5), replace(FACTS, previous_profile=profile(stddev=None)), True),
    ],
)
def test_checks_on_the_whole(check: Expectation, facts: WholeFacts, expected: bool) -> None:
    assert passes(check, facts) is expected


def test_row_checks_are_not_judged_here() -> None:
    view = FeatureView(
        "v",
        source=ParquetSource("a.parquet", timestamp_field="t"),
        schema=[Field("v", Float64)],
        expect=[expect.sql("v > 0")],
    )
    assert evaluate(view, FACTS) == ()
