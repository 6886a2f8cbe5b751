"""Which row of a view's segments is each request's winner: key ids and available times are read and searched, nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from hitherto.offline.duckdb.files import Files, register
from hitherto.offline.duckdb.names import AVAILABLE, CREATED, EVENT, KEY, NO_CREATED
from hitherto.offline.duckdb.requests import Requests
from hitherto.offline.duckdb.visible import alias, inside
from hitherto.offline.plan import SegmentRead, ViewRead
from hitherto.search import Entries

# Entries that are held at a time: 16 bytes each, 24 with their rows. Where each has a key of its own, what finds the keys takes up
# to 28 more, and 68 more for a moment, while it is made; so at most 200 MB at a time. Where keys have many entries, it is next to nothing.
CHUNK = 1 << 21
# Where requests are fewer than one in so many rows, a join leaves out the entries of keys that nobody asks for.
SPARSE = 16


@dataclass(frozen=True)
class Found:
    """The winners of requests."""

    numbers: np.ndarray
    """Their rows' numbers (see `Files`), -1 for none."""
    events: np.ndarray | None
    """Their event times, which mean nothing where there is none; None if the search did not come across them."""


def winners(
    con: duckdb.DuckDBPyConnection,
    read: ViewRead,
    requests: Requests,
    files: Files,
    *,
    with_events: bool,
    threads: int,
) -> Found:
    """The winner of each request, with its event time if that is asked for and the search comes across it."""
    asking = ~(requests.null_times | requests.null_keys(read))
    if len(read.segments) == 1:
        (segment,) = read.segments
        key_ids = requests.key_ids(con, read)
        asking = _may_see(segment, requests.times, asking)
        which = None if asking.all() else np.flatnonzero(asking)
        searched = _Searched(con, segment, files)
        # Without rows that are known later than their event, both times are one.
        by_time = with_events and not segment.indexed
        rows, times = searched.find(
            *_only(which, key_ids(segment), requests.times), threads=threads, with_times=by_time
        )
        if which is not None:
            rows = _scattered(rows, which, len(requests))
            times = _scattered(times, which, len(requests)) if by_time else times
        return Found(rows, times if by_time else None)
    return _of_several(con, read, requests, files, asking, threads=threads)


