"""One run: planned -> staging -> validated -> pushing -> published; or rejected, or failed (semantics 5).

Nothing before `publish` changes what anybody reads, so a run that ends early leaves the last good data serving.
From `pushing` on a run only goes forward: `push_and_publish` can be repeated with what the registry holds.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hitherto.encoding.row_codec import sequence_of
from hitherto.errors import HithertoError, OnlineStoreError
from hitherto.events import RunFinished, RunProgressed, RunStarted, ViewMaterialized
from hitherto.lineage.revision import provenance
from hitherto.materialization.context import RunContext
from hitherto.materialization.report import RunReport, report_of
from hitherto.materialization.staging import SourceRows, export_quarantine, stage_rows
from hitherto.offline.duckdb import online_rows, reading, segments
from hitherto.offline.duckdb.connection import another, storage_errors
from hitherto.offline.duckdb.visible import attached, new_key_count
from hitherto.offline.plan import SegmentRead, visible_state
from hitherto.online.store import Place
from hitherto.registry import ledger
from hitherto.registry.records import Publication, Run, RunState, Segment, SourceFile, ViewVersion
from hitherto.timeline import Interval
from hitherto.validation import profile, whole
from hitherto.validation.report import CheckResult, rejects
from hitherto.validation.staging import Staged

if TYPE_CHECKING:
    import duckdb

logger = logging.getLogger("hitherto")

SAMPLE_KEYS = 256
"""How many pushed rows are read back before a run is published."""


class Rejected(Exception):
    """A check of severity fail was broken."""

    def __init__(self, checks: tuple[CheckResult, ...]) -> None:
        super().__init__("rejected")
        self.checks = checks


def run_interval(
    context: RunContext, version: ViewVersion, interval: Interval, files: Sequence[SourceFile]
) -> RunReport:
    """Materialize one interval of a view version. The caller holds the view's lock.

    Returns:
        The report; a refusal or a fault is in its `state` and `error`, and in the registry.
    """
    began = time.perf_counter()
    run = context.registry.begin_run(version.view, version.version, interval, began_at=context.now())
    context.observers.notify(RunStarted(run.run_id, run.view, run.version, interval))
    try:
        run = _begin_online(context, version, run)
        run = _compute_and_publish(context, version, run, files, began)
    except Rejected as refusal:
        broken = "; ".join(str(check) for check in refusal.checks if check.severity == "fail" and not check.passed)
        run = _end(context, run, "rejected", f"Rejected: {broken}. The last good data keeps serving.", began)
    except HithertoError as error:
        run = _end(context, run, "failed", str(error), began)
    report = report_of(run, context.registry.segments(run.view, run.version))
    context.observers.notify(RunFinished(run.run_id, run.view, run.version, run.state, run.rows_written, run.error))
    return report


def _end(context: RunContext, run: Run, state: RunState, error: str, began: float) -> Run:
    """Close a run that did not publish, and remove its segment: nothing half-done stays behind.

    A run that was already pushing stays as it is, with its cause: the next command finishes it. So does one that was published:
    what went wrong then was tidying up, and everybody reads its segment.
    """
    seconds = time.perf_counter() - began
    now = context.registry.run(run.run_id)
    if now.state == "published":
        logger.warning("Run %s of %s is published; what came after it failed: %s", run.run_id, run.view, error)
        return now
    if now.state == "pushing":
        return context.registry.update_run(run.run_id, error=error, seconds=seconds)
    segments.remove(segment_path(context, run))
    return context.registry.update_run(run.run_id, state=state, error=error, finished_at=context.now(), seconds=seconds)


def _begin_online(context: RunContext, version: ViewVersion, run: Run) -> Run:
    """Take the run's place in the online store: its sequence, its token, the generation it will write."""
    if not version.definition.online:
        return context.registry.update_run(run.run_id, state="staging")
    # The first load of a version fills a generation of its own, which readers switch to at once. Later runs write in
    # place, key by key, even if they cover everything: a switch would lose the pushes that came after the run began.
    # Where a store has lost its rows, the run fills a new generation from all that is published.
    store = context.open_online()
    behind = _lost(context, version)
    generation = version.generation + 1 if behind else version.generation or 1
    place = context.place(version, generation)
    # The token of a store that is behind says so until it is filled: a run that fails before leaves it as it is.
    if not behind:
        store.raise_token(place, run.token)
    return context.registry.update_run(
        run.run_id, state="staging", generation=generation, online_sequence=store.next_sequence(place)
    )


