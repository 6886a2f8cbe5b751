"""Which entity rows can be answered from what was published (semantics 3, coverage)."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hitherto.errors import NotMaterializedError
from hitherto.registry import ledger
from hitherto.registry.records import FileObservation, Publication
from hitherto.timeline import Interval, rfc3339, subtract, to_datetime, union


@dataclass(frozen=True)
class ViewCoverage:
    """One view's share of the entity rows."""

    view: str
    rows: int
    found: int
    """Rows with a valid row of the view."""
    expired: int
    """Rows whose newest row of the view is older than the ttl."""
    null_keys: int
    null_times: int
    after_watermark: int
    """Rows later than the last published range: answered as a lookup would be."""
    missing: int
    """Rows that need a range that no run has published."""
    errors: int = 0
    """Rows for which the function of an on-demand feature view failed, or gave what is not of the declared type."""


@dataclass(frozen=True)
class Coverage:
    """Coverage by view name."""

    views: Mapping[str, ViewCoverage]

    def __getitem__(self, view: str) -> ViewCoverage:
        return self.views[view]

    def __str__(self) -> str:
        lines = []
        for one in self.views.values():
            share = one.found / one.rows if one.rows else 0.0
            counts = {
                "expired": one.expired,
                "null key": one.null_keys,
                "null time": one.null_times,
                "after the watermark": one.after_watermark,
                "missing": one.missing,
                "errors": one.errors,
            }
            rest = "".join(f", {count:,} {word}" for word, count in counts.items() if count)
            lines.append(f"{one.view}: {one.found:,} of {one.rows:,} rows found ({share:.1%}){rest}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def missing_ranges(
    publications: Sequence[Publication], observations: Sequence[FileObservation], *, as_of: int | None
) -> tuple[Interval, ...]:
    """Ranges before the watermark in which the source's files are known to have rows and nothing was published."""
    watermark = ledger.watermark(publications, as_of=as_of)
    if watermark is None:
        return ()
    covered = ledger.covered(publications, as_of=as_of)
    files = [one.file for one in observations if one.until_run is None]
    spans = union(
        Interval(file.start, file.end + 1) for file in files if file.start is not None and file.end is not None
    )
    parts = [gap for span in spans for gap in subtract(span, covered)]
    return tuple(Interval(gap.start, min(gap.end, watermark)) for gap in parts if gap.start < watermark)


def needs_missing(times: np.ndarray, ranges: Sequence[Interval], ttl: int | None) -> np.ndarray:
    """Which rows look into one of the ranges: those with a range inside [time - ttl, time]. Times are int64 microseconds."""
    needs = np.zeros(len(times), dtype=bool)
    for one in ranges:
        reaches = times >= one.start
        if ttl is not None:
            reaches &= times - ttl < one.end
        needs |= reaches
    return needs


def refuse_missing(view: str, ranges: Sequence[Interval], count: int, *, never: bool, as_of: int | None = None) -> None:
    """Raise NotMaterializedError with the ranges and the command that publishes them."""
    if never and as_of is not None:
        raise NotMaterializedError(
            f"Nothing of feature view {view!r} was published by {rfc3339(as_of)}, the as_of asked for."
        )
    if never:
        raise NotMaterializedError(
            f"Feature view {view!r} has never been materialized. Run: hitherto materialize --view {view}"
        )
    shown = ", ".join(str(one) for one in ranges[:5]) + (" ..." if len(ranges) > 5 else "")
    first = ranges[0]
    raise NotMaterializedError(
        f"{count:,} rows need ranges of feature view {view!r} that no run has published: {shown}. "
        f"Run: hitherto materialize {rfc3339(first.start)} {to_datetime(first.end).isoformat().replace('+00:00', 'Z')} --view {view}; "
        'or take nulls for them with missing="null".'
    )
