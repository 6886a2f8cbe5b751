"""Push: rows into the online store ahead of the next run, only where they are newer than what is there (semantics 4)."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from hitherto import frames
from hitherto.errors import DataError, NotMaterializedError, OnlineStoreError, UsageError
from hitherto.events import RowsPushed
from hitherto.materialization.context import RunContext
from hitherto.materialization.runner import is_behind
from hitherto.offline.duckdb import online_rows
from hitherto.offline.duckdb.connection import connect, storage_errors
from hitherto.online.store import Place
from hitherto.registry.snapshot import ServedView
from hitherto.sources.selection import open_frame
from hitherto.timeline import rfc3339, to_datetime
from hitherto.validation import staging
from hitherto.validation.report import rejects

ROWS = "__pushed"


def push(context: RunContext, served: ServedView, rows: Any) -> int:
    """Check rows as a run would and write them, each only if it is greater than what its key has.

    Args:
        context: The project's parts.
        served: The view that answers lookups.
        rows: A frame with the columns of the view's source, or of its transform's result.

    Returns:
        How many rows were stored.

    Raises:
        UsageError: The view is not served online, or a row is not available yet.
        NotMaterializedError: The view has never been published, so there is no generation to write to.
        SourceError: A column is missing or has the wrong type.
        DataError: A row breaks a check; nothing is written.
        OnlineStoreError: The store has lost the view's rows.
        FencedError: A run began meanwhile on another machine; push again.
    """
    view, now = served.definition, context.now()
    if not view.online:
        raise UsageError(f"Feature view {view.name!r} has online=False: there is nothing to push to.")
    if view.aggregations:
        raise UsageError(
            f"Feature view {view.name!r} has aggregations, and a row that comes twice would be counted twice: rows reach it by "
            f"its source and a run only. Write them to source {view.source.name!r}, then: hitherto materialize-incremental --view {view.name}"
        )
    if not served.generation:
        raise NotMaterializedError(
            f"Feature view {view.name!r} has never been materialized. Run: hitherto materialize --view {view.name}"
        )
    place = Place(context.project, view.name, served.version, served.generation)
    store = context.open_online()
    if is_behind(context, place):
        raise OnlineStoreError(
            f"Nothing was pushed into feature view {view.name!r}: the online store has lost its rows, or is another one now. "
            f"Fill it first: hitherto materialize --view {view.name}"
        )
    with connect(context.engine.limits) as con, storage_errors(f"Pushing into feature view {view.name!r}"):
        open_frame(con, frames.to_arrow(rows), name=ROWS)
        staged = staging.stage(con, view, relation=ROWS, interval=None)
        if staged.rows_quarantined or rejects(staged.checks):
            broken = "; ".join(
                str(check) for check in staged.checks if check.broken and check.severity in ("fail", "quarantine")
            )
            raise DataError(f"Nothing was pushed into feature view {view.name!r}: {broken}.")
        latest = con.execute("select epoch_us(max(__available)) from staged").fetchall()[0][0]
        if latest is not None and latest > now:
            raise UsageError(
                f"Nothing was pushed into feature view {view.name!r}: a row is available from {rfc3339(latest)} on, and the clock says "
                f"{to_datetime(now).isoformat()}. Push it when it is known."
            )
        token = max((run.token for run in context.registry.runs(view=view.name)), default=0)
        sequence = store.next_sequence(place)
        with closing(online_rows.encoded(con, view, "staged", sequence=sequence)) as batches:
            stored = store.push(place, batches, token=token)
    context.observers.notify(RowsPushed(view.name, served.version, stored))
    return stored
