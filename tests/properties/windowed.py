"""Scenarios of windowed views: every function, over rows that are events or versions, known at once, after a while or late."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from hitherto.types import Bytes, Date, Decimal, Float32, Float64, Int32, Int64, String
from properties.histories import PREFIXES, Scenario, side

NUMBERS = ("count", "sum", "mean", "min", "max", "stddev", "variance", "first", "last", "count_distinct")


def of(column: int, *functions: str, **parameters: object) -> tuple[tuple[int, str, dict[str, object]], ...]:
    return tuple((column, function, parameters) for function in functions)


MEDIAN = ((0, "percentile", {"p": 0.5}), (0, "percentile", {"p": 0.9}), (0, "last", {"n": 2}))
_SCENARIOS = (
    Scenario(
        "events, one integer",
        {"k": Int64},
        lambda n: ((n - 3) * (2**50 + 1),),
        (Float64,),
        windows=(1, 5, 9),
        aggregated=of(0, *NUMBERS, "approx_count_distinct") + MEDIAN,
    ),
    Scenario(
        "versions known late, pairs of integers",
        {"a": Int64, "b": Int32},
        side,
        (Int64, String),
        known="column",
        created=True,
        storage="us_utc",
        windows=(4, 7),
        aggregated=of(0, *NUMBERS) + MEDIAN + of(1, "count", "min", "max", "first", "last", "count_distinct"),
    ),
    Scenario(
        "events known after a while, texts, all rows of a key",
        {"k": String},
        lambda n: (PREFIXES[n % len(PREFIXES)] + str(n // len(PREFIXES)),),
        (Decimal(10, 2),),
        known="after",
        known_after=3,
        windows=(3, None),
        aggregated=of(0, *NUMBERS, "approx_count_distinct") + MEDIAN,
    ),
    Scenario(
        "events known late, New York's clock change",
        {"k": Bytes},
        lambda n: (n.to_bytes(2, "big"),),
        (Float32, Date),
        known="column",
        base="2013-11-03T05:59:50Z",
        unit=1_000_000,
        storage="us_new_york",
        windows=(2, 6),
        aggregated=of(0, *NUMBERS) + MEDIAN + of(1, "count", "min", "last", "approx_count_distinct"),
    ),
    Scenario(
        "versions, all rows of a key",
        {"k": Date},
        lambda n: (date(1969, 12, 1) + timedelta(days=n),),
        (Int64,),
        created=True,
        unit=1_000,
        windows=(5, None),
        aggregated=of(0, *NUMBERS) + MEDIAN,
    ),
)  # fmt: skip
WINDOWED = tuple(replace(one, online=False) for one in _SCENARIOS)
SERVED = _SCENARIOS
"""The same, with online rows."""
