"""What the online store holds of a windowed view, and how a lookup reads it at any instant (semantics 11). Pure.

From the watermark on nothing comes into a window before the next run; rows only leave. So the features of a key change in steps, each when
the oldest row of a window leaves it, and a run writes all steps ahead. A lookup finds the step of its instant, and computes nothing.

Behind the header and the event time as JSON (see `row_codec`) stands, in little-endian integers:

    count  end of each track | times | track | track ...

Times are the different event times of the key's rows in the longest window, ascending, 8 bytes each. A track is what one function
makes of one column: a JSON fragment for each number of times that have left its window. Ends and offsets count from `count` on, 4 bytes each:

    first  steps | last time of each step | offset of each fragment, and of their end | fragments

Fragment `i` is the feature when `first + i` times have left its window. Where many neighbours are equal, each is held once, with the
last number of times that it is for. A track without a window is one fragment and nothing else.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from hitherto.encoding.row_codec import BEHIND_HEADER, SEPARATOR

_TWO = struct.Struct("<II")
TIME_BYTES, NUMBER_BYTES = 8, 4

Wanted = tuple[int, int | None, bytes]
"""A feature: its track, its window in microseconds (None: all rows), and the fragment of an empty window."""


class StaircaseReader:
    """Stored values of one windowed view -> the text of rows, as a view of plain columns has it (`row_codec.without_headers`).

    Args:
        tracks: How many tracks the values have.
        wanted: The features of the rows, in their order.
    """

    def __init__(self, tracks: int, wanted: Sequence[Wanted]) -> None:
        self._directory = struct.Struct(f"<{1 + tracks}I")
        windows = [window for _, window, _ in wanted if window is not None]
        self._lengths = list(dict.fromkeys(windows))
        self._empty = [empty for _, _, empty in wanted]
        # Behind the event time.
        self._whole = [(track, 1 + place) for place, (track, window, _) in enumerate(wanted) if window is None]
        steps: dict[int, list[tuple[int, int]]] = {}
        for place, (track, window, _) in enumerate(wanted):
            if window is not None:
                steps.setdefault(track, []).append((self._lengths.index(window), 1 + place))
        self._steps = list(steps.items())

    def row(self, value: bytes, now: int) -> bytes:
        """The row of a stored value at an instant, which is not before that of the run that wrote it.

        Raises:
            ValueError, TypeError, struct.error: It is no such value.
        """
        at = value.index(SEPARATOR, BEHIND_HEADER) + 1
        count, *ends = self._directory.unpack_from(value, at)
        if at + ends[-1] != len(value):
            raise ValueError("its length is not what it says")
        behind_times = at + self._directory.size + TIME_BYTES * count
        raw = memoryview(value)
        times = raw[at + self._directory.size : behind_times].cast("q")
        # How many times have left each window: event <= now - window.
        gone = [bisect_right(times, now - length) for length in self._lengths]
        parts = [value[BEHIND_HEADER : at - 1], *self._empty]
        for track, features in self._steps:
            begin = at + ends[track - 1] if track else behind_times
            first, steps = _TWO.unpack_from(value, begin)
            begin += _TWO.size
            lasts = None
            if steps != count - first:
                lasts, begin = raw[begin : begin + NUMBER_BYTES * steps].cast("I"), begin + NUMBER_BYTES * steps
            for length, place in features:
                left = gone[length]
                if left < count:
                    step = left - first if lasts is None else bisect_left(lasts, left)
                    start, stop = _TWO.unpack_from(value, begin + NUMBER_BYTES * step)
                    if not start < stop <= ends[track]:
                        raise ValueError("its fragments are not where it says")
                    parts[place] = value[at + start : at + stop]
        for track, place in self._whole:
            parts[place] = value[at + ends[track - 1] if track else behind_times : at + ends[track]]
        return SEPARATOR.join(parts)
