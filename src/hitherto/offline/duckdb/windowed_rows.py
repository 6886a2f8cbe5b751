"""The rows that windows look at: those of the asked keys, from all segments, in the order of keys and rows, a chunk of keys at a time.

Each segment is sorted, so a range of keys is a piece of each file. One whole segment needs nothing but reading; the rows of several
are merged. Which rows a request may see is said by two times for each row: when it is seen, and when it is not any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import duckdb
import numpy as np
import pyarrow as pa

from hitherto.definitions.feature_view import FeatureView
from hitherto.offline.duckdb.files import Files, register
from hitherto.offline.duckdb.names import AVAILABLE, CREATED, EVENT, KEY, NO_CREATED
from hitherto.offline.duckdb.requests import OrderedKeys
from hitherto.offline.duckdb.visible import alias, inside
from hitherto.offline.plan import SegmentRead
from hitherto.sql import quote, timestamp
from hitherto.timeline import MIN_INSTANT, micros
from hitherto.windows.requests import NEVER, Rows

# Rows that are held at a time, about: 32 bytes each for key, times and number, and their values, twice while they are worked on.
CHUNK = 1 << 21
# Of so many rows one key is looked at, to tell where chunks end.
SAMPLE = 1 << 14
# Where asked keys are fewer than one in so many rows, a join leaves out the rows of keys that nobody asks for, if those are many.
SPARSE = 16
MOST_ROWS = 0.5
NUMBER = "__number"
"""A column for the rows' numbers (see `Files`)."""


@dataclass(frozen=True)
class Part:
    """Rows of a range of keys, in the order of their keys and, within a key, of rows (semantics 2)."""

    keys: np.ndarray
    """By their numbers (see `OrderedKeys`)."""
    events: np.ndarray
    created: np.ndarray | None
    """None where the source declares no created time."""
    available: np.ndarray
    starts: np.ndarray
    """From when on each is seen: when it is available, but not before it was published where rows are read as they were served."""
    ends: np.ndarray | None
    """From when on it is not seen any more; None if all are seen for ever."""
    values: pa.Table

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, places: np.ndarray) -> Part:
        """The rows at some places."""
        # Times that are one array stay one: it is taken once.
        arrays = {id(one): one for one in (self.events, self.available, self.starts)}
        times = {number: one.take(places) for number, one in arrays.items()}
        return Part(
            self.keys.take(places),
            times[id(self.events)],
            None if self.created is None else self.created.take(places),
            times[id(self.available)],
            times[id(self.starts)],
            None if self.ends is None else self.ends.take(places),
            self.values.take(places),
        )

    def rows(self, *, versions: bool) -> Rows:
        """The same for the room of windows."""
        columns = dict(zip(self.values.column_names, self.values.columns, strict=True))
        # Rows that are seen from their event on need no times to say so.
        starts = None if self.starts is self.events else self.starts
        return Rows(self.keys, self.events, columns, starts, self.ends, versions)


@dataclass(frozen=True)
class Wanted:
    """What is read: columns, and of which rows."""

    view: FeatureView
    segments: tuple[SegmentRead, ...]
    columns: tuple[str, ...]
    """Those of the view, and `NUMBER`."""
    keys: np.ndarray
    """The distinct numbers of the keys that are asked for, ascending."""
    since: int
    """No row whose event is before it."""
    until: int
    """No row that is available after it."""


