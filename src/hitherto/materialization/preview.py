"""Preview: a view's transform and checks on real rows, with nothing written."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from hitherto.definitions.feature_view import FeatureView
from hitherto.materialization import foresight
from hitherto.materialization.staging import SourceRows, stage_rows
from hitherto.offline.duckdb.connection import Limits, connect, storage_errors
from hitherto.offline.duckdb.reading import as_declared
from hitherto.result import Result
from hitherto.sources.files import files_of
from hitherto.sql import quote
from hitherto.timeline import Interval
from hitherto.validation.report import CheckResult, rejects


@dataclass(frozen=True)
class PreviewReport:
    """What a run over these rows would say."""

    rows_read: int
    rows_quarantined: int
    checks: tuple[CheckResult, ...]
    warning: str | None = None
    """That the transform sees the future, or further back than its lookback, if these rows show it."""

    @property
    def ok(self) -> bool:
        """Whether no check would reject the run."""
        return not rejects(self.checks)

    def __str__(self) -> str:
        verdict = "would be published" if self.ok else "would be REJECTED"
        broken = [f"  {check}" for check in self.checks if check.broken or not check.passed]
        warned = [f"  warning: {self.warning}"] if self.warning else []
        return "\n".join(
            [f"{self.rows_read:,} rows read, {self.rows_quarantined:,} set aside; {verdict}", *broken, *warned]
        )


class Preview(Result):
    """The rows that would go on: keys, event, created and available time, features; `report` and `quarantined` beside them."""

    def __init__(self, rows: pa.Table, quarantined: pa.Table, report: PreviewReport) -> None:
        super().__init__(rows)
        self.report = report
        self.quarantined = Result(quarantined)

    def __str__(self) -> str:
        return f"{self.report}\n{super().__str__()}"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self.report))}</pre>{super()._repr_html_()}"


def preview(
    view: FeatureView,
    *,
    root: Path,
    limits: Limits,
    limit: int | None = None,
    interval: Interval | None = None,
    run_again: bool = True,
) -> Preview:
    """Stage rows of the source and report on them.

    Args:
        view: The view.
        root: What the source's path is relative to.
        limits: Of the engine.
        limit: How many rows of the source (the first one, of several) to read; all if not given.
        interval: Only rows that are available in it.
        run_again: Whether to run the transform on parts of the rows too, for the report's warning.

    Raises:
        SourceError, TransformError: As a run would.
    """
    files = files_of(view, root=root)
    with connect(limits) as con, storage_errors(f"Previewing feature view {view.name!r}"):
        source_rows = SourceRows(view, files, root)
        staged = stage_rows(con, source_rows, interval, limit=limit)
        times = "__event as event_time, __created as created_time, __available as available_time"
        columns = ", ".join(
            [*(quote(name) for name in view.join_keys), times, *(quote(name) for name in view.column_names)]
        )
        rows = as_declared(view, con.sql(f"select {columns} from staged").to_arrow_table())
        quarantined = con.sql("select * from quarantined").to_arrow_table()
        warning = foresight.look(con, source_rows, interval, limit=limit) if run_again else None
    report = PreviewReport(staged.rows_read, staged.rows_quarantined, staged.checks, warning)
    return Preview(rows, quarantined, report)


def preview_of(view: FeatureView, *, limit: int, repo_path: str | Path | None) -> Preview:
    """What `FeatureView.preview` does: the repo is the view's own if none is given."""
    folder = Path(repo_path) if repo_path is not None else _repo_of(view)
    return preview(view, root=folder.absolute(), limit=limit, limits=Limits())


def _repo_of(view: FeatureView) -> Path:
    """The repo that a view was defined in: the nearest folder with hitherto.toml, else that of the file, else this one."""
    file = Path(view.location.file) if view.location else Path()
    if not file.is_file():
        return Path.cwd()
    parents = file.absolute().parents
    return next((folder for folder in parents if (folder / "hitherto.toml").is_file()), parents[0])
