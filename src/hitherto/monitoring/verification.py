"""Verification: whether what is stored is what was published, and whether it is served so.

Segments against their hashes, the ledger against its segments, runs against the conservation of rows, lookups against
retrieval, saved training sets against themselves. Nothing is changed.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hitherto.errors import HithertoError
from hitherto.monitoring.parity import ParityReport
from hitherto.monitoring.parity_sides import Project
from hitherto.offline.content_hash import hash_batches
from hitherto.offline.duckdb import segments as segment_files
from hitherto.offline.duckdb.connection import connect, storage_errors
from hitherto.offline.duckdb.visible import alias, attached
from hitherto.offline.plan import SegmentRead
from hitherto.registry.computations import computations_of
from hitherto.registry.records import UNFINISHED, Publication, Run, Segment, TrainingSetRecord, ViewVersion
from hitherto.sources.files import list_files
from hitherto.timeline import rfc3339

Severity = Literal["error", "warning"]
_AGAIN = "Materialize the view again from the beginning."


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be. An error is a broken promise, a warning is worth a look."""

    severity: Severity
    object: str
    message: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.object}: {self.message}"

    def to_json(self) -> dict[str, str]:
        """Plain values."""
        return {"severity": self.severity, "object": self.object, "message": self.message}


@dataclass(frozen=True)
class VerificationReport:
    """What was looked at (`counts`), and what was found."""

    findings: tuple[Finding, ...]
    counts: Mapping[str, int]
    parity: ParityReport = field(default_factory=ParityReport)

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings do not count."""
        return not any(one.severity == "error" for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for --json."""
        return {
            "ok": self.ok,
            "findings": [one.to_json() for one in self.findings],
            "counts": dict(self.counts),
            "parity": self.parity.to_json(),
        }

    def __str__(self) -> str:
        counted = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.counts.items())
        errors = sum(one.severity == "error" for one in self.findings)
        verdict = "All is well." if self.ok else f"{errors} error{'s' if errors > 1 else ''}."
        return "\n".join([f"verified: {counted}", str(self.parity), *(str(one) for one in self.findings), verdict])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


Measure = Callable[[list[str]], ParityReport]
"""Feature references -> how lookups of them compare with retrieval."""
Recreate = Callable[[TrainingSetRecord], object]
"""Builds a saved training set again; raises if it differs."""


def verify(project: Project, *, measure: Measure | None = None, recreate: Recreate | None = None) -> VerificationReport:
    """Look at everything that a project has published.

    Args:
        project: Where to look.
        measure: Parity of some features (`parity_sides.measure`); not measured if not given.
        recreate: Re-creation of a saved training set; left out if not given.

    Raises:
        RegistryError: The registry cannot be read. Whatever else is wrong is a finding.
    """
    runs = {run.run_id: run for run in project.registry.runs()}
    looked = [_look_at(project, version, runs, measure) for version in _versions(project, runs.values())]
    published = [run for run in runs.values() if run.state == "published"]
    records = project.registry.training_sets() if recreate is not None else ()
    findings = [finding for one in looked for finding in one.findings]
    findings += _run_findings(project, published)
    findings += _stray_files(project, runs.values(), [segment for one in looked for segment in one.segments])
    if recreate is not None:
        findings += _training_set_findings(records, recreate)
    counts = {
        "view_versions": len(looked),
        "segments": sum(len(one.segments) for one in looked),
        "rows": sum(segment.rows for one in looked for segment in one.segments),
        "runs": len(published),
        "training_sets": len(records),
    }
    computed, problems = _on_demand(project, measure)
    findings += problems
    findings.sort(key=lambda one: one.severity)
    return VerificationReport(tuple(findings), counts, sum((one.parity for one in looked), computed))


@dataclass(frozen=True)
class _Looked:
    """What was seen of one view version."""

    segments: tuple[Segment, ...]
    findings: tuple[Finding, ...]
    parity: ParityReport


