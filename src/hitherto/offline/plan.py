"""What a retrieval reads, engine-free: views, segments, the part of each that counts. Engines turn it into queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hitherto.definitions.feature_view import FeatureView
from hitherto.errors import KeyTypeError
from hitherto.registry.ledger import Piece
from hitherto.registry.records import Segment
from hitherto.timeline import MIN_INSTANT, Interval
from hitherto.types import INTEGER_RANGES, DataType

KEY_ID_TYPES = ("Bool", "Int8", "Int16", "Int32", "Int64", "Date", "Timestamp")


@dataclass(frozen=True)
class SegmentRead:
    """A segment, and which of its rows count: those available in `intervals`, for entity rows in `served`.

    `whole` says that all rows of the segment count, so that its index of winners can be used.
    `served` is set for `as_served`: only entity rows with a time in it may see these rows.
    """

    path: Path
    run_id: str
    intervals: tuple[Interval, ...]
    whole: bool
    indexed: bool
    served: tuple[int, int | None] | None = None


@dataclass(frozen=True)
class AgeLimit:
    """A duration that held from an instant on: definitions change in place, `as_served` reads them as they were."""

    since: int | None
    micros: int | None


def in_force(limits: Iterable[AgeLimit], time: int) -> int | None:
    """The duration that held at an instant, in microseconds; None is for ever.

    >>> in_force([AgeLimit(None, 60), AgeLimit(1_000, 90)], 999), in_force([AgeLimit(None, 60), AgeLimit(1_000, 90)], 1_000)
    (60, 90)
    """
    held = [one for one in limits if one.since is None or one.since <= time]
    return max(held, key=lambda one: MIN_INSTANT - 1 if one.since is None else one.since).micros if held else None


@dataclass(frozen=True)
class Default:
    """What an output column says where it has no value (semantics 4)."""

    output: str
    kind: DataType
    value: Any


@dataclass(frozen=True)
class ViewRead:
    """One feature view as a retrieval joins it."""

    name: str
    """What references call it: its alias, or its name."""
    view: FeatureView
    version: int
    key_columns: Mapping[str, str]
    """Join key -> column of the entity rows."""
    features: tuple[str, ...]
    outputs: tuple[str, ...]
    """Output column of each feature."""
    segments: tuple[SegmentRead, ...]
    ttl: tuple[AgeLimit, ...] = ()
    online_retention: tuple[AgeLimit, ...] = ()
    watermark: int | None = None
    """The end of the last published range."""
    missing: tuple[Interval, ...] = ()
    """Ranges before the watermark in which the source is known to have rows and nothing is published."""
    as_of: int | None = None
    """The instant whose published state is read; None is now."""
    as_served: bool = False
    """Whether a row sees only what was published by its own time; then nothing can be missing."""
    defaults: tuple[Default, ...] = ()
    """What stands in the outputs that have one, where there is no value; the same in all reads of a view."""

    @property
    def key_types(self) -> dict[str, DataType]:
        """Join key -> type."""
        return self.view.join_keys


@dataclass(frozen=True)
class RetrievalPlan:
    """All views of a retrieval, in the order asked."""

    reads: tuple[ViewRead, ...]
    """With `as_served` a view has one read for each version that served; their times do not overlap."""
    timestamp_field: str
    outputs: tuple[str, ...]
    """All output columns, in the order asked."""

    @property
    def key_types(self) -> dict[str, DataType]:
        """Entity column -> the type that its join keys declare; of integers the widest.

        Raises:
            KeyTypeError: Two views take one column as different types; names both.
        """
        takers: dict[str, tuple[ViewRead, DataType]] = {}
        for read in self.reads:
            for key, column in read.key_columns.items():
                taker = read, read.view.join_keys[key]
                takers[column] = _wider(column, takers.get(column, taker), taker)
        return {column: kind for column, (_, kind) in takers.items()}

    @property
    def defaults(self) -> dict[str, Default]:
        """Output column -> what stands in it where there is no value."""
        return {one.output: one for read in self.reads for one in read.defaults}

    @property
    def view_names(self) -> str:
        """The names of the views, for messages."""
        return ", ".join(repr(name) for name in self.views)

    @property
    def views(self) -> dict[str, tuple[ViewRead, ...]]:
        """View name -> its reads, in the order asked."""
        grouped: dict[str, tuple[ViewRead, ...]] = {}
        for read in self.reads:
            grouped[read.name] = (*grouped.get(read.name, ()), read)
        return grouped


def _wider(column: str, one: tuple[ViewRead, DataType], other: tuple[ViewRead, DataType]) -> tuple[ViewRead, DataType]:
    """Of two views that take one entity column as a key, with its type, the one whose type holds the other's values."""
    kinds = [kind for _, kind in (one, other)]
    if all(kind.is_integer for kind in kinds):
        return max(one, other, key=lambda taker: INTEGER_RANGES[taker[1]][1])
    if kinds[0] == kinds[1]:
        return one
    # Keys are found as numbers: a date where timestamps are searched would quietly find nothing.
    told = " and of ".join(f"{read.name!r} (version {read.version}) as {kind!r}" for read, kind in (one, other))
    raise KeyTypeError(
        f"The column {column!r} of the entity rows is a join key of {told}. Give each a column of its own, "
        "by with_join_key_map in a feature service, or ask for them one by one."
    )


def has_key_id(view: FeatureView) -> bool:
    """Whether the view's key is one value that fits an integer, so that segments need no dictionary of keys."""
    kinds = list(view.join_keys.values())
    return not kinds or (len(kinds) == 1 and kinds[0].name in KEY_ID_TYPES)


def visible_state(
    pieces: Iterable[Piece], segments: Mapping[str, Segment], offline_path: Path
) -> tuple[SegmentRead, ...]:
    """The segments that make up a published state, each with the intervals of it that count."""
    intervals: dict[str, list[Piece]] = {}
    for piece in pieces:
        if piece.segment_id is not None:
            intervals.setdefault(piece.segment_id, []).append(piece)
    return tuple(_segment_read(segments[name], parts, offline_path, None) for name, parts in intervals.items())


def served_states(
    pieces: Iterable[Piece],
    segments: Mapping[str, Segment],
    offline_path: Path,
    *,
    since: int | None = None,
    until: int | None = None,
) -> tuple[SegmentRead, ...]:
    """All that was ever published, each part with the span of time in which lookups saw it, cut to [since, until)."""
    spans: dict[tuple[str, int, int | None], list[Piece]] = {}
    for piece in pieces:
        begin = piece.published_at if since is None else max(piece.published_at, since)
        ends = [end for end in (piece.masked_at, until) if end is not None]
        end = min(ends) if ends else None
        if piece.segment_id is not None and (end is None or begin < end):
            spans.setdefault((piece.segment_id, begin, end), []).append(piece)
    return tuple(
        _segment_read(segments[name], parts, offline_path, (begin, end)) for (name, begin, end), parts in spans.items()
    )


def _segment_read(
    segment: Segment, parts: Sequence[Piece], offline_path: Path, served: tuple[int, int | None] | None
) -> SegmentRead:
    whole = len(parts) == 1 and parts[0].interval == segment.interval
    return SegmentRead(
        path=offline_path / segment.path,
        run_id=segment.run_id,
        intervals=tuple(part.interval for part in parts),
        whole=whole,
        indexed=segment.indexed,
        served=served,
    )
