"""Windowed features at the times of requests: which rows each window has, and the kernel over them.

Rows come sorted by key and, within a key, in the order of rows. Where all rows of a window are there by the time of the request, the window
is a slice, found by binary search. Where some are not (they are known late, or were masked), its rows are spelled out, so many at a time;
where that would be too many, each row is there from an instant until another, and a request costs no more than the logarithm of its key's
rows (`standing.py`). Only where versions of one event may be masked, which versions count is no such span: then requests cost the number of
rows in their windows, which matters for keys with very many rows.
Rows are worked on in chunks of whole keys, one chunk per thread, so memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from hitherto.definitions.aggregation import WindowedFeature
from hitherto.search import in_threads, last_at_most
from hitherto.windows.exact import prefix_sums
from hitherto.windows.kernel import Column, compute
from hitherto.windows.order import greatest_so_far
from hitherto.windows.placing import Output
from hitherto.windows.standing import Lives, Standing, compute_standing

NEVER = np.iinfo(np.int64).max
"""The end of a row that stays."""
# Rows of a chunk, if it has more than one key: the arrays of a chunk stay in the cache that cores share.
CHUNK = 1 << 18
# Rows that are spelled out at a time.
SPELLED = 1 << 20
# Where more rows than so many times those of a chunk would have to be spelled out, they are not.
PATIENCE = 16
# So many rows that a request does not see are looked at for the newest that it sees, one by one.
STEPS = 16
# No window is longer than this, and no time is far enough from 1970 for their difference to overflow.
_LONGEST = 1 << 62


@dataclass(frozen=True)
class Rows:
    """Rows of a view, sorted by key and, within a key, in the order of rows (semantics 2)."""

    keys: np.ndarray
    events: np.ndarray
    columns: Mapping[str, pa.Array | pa.ChunkedArray]
    starts: np.ndarray | None = None
    """From when on each is there, not before its event; its event if not given."""
    ends: np.ndarray | None = None
    """From when on each is not there any more, NEVER for those that stay; none goes if not given."""
    versions: bool = False
    """Whether rows of one key and event time are versions of one event, of which the greatest that is there counts."""

    @cached_property
    def bounds(self) -> np.ndarray:
        """The first row of each key, and the number of rows."""
        if not len(self.keys):
            return np.zeros(1, dtype=np.int64)
        return np.concatenate([[0], np.flatnonzero(self.keys[1:] != self.keys[:-1]) + 1, [len(self.keys)]])

    def part(self, rows: slice, names: Sequence[str]) -> Rows:
        """Some of the rows."""
        starts, ends = (None if one is None else one[rows] for one in (self.starts, self.ends))
        columns = {name: self.columns[name].slice(rows.start, rows.stop - rows.start) for name in names}
        return Rows(self.keys[rows], self.events[rows], columns, starts, ends, self.versions)


@dataclass(frozen=True)
class Answers:
    """Features at the times of requests, in the order of the requests."""

    features: list[pa.ChunkedArray]
    """In the order asked."""
    found: np.ndarray
    """Whether any row of the key is in the longest window."""
    events: np.ndarray
    """The event time of the newest such row; means nothing where there is none."""


def answer(
    rows: Rows,
    keys: np.ndarray,
    times: np.ndarray,
    features: Sequence[WindowedFeature],
    *,
    longest: int | None,
    threads: int = 1,
) -> Answers:
    """Windowed features of each request.

    Args:
        rows: The rows of a view; those of keys that nobody asks for may be left out.
        keys, times: The requests, in any order.
        features: What to compute.
        longest: The longest window of the view, whether it is asked for or not; None if a feature has no window.
        threads: How many may work.
    """
    order = None if (keys[1:] >= keys[:-1]).all() else np.argsort(keys, kind="stable")
    keys, times = (keys, times) if order is None else (keys.take(order), times.take(order))
    outputs = [Output(feature.dtype, len(keys)) for feature in features]
    found, events = np.zeros(len(keys), dtype=bool), np.zeros(len(keys), dtype=np.int64)

    def work(parts: tuple[slice, slice]) -> None:
        row_part, part = parts
        chunk = _Chunk(rows.part(row_part, sorted({one.column for one in features})), longest)
        computed, newest = chunk.answer(keys[part], times[part], features)
        places = np.arange(part.start, part.stop) if order is None else order[part]
        found[places], events[places] = newest >= 0, chunk.event_times(newest)
        for output, one in zip(outputs, computed, strict=True):
            output.put(places, one)

    in_threads(work, _chunks(rows, keys), threads)
    return Answers([output.column() for output in outputs], found, events)


def _chunks(rows: Rows, keys: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Neighbouring keys with about so many rows, and the requests for them; those for keys without rows are anywhere."""
    bounds = rows.bounds
    begin, asked = 0, 0
    while begin < len(bounds) - 1:
        end = max(int(np.searchsorted(bounds, bounds[begin] + CHUNK, side="right")) - 1, begin + 1)
        last = end == len(bounds) - 1
        until = len(keys) if last else int(np.searchsorted(keys, rows.keys[bounds[end]]))
        if until > asked:
            yield slice(int(bounds[begin]), int(bounds[end])), slice(asked, until)
        begin, asked = end, until
    if asked < len(keys):
        yield slice(0, 0), slice(asked, len(keys))