def _compute_and_publish(
    context: RunContext, version: ViewVersion, run: Run, files: Sequence[SourceFile], began: float
) -> Run:
    state = current_state(context, version)
    with storage_errors(f"Materializing feature view {run.view!r}"), context.engine.connection() as con:
        # All that a first run stores online is in its own rows. An empty generation that is served already is no first run.
        if version.definition.online and not state and run.generation != version.generation:
            with closing(_first_rows(context, con, version, run)) as rows:
                run = _stage_and_write(context, con, version, run, files=files, state=state, rows=rows)
                if rows.begun:
                    return push_and_publish(context, version, run, began=began, rows=rows)
        else:
            run = _stage_and_write(context, con, version, run, files=files, state=state)
    return push_and_publish(context, version, run, began=began)


def _first_rows(
    context: RunContext, con: duckdb.DuckDBPyConnection, version: ViewVersion, run: Run
) -> online_rows.EarlyRows:
    return online_rows.EarlyRows(
        online_rows.staged_winners(
            con, version.definition, "staged", sequence=run.online_sequence, **_horizon(context, version, run)
        )
    )


def _stage_and_write(
    context: RunContext,
    con: duckdb.DuckDBPyConnection,
    version: ViewVersion,
    run: Run,
    *,
    files: Sequence[SourceFile],
    state: Sequence[SegmentRead],
    rows: online_rows.EarlyRows | None = None,
) -> Run:
    """Read, check and write the rows, and begin to encode those for the online store. Ends in state `pushing`, or raises."""
    view = version.definition
    staged = stage_rows(con, SourceRows(view, files, context.root), run.interval, order=segments.clustering(view))
    _progress(context, run, "checked", staged.rows_read)
    if staged.rows_quarantined:
        export_quarantine(con, quarantine_path(context, run))
    run = context.registry.update_run(run.run_id, rows_read=staged.rows_read, rows_quarantined=staged.rows_quarantined)
    if rejects(staged.checks):
        run = context.registry.update_run(run.run_id, checks=_json(staged.checks))
        raise Rejected(staged.checks)
    superseded = segments.drop_superseded(con, view, "staged", online_rows.row_bytes_sql(view))
    # Beside the writing: these statements fill the core that copying, reading back and hashing leave idle.
    with another(con) as other, ThreadPoolExecutor(1) as beside:
        shape = beside.submit(profile.compute, other, "staged", view)
        begun = beside.submit(rows.begin) if rows is not None else None
        written = segments.write(con, view, relation="staged", path=segment_path(context, run), superseded=superseded)
        _progress(context, run, "written", written.rows)
        _conserved(view.name, staged, written)
        shape_found = shape.result()
    run = _check_whole(context, con, version, run, staged=staged, written=written, state=state, shape=shape_found)
    if begun is not None:
        begun.result()
    return _prepare_publish(context, con, version, run, files=files, written=written, state=state)


def _check_whole(
    context: RunContext,
    con: duckdb.DuckDBPyConnection,
    version: ViewVersion,
    run: Run,
    *,
    staged: Staged,
    written: segments.WrittenSegment,
    state: Sequence[SegmentRead],
    shape: Mapping[str, Any],
) -> Run:
    """Judge the rows as a whole by their profile; all results go to the run."""
    view = version.definition
    last = next(
        (
            one
            for one in context.registry.runs(view=view.name, state="published")
            if one.version == run.version and one.profile
        ),
        None,
    )
    asks_new_keys = any(one.kind == "new_keys" for one in view.expect)
    facts = whole.WholeFacts(
        rows=written.rows,
        keys=written.keys,
        new_keys=new_key_count(con, view, state, "staged") if asks_new_keys and state else None,
        newest_event=_newest_event(con),
        end=run.interval.end,
        profile=shape,
        previous_profile=last.profile if last else None,
    )
    checks = (*staged.checks, *whole.evaluate(view, facts))
    rejected = rejects(checks)
    # One transaction, as each one waits for the disk.
    run = context.registry.update_run(
        run.run_id,
        state=run.state if rejected else "validated",
        checks=_json(checks),
        profile=shape,
        rows_written=written.rows,
        rows_superseded=written.superseded,
        source=provenance(view, context.root),
    )
    if rejected:
        raise Rejected(checks)
    return run


