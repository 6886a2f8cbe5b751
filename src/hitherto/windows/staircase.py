"""The values of a windowed view in the online store: for each key all steps of its features (see `encoding.staircase`), as bytes.

A step is a function over the rows from some time on to the key's newest: a slice of rows, which the kernel computes as it does for training
sets. Everything is done for many keys at once; what a key has is joined from columns of pieces, so no row or key is touched in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitherto.definitions.aggregation import WindowedFeature
from hitherto.encoding.staircase import NUMBER_BYTES, TIME_BYTES
from hitherto.types import DataType
from hitherto.windows.exact import prefix_sums
from hitherto.windows.kernel import Column, compute

Encode = Callable[[Sequence[tuple[pa.Array, DataType]]], list[pa.Array]]
"""Columns of one length, with their types -> the JSON fragments of their values."""
_HEAD_BYTES = 2 * NUMBER_BYTES


@dataclass(frozen=True)
class Track:
    """What one function makes of one column, in one or more windows."""

    feature: WindowedFeature
    """One of the features that it serves."""
    window: int | None
    """The longest of them; None: all rows, always."""


def tracks_of(features: Sequence[WindowedFeature]) -> list[Track]:
    """The tracks of a view's features, in the order of their values."""
    found: dict[object, Track] = {}
    for one in features:
        known = found.get(one.track)
        if known is None or (known.window or 0) < (one.window or 0):
            found[one.track] = Track(one, one.window)
    return list(found.values())


class KeyRows:
    """The rows of some keys, in the order of keys and of rows, all of them there.

    Args:
        bounds: The first row of each key, and the number of rows; each key has one at least.
        events: Their event times.
        columns: Their values.
        end: The instant from which on the values will be read.
        longest: The longest window; None if there is none.
    """

    def __init__(
        self, bounds: np.ndarray, events: np.ndarray, columns: Mapping[str, pa.Array], *, end: int, longest: int | None
    ) -> None:
        self.bounds, self.events, self.end = bounds, events, end
        self.columns = {name: Column(values, bounds) for name, values in columns.items()}
        new = np.ones(len(events), dtype=bool)
        new[1:] = events[1:] != events[:-1]
        new[bounds[:-1]] = True
        if longest is None:
            new[:] = False
        else:
            new &= events > end - longest
        self.places = np.flatnonzero(new)
        """The first row of each time."""
        self.time_bounds = np.searchsorted(self.places, bounds)
        """The first time of each key, and the number of times."""
        self._slices: dict[int, Steps] = {}

    @property
    def keys(self) -> int:
        """How many keys there are."""
        return len(self.bounds) - 1

    @cached_property
    def times(self) -> np.ndarray:
        """The event times from which steps begin."""
        found: np.ndarray = self.events.take(self.places)
        return found

    def steps(self, window: int) -> Steps:
        """The steps of a window; the same ones if asked for again, so that functions share what they can."""
        if window not in self._slices:
            self._slices[window] = Steps(self, np.flatnonzero(self.times > self.end - window))
        return self._slices[window]


class Steps:
    """Some times of each key, from each of which on a function looks at the key's rows."""

    def __init__(self, rows: KeyRows, chosen: np.ndarray) -> None:
        self.rows, self.chosen = rows, chosen
        self.bounds = np.searchsorted(chosen, rows.time_bounds)
        self.counts = np.diff(self.bounds)
        self.keys = np.repeat(np.arange(rows.keys), self.counts)
        self.begins = rows.places.take(chosen)
        self.ends = rows.bounds[1:].take(self.keys)

    @cached_property
    def numbers(self) -> np.ndarray:
        """Which time of its key each is."""
        return self.chosen - self.rows.time_bounds.take(self.keys)

    @cached_property
    def last_of_key(self) -> np.ndarray:
        """Whether each is its key's last one."""
        last = np.zeros(len(self.chosen), dtype=bool)
        last[self.bounds[1:][self.counts > 0] - 1] = True
        return last

    def ahead_of_last(self, values: pa.Array, count: int) -> Steps:
        """Without those at which the last `count` values are the same as at the next step: there are so many behind it."""
        before = prefix_sums(values.is_valid().to_numpy(zero_copy_only=False))
        left = before.take(self.ends) - before.take(self.begins)
        same = np.append(left[1:] >= count, False) & ~self.last_of_key
        return Steps(self.rows, self.chosen[~same]) if same.any() else self


