"""Runs whose process died: rolled back before `pushing`, forward from it on (semantics 5)."""

from __future__ import annotations

import time

from hitherto.errors import RunInProgressError
from hitherto.materialization.context import RunContext
from hitherto.materialization.lock import view_lock
from hitherto.materialization.runner import push_and_publish, quarantine_path, segment_path
from hitherto.offline.duckdb.segments import discard, remove
from hitherto.registry.records import Run


def recover(context: RunContext, *, view: str | None = None) -> tuple[Run, ...]:
    """Finish what dead processes left, for one view or all. A run whose process lives (its lock is held) is left alone.

    Returns:
        The runs that were closed, as they are now.

    Raises:
        HithertoError: A run that must go forward cannot, for example because the online store is down.
    """
    closed = []
    try:
        for run in context.registry.unfinished_runs():
            if view is not None and run.view != view:
                continue
            try:
                with view_lock(context.offline_path, run.view):
                    closed.append(finish(context, context.registry.run(run.run_id)))
            except RunInProgressError:
                continue
    finally:
        context.engine.close()
    return tuple(closed)


def recover_locked(context: RunContext, view: str) -> None:
    """The same for one view whose lock the caller holds."""
    for run in context.registry.unfinished_runs():
        if run.view == view:
            finish(context, run)


def finish(context: RunContext, run: Run) -> Run:
    """Close one run. The caller holds the lock of its view."""
    if run.state in ("published", "rejected", "failed"):
        return run
    if run.state == "pushing":
        version = next(one for one in context.registry.view_versions(run.view) if one.version == run.version)
        return push_and_publish(context, version, run, began=time.perf_counter())
    for path in (segment_path(context, run), quarantine_path(context, run)):
        remove(path)
        discard(path)
    return context.registry.update_run(
        run.run_id,
        state="failed",
        error="Its process ended before anything was published; rolled back.",
        finished_at=context.now(),
    )
