"""A view's answer as one SQL statement, to be read, and to be run by hand on the segments: `training.sql()`.

It says what semantics 3 says, as directly as SQL can: all rows of the key that were available by then, the greatest of them, the
ttl applied to it. `point_in_time` finds the same rows by searching; the tests run both.
"""

from __future__ import annotations

from collections.abc import Sequence

from hitherto.offline.duckdb.names import AVAILABLE, CREATED, EVENT, rank
from hitherto.offline.duckdb.visible import alias, attach_texts, inside
from hitherto.offline.plan import AgeLimit, SegmentRead, ViewRead
from hitherto.sql import quote, timestamp

ENTITY_ROWS = "__entity_rows"
ROW, TIME = "__row", "__time"
FOUND, EXPIRED = 1, 2
"""The state of an entity row's winner: valid, or older than the ttl allows; 0 is none, or one beyond its online retention."""


def sql(read: ViewRead) -> list[str]:
    """Statements that answer one view; the last one is the answer, a row for each entity row that has a winner."""
    return [*attach_texts(read.segments), _answer(read)]


def _answer(read: ViewRead) -> str:
    candidates = "\n    union all\n".join(
        _candidates(read, segment, number) for number, segment in enumerate(read.segments)
    )
    answers = "\nunion all\n".join(_fetched(read, segment, number) for number, segment in enumerate(read.segments))
    return (
        f"with candidates as (\n{candidates}\n), winners as (\n"
        f"    select {ROW}, any_value({TIME}) as {TIME}, arg_max({{segment: __segment, row: __id}}, __rank) as __place\n"
        f"    from candidates group by {ROW}\n)\n{answers}"
    )


def _candidates(read: ViewRead, segment: SegmentRead, number: int) -> str:
    """All rows of one segment that an entity row may see. Rows of two segments never tie in their rank."""
    conditions = [f"e.{quote(column)} = r.{quote(key)}" for key, column in read.key_columns.items()]
    conditions.append(f"e.{TIME} >= r.{AVAILABLE}")
    if not segment.whole:
        conditions.append(f"({inside(segment.intervals, column='r.' + AVAILABLE)})")
    if segment.served:
        since, until = segment.served
        conditions.append(f"e.{TIME} >= {timestamp(since)}")
        conditions += [f"e.{TIME} < {timestamp(until)}"] if until is not None else []
    return (
        f"    select e.{ROW}, e.{TIME}, {number} as __segment, r.rowid as __id, {rank(prefix='r.')} as __rank\n"
        f"    from {ENTITY_ROWS} e join {alias(segment)}.rows r on {' and '.join(conditions)}"
    )


def _fetched(read: ViewRead, segment: SegmentRead, number: int) -> str:
    features = "".join(f", s.{quote(feature)}" for feature in read.features)
    state = f"case when {_older(read.online_retention)} then 0 when {_older(read.ttl)} then {EXPIRED} else {FOUND} end"
    return (
        f"select w.{ROW}, {state} as __state, s.{EVENT}, s.{CREATED}, s.{AVAILABLE}{features}\n"
        f"from winners w join {alias(segment)}.rows s on w.__place.segment = {number} and s.rowid = w.__place.row"
    )


def _older(limits: Sequence[AgeLimit]) -> str:
    """The condition that a row's age is above the limit (the boundary itself is inside), which may have changed over time."""
    if not any(limit.micros is not None for limit in limits):
        return "false"
    steps = sorted(((one.since, one) for one in limits if one.since is not None), key=lambda step: -step[0])
    branches = [f"when w.{TIME} >= {timestamp(since)} then {_above(limit)}" for since, limit in steps]
    first = next((limit for limit in limits if limit.since is None), None)
    otherwise = _above(first) if first else "false"
    return f"case {' '.join(branches)} else {otherwise} end" if branches else otherwise


def _above(limit: AgeLimit) -> str:
    return "false" if limit.micros is None else f"epoch_us(w.{TIME}) - epoch_us(s.{EVENT}) > {limit.micros}"
