"""Strategies: a case is one key's history. Ticks are small, so that ties and the edges of a ttl happen by themselves.

A scenario says what all histories of one repo share: keys, types, time columns, ttl, how times are stored. A history is a
handful of rows, each with the deliveries in which the source holds it: rows arrive late, are replaced, vanish, come twice.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as Number
from typing import Any, Literal

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, given, seed, settings

from hitherto.timeline import instant
from hitherto.types import (
    Bool,
    Bytes,
    DataType,
    Date,
    Decimal,
    Float32,
    Float64,
    Int8,
    Int32,
    Int64,
    List,
    String,
    Struct,
    Timestamp,
)

# Not HITHERTO_*: such variables are settings, and these are none. Left in the environment for the workers of a parallel run.
CASES = int(os.environ.get("PROPERTY_CASES", "2000"))
SEED = os.environ.get("PROPERTY_SEED")
LAST_TICK = 24
ANCHOR_TICK = -4  # before every other row, so that the first run's interval begins before all late ones
STEPS = 4  # deliveries of a repo that is materialized more than once

Storage = Literal["us", "us_utc", "us_new_york", "ns_utc", "ms"]


@dataclass(frozen=True)
class SourceRow:
    """One row of a source; times in ticks. It is in the source from delivery `first` to delivery `last`."""

    event: int | None
    created: int | None
    known: int | None
    values: tuple[Any, ...]
    first: int = 0
    last: int | None = None
    copies: int = 1

    def delivered(self, step: int) -> bool:
        return self.first <= step and (self.last is None or step <= self.last)


History = tuple[SourceRow, ...]


@dataclass(frozen=True)
class Step:
    """A delivery, and the run after it: over [start, end), or an incremental one up to end, at an instant of the clock. Ticks."""

    start: int | None
    end: int
    clock: int


@dataclass(frozen=True)
class Scenario:
    """What the histories of one repo share. Durations and instants in ticks of `unit` microseconds after `base`."""

    name: str
    join_keys: dict[str, DataType]
    key: Callable[[int], tuple[Any, ...]] = field(compare=False)
    kinds: tuple[DataType, ...]
    ttl: int | None = None
    known: Literal["column", "after", "event"] = "event"
    known_after: int = 0
    created: bool = False
    base: str = "2013-01-01T00:00:00Z"
    unit: int = 1
    storage: Storage = "us"
    defaults: tuple[Any, ...] = ()
    """Of the first features; None is none."""
    windows: tuple[int | None, ...] = ()
    """Those of aggregations, by (column, function, parameters) of `aggregated`; None is all of a key's rows."""
    aggregated: tuple[tuple[int, str, dict[str, Any]], ...] = ()
    online: bool = True

    def at(self, tick: int) -> int:
        """A tick as microseconds."""
        return instant(self.base) + tick * self.unit

    def duration(self, ticks: int) -> timedelta:
        return timedelta(microseconds=ticks * self.unit)

    def __str__(self) -> str:
        return self.name


def side(n: int) -> tuple[int, int]:
    """All pairs of small integers in turn, (1, 11) and (11, 1) among them."""
    return n // 32, n % 32