def values(
    rows: KeyRows, heads: pa.Array, features: Sequence[WindowedFeature], *, encode: Encode
) -> pa.LargeBinaryArray:
    """The stored value of each key.

    Args:
        rows: The rows of the keys.
        heads: What stands before: header and event time, with their separators.
        features: All of the view.
        encode: Makes fragments.
    """
    tracks = tracks_of(features)
    directory = (1 + len(tracks)) * NUMBER_BYTES
    counts = np.diff(rows.time_bounds)
    ends = directory + TIME_BYTES * counts
    numbers = [counts]
    pieces: list[pa.Array] = []
    for block in _blocks(rows, tracks, encode):
        pieces += block.pieces(ends)
        ends = ends + block.lengths
        numbers.append(ends)
    written = np.stack(numbers, axis=1).astype("<u4")
    times = _bytes(rows.times.astype("<i8"), rows.time_bounds)
    head = [heads.cast(pa.large_binary()), _bytes(written, np.arange(rows.keys + 1) * written.shape[1]), times]
    return pc.binary_join_element_wise(*head, *pieces, pa.scalar(b"", pa.large_binary()))


def _blocks(rows: KeyRows, tracks: Sequence[Track], encode: Encode) -> Iterator[_Whole | _Stairs]:
    """The bytes of each track, in their order; fragments of functions over the same steps are made in one go."""
    fragments: dict[int, tuple[Steps | None, pa.Array]] = {}
    over: dict[int, tuple[Steps | None, list[int]]] = {}
    for number, track in enumerate(tracks):
        steps = _steps_of(rows, track)
        over.setdefault(id(steps), (steps, []))[1].append(number)
    for steps, members in over.values():
        begins, ends = (rows.bounds[:-1], rows.bounds[1:]) if steps is None else (steps.begins, steps.ends)
        computed = []
        for one in (tracks[number].feature for number in members):
            column = rows.columns[one.column]
            computed.append((compute(one.function, column, begins, ends, dtype=one.dtype, n=one.n, p=one.p), one.dtype))
        for number, made in zip(members, encode(computed), strict=True):
            fragments[number] = steps, made.cast(pa.large_binary())
    for number, track in enumerate(tracks):
        steps, made = fragments[number]
        if steps is None:
            yield _Whole(made)
        else:
            # Not where any were left out: a key has the same bytes whatever keys are with it.
            always = track.feature.function == "last"
            yield _Stairs(rows, steps, made, of=rows.steps(track.window or 0), always=always)


def _steps_of(rows: KeyRows, track: Track) -> Steps | None:
    if track.window is None:
        return None
    steps = rows.steps(track.window)
    if track.feature.function != "last":
        return steps
    # Computed at each step, lists of the last values would take as many bytes for each of thousands of rows.
    return steps.ahead_of_last(rows.columns[track.feature.column].rows, track.feature.n or 1)


class _Whole:
    """A track without a window: a fragment for each key."""

    def __init__(self, fragments: pa.Array) -> None:
        self._fragments = fragments
        self.lengths = np.diff(_offsets(fragments))

    def pieces(self, starts: np.ndarray) -> list[pa.Array]:
        """The columns of bytes that it is joined from, wherever it begins."""
        return [self._fragments]