def _prepare_publish(
    context: RunContext,
    con: duckdb.DuckDBPyConnection,
    version: ViewVersion,
    run: Run,
    *,
    files: Sequence[SourceFile],
    written: segments.WrittenSegment,
    state: Sequence[SegmentRead],
) -> Run:
    """Write down what publishing will do, so that it can be finished by anybody."""
    view = version.definition
    unchanged = _is_published(context, con, version, run, written, state)
    segment = None
    if unchanged or not written.rows:
        written.path.unlink()
    else:
        segment = Segment(
            segment_id=run.run_id,
            view=view.name,
            version=run.version,
            run_id=run.run_id,
            interval=run.interval,
            path=str(written.path.relative_to(context.offline_path)),
            rows=written.rows,
            keys=written.keys,
            content_hash=written.content_hash,
            file_hash=written.file_hash,
            indexed=written.indexed,
        )
    pending = {
        "unchanged": unchanged,
        "segment": _segment_json(segment) if segment else None,
        "files": [dataclasses.asdict(file) for file in files],
    }
    return context.registry.update_run(run.run_id, state="pushing", pending=pending)


def _is_published(
    context: RunContext,
    con: duckdb.DuckDBPyConnection,
    version: ViewVersion,
    run: Run,
    written: segments.WrittenSegment,
    state: Sequence[SegmentRead],
) -> bool:
    """Whether exactly these rows are already what everybody reads for the interval."""
    publications = context.registry.publications(run.view, run.version)
    if not any(one.covers(run.interval) for one in ledger.covered(publications)):
        return False
    with attached(con, state, view=run.view):
        return (
            segments.content_of(con, version.definition, reading.content_rows(version.definition, state, run.interval))
            == written.content_hash
        )


def push_and_publish(
    context: RunContext, version: ViewVersion, run: Run, *, began: float, rows: online_rows.EarlyRows | None = None
) -> Run:
    """Write the online store, read a sample back, publish. Safe to repeat until it succeeds.

    `began` is the performance counter at the start, for the report. `rows` are those of a first run for the online store,
    if they are being encoded already.
    """
    segment = _segment_from_json(run.pending["segment"]) if run.pending["segment"] else None
    files = tuple(SourceFile(**file) for file in run.pending["files"])
    publications = context.registry.publications(run.view, run.version)
    known = {**context.registry.segments(run.view, run.version), **({segment.segment_id: segment} if segment else {})}
    unchanged = bool(run.pending["unchanged"])
    before = visible_state(ledger.pieces(publications), known, context.offline_path)
    after = (
        before
        if unchanged
        else visible_state(
            ledger.pieces([*publications, _next(run, segment, publications, context.now())]),
            known,
            context.offline_path,
        )
    )
    pushed = 0
    restore = forgot_too_much(context, version)
    needs_push = not unchanged or restore or version.generation != run.generation
    if version.definition.online and needs_push:
        pushed = _push(
            context,
            version,
            run,
            before=before,
            after=after,
            restore=restore,
            rows=rows,
        )
    run = context.registry.publish(
        run,
        segment=segment,
        files=files,
        published_at=context.now(),
        generation=run.generation if needs_push else version.generation,
        unchanged=unchanged,
        switch=_completes(context, version, run),
        keys_pushed=pushed,
        error=None,
        seconds=time.perf_counter() - began,
    )
    published_at = run.published_at if run.published_at is not None else context.now()
    context.observers.notify(
        ViewMaterialized(run.run_id, run.view, run.version, run.interval, run.rows_written, published_at)
    )
    _drop_old_versions(context, version, run)
    return run