class Reader:
    """Reads the rows of a view's segments, chunk by chunk."""

    def __init__(self, con: duckdb.DuckDBPyConnection, files: Files, ordered: OrderedKeys, wanted: Wanted) -> None:
        self._con, self._files, self._wanted = con, files, wanted
        self._segments = [one for one in wanted.segments if _reaches(one, wanted)]
        self._known = [ordered.known(one) for one in self._segments]
        counts = [files.count(one) for one in self._segments]
        share = 0.0
        self._sampled: np.ndarray = np.zeros(0, dtype=np.int64)
        if sum(counts) > CHUNK:
            self._sampled, share = self._sample()
        self._sparse = share < MOST_ROWS and len(wanted.keys) * SPARSE < max(counts, default=0)
        if self._sparse and all(known is None for known in self._known):
            register(con, "__wanted", pa.table({KEY: wanted.keys}))

    def chunks(self) -> Iterator[tuple[int, int, Part]]:
        """The rows of the keys in [first, last], for ranges of keys that ascend and hold all keys that are asked for."""
        keys = self._wanted.keys
        if not len(keys):
            return
        ends = self._ends()
        first = int(keys[0])
        for last in [*ends, int(keys[-1])]:
            if last >= first:
                yield first, last, self._read(first, last)
                first = last + 1

    def _sample(self) -> tuple[np.ndarray, float]:
        """The key of every so many rows, ascending, where it is asked for; and which share of them is."""
        seen, looked_at = [], 0
        for segment, known in zip(self._segments, self._known, strict=True):
            query = f"select {KEY} from {alias(segment)}.rows where rowid % {SAMPLE} = 0"
            found = self._con.sql(query).to_arrow_table().column(0).to_numpy()
            numbers, there = (found, np.isin(found, self._wanted.keys)) if known is None else _numbers(found, *known)
            seen.append(numbers[there])
            looked_at += len(found)
        asked = np.sort(np.concatenate(seen))
        return asked, len(asked) / looked_at

    def _ends(self) -> list[int]:
        """The last key of each chunk but the last."""
        ends: list[int] = np.unique(self._sampled[:: max(CHUNK // SAMPLE, 1)][1:]).tolist()
        return ends

    def _read(self, first: int, last: int) -> Part:
        parts = [
            part
            for segment, known in zip(self._segments, self._known, strict=True)
            if (part := self._part(segment, known, first, last)) is not None and len(part)
        ]
        if not parts:
            return self._nothing()
        return parts[0] if len(parts) == 1 else _merged(parts)

    def _nothing(self) -> Part:
        none = np.zeros(0, dtype=np.int64)
        return Part(none, none, None, none, none, None, pa.schema(self._kinds.items()).empty_table())

    @cached_property
    def _kinds(self) -> dict[str, pa.DataType]:
        kinds = {**{one.name: one.dtype.arrow for one in self._wanted.view.schema}, NUMBER: pa.int64()}
        return {name: kinds[name] for name in self._wanted.columns}

    def _part(
        self, segment: SegmentRead, known: tuple[np.ndarray, np.ndarray] | None, first: int, last: int
    ) -> Part | None:
        """What one segment has of a range of keys."""
        if known is not None:
            ids, numbers = known
            begin, end = np.searchsorted(numbers, [first, last + 1])
            if begin == end:
                return None
            known = ids[begin:end], numbers[begin:end]
            first, last = int(ids[begin]), int(ids[end - 1])
        conditions = [f"{KEY} between {first} and {last}", *self._conditions(segment)]
        if self._sparse:
            if known is not None:
                register(self._con, "__wanted", pa.table({KEY: known[0]}))
            conditions.append(f"{KEY} in (select {KEY} from __wanted)")
        table = self._scanned(segment, conditions)
        return self._typed(segment, table, known)

    def _conditions(self, segment: SegmentRead) -> list[str]:
        """Which rows of a segment may be seen by anybody who asks."""
        found = [] if segment.whole else [f"({inside(segment.intervals)})"]
        if max(one.end for one in segment.intervals) > self._wanted.until:
            found.append(f"{AVAILABLE} <= {timestamp(self._wanted.until)}")
        if self._wanted.since > MIN_INSTANT:
            found.append(f"{EVENT} >= {timestamp(self._wanted.since)}")
        return found

    def _scanned(self, segment: SegmentRead, conditions: Sequence[str]) -> pa.Table:
        source = self._wanted.view.source
        columns = [KEY, "rowid", f"epoch_us({EVENT})"]
        if source.known_timestamp_field:
            columns.append(f"epoch_us({AVAILABLE})")
        if source.created_timestamp_field:
            columns.append(f"coalesce(epoch_us({CREATED}), {NO_CREATED})")
        number = f"rowid + {self._files.base(segment)}"
        columns += [number if name == NUMBER else quote(name) for name in self._wanted.columns]
        query = f"select {', '.join(columns)} from {alias(segment)}.rows where {' and '.join(conditions)}"
        found = self._files.scan(query, rows=min(CHUNK, self._files.count(segment)), columns=len(columns))
        # It comes in the order of rows as long as the engine scans `rows` and looks keys up, which only small tables turn round.
        ids = found.column(1).to_numpy()
        return found if (ids[1:] > ids[:-1]).all() else found.take(np.argsort(ids))

    def _typed(self, segment: SegmentRead, table: pa.Table, known: tuple[np.ndarray, np.ndarray] | None) -> Part:
        source, columns = self._wanted.view.source, iter(table.columns)
        keys, _, events = (next(columns).to_numpy() for _ in range(3))
        available = next(columns).to_numpy() if source.known_timestamp_field else _later(events, micros(source.delay))
        created = next(columns).to_numpy() if source.created_timestamp_field else None
        starts, ends = available, None
        if segment.served:
            since, until = segment.served
            starts = np.maximum(available, since)
            ends = np.full(len(keys), NEVER if until is None else until)
        values = pa.table(
            [column.cast(kind) for column, kind in zip(columns, self._kinds.values(), strict=True)],
            names=list(self._kinds),
        )
        if known is None:
            return Part(keys, events, created, available, starts, ends, values)
        numbers, there = _numbers(keys, *known)
        part = Part(numbers, events, created, available, starts, ends, values)
        return part if there.all() else part.take(np.flatnonzero(there))


def _later(events: np.ndarray, delay: int) -> np.ndarray:
    return events + delay if delay else events


def _reaches(segment: SegmentRead, wanted: Wanted) -> bool:
    """Whether a segment may have a row that anybody sees: an event is not after its available time, which lies in the intervals."""
    begin, end = min(one.start for one in segment.intervals), max(one.end for one in segment.intervals)
    served = segment.served[0] if segment.served else MIN_INSTANT
    return begin <= wanted.until and served <= wanted.until and end > wanted.since


def _numbers(key_ids: np.ndarray, known: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of key ids, and which of them are known; one that is not has the number of the next."""
    if not len(known):
        return np.full(len(key_ids), -1, dtype=np.int64), np.zeros(len(key_ids), dtype=bool)
    places = np.minimum(np.searchsorted(known, key_ids), len(known) - 1)
    return numbers.take(places), known.take(places) == key_ids


def _merged(parts: Sequence[Part]) -> Part:
    """The rows of several segments in one order. Rows of one segment that tie stay in theirs; those of two never tie while both are seen."""
    together = _concatenated(parts)
    further = [one for one in (together.created, together.available) if one is not None and one is not together.events]
    codes = _codes(together)
    if codes is not None:
        # Runs that are sorted are merged: 0.1 s for 2 M rows of thirteen segments, where sorting by key and event takes 0.5 s.
        order = np.argsort(codes, kind="stable")
        if not _disagree(codes.take(order), [one.take(order) for one in further]):
            return together.take(order)
    return together.take(np.lexsort([*further[::-1], together.events, together.keys]))


def _codes(part: Part) -> np.ndarray | None:
    """Key and event as one number, if they fit."""
    (first, last), (begin, end) = ((int(one.min()), int(one.max())) for one in (part.keys, part.events))
    if (last - first + 1) * (end - begin + 1) > NEVER:
        return None
    codes: np.ndarray = (part.keys - first) * (end - begin + 1) + (part.events - begin)
    return codes


def _disagree(codes: np.ndarray, further: Sequence[np.ndarray]) -> bool:
    """Whether rows of one code are not in the order of what further decides between them."""
    ties = np.flatnonzero(codes[1:] == codes[:-1])
    for one in further:
        before, after = one.take(ties), one.take(ties + 1)
        if (before > after).any():
            return True
        ties = ties[before == after]
    return False


def _concatenated(parts: Sequence[Part]) -> Part:
    created = [one.created for one in parts if one.created is not None]
    ends = [one.ends for one in parts if one.ends is not None]
    events = np.concatenate([one.events for one in parts])
    available, starts = events, events
    if any(one.available is not one.events for one in parts):
        available = starts = np.concatenate([one.available for one in parts])
    if any(one.starts is not one.available for one in parts):
        starts = np.concatenate([one.starts for one in parts])
    return Part(
        np.concatenate([one.keys for one in parts]),
        events,
        np.concatenate(created) if created else None,
        available,
        starts,
        np.concatenate(ends) if ends else None,
        pa.concat_tables([one.values for one in parts]),
    )
