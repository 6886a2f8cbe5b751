"""Windowed features as a user would write them by hand in DuckDB, several ways; the fastest is what ours is measured against.

Each way starts from the Parquet files of events and entity rows and ends with a table of the entity rows, in their order, with count, sum, mean
and max of `f1` in each window `T - w < event time <= T`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from benchmarks.by_hand import connection

WINDOWS = {"1h": 3_600, "1d": 86_400, "7d": 604_800}
"""Seconds of each window, the longest last."""
FUNCTIONS = ("count", "sum", "mean", "max")
LONGEST = list(WINDOWS.values())[-1]
NUMBERED = "(select *, row_number() over () as __row from '{entities}')"


def names() -> list[str]:
    """The features, as the view of the benchmark calls them."""
    return [f"f1_{function}_{window}" for function in FUNCTIONS for window in WINDOWS]


def range_join(events: Path, entities: Path) -> pa.Table:
    """Each entity row with the events of its longest window, grouped again: aggregates with a FILTER for each window."""
    columns = ", ".join(
        f"{'avg' if function == 'mean' else function}(s.f1) filter (s.event_timestamp > e.event_timestamp - to_seconds({seconds})) "
        f"as f1_{function}_{window}"
        for function in FUNCTIONS
        for window, seconds in WINDOWS.items()
    )
    with connection() as con:
        return con.sql(
            f"""
            with e as materialized {NUMBERED.format(entities=entities)},
            found as (
                select e.__row, {columns} from e join '{events}' s on e.user_id = s.user_id
                and s.event_timestamp <= e.event_timestamp and s.event_timestamp > e.event_timestamp - to_seconds({LONGEST})
                group by e.__row
            )
            select e.* exclude (__row), {_or_nothing()} from e left join found f on e.__row = f.__row order by e.__row
            """
        ).to_arrow_table()


def range_frames(events: Path, entities: Path) -> pa.Table:
    """Events and entity rows in one table, and RANGE frames over it: an entity row has no value, so that it counts for nothing."""
    columns = ", ".join(
        f"{'avg' if function == 'mean' else function}(f1) over w{window} as f1_{function}_{window}"
        for function in FUNCTIONS
        for window in WINDOWS
    )
    # A frame has both its ends inside, and a window leaves its beginning out: a microsecond less.
    frames = ", ".join(
        f"w{window} as (partition by user_id order by event_timestamp range between "
        f"to_microseconds({seconds * 1_000_000 - 1}) preceding and current row)"
        for window, seconds in WINDOWS.items()
    )
    with connection() as con:
        return con.sql(
            f"""
            with e as materialized {NUMBERED.format(entities=entities)},
            both_kinds as (
                select user_id, event_timestamp, f1, null as __row from '{events}'
                union all select user_id, event_timestamp, null, __row from e
            ),
            found as (select * from (select __row, {columns} from both_kinds window {frames}) where __row is not null)
            select e.* exclude (__row), {_or_nothing()} from e left join found f on e.__row = f.__row order by e.__row
            """
        ).to_arrow_table()


def prefix_sums(events: Path, entities: Path) -> pa.Table:
    """Running counts and sums of each key, joined as of both ends of each window; the maximum by a range join."""
    begins = "".join(
        f"asof left join running b{window} on e.user_id = b{window}.user_id "
        f"and e.begin_{window} >= b{window}.event_timestamp "
        for window in WINDOWS
    )
    columns = ", ".join(
        f"coalesce(t.n, 0) - coalesce(b{window}.n, 0) as n_{window}, coalesce(t.s, 0) - coalesce(b{window}.s, 0) as s_{window}"
        for window in WINDOWS
    )
    moments = ", ".join(
        f"event_timestamp - to_seconds({seconds}) as begin_{window}" for window, seconds in WINDOWS.items()
    )
    greatest = ", ".join(
        f"max(s.f1) filter (s.event_timestamp > e.event_timestamp - to_seconds({seconds})) as f1_max_{window}"
        for window, seconds in WINDOWS.items()
    )
    features = ", ".join(
        {
            "count": f"n_{window} as f1_count_{window}",
            "sum": f"case when n_{window} > 0 then s_{window} end as f1_sum_{window}",
            "mean": f"case when n_{window} > 0 then s_{window} / n_{window} end as f1_mean_{window}",
            "max": f"f1_max_{window}",
        }[function]
        for function in FUNCTIONS
        for window in WINDOWS
    )
    with connection() as con:
        return con.sql(
            f"""
            with e as materialized (select *, {moments} from {NUMBERED.format(entities=entities)}),
            running as materialized (
                select user_id, event_timestamp, count(f1) over w as n, sum(f1) over w as s from '{events}'
                window w as (partition by user_id order by event_timestamp range between unbounded preceding and current row)
            ),
            sums as (
                select e.__row, {columns} from e asof left join running t
                on e.user_id = t.user_id and e.event_timestamp >= t.event_timestamp {begins}
            ),
            greatest as (
                select e.__row, {greatest} from e join '{events}' s on e.user_id = s.user_id
                and s.event_timestamp <= e.event_timestamp and s.event_timestamp > e.event_timestamp - to_seconds({LONGEST})
                group by e.__row
            )
            select e.* exclude (__row{"".join(f", begin_{window}" for window in WINDOWS)}), {features}
            from e join sums on e.__row = sums.__row left join greatest on e.__row = greatest.__row order by e.__row
            """
        ).to_arrow_table()


def _or_nothing() -> str:
    """What was found; a count is 0 where nothing was."""
    return ", ".join(f"coalesce({name}, 0) as {name}" if "count" in name else name for name in names())


WAYS: dict[str, Callable[[Path, Path], pa.Table]] = {
    "range join": range_join,
    "range frames": range_frames,
    "prefix sums": prefix_sums,
}