PREFIXES = ("", "é", "e\u0301", "0", "-", "'", '"', "\\", "a\x1fb", "\x00", "\U0001f600", " ", "null", "%")
SCENARIOS = (
    Scenario("event time and ttl", {"k": Int64}, lambda n: ((n - 3) * (2**50 + 1),), (Float64,), ttl=5),
    Scenario(
        "known column, created, ttl, pairs of integers",
        {"a": Int64, "b": Int32},
        side,
        (Float64, String),
        ttl=6,
        known="column",
        created=True,
        storage="us_utc",
        defaults=(-1.5, ""),
    ),
    Scenario(
        "known after as long as the ttl, pairs of texts",
        {"a": String, "b": String},
        lambda n: ("a" * side(n)[0], "a" * side(n)[1]),
        (Decimal(10, 2),),
        ttl=3,
        known="after",
        known_after=3,
        storage="us_utc",
    ),
    Scenario(
        "known column, no ttl, texts",
        {"k": String},
        lambda n: (PREFIXES[n % len(PREFIXES)] + str(n // len(PREFIXES)),),
        (Int64, Bool, Date),
        known="column",
    ),
    Scenario(
        "ttl zero, seconds, New York's clock change",
        {"k": Int32},
        lambda n: (n - 100,),
        (Int8, Float64),
        ttl=0,
        created=True,
        base="2013-11-03T05:59:50Z",
        unit=1_000_000,
        storage="us_new_york",
        defaults=(None, math.nan),
    ),
    Scenario(
        "nanoseconds before 1970, known column",
        {"k": Bytes},
        lambda n: (n.to_bytes(2, "big"),),
        (Float32, Bytes),
        ttl=4,
        known="column",
        created=True,
        base="1969-12-31T23:59:59.999990Z",
        storage="ns_utc",
    ),
    Scenario(
        "milliseconds, nested values",
        {"k": Date},
        lambda n: (date(1969, 12, 1) + timedelta(days=n),),
        (List(Int64), Struct({"x": Float64, "y": String})),
        ttl=7,
        known="after",
        known_after=2,
        unit=1_000,
        storage="ms",
        defaults=([None, 2**53 + 1], {"x": None, "y": "\x00"}),
    ),
    Scenario(
        "days, a key of four types",
        {"flag": Bool, "day": Date, "moment": Timestamp, "raw": Bytes},
        lambda n: (
            n % 2 == 0,
            date(2020, 2, 28) + timedelta(days=n // 2 % 5),
            datetime(1969, 12, 31, 23, 59, 59, 999_998, tzinfo=UTC) + timedelta(microseconds=n // 10 % 4),
            b"\x00" * (n // 40),
        ),
        (Timestamp,),
        ttl=2,
        known="column",
        created=True,
        base="0101-01-01T00:00:00Z",
        unit=86_400_000_000,
    ),
)

VALUES: dict[DataType, st.SearchStrategy[Any]] = {
    Bool: st.sampled_from([True, False, None]),
    Int8: st.sampled_from([-128, 127, 0, None]),
    Int64: st.sampled_from([0, 1, -1, 9, 10, 2**53 + 1, 2**63 - 1, -(2**63), None]),
    Float32: st.sampled_from([0.0, -0.0, 0.10000000149011612, math.nan, -math.inf, 1.401298464324817e-45, None]),
    Float64: st.sampled_from([0.0, -0.0, 0.1, 1.0, 1e16, 5e-324, 1.7976931348623157e308, math.nan, math.inf, None])
    | st.floats(width=64),
    String: st.sampled_from(["", "a", "A", '"\\', "\x00", "\x1f", "null", "\u2028", "\U0001d11e", None])
    | st.text(max_size=4),
    Bytes: st.sampled_from([b"", b"\x00", b"\xff\xfe", b"a", None]) | st.binary(max_size=4),
    Date: st.sampled_from([date(1, 1, 1), date(1969, 12, 31), date(2013, 1, 1), date(9999, 12, 31), None]),
    Timestamp: st.sampled_from(
        [
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(2013, 1, 1, tzinfo=UTC),
            datetime(2013, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
            None,
        ]
    ),
    Decimal(10, 2): st.sampled_from([Number(text) for text in ("0.00", "1.10", "1.09", "-0.01", "99999999.99")] + [None]),
    List(Int64): st.none() | st.lists(st.sampled_from([None, 0, 2**53 + 1]), max_size=2),
    Struct({"x": Float64, "y": String}): st.none()
    | st.fixed_dictionaries({"x": st.sampled_from([None, math.nan, -0.0]), "y": st.sampled_from([None, "", "\x00"])}),
}  # fmt: skip

TICKS = st.integers(0, LAST_TICK - 2)
# One null in twelve: enough that each history of a hundred has some, few enough that most rows stay.
TICKS_OR_NULL = st.sampled_from([None, *range(11), *range(11, LAST_TICK - 2, 2)])


def rows(scenario: Scenario, *, steps: int) -> st.SearchStrategy[SourceRow]:
    """One source row; with several steps it may come late, or vanish."""
    first = st.sampled_from([0, 0, 0, *range(1, steps)])
    stays = st.sampled_from([None, None, *range(steps - 1)])
    return st.builds(
        SourceRow,
        event=TICKS_OR_NULL,
        created=TICKS_OR_NULL if scenario.created else st.none(),
        known=TICKS_OR_NULL if scenario.known == "column" else st.none(),
        values=st.tuples(*(VALUES[kind] for kind in scenario.kinds)),
        first=first,
        last=stays,
        copies=st.sampled_from([1, 1, 1, 2]),
    )


@st.composite
def histories(draw: st.DrawFn, scenario: Scenario, *, steps: int = 1) -> History:
    """One key's history: up to seven rows, some of them the same again but for a value, a created or a known time."""
    listed = draw(st.lists(rows(scenario, steps=steps), max_size=5))
    if listed and draw(st.booleans()):
        original, change = draw(st.sampled_from(listed)), draw(rows(scenario, steps=steps))
        again = draw(st.sampled_from(["values", "created", "known"]))
        listed.append(SourceRow(**{**vars(original), again: getattr(change, again), "first": change.first}))
    return tuple(listed)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Step, ...]:
    """Four runs, incremental or over an interval of their own. They leave no gap; they re-run parts, and may end before the watermark."""
    steps: list[Step] = []
    clock, watermark = 0, ANCHOR_TICK
    for number in range(STEPS):
        clock = draw(st.integers(clock + 4, clock + 7))
        if draw(st.booleans()):
            start, end = None, draw(st.integers(max(1, clock - 6), clock))
        else:
            start = ANCHOR_TICK if number == 0 else draw(st.integers(ANCHOR_TICK, watermark))
            end = draw(st.integers(start + 1, clock))
        steps.append(Step(start, end, clock))
        watermark = max(watermark, end)
    return tuple(steps)


def collect(strategy: st.SearchStrategy[Any], count: int, *, number: int) -> list[Any]:
    """So many examples of a strategy, by Hypothesis, reproducible by `number`."""
    found: list[Any] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def take(example: Any) -> None:
        found.append(example)

    take()
    return found[:count]


def chosen_seed() -> int:
    """PROPERTY_SEED, or another one each time (pytest-randomly's, so its -p option repeats it too)."""
    return int(SEED) if SEED else random.getrandbits(32)


def anchor(scenario: Scenario) -> History:
    """A history that begins before all others."""
    created = 0 if scenario.created else None
    known = ANCHOR_TICK if scenario.known == "column" else None
    return (SourceRow(ANCHOR_TICK, created, known, (None,) * len(scenario.kinds)),)


def interesting_ticks(scenario: Scenario, history: History, instants: tuple[int, ...] = ()) -> list[int]:
    """Where an answer can change, in microseconds: each event and available time, the ends of the ttl, publish instants,
    and a microsecond before and after each; before the first, after the last.
    """
    found = {scenario.at(ANCHOR_TICK - 1), scenario.at(3 * LAST_TICK), *instants}
    for row in history:
        if row.event is None:
            continue
        available = max(row.event + scenario.known_after, row.event if row.known is None else row.known)
        windows = [window for window in scenario.windows if window is not None]
        ends = (row.event, available, row.event + (scenario.ttl or 0), *(row.event + window for window in windows))
        found.update(scenario.at(tick) for tick in ends)
    return sorted({at + step for at in found for step in (-1, 0, 1)})