class _Stairs:
    """A track with windows: the steps of each key.

    Args:
        rows: The rows of the keys.
        steps: The steps that fragments were made for.
        fragments: One for each.
        of: All steps of its window; `steps` may leave out some that are equal to the next.
        always: Whether of equal neighbours only the last is held; if not, only where that takes fewer bytes.
    """

    def __init__(self, rows: KeyRows, steps: Steps, fragments: pa.Array, *, of: Steps, always: bool) -> None:
        kept = _kept(steps, fragments, always=always)
        if not kept.all():
            steps, fragments = Steps(rows, steps.chosen[kept]), fragments.filter(pa.array(kept))
        self._steps, self._fragments = steps, fragments
        self._firsts = np.diff(rows.time_bounds) - of.counts
        # Where none is left out, the number of a step says which it is.
        self._named = np.where(steps.counts == of.counts, 0, steps.counts)
        self._offsets = _offsets(fragments)
        self._texts = np.diff(self._offsets.take(steps.bounds))
        self._numbers = _HEAD_BYTES + NUMBER_BYTES * (self._named + steps.counts + 1)
        self.lengths = self._numbers + self._texts

    def pieces(self, starts: np.ndarray) -> list[pa.Array]:
        """The columns of bytes that it is joined from, where the track of each key begins at `starts`."""
        steps = self._steps
        heads = np.stack([self._firsts, steps.counts], axis=1).astype("<u4")
        named = (self._named > 0).take(steps.keys)
        lasts = steps.numbers[named].astype("<u4")
        # One more offset than fragments: that of their end.
        counts = steps.counts + 1
        bounds = prefix_sums(counts)
        places = np.arange(bounds[-1]) - np.repeat(bounds[:-1] - steps.bounds[:-1], counts)
        base = starts + self._numbers - self._offsets.take(steps.bounds[:-1])
        offsets = (self._offsets.take(places) + np.repeat(base, counts)).astype("<u4")
        return [
            _bytes(heads, 2 * np.arange(len(heads) + 1)),
            _bytes(lasts, prefix_sums(self._named)),
            _bytes(offsets, bounds),
            _grouped(self._fragments, steps.bounds),
        ]


def _kept(steps: Steps, fragments: pa.Array, *, always: bool) -> np.ndarray:
    """Which steps to hold: of equal neighbours the last, where that takes fewer bytes than all of them, or always."""
    kept = np.ones(len(steps.chosen), dtype=bool)
    if len(kept) < 2:
        return kept
    same = np.append(pc.equal(fragments[:-1], fragments[1:]).to_numpy(zero_copy_only=False), False) & ~steps.last_of_key
    if always:
        alone: np.ndarray = ~same
        return alone
    size = len(steps.counts)
    saved = np.bincount(steps.keys, same * (NUMBER_BYTES + np.diff(_offsets(fragments))), minlength=size)
    costs = NUMBER_BYTES * np.bincount(steps.keys, ~same, minlength=size)
    left_out: np.ndarray = same & (saved > costs).take(steps.keys)
    return ~left_out


def _offsets(array: pa.LargeBinaryArray) -> np.ndarray:
    """Where its values begin in its bytes, and where they end."""
    if not len(array):
        return np.zeros(1, dtype=np.int64)
    found: np.ndarray = np.frombuffer(array.buffers()[1], "<i8", len(array) + 1, 8 * array.offset)
    return found


def _bytes(numbers: np.ndarray, bounds: np.ndarray) -> pa.LargeBinaryArray:
    """Numbers as one run of bytes for each key."""
    width = numbers.dtype.itemsize
    flat = np.ascontiguousarray(numbers)
    return _binary((bounds * width).astype("<i8"), pa.py_buffer(flat))


def _grouped(fragments: pa.LargeBinaryArray, bounds: np.ndarray) -> pa.LargeBinaryArray:
    """Fragments as one run of bytes for each key."""
    return _binary(_offsets(fragments).take(bounds), fragments.buffers()[2])


def _binary(offsets: np.ndarray, data: pa.Buffer | None) -> pa.LargeBinaryArray:
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets)), data if data is not None else pa.py_buffer(b"")]
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)