def _look_at(project: Project, version: ViewVersion, runs: Mapping[str, Run], measure: Measure | None) -> _Looked:
    published = project.registry.publications(version.view, version.version)
    segments = project.registry.segments(version.view, version.version)
    findings = [*_ledger_findings(version, published, segments, runs), *_segment_findings(project, version, segments)]
    broken = any(one.severity == "error" for one in findings)
    snapshot, parity = project.registry.snapshot(), ParityReport()
    # Who answers for the view's name is whom late data concerns; a view that was removed is not looked up any more.
    if version.view in snapshot.views and version.version == snapshot.views[version.view].version:
        findings += _source_findings(project, version)
    if measure is not None and not broken and (version.view, version.version) in snapshot.versions:
        parity, problems = _measured(measure, version)
        findings += problems
    return _Looked(tuple(segments.values()), tuple(findings), parity)


def _versions(project: Project, runs: Iterable[Run]) -> list[ViewVersion]:
    """Every version of every view that is deployed or ever ran."""
    views = {*project.registry.snapshot().definitions.feature_views, *(run.view for run in runs)}
    return [version for view in sorted(views) for version in project.registry.view_versions(view)]


def _name(version: ViewVersion) -> str:
    return f"{version.view}@{version.version}"


# -- what is stored ----------------------------------------------------------------------------------------------------


def _ledger_findings(
    version: ViewVersion, published: Iterable[Publication], segments: Mapping[str, Segment], runs: Mapping[str, Run]
) -> Iterator[Finding]:
    used = set()
    for one in published:
        what = f"{_name(version)}, publication {one.number}"
        used.add(one.segment_id)
        segment = segments.get(one.segment_id or "")
        if one.segment_id is not None and segment is None:
            yield Finding("error", what, f"its segment {one.segment_id} is not in the registry. {_AGAIN}")
        elif segment is not None and segment.interval != one.interval:
            yield Finding("error", what, f"it covers {one.interval}, its segment {segment.interval}. {_AGAIN}")
        run = runs.get(one.run_id)
        if run is None or run.state != "published":
            state = "not in the registry" if run is None else run.state
            yield Finding("error", what, f"its run {one.run_id} is {state}. {_AGAIN}")
    for name in sorted(set(segments) - {one for one in used if one is not None}):
        yield Finding("warning", f"{_name(version)}, segment {name}", "no publication refers to it.")


def _segment_findings(project: Project, version: ViewVersion, segments: Mapping[str, Segment]) -> Iterator[Finding]:
    for segment in segments.values():
        what = f"{_name(version)}, segment {segment.segment_id}"
        try:
            problem = _segment_problem(project, version, segment)
        except HithertoError as error:
            problem = str(error)
        if problem:
            yield Finding("error", what, problem)


def _segment_problem(project: Project, version: ViewVersion, segment: Segment) -> str | None:
    path = project.offline_path / segment.path
    if not path.is_file():
        return f"its file {path} is gone. Restore it from a backup, or materialize {segment.interval} again."
    if segment_files.file_hash(path) != segment.file_hash:
        # Not opened: a damaged file may take the process down.
        return f"its file {path} has changed since it was written. Restore it, or materialize {segment.interval} again."
    content, rows = _content(project, version, segment, path)
    if (content, rows) != (segment.content_hash, segment.rows):
        return f"its rows are not those that were published ({rows:,} rows, {segment.rows:,} published). {_AGAIN}"
    return None


def _content(project: Project, version: ViewVersion, segment: Segment, path: Path) -> tuple[str, int]:
    """The content hash and the number of the rows in a segment's file, read in their order."""
    view = version.definition
    read = SegmentRead(path, segment.run_id, (segment.interval,), whole=True, indexed=segment.indexed)
    problem = storage_errors(f"Reading the segment {path}")
    with connect(project.limits) as con, problem, attached(con, [read], view=view.name):
        return hash_batches(segment_files.rows_in_order(con, view, f"{alias(read)}.rows"))