def _only(which: np.ndarray | None, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    return arrays if which is None else tuple(array.take(which) for array in arrays)


def _scattered(values: np.ndarray, which: np.ndarray, count: int) -> np.ndarray:
    found = np.full(count, -1, dtype=np.int64)
    found[which] = values
    return found


def _may_see(segment: SegmentRead, times: np.ndarray, asking: np.ndarray) -> np.ndarray:
    """Those of the requests that look at a segment: not before its rows begin, and while it was served."""
    begin, end = min(one.start for one in segment.intervals), None
    if segment.served:
        begin, end = max(begin, segment.served[0]), segment.served[1]
    asking = asking & (times >= begin)
    if end is not None:
        asking &= times < end
    return asking


def _of_several(
    con: duckdb.DuckDBPyConnection,
    read: ViewRead,
    requests: Requests,
    files: Files,
    asking: np.ndarray,
    *,
    threads: int,
) -> Found:
    """The greatest of what the segments have. Times decide; rows of two segments never tie in them.

    From the newest segment back, and only with the requests that an older one could still have something greater for: a row's event
    is not after its available time, so a segment whose intervals end by the event of what was found has nothing. With daily runs
    most requests end in the first few segments.
    """
    key_ids = requests.key_ids(con, read)
    segments = sorted(read.segments, key=_end, reverse=True)
    # Without rows that are known later than their event, the available time is the rank.
    by_time = not any(segment.indexed for segment in segments)
    best = np.full(len(requests), -1, dtype=np.int64)
    ranks = [np.full(len(requests), np.iinfo(np.int64).min) for _ in range(1 if by_time else 3)]
    for number, segment in enumerate(segments):
        which = np.flatnonzero(_may_see(segment, requests.times, asking))
        if not len(which):
            continue
        searched = _Searched(con, segment, files)
        rows, times = searched.find(
            *_only(which, key_ids(segment), requests.times), threads=threads, with_times=by_time
        )
        hits = np.flatnonzero(rows >= 0)
        which, found = which[hits], rows[hits] + files.base(segment)
        offered = [times[hits]] if by_time else _ranks(files, found)
        better = _greater(offered, [rank[which] for rank in ranks])
        best[which[better]] = found[better]
        for rank, offer in zip(ranks, offered, strict=True):
            rank[which[better]] = offer[better]
        rest = max((_end(one) for one in segments[number + 1 :]), default=None)
        if rest is not None:
            asking[which[ranks[0][which] >= rest]] = False
    return Found(best, ranks[0])


def _end(segment: SegmentRead) -> int:
    return max(one.end for one in segment.intervals)


def _greater(ones: list[np.ndarray], others: list[np.ndarray]) -> np.ndarray:
    """Where a rank (its parts, the first one decides first) is greater than another."""
    greater = ones[-1] > others[-1]
    for one, other in zip(ones[-2::-1], others[-2::-1], strict=True):
        greater = (one > other) | ((one == other) & greater)
    return greater


def _ranks(files: Files, numbers: np.ndarray) -> list[np.ndarray]:
    """The places of rows in the order of their key (semantics 2)."""
    distinct, which = np.unique(numbers, return_inverse=True)
    table = files.read(
        distinct, [f"epoch_us({EVENT})", f"coalesce(epoch_us({CREATED}), {NO_CREATED})", f"epoch_us({AVAILABLE})"]
    )
    return [column.to_numpy().take(which) for column in table.columns]


class _Searched:
    """One segment's rows to be searched."""

    def __init__(self, con: duckdb.DuckDBPyConnection, segment: SegmentRead, files: Files) -> None:
        self._con, self._segment, self._files, self._count = con, segment, files, files.count(segment)

    def find(
        self, keys: np.ndarray, times: np.ndarray, *, threads: int, with_times: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """The winners' row ids, -1 for none; and their available times, if asked for."""
        rows = np.full(len(keys), -1, dtype=np.int64)
        available = np.zeros(len(keys) if with_times else 0, dtype=np.int64)
        for entries in self._entries(keys):
            # Chunks follow the order of rows: what a later one has of a key is greater.
            entries.find(keys, times, rows, available if with_times else None, threads=threads)
        return rows, available

    def _entries(self, keys: np.ndarray) -> Iterator[Entries]:
        """For each key and available time the greatest row by then, in chunks."""
        segment, in_order = self._segment, f" order by {KEY}, {AVAILABLE}"
        table = f"{alias(segment)}.{'winners' if segment.indexed else 'rows'}"
        row = "__row" if segment.indexed else "rowid"
        conditions = [] if segment.whole else [f"({inside(segment.intervals)})"]
        if segment.indexed and not segment.whole:
            yield _entries(self._con.sql(left_over(segment) + in_order).to_arrow_table())
        elif len(keys) * SPARSE < self._count:
            register(self._con, "__wanted", pa.table({KEY: np.unique(keys)}))
            conditions.append(f"{KEY} in (select {KEY} from __wanted)")
            yield _entries(self._con.sql(_select(table, row, conditions) + in_order).to_arrow_table())
        else:
            consecutive = segment.whole and not segment.indexed
            for begin in range(0, self._count, CHUNK):
                part = [f"rowid >= {begin} and rowid < {begin + CHUNK}"] if self._count > CHUNK else []
                query = _select(table, None if consecutive else row, [*conditions, *part])
                found = self._files.scan(query, rows=min(CHUNK, self._count), columns=2)
                yield _entries(found, begin if consecutive else None)


def _entries(table: pa.Table, first: int | None = None) -> Entries:
    """Key, time and row; the row is counted from `first` if there is no column for it."""
    columns = [column.to_numpy() for column in table.columns]
    return Entries(columns[0], columns[1], columns[2] if first is None else first)


def _select(table: str, row: str | None, conditions: list[str]) -> str:
    where = f" where {' and '.join(conditions)}" if conditions else ""
    return f"select {KEY}, epoch_us({AVAILABLE}){f', {row}' if row else ''} from {table}{where}"


def left_over(segment: SegmentRead) -> str:
    """The index of winners over what is left of a segment: a later run covers part of it, so its own may name hidden rows."""
    return (
        f"select {KEY}, epoch_us({AVAILABLE}), max(__last) over (partition by {KEY} order by {AVAILABLE} rows unbounded preceding) "
        f"from (select {KEY}, {AVAILABLE}, max(rowid) as __last from {alias(segment)}.rows "
        f"where {inside(segment.intervals)} group by {KEY}, {AVAILABLE})"
    )