@dataclass(frozen=True)
class _Windows:
    """For some requests: where the rows begin that each window has, and where those of all of them end."""

    firsts: np.ndarray
    """The first row of each one's key."""
    begins: dict[int | None, np.ndarray]
    ends: np.ndarray

    @cached_property
    def widest(self) -> np.ndarray:
        """Where the rows of all windows begin."""
        widest: np.ndarray = np.minimum.reduce(list(self.begins.values()))
        return widest

    def slices(self, windows: Sequence[int | None]) -> tuple[np.ndarray, np.ndarray]:
        """The slices of several windows, one window after the other."""
        if len(windows) == 1:
            return self.begins[windows[0]], self.ends
        return np.concatenate([self.begins[window] for window in windows]), np.tile(self.ends, len(windows))


class _Chunk:
    """Rows of some keys, and the answers that they give."""

    def __init__(self, rows: Rows, longest: int | None) -> None:
        self._rows, self._longest = rows, longest

    def answer(
        self, keys: np.ndarray, times: np.ndarray, features: Sequence[WindowedFeature]
    ) -> tuple[list[pa.Array], np.ndarray]:
        """The features of requests, whose keys ascend, and for each the newest row of its longest window, -1 for none."""
        firsts, lasts = self._rows_of(keys)
        ends = last_at_most(self._rows.events, firsts, lasts, times) + 1
        whole, ends = self._all_there(firsts, ends, times)
        lengths = {self._longest, *(one.window for one in features)}
        windows = _Windows(
            firsts, {length: _begins(self._rows.events, firsts, ends, times, length) for length in lengths}, ends
        )
        if self._rows.versions:
            # Behind the end may be versions of the last event that a request does not see.
            whole &= (ends == firsts) | np.append(self._counted, True).take(ends - 1)
        if self._rows.ends is not None:
            whole &= ~self._any(self._rows.ends <= times.max(initial=-NEVER), windows.widest, ends)
        if whole.all():
            return self._of_slices(windows, features)
        return self._of_both(windows, np.flatnonzero(whole), np.flatnonzero(~whole), times, features)

    def event_times(self, rows: np.ndarray) -> np.ndarray:
        """The event times of rows; any for -1."""
        return self._rows.events.take(rows, mode="clip") if len(self._rows.events) else np.zeros(len(rows), np.int64)

    def _rows_of(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The slice of each key's rows."""
        bounds = self._rows.bounds
        known = self._rows.keys[bounds[:-1]]
        if not len(known):
            return np.zeros(len(keys), dtype=np.int64), np.zeros(len(keys), dtype=np.int64)
        places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        firsts, lasts = bounds.take(places), bounds.take(places + 1)
        return firsts, np.where(known.take(places) == keys, lasts, firsts)

    @cached_property
    def _counted(self) -> np.ndarray:
        """Of the versions of an event the greatest, where all are there."""
        keys, events = self._rows.keys, self._rows.events
        last = np.ones(len(events), dtype=bool)
        last[:-1] = (keys[1:] != keys[:-1]) | (events[1:] != events[:-1])
        return last

    def _all_there(self, firsts: np.ndarray, ends: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether each request sees all rows from its key's first to an end, and that end: behind it is none that it sees."""
        starts = self._rows.starts
        if starts is None:
            return np.ones(len(times), dtype=bool), ends
        latest, earliest = self._running
        ends = np.minimum(ends, last_at_most(earliest, firsts, ends, times) + 1)
        return last_at_most(latest, firsts, ends, times) + 1 >= ends, ends

    @cached_property
    def _running(self) -> tuple[np.ndarray, np.ndarray]:
        """For each row the latest start of its key's rows up to it, and the earliest from it on."""
        starts = self._rows.events if self._rows.starts is None else self._rows.starts
        return _running(starts, self._rows.bounds)

    @staticmethod
    def _any(rows: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
        before = prefix_sums(rows)
        among: np.ndarray = before.take(ends) > before.take(begins)
        return among

    def _of_slices(self, windows: _Windows, features: Sequence[WindowedFeature]) -> tuple[list[pa.Array], np.ndarray]:
        """Answers to requests that see all rows of their windows."""
        newest = np.where(windows.ends > windows.begins[self._longest], windows.ends - 1, -1)
        bounds, columns = self._rows.bounds, self._rows.columns
        if self._rows.versions and not self._counted.all():
            before = prefix_sums(self._counted)
            columns = {name: column.filter(pa.array(self._counted)) for name, column in columns.items()}
            begins = {window: before.take(places) for window, places in windows.begins.items()}
            windows = _Windows(before.take(windows.firsts), begins, before.take(windows.ends))
            bounds = before.take(bounds)
        return _computed({name: Column(column, bounds) for name, column in columns.items()}, windows, features), newest

    def _of_both(
        self,
        windows: _Windows,
        whole: np.ndarray,
        others: np.ndarray,
        times: np.ndarray,
        features: Sequence[WindowedFeature],
    ) -> tuple[list[pa.Array], np.ndarray]:
        """Answers where some requests see all rows of their windows, and others do not."""
        parts = [self._of_slices(_only(windows, whole), features)] if len(whole) else []
        parts.append(self._of_others(_only(windows, others), times.take(others), features))
        back = np.argsort(np.concatenate([whole, others]))
        newest = np.concatenate([newest for _, newest in parts]).take(back)
        taken = pa.array(back)
        return [
            pa.concat_arrays([computed[number] for computed, _ in parts]).take(taken) for number in range(len(features))
        ], newest

    def _of_others(
        self, windows: _Windows, times: np.ndarray, features: Sequence[WindowedFeature]
    ) -> tuple[list[pa.Array], np.ndarray]:
        """Answers to requests that do not see all rows between those that they see."""
        rows = self._rows
        many = (windows.ends - windows.widest).sum() > PATIENCE * len(rows.events)
        # A version that counts again when a greater one is masked has no single span.
        spans = not (rows.versions and rows.ends is not None)
        compute_them = self._standing if many and spans else self._spelled
        return compute_them(windows, times, features), self._newest(windows, times)

    def _standing(self, windows: _Windows, times: np.ndarray, features: Sequence[WindowedFeature]) -> list[pa.Array]:
        """Functions over the rows that requests see, which are not spelled out."""
        keys = self._keys_of(windows)
        columns = {name: Column(column, self._rows.bounds) for name, column in self._rows.columns.items()}
        known: dict[tuple[str, int | None], Standing] = {}

        def over(name: str, window: int | None) -> Standing:
            if (name, window) not in known:
                known[name, window] = Standing(columns[name], self._lives(window, columns[name]), keys, times)
            return known[name, window]

        def computed(one: WindowedFeature, asked: tuple[int | None, ...]) -> pa.Array:
            return pa.concat_arrays(
                [
                    compute_standing(one.function, over(one.column, window), dtype=one.dtype, n=one.n, p=one.p)
                    for window in asked
                ]
            )

        return _by_measure(features, len(times), computed)

    def _lives(self, window: int | None, column: Column) -> Lives:
        """When each value of a column is in a window."""
        starts, ends = self._spans
        leaves = ends
        if window is not None:
            leaves = np.minimum(leaves, self._rows.events + min(window, _LONGEST))
        leaves = np.maximum(leaves, starts)
        if column.places is None:
            return Lives(column.bounds, starts, leaves)
        return Lives(column.bounds, starts.take(column.places), leaves.take(column.places))

    def _keys_of(self, windows: _Windows) -> np.ndarray:
        """Which key of the chunk each request asks for; all have rows."""
        return np.searchsorted(self._rows.bounds, windows.firsts)

    @cached_property
    def _spans(self) -> tuple[np.ndarray, np.ndarray]:
        """From when on each row is there, and from when on not any more: a version goes when a greater one comes."""
        rows = self._rows
        starts = rows.events if rows.starts is None else rows.starts
        if rows.ends is not None:
            return starts, rows.ends
        if not rows.versions:
            return starts, np.full(len(starts), NEVER)
        groups = np.concatenate([[0], np.flatnonzero(self._counted) + 1])
        _, earliest = _running(starts, groups)
        return starts, np.where(self._counted, NEVER, np.append(earliest[1:], NEVER))

    def _newest(self, windows: _Windows, times: np.ndarray) -> np.ndarray:
        """The newest row of each request's longest window, -1 for none."""
        starts, ends = self._rows.starts, self._rows.ends
        rows, begins = windows.ends - 1, windows.begins[self._longest]
        looking = np.arange(len(times))
        # Over rows that nobody sees any more, in one step; over others one by one, as long as they are few.
        stays = np.ones(len(self._rows.events), dtype=bool) if ends is None else ends > times.min(initial=NEVER)
        before = np.maximum.accumulate(np.where(stays, np.arange(len(stays)), -1))
        for _ in range(STEPS):
            places = np.where(rows.take(looking) < 0, -1, before.take(rows.take(looking), mode="clip"))
            rows[looking] = np.where(places < begins.take(looking), -1, places)
            looking = looking[rows.take(looking) >= 0]
            places, at = rows.take(looking), times.take(looking)
            hidden = np.zeros(len(looking), dtype=bool) if starts is None else starts.take(places) > at
            if ends is not None:
                hidden |= ends.take(places) <= at
            looking = looking[hidden]
            rows[looking] -= 1
        if len(looking):
            # Any column without nulls has the rows as its values.
            column = Column(pa.array(self._rows.events), self._rows.bounds)
            keys = self._keys_of(_only(windows, looking))
            rows[looking] = Standing(column, self._lives(self._longest, column), keys, times.take(looking)).newest()
        return rows

    def _spelled(self, windows: _Windows, times: np.ndarray, features: Sequence[WindowedFeature]) -> list[pa.Array]:
        """Functions of the rows that each request sees, one after the other, for so many requests at a time."""
        parts = [
            self._of_spelled(_only(windows, batch), times[batch], features)
            for batch in _batches(windows.ends - windows.widest)
        ]
        return [pa.concat_arrays(list(computed)) for computed in zip(*parts, strict=True)]

    def _of_spelled(self, windows: _Windows, times: np.ndarray, features: Sequence[WindowedFeature]) -> list[pa.Array]:
        rows, widest = self._rows, windows.widest
        lengths = windows.ends - widest
        offsets = prefix_sums(lengths)
        asking = np.repeat(np.arange(len(times)), lengths)
        places = np.arange(offsets[-1]) + np.repeat(widest - offsets[:-1], lengths)
        seen = np.ones(len(places), dtype=bool)
        if rows.starts is not None:
            seen &= rows.starts.take(places) <= times.take(asking)
        if rows.ends is not None:
            seen &= rows.ends.take(places) > times.take(asking)
        places, asking = places[seen], asking[seen]
        if rows.versions:
            # Of neighbours that are versions of one event the last one counts.
            last = np.ones(len(places), dtype=bool)
            last[:-1] = (asking[1:] != asking[:-1]) | (rows.events[places[1:]] != rows.events[places[:-1]])
            places, asking = places[last], asking[last]
        bounds = np.searchsorted(asking, np.arange(len(times) + 1))
        begins = {
            window: _first_from(places, bounds[:-1], bounds[1:], begins) for window, begins in windows.begins.items()
        }
        columns = {name: Column(column.take(pa.array(places)), bounds) for name, column in rows.columns.items()}
        return _computed(columns, _Windows(bounds[:-1], begins, bounds[1:]), features)


def _computed(columns: Mapping[str, Column], windows: _Windows, features: Sequence[WindowedFeature]) -> list[pa.Array]:
    """The features over slices."""
    # The same arrays for the same windows, so that a column's sums are made once for sum and mean.
    known: dict[tuple[int | None, ...], tuple[np.ndarray, np.ndarray]] = {}

    def over(one: WindowedFeature, asked: tuple[int | None, ...]) -> pa.Array:
        if asked not in known:
            known[asked] = windows.slices(asked)
        return compute(one.function, columns[one.column], *known[asked], dtype=one.dtype, n=one.n, p=one.p)

    return _by_measure(features, len(windows.ends), over)


def _by_measure(
    features: Sequence[WindowedFeature],
    count: int,
    compute_windows: Callable[[WindowedFeature, tuple[int | None, ...]], pa.Array],
) -> list[pa.Array]:
    """Features that differ only in their windows are computed in one go: of each the first feature is given, and all windows."""
    groups: dict[tuple[str, str, int | None, float | None], list[int]] = {}
    for number, feature in enumerate(features):
        groups.setdefault(feature.measure, []).append(number)
    found: list[pa.Array] = [None] * len(features)
    for numbers in groups.values():
        asked = tuple(features[number].window for number in numbers)
        values = compute_windows(features[numbers[0]], asked)
        for place, number in enumerate(numbers):
            found[number] = values.slice(place * count, count)
    return found


def _begins(
    events: np.ndarray, firsts: np.ndarray, ends: np.ndarray, times: np.ndarray, window: int | None
) -> np.ndarray:
    """The first row of each request with `time - window < event`, of those that begin with its key's first one."""
    if window is None:
        return firsts
    return last_at_most(events, firsts, ends, times - min(window, _LONGEST)) + 1


def _first_from(values: np.ndarray, begins: np.ndarray, ends: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """For each request the place of the first of `values[begin:end]`, which ascend, that is not below `wanted`."""
    return last_at_most(values, begins, ends, wanted - 1) + 1


def _running(values: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row the greatest value of its key's rows up to it, and the least from it on; both ascend within a key."""
    same_key = np.ones(len(values), dtype=bool)
    same_key[bounds[:-1]] = False
    if not (same_key[1:] & (values[1:] < values[:-1])).any():
        return values, values
    last = np.append(~same_key[1:], True)[: len(values)]
    greatest = greatest_so_far(values, ~same_key)
    # The same from the other side, of numbers that are the smaller the greater these are.
    least = -greatest_so_far(-values[::-1], last[::-1])[::-1]
    return greatest, least


def _only(windows: _Windows, which: np.ndarray | slice) -> _Windows:
    begins = {window: begins[which] for window, begins in windows.begins.items()}
    return _Windows(windows.firsts[which], begins, windows.ends[which])


def _batches(lengths: np.ndarray) -> Iterator[slice]:
    """Requests with about so many rows to be spelled out, at least one at a time."""
    until = np.cumsum(lengths)
    begin = 0
    while begin < len(lengths):
        before = int(until[begin - 1]) if begin else 0
        end = max(int(np.searchsorted(until, before + SPELLED, side="right")), begin + 1)
        yield slice(begin, end)
        begin = end
