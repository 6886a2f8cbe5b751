"""Parity (semantics 4): at any instant from the watermark to the next publish a lookup equals retrieval, values and statuses.

Here the two answers are compared, bit for bit, and the instants chosen; `parity_sides` asks for the answers.
"""

from __future__ import annotations

import html
import math
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hitherto.timeline import MAX_INSTANT, rfc3339

PRESENT = "PRESENT"
MOST_ROWS = 1_000_000
"""How many entity rows one retrieval is asked for."""
_SHOWN = 10
_HOUR = 3_600_000_000

Columns = Mapping[str, Sequence[Any]]
"""Entity column -> its values, one per row."""


@dataclass(frozen=True)
class Answers:
    """What one side says: per output column a value and a status for each entity row, in their order."""

    values: Columns
    statuses: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class EntityRows:
    """The rows to ask for. `count` says how many there are where no view has a key."""

    columns: Columns
    count: int

    def some(self, rows: Sequence[int]) -> Columns:
        """The columns of some rows."""
        return {name: [values[row] for row in rows] for name, values in self.columns.items()}


Retrieve = Callable[[Columns, Sequence[int]], Answers]
"""(entity columns, the instant of each row) -> what point-in-time retrieval answers."""
Lookup = Callable[[Columns, int], Answers]
"""(entity columns, now) -> what a lookup answers."""
Pushed = Callable[[str, Columns], Sequence[bool]]
"""(view, entity columns) -> for each row whether the store holds a pushed row, which no run has published yet."""


@dataclass(frozen=True, order=True)
class Mismatch:
    """Where the two sides differ: so many values of one feature at one instant. Names and statuses, never values."""

    view: str
    feature: str
    instant: int
    retrieved: str
    """The status that retrieval gives."""
    looked_up: str
    """The status that the lookup gives; the same if only the values differ."""
    count: int

    def __str__(self) -> str:
        what = "another value" if self.retrieved == self.looked_up else f"{self.looked_up} instead of {self.retrieved}"
        plural = "lookup gives" if self.count == 1 else "lookups give"
        return f"{self.view}:{self.feature} at {rfc3339(self.instant)}: {self.count:,} {plural} {what}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "view": self.view,
            "feature": self.feature,
            "instant": rfc3339(self.instant),
            "retrieved": self.retrieved,
            "looked_up": self.looked_up,
            "count": self.count,
        }