def _push(
    context: RunContext,
    version: ViewVersion,
    run: Run,
    *,
    before: Sequence[SegmentRead],
    after: Sequence[SegmentRead],
    restore: bool,
    rows: online_rows.EarlyRows | None,
) -> int:
    view, store, place = version.definition, context.open_online(), context.place(version, run.generation)
    horizon = _horizon(context, version, run)
    sample: list[tuple[bytes, bytes | None]] = []
    report = _reporter(context, run)
    fresh = run.generation != version.generation
    if fresh:
        store.raise_token(place, run.token)
    if rows is not None:
        pushed = store.load(place, _sampled(rows, sample, report), token=run.token)
        _read_back(context, place, run, sample)
        return pushed
    with context.engine.connection() as con:
        if fresh:
            made = online_rows.all_winners(con, view, after, sequence=run.online_sequence, **horizon)
        else:
            made = online_rows.changed_winners(
                con,
                view,
                before=before,
                after=after,
                interval=run.interval,
                sequence=run.online_sequence,
                restore=restore,
                **horizon,
            )
        # Closed before the connection is, whatever happens: the next rows are being made on another thread.
        with closing(made):
            batches = _sampled(made, sample, report)
            if fresh:
                pushed = store.load(place, batches, token=run.token)
            else:
                pushed = store.write(place, batches, token=run.token, sequence=run.online_sequence)
    _read_back(context, place, run, sample)
    return pushed


def _horizon(context: RunContext, version: ViewVersion, run: Run) -> dict[str, Any]:
    """The watermark that comes with the run, from which on online rows are read, and the event time from which on they are kept."""
    watermark = ledger.watermark(context.registry.publications(run.view, run.version))
    end = max(run.interval.end, watermark or run.interval.end)
    retention = version.definition.online_retention_micros
    return {"end": end, "keep_from": None if retention is None else end - retention}


def _sampled(
    rows: Iterable[pa.RecordBatch], sample: list[tuple[bytes, bytes | None]], report: Callable[[int], None]
) -> Iterator[pa.RecordBatch]:
    """Pass batches on, remembering the first rows of each and reporting how far it got."""
    done = 0
    for batch in rows:
        head = batch.slice(0, max(0, min(4, SAMPLE_KEYS - len(sample))))
        sample.extend(zip(*(column.cast(pa.binary()).to_pylist() for column in head.columns[:2]), strict=True))
        yield batch
        done += batch.num_rows
        report(done)


def _read_back(context: RunContext, place: Place, run: Run, sample: Sequence[tuple[bytes, bytes | None]]) -> None:
    """The store must answer with what was written, or with a push that came after the run began."""
    stored = context.open_online().read(place, [key for key, _ in sample])
    for (_, written), found in zip(sample, stored, strict=True):
        if found != written and not (found is not None and sequence_of(found) > run.online_sequence):
            raise OnlineStoreError(
                f"Feature view {run.view!r}: the online store does not return what was just written to it. "
                "Check that it does not evict keys (hitherto doctor), then materialize again."
            )


def _completes(context: RunContext, version: ViewVersion, run: Run) -> bool:
    """Whether with this run the version has published all that the serving one had, so that it takes over (semantics 6)."""
    if version.serving_from is not None:
        return False
    serving = next(
        (
            one
            for one in context.registry.view_versions(run.view)
            if one.serving_from is not None and one.serving_until is None
        ),
        None,
    )
    if serving is None:
        return True
    publications = context.registry.publications(run.view, run.version)
    mine = ledger.covered([*publications, _next(run, None, publications, 0)])
    theirs = ledger.covered(context.registry.publications(run.view, serving.version))
    return all(any(one.covers(other) for one in mine) for other in theirs)


def _drop_old_versions(context: RunContext, version: ViewVersion, run: Run) -> None:
    """Remove versions that no lookup reads any more; the one that served last stays for readers that are yet to hear."""
    if not version.definition.online:
        return
    versions = context.registry.view_versions(run.view)
    serving = max((one.version for one in versions if one.serving_from is not None), default=0)
    ended = [one.serving_until for one in versions if one.serving_until is not None]
    overtaken = {one.version for one in versions if one.serving_from is None and one.version < serving}
    overtaken |= {one.version for one in versions if one.serving_until is not None and one.serving_until < max(ended)}
    try:
        store = context.open_online()
        for place in store.places(context.project, run.view):
            # The generation before a refill stays for readers that have not heard of the switch; the one before that goes.
            left = place.version == run.version and place.generation < run.generation - 1
            if left or place.version in overtaken:
                store.drop(place)
    except OnlineStoreError as error:
        # The run is published whatever comes of this; the next one tries again.
        logger.warning("Old versions of feature view %r stay in the online store: %s", run.view, error)


