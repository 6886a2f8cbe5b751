"""What a materialization did: one RunReport per run, and the whole."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hitherto.errors import UnknownNameError
from hitherto.registry.records import Run, RunState, Segment
from hitherto.timeline import to_datetime
from hitherto.validation.report import CheckResult


@dataclass(frozen=True)
class RunReport:
    """One run: its interval in available time, its rows, its checks, its end.

    `rows_read = rows_written + rows_superseded + rows_quarantined` always holds for a published run (semantics 5).
    """

    run_id: str
    view: str
    version: int
    state: RunState
    start: datetime
    end: datetime
    rows_read: int = 0
    rows_written: int = 0
    rows_superseded: int = 0
    rows_quarantined: int = 0
    keys_pushed: int = 0
    checks: tuple[CheckResult, ...] = ()
    segment: Segment | None = None
    seconds: float = 0.0
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the run was published."""
        return self.state == "published"

    @property
    def broken_checks(self) -> tuple[CheckResult, ...]:
        """The checks that at least one row, or the whole, broke."""
        return tuple(check for check in self.checks if check.broken or not check.passed)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for --json."""
        return {
            "run_id": self.run_id,
            "view": self.view,
            "version": self.version,
            "state": self.state,
            "start": self.start.isoformat().replace("+00:00", "Z"),
            "end": self.end.isoformat().replace("+00:00", "Z"),
            "rows_read": self.rows_read,
            "rows_written": self.rows_written,
            "rows_superseded": self.rows_superseded,
            "rows_quarantined": self.rows_quarantined,
            "keys_pushed": self.keys_pushed,
            "checks": [dict(check.to_json()) for check in self.checks],
            "segment": self.segment.segment_id if self.segment else None,
            "seconds": round(self.seconds, 3),
            "error": self.error,
        }

    def __str__(self) -> str:
        counts = f"{self.rows_read:,} read, {self.rows_written:,} written"
        extra = [
            f"{count:,} {word}"
            for count, word in (
                (self.rows_superseded, "superseded"),
                (self.rows_quarantined, "quarantined"),
                (self.keys_pushed, "keys pushed"),
            )
            if count
        ]
        line = f"{self.view}@{self.version} {self.state:<9} [{rfc_text(self.start)}, {rfc_text(self.end)}) {', '.join([counts, *extra])}, {self.seconds:.1f} s"
        return "\n".join(
            [line, *(f"  {check}" for check in self.broken_checks), *([f"  {self.error}"] if self.error else [])]
        )


@dataclass(frozen=True)
class MaterializationReport:
    """All runs of one call, in order. `up_to_date` names the views that had nothing to do."""

    runs: tuple[RunReport, ...] = ()
    up_to_date: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether every run was published."""
        return all(run.ok for run in self.runs)

    def __getitem__(self, view: str) -> RunReport:
        """The last run of a view. Raises UnknownNameError if none of its runs is in this report."""
        last = {run.view: run for run in self.runs}
        if view not in last:
            raise UnknownNameError("run of feature view", view, last, where="this report")
        return last[view]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for --json."""
        return {"ok": self.ok, "runs": [run.to_json() for run in self.runs], "up_to_date": list(self.up_to_date)}

    def __str__(self) -> str:
        lines = [str(run) for run in self.runs] + [f"{view} is up to date" for view in self.up_to_date]
        return "\n".join(lines) or "Nothing to materialize."

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def rfc_text(value: datetime) -> str:
    """An instant as people read it."""
    return value.isoformat().replace("+00:00", "Z")


def report_of(run: Run, segments: Mapping[str, Segment]) -> RunReport:
    """The report of a run as the registry remembers it."""
    return RunReport(
        run_id=run.run_id,
        view=run.view,
        version=run.version,
        state=run.state,
        start=to_datetime(run.interval.start),
        end=to_datetime(run.interval.end),
        rows_read=run.rows_read,
        rows_written=run.rows_written,
        rows_superseded=run.rows_superseded,
        rows_quarantined=run.rows_quarantined,
        keys_pushed=run.keys_pushed,
        checks=tuple(CheckResult.from_json(check) for check in run.checks),
        segment=segments.get(run.segment_id or ""),
        seconds=run.seconds,
        error=run.error,
    )