@dataclass(frozen=True)
class ParityReport:
    """What was compared, and what differed. One value with its status counts once; instants are microseconds UTC."""

    checked: int = 0
    equal: int = 0
    present: int = 0
    """Of the equal ones, those with the status PRESENT: what makes the comparison worth something."""
    pushed: int = 0
    """Those that differ because a push is ahead of the runs: as it should be (semantics 4)."""
    mismatches: tuple[Mismatch, ...] = ()
    instants: tuple[int, ...] = ()
    notes: tuple[str, ...] = field(default=())
    """What could not be compared, and why."""

    @property
    def ok(self) -> bool:
        """Whether nothing differs that must not."""
        return not self.mismatches

    @property
    def present_share(self) -> float:
        """The share of PRESENT among all that was checked."""
        return self.present / self.checked if self.checked else 0.0

    def __add__(self, other: ParityReport) -> ParityReport:
        return ParityReport(
            checked=self.checked + other.checked,
            equal=self.equal + other.equal,
            present=self.present + other.present,
            pushed=self.pushed + other.pushed,
            mismatches=tuple(sorted((*self.mismatches, *other.mismatches))),
            instants=tuple(sorted({*self.instants, *other.instants})),
            notes=tuple(dict.fromkeys((*self.notes, *other.notes))),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "ok": self.ok,
            "checked": self.checked,
            "equal": self.equal,
            "present": self.present,
            "pushed": self.pushed,
            "instants": [rfc3339(one) for one in self.instants],
            "mismatches": [one.to_json() for one in self.mismatches],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        if not self.checked:
            return "\n".join(["parity: nothing was compared", *(f"  {note}" for note in self.notes)])
        instants = f"{len(self.instants)} instant{'s' if len(self.instants) != 1 else ''}"
        lines = [
            f"parity: {self.equal:,} of {self.checked:,} values and statuses equal offline and online, "
            f"at {instants}, {self.present_share:.1%} PRESENT"
        ]
        if self.pushed:
            lines.append(f"  {self.pushed:,} are ahead of the runs by a push")
        lines += [f"  {one}" for one in self.mismatches[:_SHOWN]]
        if len(self.mismatches) > _SHOWN:
            lines.append(f"  ... and {len(self.mismatches) - _SHOWN:,} more")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def check_parity(
    rows: EntityRows,
    instants: Sequence[int],
    *,
    features: Mapping[str, tuple[str, str]],
    retrieve: Retrieve,
    lookup: Lookup,
    pushed: Pushed | None = None,
) -> ParityReport:
    """Ask both sides for the rows at each instant, and compare (semantics 4).

    Args:
        rows: Entity rows; unknown and null keys belong among them.
        instants: From the latest watermark on, microseconds UTC.
        features: Output column -> (view, feature).
        retrieve: Point-in-time retrieval; asked for several instants at once.
        lookup: The online lookup at an instant.
        pushed: Tells rows that a push has put ahead of the runs; asked only about what differs.
    """
    report = ParityReport()
    at_once = max(1, MOST_ROWS // max(1, rows.count))
    for start in range(0, len(instants), at_once):
        some = instants[start : start + at_once]
        columns = {name: list(values) * len(some) for name, values in rows.columns.items()}
        retrieved = retrieve(columns, [one for one in some for _ in range(rows.count)])
        for number, now in enumerate(some):
            part = slice(number * rows.count, (number + 1) * rows.count)
            found = lookup(rows.columns, now)
            for output, (view, feature) in features.items():
                sides = (_side(retrieved, output, part), _side(found, output, slice(None)))
                report += _compare(rows, now, view, feature, sides, pushed)
    return report


Side = tuple[Sequence[Any], Sequence[str]]
"""Values and statuses of one column."""


def _side(answers: Answers, output: str, part: slice) -> Side:
    return answers.values[output][part], answers.statuses[output][part]


def _compare(
    rows: EntityRows, now: int, view: str, feature: str, sides: tuple[Side, Side], pushed: Pushed | None
) -> ParityReport:
    """One column at one instant."""
    (values, statuses), (found, found_statuses) = sides
    cells = list(zip(values, statuses, found, found_statuses, strict=True))
    differ = [
        row
        for row, (one, status, other, other_status) in enumerate(cells)
        if status != other_status or not same(one, other)
    ]
    ahead = pushed(view, rows.some(differ)) if pushed is not None and differ else [False] * len(differ)
    counts = Counter((cells[row][1], cells[row][3]) for row, excused in zip(differ, ahead, strict=True) if not excused)
    wrong = set(differ)
    return ParityReport(
        checked=len(cells),
        equal=len(cells) - len(differ),
        present=sum(status == PRESENT and row not in wrong for row, status in enumerate(statuses)),
        pushed=sum(ahead),
        mismatches=tuple(
            Mismatch(view, feature, now, str(one), str(other), count) for (one, other), count in sorted(counts.items())
        ),
        instants=(now,),
    )


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, bit for bit: NaN is NaN, -0.0 is not 0.0, 1.1 is not 1.10, 1 is not true.

    >>> same(float("nan"), float("nan")), same(0.0, -0.0), same([1, None], [1, None])
    (True, False, True)
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other) or bool(math.isnan(one) and math.isnan(other))
    if isinstance(one, Decimal):
        return bool(one.as_tuple() == other.as_tuple())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same(value, other[name]) for name, value in one.items())
    return bool(one == other)


@dataclass(frozen=True)
class ViewMarks:
    """What the instants of a comparison hang on, for one view. Microseconds UTC."""

    watermark: int | None
    ttl: int | None
    events: tuple[int, ...] = ()
    """Event times of rows that lookups find: the newest and the median."""
    windows: tuple[int, ...] = ()
    """The windows of its aggregations: the ages at which a row leaves them."""


def choose_instants(marks: Iterable[ViewMarks], *, now: int, count: int) -> tuple[int, ...]:
    """Instants worth comparing at, in order: the watermark, now, both sides of every edge of a ttl or window; then a few between.

    None is before a view's watermark, where a lookup is refused. They may be later than now: what is published answers
    until the next publish.

    >>> choose_instants([ViewMarks(watermark=1_000, ttl=500, events=(900,))], now=5_000, count=5)
    (1000, 1399, 1400, 1401, 5000)
    """
    known = list(marks)
    first = max((one.watermark for one in known if one.watermark is not None), default=now)
    edges = [
        event + age + beside
        for place in range(2)
        for one in known
        for age in (one.ttl, *one.windows)
        if age is not None
        for event in one.events[place : place + 1]
        for beside in (0, 1, -1)
    ]
    reached = [one for one in dict.fromkeys(edges) if first <= one <= MAX_INSTANT]
    # Rows are valid between the watermark and the first edge; beyond the edges most have expired, so those are not all.
    some = reached[: max(3, count * 3 // 5)]
    chosen = dict.fromkeys([first, *([now] if now >= first else []), *some])
    step = max(1, (min([one for one in chosen if one > first], default=first + _HOUR) - first) // (count + 1))
    for number in range(1, count + 1):
        chosen.setdefault(min(first + number * step, MAX_INSTANT))
    return tuple(sorted(list(chosen)[: max(1, count)]))