def _run_findings(project: Project, runs: Iterable[Run]) -> Iterator[Finding]:
    """Conservation (semantics 5), and the rows that were set aside."""
    for run in runs:
        what = f"{run.view}@{run.version}, run {run.run_id}"
        total = run.rows_written + run.rows_superseded + run.rows_quarantined
        if run.rows_read != total:
            yield Finding(
                "error", what, f"{run.rows_read:,} rows read, {total:,} accounted for. This is a fault of Hitherto."
            )
        kept = project.offline_path / run.view / f"v{run.version}" / f"{run.run_id}.quarantine.parquet"
        if run.rows_quarantined and not kept.is_file():
            yield Finding(
                "warning", what, f"its {run.rows_quarantined:,} rows in quarantine are gone: {kept} is missing."
            )


def _stray_files(project: Project, runs: Iterable[Run], segments: Iterable[Segment]) -> Iterator[Finding]:
    """Segment files that nothing refers to: a restored registry, a removed view, a crash between two steps."""
    known = {segment.path for segment in segments}
    known |= {f"{run.view}/v{run.version}/{run.run_id}.duckdb" for run in runs if run.state in UNFINISHED}
    for path in sorted(project.offline_path.glob("*/v*/*.duckdb")):
        if path.relative_to(project.offline_path).as_posix() not in known:
            yield Finding("warning", str(path), "nothing refers to this file; it is never read and can be removed.")


def _source_findings(project: Project, version: ViewVersion) -> Iterator[Finding]:
    """Source files that are not those that the published rows came from: late data, which a run would take up."""
    observations = project.registry.observations(version.view, version.version)
    observed = [one.file for one in observations if one.until_run is None]
    if not observed:
        return
    for name, source in version.definition.all_sources.items():
        try:
            there = {file.content for file in list_files(source, root=project.root)}
        except HithertoError as error:
            yield Finding("warning", f"source {source.name}", str(error))
            continue
        if there != {file.content for file in observed if file.source == name}:
            message = (
                f"its files have changed since {_name(version)} was published. Run: hitherto materialize-incremental"
            )
            yield Finding("warning", f"source {source.name}", message)


# -- how it is served --------------------------------------------------------------------------------------------------


def _measured(measure: Measure, version: ViewVersion) -> tuple[ParityReport, list[Finding]]:
    view, name = version.definition, _name(version)
    if not view.online or not version.generation:
        return ParityReport(), []
    return _parity_of(measure, name, view.feature_names)


def _parity_of(measure: Measure, name: str, features: Iterable[str]) -> tuple[ParityReport, list[Finding]]:
    try:
        report = measure([f"{name}:{feature}" for feature in features])
    except HithertoError as error:
        return ParityReport(), [Finding("error", name, f"parity could not be measured: {error}")]
    if report.ok:
        return report, []
    wrong = report.checked - report.equal - report.pushed
    when = rfc3339(report.mismatches[0].instant)
    message = f"{wrong:,} of {report.checked:,} lookups differ from retrieval, first at {when}. {_AGAIN}"
    return report, [Finding("error", name, message)]


def _on_demand(project: Project, measure: Measure | None) -> tuple[ParityReport, list[Finding]]:
    """Parity of the on-demand feature views whose inputs are served, with request fields that are made up."""
    snapshot, parity = project.registry.snapshot(), ParityReport()
    findings: list[Finding] = []
    views = snapshot.definitions.on_demand_feature_views
    if measure is None:
        return parity, findings
    for name, view in views.items():
        inputs = {projection.view.name for projection, _ in computations_of(views, [name]).stored}
        if not all(snapshot.views[one].definition.online and snapshot.views[one].generation for one in inputs):
            continue
        report, problem = _parity_of(measure, name, view.feature_names)
        parity += report
        findings += problem
    return parity, findings


def _training_set_findings(records: Iterable[TrainingSetRecord], recreate: Recreate) -> Iterator[Finding]:
    for record in records:
        try:
            recreate(record)
        except HithertoError as error:
            yield Finding("error", f"training set {record.name}@{record.version}", str(error))
