"""Point-in-time retrieval (semantics 3): plan and entity rows -> columns in the order of the entity rows.

For each view: find each entity row's winner by searching key ids and available times (`finding`, `search`), which are all that is
read of the rows that lose; read each distinct winner once, by row id (`files`); place its features by number (`gathering`). Wide rows
are never sorted or joined. Row ids of a segment follow the order of rows, so the winner is the last row of its key that was available
by then; where that is not so, because rows were known later than others, the segment's index of winners names it.
ttl is applied after the search, and never decides which row wins. `retrieval_sql` says the same as one SQL statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import duckdb
import numpy as np
import pyarrow as pa

from hitherto.offline.duckdb.connection import Limits, connect, storage_errors
from hitherto.offline.duckdb.files import Files
from hitherto.offline.duckdb.finding import Found, winners
from hitherto.offline.duckdb.gathering import Places, gather
from hitherto.offline.duckdb.names import EVENT, TIMES
from hitherto.offline.duckdb.requests import Requests
from hitherto.offline.duckdb.retrieval_sql import EXPIRED, FOUND, sql
from hitherto.offline.duckdb.visible import attached
from hitherto.offline.plan import AgeLimit, ViewRead
from hitherto.sql import quote

__all__ = ["EXPIRED", "FOUND", "Requests", "Winners", "retrieve", "sql"]

# Features that one statement reads: they are held beside the columns that are made of them.
WIDTH = 32


@dataclass(frozen=True)
class Winners:
    """One view's answer, in the order of the entity rows."""

    values: pa.Table
    """The features, null where there is no valid row."""
    state: np.ndarray
    """FOUND, EXPIRED, or 0 for none, which also is one beyond the online retention."""
    trace: Callable[[], pa.Table]
    """Reads what `traced` says."""

    @cached_property
    def traced(self) -> pa.Table:
        """Where the rows come from: `event`, `created`, `available`, `run_id`, null for none. Few ask, so it is read for them."""
        return self.trace()


def retrieve(
    con: duckdb.DuckDBPyConnection,
    read: ViewRead,
    requests: Requests,
    *,
    limits: Limits,
) -> Winners:
    """Answer one view.

    Args:
        con: A connection to read segments with.
        read: The view.
        requests: The entity rows.
        limits: Those of the connection, and of the one that is made again for what may be asked later.
    """
    if not read.segments:
        return nothing(read, len(requests))
    with opened(con, read, limits) as files:
        may_expire = _may_expire(read, requests)
        found = winners(con, read, requests, files, with_events=may_expire, threads=limits.workers)
        return _answer(read, requests, files, found, may_expire=may_expire)


@contextmanager
def opened(con: duckdb.DuckDBPyConnection, read: ViewRead, limits: Limits) -> Iterator[Files]:
    """The files of a view, attached."""
    with storage_errors(f"Reading feature view {read.name!r}"), attached(con, read.segments, view=read.name):
        yield Files(con, read.segments, limits)


def _answer(read: ViewRead, requests: Requests, files: Files, found: Found, *, may_expire: bool) -> Winners:
    limits, threads = files.limits, files.limits.workers
    numbers = files.to_read(found.numbers)
    places = Places(files.places(found.numbers, numbers))
    state = (places.places >= 0).astype(np.int8) * np.int8(FOUND)
    if may_expire:
        events = found.events
        if events is None:
            (column,) = gather([files.read(numbers, [f"epoch_us({EVENT})"]).column(0)], places, threads=threads)
            events = column.fill_null(0).to_numpy()
        state = _state(read, requests, events, places)
    valid = places.only(state == FOUND)
    kinds = {field.name: field.dtype.arrow for field in read.view.schema}
    columns: list[pa.ChunkedArray] = []
    for begin in range(0, len(read.features), WIDTH):
        names = read.features[begin : begin + WIDTH]
        fetched = files.read(numbers, [quote(name) for name in names]).columns
        typed = [column.cast(kinds[name]) for name, column in zip(names, fetched, strict=True)]
        columns += gather(typed, valid, threads=threads)

    def trace() -> pa.Table:
        with connect(limits) as con, opened(con, read, limits) as again:
            return traced(again, numbers, places.only(state != 0))

    return Winners(pa.table(columns, names=list(read.outputs)), state, trace)


def traced(files: Files, numbers: np.ndarray, places: Places) -> pa.Table:
    """Times and run of each request's row, of which these are the distinct ones."""
    times = files.read(numbers, TIMES).columns
    run = pa.chunked_array([files.run_ids.take(pa.array(files.file_of(numbers)))])
    return pa.table(gather([*times, run], places, threads=files.limits.workers), names=list(TRACE.names))


TRACE = pa.schema(
    [(name, pa.timestamp("us")) for name in ("event", "created", "available")] + [("run_id", pa.string())]
)


def nothing(read: ViewRead, rows: int) -> Winners:
    """The answer where nothing is published: nulls of the right types."""
    kinds = {field.name: field.dtype.arrow for field in read.view.features}
    values = pa.table([pa.nulls(rows, kinds[feature]) for feature in read.features], names=list(read.outputs))
    return Winners(
        values, np.zeros(rows, dtype=np.int8), lambda: pa.table([pa.nulls(rows, one.type) for one in TRACE], TRACE)
    )


def _may_expire(read: ViewRead, requests: Requests) -> bool:
    """Whether a row can be so old that ttl or online retention hide it."""
    limits = [limit.micros for kind in (read.ttl, read.online_retention) for limit in kind if limit.micros is not None]
    if not limits or not len(requests) or any(segment.indexed for segment in read.segments):
        return bool(limits)
    # Events are their own available times here, and those are in the intervals.
    oldest = min(one.start for segment in read.segments for one in segment.intervals)
    return bool(int(requests.times.max()) - oldest > min(limits))


def _state(read: ViewRead, requests: Requests, events: np.ndarray, places: Places) -> np.ndarray:
    """FOUND, EXPIRED or 0 for each request: ttl and online retention, each as it was in force at the request's time."""
    there = places.places >= 0
    state = there.astype(np.int8) * np.int8(FOUND)
    age = requests.times - events
    for limits, otherwise in ((read.ttl, EXPIRED), (read.online_retention, 0)):
        state[there & _older(age, requests.times, limits)] = otherwise
    return state


def _older(age: np.ndarray, times: np.ndarray, limits: Sequence[AgeLimit]) -> np.ndarray:
    """Where an age is above the limit (the boundary itself is inside), which may have changed over time."""
    older = np.zeros(len(age), dtype=bool)
    for limit in sorted(limits, key=lambda one: (one.since is not None, one.since)):
        above = age > limit.micros if limit.micros is not None else np.zeros(len(age), dtype=bool)
        older = above if limit.since is None else np.where(times >= limit.since, above, older)
    return older
