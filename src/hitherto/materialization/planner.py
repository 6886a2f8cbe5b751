"""Which intervals a materialization has to compute (semantics 5): stale ranges first, then on from the watermark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hitherto.errors import IntervalError
from hitherto.registry import ledger
from hitherto.registry.records import FileObservation, Publication, Run, SourceFile
from hitherto.timeline import MAX_INSTANT, MIN_INSTANT, Interval, rfc3339, subtract, union


@dataclass(frozen=True)
class Work:
    """What is to do for one view version: intervals in order, over these files."""

    intervals: tuple[Interval, ...]
    files: tuple[SourceFile, ...]
    stale: tuple[Interval, ...] = ()
    """Those of the intervals that were published before, from files that have changed since."""


def changed_files(files: Sequence[SourceFile], observations: Sequence[FileObservation]) -> tuple[SourceFile, ...]:
    """The files that no run has seen as they are now. Only their times have to be read."""
    known = {one.file.identity for one in observations if one.until_run is None}
    return tuple(file for file in files if file.identity not in known)


def with_known_times(
    files: Sequence[SourceFile], observations: Sequence[FileObservation], read: Sequence[SourceFile]
) -> tuple[SourceFile, ...]:
    """All files with their ranges of available time: from the last run that saw them, or freshly read."""
    times = {one.file.identity: one.file for one in observations if one.until_run is None}
    times.update({file.identity: file for file in read})
    return tuple(times.get(file.identity, file) for file in files)


def explicit(files: Sequence[SourceFile], start: int | None, end: int, *, since: int | None = None) -> Work:
    """One interval, as asked; without a start, from the earliest row of the source, or from `since` if that is earlier."""
    begin = start if start is not None else earliest(files)
    if start is None and begin is not None and since is not None:
        begin = min(begin, since)
    if begin is None:
        return Work((), tuple(files))
    if begin >= end and start is None:
        return Work((), tuple(files))
    if begin >= end:
        raise IntervalError(
            f"The interval [{rfc3339(begin)}, {rfc3339(end)}) is empty or reversed: its start must be before its end."
        )
    return Work((Interval(begin, end),), tuple(files))


def incremental(
    files: Sequence[SourceFile],
    observations: Sequence[FileObservation],
    publications: Sequence[Publication],
    runs: Sequence[Run],
    *,
    end: int,
    lookbacks: Mapping[str, int | None],
    since: int | None = None,
) -> Work:
    """Stale ranges up to the watermark, then [watermark, end).

    Args:
        files: The source's files now, with their ranges of available time.
        observations: What earlier runs saw.
        publications: The ledger of the view version.
        runs: Its published runs; each has computed its interval from the files of its time.
        end: Where to go to.
        lookbacks: How far after a changed row of each source its change can be felt, microseconds; None is for ever.
        since: Where the first run begins at the latest.
    """
    watermark = ledger.watermark(publications)
    if watermark is None:
        return explicit(files, None, end, since=since)
    stale = union(stale_ranges(files, observations, publications, runs, watermark=watermark, lookbacks=lookbacks))
    until_end = Interval(MIN_INSTANT, max(end, MIN_INSTANT + 1))
    capped = [part for part in (one.intersect(until_end) for one in stale) if part]
    onwards = [Interval(watermark, end)] if watermark < end else []
    return Work((*capped, *onwards), tuple(files), tuple(capped))


def stale_ranges(
    files: Sequence[SourceFile],
    observations: Sequence[FileObservation],
    publications: Sequence[Publication],
    runs: Sequence[Run],
    *,
    watermark: int,
    lookbacks: Mapping[str, int | None],
) -> list[Interval]:
    """Ranges before the watermark that a file has changed since they were published, or that an unseen file reaches into."""
    before = (Interval(MIN_INSTANT, watermark),)
    stale = [part for file in changed_files(files, observations) for part in _reach(file, lookbacks, before)]
    covered = ledger.covered(publications)
    now = {file.identity for file in files}
    for one in observations:
        reach = _reach(one.file, lookbacks, covered)
        if one.until_run is None and one.file.identity not in now:
            stale += reach
            continue
        # The run from which on the range is computed from the files as they are now: the one that saw the last change.
        changed_by = one.until_run if one.until_run is not None else one.since_run
        done = [run.interval for run in runs if run.sequence >= changed_by]
        stale += [part for whole in reach for part in subtract(whole, done)]
    return stale


def _reach(file: SourceFile, lookbacks: Mapping[str, int | None], within: Sequence[Interval]) -> list[Interval]:
    """What a change of the file can have changed inside the intervals."""
    if file.start is None or file.end is None:
        return []
    lookback = lookbacks[file.source]
    end = MAX_INSTANT if lookback is None else min(MAX_INSTANT, file.end + 1 + lookback)
    whole = Interval(file.start, end)
    return [part for part in (whole.intersect(one) for one in within) if part]


def earliest(files: Sequence[SourceFile]) -> int | None:
    """The first available time of the source; None if no row has a time."""
    return min((file.start for file in files if file.start is not None), default=None)
