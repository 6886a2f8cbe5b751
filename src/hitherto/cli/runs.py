"""Commands on what ran: runs, and the rows that runs set aside."""

from __future__ import annotations

from collections import Counter
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from hitherto.cli.materialization import runs_table, show_findings
from hitherto.cli.output import cell, count, facts, moment, printable, state, styled, table
from hitherto.cli.session import Session, session
from hitherto.errors import UnknownNameError, UsageError
from hitherto.timeline import to_datetime

if TYPE_CHECKING:
    from rich.console import Console

    from hitherto.feature_store import FeatureStore
    from hitherto.registry.records import Run, RunState
    from hitherto.result import Result

STATES = ("planned", "staging", "validated", "pushing", "published", "rejected", "failed")
SHOWN_ROWS = 10


def runs(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="One run, with its checks.")] = None,
    *,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help=f"Only runs in this state: {', '.join(STATES)}.")
    ] = None,
    view: Annotated[str | None, typer.Option(metavar="VIEW", help="Only runs of this feature view.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = 20,
) -> None:
    """List runs, the newest first, or show one."""
    here = session(context)
    if state is not None and state not in STATES:
        raise UnknownNameError("state of a run", state, STATES)
    with here.open_store() as store:
        if run is not None:
            _show_run(here, store, store.get_run(run))
            return
        if view is not None:
            store.registry.snapshot().view(view)
        found = store.list_runs(feature_view=view, state=cast("RunState | None", state))[:limit]
        reports = [_report(store, one) for one in found]

    def render(console: Console) -> None:
        console.print(
            runs_table(reports, width=console.width)
            if reports
            else styled("No run fits." if state or view else "Nothing has run yet.")
        )

    here.output.show({"runs": [report.to_json() for report in reports]}, render)


def _report(store: FeatureStore, run: Run) -> Any:
    from hitherto.materialization.report import report_of

    return report_of(run, store.registry.segments(run.view, run.version) if run.segment_id else {})


def _show_run(here: Session, store: FeatureStore, run: Run) -> None:
    report = _report(store, run)
    segment = report.segment
    when = {"began": run.began_at, "finished": run.finished_at, "published": run.published_at}
    source = {key: value for key, value in run.source.items() if isinstance(value, str)}

    def render(console: Console) -> None:
        console.print(
            facts(
                [
                    ("run", run.run_id),
                    ("view", f"{run.view}@{run.version}"),
                    ("state", state(run.state)),
                    ("interval", f"{moment(run.interval.start)} .. {moment(run.interval.end)}"),
                    *((what, moment(value)) for what, value in when.items() if value is not None),
                    ("rows", _rows_text(run)),
                    ("keys pushed", f"{run.keys_pushed:,}"),
                    ("segment", f"{segment.path}, content {segment.content_hash[:16]}" if segment else None),
                    *((key, value) for key, value in source.items() if "\n" not in value),
                    ("seconds", f"{run.seconds:.1f}"),
                ]
            )
        )
        made = table("!check", "field", "result", ">rows", ">broken")
        for check in report.checks:
            made.add_row(cell(check.name), check.field or "", _verdict(check), f"{check.rows:,}", f"{check.broken:,}")
        if report.checks:
            console.print("", made)
        show_findings(console, "error", (), run.error)

    document = {
        **report.to_json(),
        **{what: None if at is None else to_datetime(at) for what, at in when.items()},
        "source": run.source,
    }
    here.output.show({**document, "profile": run.profile}, render)


def _rows_text(run: Run) -> str:
    return (
        f"{run.rows_read:,} read = {run.rows_written:,} written + {run.rows_superseded:,} superseded "
        f"+ {run.rows_quarantined:,} set aside"
    )


def _verdict(check: Any) -> Any:
    if check.passed:
        return styled("ok", "green")
    return styled(
        {"fail": "FAILED", "warn": "warning"}.get(check.severity, check.severity),
        "red" if check.severity == "fail" else "yellow",
    )


def quarantine(
    context: typer.Context,
    view: Annotated[str, typer.Argument(metavar="VIEW", help="The feature view.")],
    *,
    run: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="This run's rows; the newest run that set rows aside if not given."),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write them to a Parquet file, all of them.")
    ] = None,
) -> None:
    """Show the rows that a run set aside, and why.

    The rest of the run's rows went on. Each row has its keys and times where they could be read, the reasons, and the raw row as JSON.
    """
    here = session(context)
    with here.open_store() as store:
        store.registry.snapshot().view(view)
        chosen = _run_with_quarantine(store, view, run)
        rows = None if chosen is None else _quarantined(store, chosen)
        written = rows.write_parquet(export) if rows is not None and export is not None else None
    if chosen is None or rows is None:
        nothing: dict[str, Any] = {"view": view, "run_id": None, "rows": 0, "reasons": {}, "head": [], "exported": None}
        here.output.show(
            nothing, lambda console: console.print(styled(f"No run of {view} has set rows aside.", "green"))
        )
        return
    found = rows.to_arrow()
    reasons = Counter(reason for row in found.column("reasons").to_pylist() for reason in row or ())
    head = found.slice(0, SHOWN_ROWS).to_pylist()

    def render(console: Console) -> None:
        console.print(
            styled(
                f"{count(len(found), 'row')} of {view}@{chosen.version} set aside by run {chosen.run_id} ({chosen.state})\n"
            )
        )
        why = table("reason", ">rows")
        for reason, number in reasons.most_common():
            why.add_row(printable(reason), f"{number:,}")
        console.print(why, "")
        console.print(_rows_table(found.column_names, head))
        if written:
            console.print(styled(f"\nWrote {count(len(found), 'row')} to {written}"))
        elif len(found) > len(head):
            console.print(
                styled(f"\nand {len(found) - len(head):,} more: --export FILE.parquet writes them all", "dim")
            )

    document = {
        "view": view,
        "run_id": chosen.run_id,
        "state": chosen.state,
        "rows": len(found),
        "reasons": dict(reasons),
    }
    here.output.show({**document, "head": head, "exported": written}, render)


def _run_with_quarantine(store: FeatureStore, view: str, run_id: str | None) -> Run | None:
    """The run asked for, or the newest one of the view whose rows that it set aside are there."""
    if run_id is None:
        return next(
            (one for one in store.list_runs(feature_view=view) if one.rows_quarantined and _path(store, one).exists()),
            None,
        )
    chosen = store.get_run(run_id)
    if chosen.view != view:
        raise UsageError(f"Run {run_id} is a run of feature view {chosen.view!r}, not of {view!r}.")
    return chosen if chosen.rows_quarantined and _path(store, chosen).exists() else None


def _path(store: FeatureStore, run: Run) -> Path:
    from hitherto.materialization.runner import quarantine_path

    return quarantine_path(store.context, run)


def _quarantined(store: FeatureStore, run: Run) -> Result:
    from hitherto import frames
    from hitherto.result import Result

    return Result(frames.to_arrow(_path(store, run)))


def _rows_table(columns: list[str], rows: list[dict[str, Any]]) -> Any:
    """Keys and event time, then the reasons; the raw row stays for the export, it seldom fits."""
    keys = [name for name in columns if not name.startswith("__") and name not in ("reasons", "row")]
    made = table(*keys, "!event time", "reasons")
    for row in rows:
        event = row.get("__event")
        # Inside the engine times have no zone: they are UTC.
        when = "-" if event is None else moment(event.replace(tzinfo=UTC))
        made.add_row(*(cell(row[key]) for key in keys), when, printable("; ".join(row["reasons"] or ())))
    return made
