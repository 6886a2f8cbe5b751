"""Commands that compute: materialize and materialize-incremental, and what their reports look like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hitherto.cli import faults
from hitherto.cli.output import count, moment, printable, state, styled, table
from hitherto.cli.session import Session, session
from hitherto.errors import MaterializationRejected
from hitherto.timeline import to_datetime

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from hitherto.feature_store import FeatureStore
    from hitherto.materialization.preview import PreviewReport
    from hitherto.materialization.report import MaterializationReport, RunReport
    from hitherto.timeline import Interval
    from hitherto.validation.report import CheckResult

Views = Annotated[
    list[str] | None, typer.Option("--view", metavar="VIEW", help="Only this feature view; repeat for several.")
]
ROOM_FOR_ALL = 96
"""Columns of the terminal that the table of runs needs."""
CHECK_STYLES = {"fail": "red", "warn": "yellow"}


def materialize(
    context: typer.Context,
    start: Annotated[
        str | None, typer.Argument(metavar="START", help="Default: the earliest row of each source.")
    ] = None,
    end: Annotated[str | None, typer.Argument(metavar="END", help="Default: now. It cannot be in the future.")] = None,
    *,
    view: Views = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Read, transform and check the rows, and say what a run would do; write nothing."
        ),
    ] = False,
) -> None:
    """Compute, check and publish rows.

    A run takes the rows that became available in [START, END). START and END are instants in ISO 8601, UTC where they name no zone: 2013-02-01, 2013-02-01T06:00Z. A view that a check
    rejects keeps serving its last good data, and the other views go on; the exit code is then 1.
    """
    here = session(context)
    if dry_run:
        with here.open_store() as store:
            _show_dry_run(here, _dry_run(store, start, end, view))
        return
    _run(here, lambda store: store.materialize(start, end, feature_views=view))


def materialize_incremental(
    context: typer.Context,
    end: Annotated[str | None, typer.Argument(metavar="END", help="Default: now. It cannot be in the future.")] = None,
    *,
    view: Views = None,
) -> None:
    """Go on from where each view stands, to END.

    First it computes again what late or changed files have made stale. A view that has published nothing begins at the earliest
    row of its source. The exit code is 1 if a check rejected a view.
    """
    _run(session(context), lambda store: store.materialize_incremental(end, feature_views=view))


def _run(here: Session, work: Callable[[FeatureStore], MaterializationReport]) -> None:
    """Work with progress, then the report; a report that says no is shown like any other, and the exit code tells."""
    # Not with the commands: the records of events take a fifteenth of the time of --help.
    from hitherto.cli.progress import progress

    try:
        with progress(here.output) as observer, here.open_store(observer) as store:
            report = work(store)
    except MaterializationRejected as error:
        refused: MaterializationReport = error.report
        here.output.show(faults.with_error(refused.to_json(), error), lambda console: show_report(console, refused))
        raise typer.Exit(faults.exit_code(error)) from error
    here.output.show(report.to_json(), lambda console: show_report(console, report))


def show_report(console: Console, report: MaterializationReport) -> None:
    """The runs as a table, then what their checks and errors said."""
    if report.runs:
        console.print(runs_table(report.runs, width=console.width))
    for run in report.runs:
        show_findings(console, f"{run.view}@{run.version}", run.broken_checks, run.error)
    if report.up_to_date:
        console.print(styled(f"Up to date: {', '.join(report.up_to_date)}."))
    if not report.runs and not report.up_to_date:
        console.print(styled("There is nothing to materialize."))


def runs_table(runs: Sequence[RunReport], *, width: int) -> Table:
    """A line per run, its interval below its view; where there is little room, without what can be read elsewhere."""
    counts: dict[str, Callable[[RunReport], str]] = {
        ">read": lambda run: f"{run.rows_read:,}",
        ">written": lambda run: f"{run.rows_written:,}",
        ">super-\nseded": lambda run: f"{run.rows_superseded:,}",
        ">set\naside": lambda run: f"{run.rows_quarantined:,}",
        ">keys": lambda run: f"{run.keys_pushed:,}",
        ">s": lambda run: f"{run.seconds:.1f}",
    }
    if width < ROOM_FOR_ALL:
        counts = {name: text for name, text in counts.items() if name not in (">super-\nseded", ">keys", ">s")}
    made = table("view", "!run", "!state", *counts)
    for run in runs:
        name = _view_and_interval(f"{run.view}@{run.version}", moment(run.start), moment(run.end))
        made.add_row(name, run.run_id or "-", state(run.state), *(text(run) for text in counts.values()))
    return made


def _view_and_interval(view: str, start: str, end: str) -> Text:
    text = styled(view)
    return text if start == end else text.append(f"\n  {start} .. {end}", "dim")


def show_findings(console: Console, subject: str, checks: Sequence[CheckResult], error: str | None) -> None:
    """The checks that were broken, and the error, below the name of what they are about."""
    if not checks and not error:
        return
    from rich.padding import Padding

    def indented(text: str, style: str) -> None:
        if console.is_terminal:
            console.print(Padding(styled(printable(text), style), (0, 0, 0, 2), expand=False))
        else:
            console.print(styled(f"  {printable(text)}", style))

    console.print(styled(f"\n{subject}", "bold"))
    for check in checks:
        indented(str(check), "" if check.passed else CHECK_STYLES.get(check.severity, ""))
    if error:
        indented(error, "red")


# -- dry run ---------------------------------------------------------------------------------------------------------


def _dry_run(
    store: FeatureStore, start: str | None, end: str | None, views: Sequence[str] | None
) -> list[tuple[str, Interval, PreviewReport]]:
    """What runs over the same intervals would read and what their checks would say."""
    from hitherto.materialization import materialize as work
    from hitherto.materialization.preview import preview
    from hitherto.timeline import instant

    context = store.context
    bounds = [None if value is None else instant(value, what=what) for value, what in ((start, "start"), (end, "end"))]
    wanted = work.request(context, start=bounds[0], end=bounds[1], incremental=False)
    found = []
    for version in work.newest_versions(context, views):
        for interval in work.plan(context, version, wanted).intervals:
            # What a run would read and check, at the price of reading it once.
            limits = context.engine.limits
            rows = preview(version.definition, root=context.root, limits=limits, interval=interval, run_again=False)
            found.append((f"{version.view}@{version.version}", interval, rows.report))
    return found


def _show_dry_run(here: Session, found: Sequence[tuple[str, Interval, PreviewReport]]) -> None:
    def render(console: Console) -> None:
        made = table("view", "!a run", ">would read", ">would set aside")
        for view, interval, report in found:
            verdict = styled("would go on", "green") if report.ok else styled("would be rejected", "red")
            name = _view_and_interval(view, moment(interval.start), moment(interval.end))
            made.add_row(name, verdict, f"{report.rows_read:,}", f"{report.rows_quarantined:,}")
        console.print(made)
        for view, _, report in found:
            show_findings(console, view, [check for check in report.checks if check.broken or not check.passed], None)
        console.print(
            styled(
                f"\nNothing was written: {count(len(found), 'run')} looked at, checks on the whole not among it.", "dim"
            )
        )

    runs = [
        {
            "view": view,
            "start": to_datetime(interval.start),
            "end": to_datetime(interval.end),
            "ok": report.ok,
            "rows_read": report.rows_read,
            "rows_quarantined": report.rows_quarantined,
            "checks": [check.to_json() for check in report.checks],
        }
        for view, interval, report in found
    ]
    ok = all(report.ok for _, _, report in found)
    here.output.show({"ok": ok, "dry_run": True, "runs": runs}, render)
    if not ok:
        raise typer.Exit(faults.SAID_NO)
