"""Materialize views: recover, plan, run, one view after the other; a view's failure does not stop the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hitherto.errors import (
    HithertoError,
    IntervalError,
    MaterializationFailed,
    MaterializationRejected,
    UnknownNameError,
    UsageError,
)
from hitherto.materialization import planner
from hitherto.materialization.context import RunContext
from hitherto.materialization.lock import view_lock
from hitherto.materialization.planner import Work
from hitherto.materialization.recovery import recover_locked
from hitherto.materialization.report import MaterializationReport, RunReport
from hitherto.materialization.runner import owes_online, run_interval
from hitherto.registry import ledger
from hitherto.registry.records import SourceFile, ViewVersion
from hitherto.sources.files import files_of
from hitherto.sources.relation import time_ranges
from hitherto.timeline import Interval, rfc3339, to_datetime

OnError = Literal["raise", "report"]


@dataclass(frozen=True)
class Request:
    """What to materialize: an interval as asked, or (incremental) from where each view stands."""

    start: int | None
    end: int
    incremental: bool


def request(context: RunContext, *, start: int | None, end: int | None, incremental: bool) -> Request:
    """Check the bounds against each other and the clock. Raises IntervalError."""
    now = context.now()
    if end is not None and end > now:
        raise IntervalError(
            f"The end {rfc3339(end)} is in the future: the clock says {rfc3339(now)}. A run cannot know what is not yet available."
        )
    if start is not None and start >= (end if end is not None else now):
        Interval(start, end if end is not None else now)
    return Request(start, end if end is not None else now, incremental)


def newest_versions(context: RunContext, names: Sequence[str] | None) -> list[ViewVersion]:
    """The newest version of each deployed view, or of these. Raises UnknownNameError, UsageError for an on-demand view."""
    definitions = context.registry.snapshot().definitions
    known = definitions.feature_views
    names = [names] if isinstance(names, str) else names
    for name in names or ():
        if name in definitions.on_demand_feature_views:
            raise UsageError(
                f"{name!r} is an on-demand feature view: it is computed when it is asked for, so no run computes it."
            )
        if name not in known:
            raise UnknownNameError("feature view", name, known)
    return [context.registry.view_versions(name)[-1] for name in (names if names is not None else known)]


def materialize(
    context: RunContext, versions: Sequence[ViewVersion], wanted: Request, *, on_error: OnError = "raise"
) -> MaterializationReport:
    """Run every view version in turn.

    Raises:
        MaterializationRejected, MaterializationFailed: After all views are done, with `.report`, unless on_error="report".
        UsageError: `on_error` is neither.
    """
    if on_error not in ("raise", "report"):
        raise UsageError(f'on_error={on_error!r} is neither "raise" nor "report".')
    runs: list[RunReport] = []
    up_to_date: list[str] = []
    try:
        for version in versions:
            done = _materialize_view(context, version, wanted)
            runs += done
            if not done:
                up_to_date.append(version.view)
    finally:
        context.engine.close()
    report = MaterializationReport(tuple(runs), tuple(up_to_date))
    if on_error == "raise":
        raise_for(report)
    return report


def raise_for(report: MaterializationReport) -> None:
    """Raise if a run of the report was not published."""
    bad = [run for run in report.runs if not run.ok]
    if not bad:
        return
    text = "\n".join(f"{run.view}: {run.error}" for run in bad)
    kind = MaterializationRejected if all(run.state == "rejected" for run in bad) else MaterializationFailed
    raise kind(text, report)


def _materialize_view(context: RunContext, version: ViewVersion, wanted: Request) -> list[RunReport]:
    runs: list[RunReport] = []
    try:
        with view_lock(context.offline_path, version.view):
            recover_locked(context, version.view)
            work = plan(context, _fresh(context, version), wanted)
            for interval in work.intervals or _owed(context, version):
                runs.append(run_interval(context, _fresh(context, version), interval, work.files))
                if not runs[-1].ok:
                    break
    except HithertoError as error:
        # Before a run began: the source cannot be read, another process is at it, the store is down.
        runs.append(_refused(version, wanted, error))
    return runs


def plan(context: RunContext, version: ViewVersion, wanted: Request) -> Work:
    """The intervals to compute, and the files to compute them from.

    Raises:
        SourceError: A source is missing, empty or unreadable.
        IntervalError: The interval is reversed.
    """
    files = files_of(version.definition, root=context.root)
    observations = context.registry.observations(version.view, version.version)
    read = _read_times(context, version, planner.changed_files(files, observations))
    files = planner.with_known_times(files, observations, read)
    since = _served_since(context, version)
    if not wanted.incremental:
        return planner.explicit(files, wanted.start, wanted.end, since=since)
    published = [
        run for run in context.registry.runs(view=version.view, state="published") if run.version == version.version
    ]
    return planner.incremental(
        files,
        observations,
        context.registry.publications(version.view, version.version),
        published,
        end=wanted.end,
        lookbacks=version.definition.lookbacks,
        since=since,
    )


def _read_times(context: RunContext, version: ViewVersion, changed: Sequence[SourceFile]) -> list[SourceFile]:
    """The changed files with the times that they reach over, by the rules of the source that each is read as."""
    read: list[SourceFile] = []
    for name, source in version.definition.all_sources.items():
        files = [file for file in changed if file.source == name]
        if files:
            with context.engine.connection() as con:
                read += time_ranges(con, source, files, root=context.root)
    return read


def _served_since(context: RunContext, version: ViewVersion) -> int | None:
    """Where the first range begins that the serving version has published, if this one is to take its place.

    It takes over when it has published all that the other had (semantics 6). With a later known time its own rows may begin
    later, and without this it never would.
    """
    others = context.registry.view_versions(version.view)
    serving = [one for one in others if one.serving_from is not None and one.serving_until is None]
    if not serving or serving[0].version == version.version:
        return None
    covered = ledger.covered(context.registry.publications(version.view, serving[0].version))
    return covered[0].start if covered else None


def _fresh(context: RunContext, version: ViewVersion) -> ViewVersion:
    """The version as the registry has it now: recovery or an earlier run may have moved its generation."""
    return next(one for one in context.registry.view_versions(version.view) if one.version == version.version)


def _owed(context: RunContext, version: ViewVersion) -> tuple[Interval, ...]:
    """Where nothing is to compute: the last range once more, if the online store waits for rows that are published."""
    publications = context.registry.publications(version.view, version.version)
    return (publications[-1].interval,) if owes_online(context, _fresh(context, version)) else ()


def _refused(version: ViewVersion, wanted: Request, error: HithertoError) -> RunReport:
    start = wanted.start if wanted.start is not None else wanted.end
    blank = RunReport("", version.view, version.version, "failed", to_datetime(start), to_datetime(wanted.end))
    return replace(blank, error=str(error))
