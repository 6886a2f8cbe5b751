"""The ledger: which segment's rows are visible for which range of available time, now or at any earlier instant.

Pure. A publication masks every older row in its interval (semantics 5); older means a lower number, so that two publications
of one instant have an order too.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from hitherto.registry.records import Publication
from hitherto.timeline import Interval, union


@dataclass(frozen=True)
class Piece:
    """A part of a publication that was visible in [published_at, masked_at) (masked_at None: until today)."""

    segment_id: str | None
    """Where the rows are; None: the range was published, and has no rows."""
    interval: Interval
    published_at: int
    masked_at: int | None
    whole: bool
    """Whether the piece is the publication's whole interval, so that its segment needs no filter on available time."""
    number: int = 0
    """The publication's number."""
    run_id: str = ""


def pieces(publications: Iterable[Publication], *, as_of: int | None = None) -> tuple[Piece, ...]:
    """What is visible now, or was at `as_of` (published at or before it), in order of time; no two overlap.

    >>> old = Publication(1, "v", 1, "r1", 1, Interval(0, 10), "s1", 100)
    >>> new = Publication(2, "v", 1, "r2", 2, Interval(4, 6), "s2", 200)
    >>> [(one.segment_id, one.interval.start, one.interval.end) for one in pieces([old, new])]
    [('s1', 0, 4), ('s2', 4, 6), ('s1', 6, 10)]
    >>> [one.segment_id for one in pieces([old, new], as_of=199)]
    ['s1']
    """
    visible = (piece for piece in history(_until(publications, as_of)) if piece.masked_at is None)
    return tuple(sorted(visible, key=lambda piece: piece.interval))


def history(publications: Iterable[Publication]) -> tuple[Piece, ...]:
    """Every piece that was ever visible, in the order of publications, then of time.

    At each instant of publishing time the pieces with published_at <= instant < masked_at are exactly `pieces(as_of=instant)`,
    though one of those may be divided here, where its parts were masked at different instants.
    """
    masks = _Masks()
    found: list[Piece] = []
    # From the last to the first: what a publication looked like depends on the later ones only.
    for publication in sorted(publications, key=lambda one: one.number, reverse=True):
        found.extend(reversed(masks.divide(publication)))
        masks.add(publication)
    return tuple(reversed(found))


def covered(publications: Iterable[Publication], *, as_of: int | None = None) -> tuple[Interval, ...]:
    """The ranges that have been published, disjoint and in order; a range without rows counts."""
    return union(publication.interval for publication in _until(publications, as_of))


def watermark(publications: Iterable[Publication], *, as_of: int | None = None) -> int | None:
    """The end of the last range that has been published, or None."""
    return max((publication.interval.end for publication in _until(publications, as_of)), default=None)


def _until(publications: Iterable[Publication], as_of: int | None) -> Iterable[Publication]:
    if as_of is None:
        return publications
    return [publication for publication in publications if publication.published_at <= as_of]


class _Masks:
    """A step function over available time: the first instant at which a later publication was there, or None.

    `_starts[i]` begins the step of `_values[i]`. Adding is a slice assignment, so that a year of hourly runs folds in a moment.
    """

    def __init__(self) -> None:
        self._starts: list[float] = [float("-inf")]
        self._values: list[int | None] = [None]

    def _steps(self, interval: Interval) -> list[tuple[int, int, int | None]]:
        """(start, end, instant) over the interval, neighbours of one instant joined."""
        first = bisect_right(self._starts, interval.start) - 1
        last = bisect_left(self._starts, interval.end)
        bounds = [interval.start, *(int(start) for start in self._starts[first + 1 : last]), interval.end]
        joined: list[tuple[int, int, int | None]] = []
        for start, end, value in zip(bounds[:-1], bounds[1:], self._values[first:last], strict=True):
            if joined and joined[-1][2] == value:
                start = joined.pop()[0]
            joined.append((start, end, value))
        return joined

    def divide(self, publication: Publication) -> list[Piece]:
        """The publication's pieces, in order of time; what was masked at its own instant was never visible."""
        return [
            Piece(
                segment_id=publication.segment_id,
                interval=Interval(start, end),
                published_at=publication.published_at,
                masked_at=masked_at,
                whole=(start, end) == (publication.interval.start, publication.interval.end),
                number=publication.number,
                run_id=publication.run_id,
            )
            for start, end, masked_at in self._steps(publication.interval)
            if masked_at is None or masked_at > publication.published_at
        ]

    def add(self, publication: Publication) -> None:
        """Mask the publication's interval for all that come before it."""
        interval, instant = publication.interval, publication.published_at
        steps: list[tuple[float, int | None]] = []
        for start, _, value in self._steps(interval):
            earliest = instant if value is None else min(instant, value)
            # Clocks go forward, so nearly always one step is left of many.
            if not steps or steps[-1][1] != earliest:
                steps.append((start, earliest))
        first = bisect_left(self._starts, interval.start)
        last = bisect_left(self._starts, interval.end)
        if last == len(self._starts) or self._starts[last] != interval.end:
            steps.append((interval.end, self._values[last - 1]))
        self._starts[first:last] = [start for start, _ in steps]
        self._values[first:last] = [value for _, value in steps]