def owes_online(context: RunContext, version: ViewVersion) -> bool:
    """Whether the online store lacks published rows that the definition now wants there, so that a run has to bring them."""
    if not version.definition.online or not context.registry.publications(version.view, version.version):
        return False
    return version.generation == 0 or _lost(context, version) or forgot_too_much(context, version)


def _lost(context: RunContext, version: ViewVersion) -> bool:
    """Whether the store lacks what the version has published."""
    return bool(version.generation) and is_behind(context, context.place(version, version.generation))


def is_behind(context: RunContext, place: Place) -> bool:
    """Whether the store lacks what was published: it is another one now, was emptied, or was put back to an older state."""
    store = context.open_online()
    if place not in store.places(context.project, place.view):
        return True
    runs = context.registry.runs(view=place.view, state="published")
    # Each run raised the token of the store that it wrote to.
    return store.token(place) < max(
        (run.token for run in runs if run.version == place.version and run.generation), default=0
    )


def forgot_too_much(context: RunContext, version: ViewVersion) -> bool:
    """Whether the online retention was shorter at the last run: what that run forgot has to come back."""
    runs = context.registry.runs(view=version.view, state="published")
    last = next((run.published_at for run in runs if run.version == version.version), None)
    if last is None:
        return False
    changes = [one for one in context.registry.definition_changes(version.view) if one.version == version.version]
    # A change at the instant of the publish may have come before it or after it.
    since = max((number for number, one in enumerate(changes) if one.applied_at < last), default=0)
    forever = float("inf")
    kept = [one.definition.online_retention_micros for one in changes[since:]]
    return any((forever if one is None else one) < (forever if kept[-1] is None else kept[-1]) for one in kept)


def current_state(context: RunContext, version: ViewVersion) -> tuple[SegmentRead, ...]:
    """The published state of a view version."""
    publications = context.registry.publications(version.view, version.version)
    return visible_state(
        ledger.pieces(publications), context.registry.segments(version.view, version.version), context.offline_path
    )


def segment_path(context: RunContext, run: Run) -> Path:
    """Where the run's segment lies once it is written."""
    return context.offline_path / run.view / f"v{run.version}" / f"{run.run_id}.duckdb"


def quarantine_path(context: RunContext, run: Run) -> Path:
    """Where the rows lie that the run set aside."""
    return context.offline_path / run.view / f"v{run.version}" / f"{run.run_id}.quarantine.parquet"


def _next(run: Run, segment: Segment | None, publications: Sequence[Publication], now: int) -> Publication:
    """The publication that this run is about to become."""
    number = max((one.number for one in publications), default=0) + 1
    return Publication(
        number,
        run.view,
        run.version,
        run.run_id,
        run.sequence,
        run.interval,
        segment.segment_id if segment else None,
        now,
    )


def _conserved(view: str, staged: Staged, written: segments.WrittenSegment) -> None:
    total = written.rows + written.superseded + staged.rows_quarantined
    if staged.rows_read != total:
        raise HithertoError(
            f"Feature view {view!r}: {staged.rows_read} rows were read, but {written.rows} written + {written.superseded} superseded "
            f"+ {staged.rows_quarantined} quarantined make {total}. This is a fault of Hitherto; nothing was published."
        )


def _newest_event(con: duckdb.DuckDBPyConnection) -> int | None:
    newest: int | None = con.execute("select epoch_us(max(__event)) from staged").fetchall()[0][0]
    return newest


def _json(checks: Iterable[CheckResult]) -> tuple[Mapping[str, Any], ...]:
    return tuple(check.to_json() for check in checks)


def _segment_json(segment: Segment) -> dict[str, Any]:
    return {**dataclasses.asdict(segment), "interval": [segment.interval.start, segment.interval.end]}


def _segment_from_json(data: Mapping[str, Any]) -> Segment:
    start, end = data["interval"]
    return Segment(**{**data, "interval": Interval(start, end)})


def _progress(context: RunContext, run: Run, stage: str, rows: int) -> None:
    context.observers.notify(RunProgressed(run.run_id, run.view, stage, rows))


def _reporter(context: RunContext, run: Run) -> Callable[[int], None]:
    return lambda rows: _progress(context, run, "pushing", rows)
