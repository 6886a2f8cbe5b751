"""The lineage that a registry has recorded, with what is known of each file, version and segment."""

from __future__ import annotations

from typing import Any

from hitherto.lineage.graph import Lineage, build
from hitherto.lineage.nodes import Node
from hitherto.registry.records import Run, Segment, SourceFile, TrainingSetRecord, ViewVersion
from hitherto.registry.sqlite import Registry
from hitherto.timeline import rfc3339


def of_registry(registry: Registry) -> Lineage:
    """The whole lineage of a project, views that were removed from its definitions included.

    Raises:
        RegistryError: The registry cannot be read.
    """
    snapshot = registry.snapshot()
    edges = registry.edges()
    named = {one.to_name.partition("@")[0] for one in edges if one.to_kind == "view_version"}
    details: dict[Node, dict[str, Any]] = {}
    for view in sorted({*snapshot.definitions.feature_views, *named}):
        for version in registry.view_versions(view):
            details[Node("view_version", f"{view}@{version.version}")] = {"state": _state_of(version)}
            for observation in registry.observations(view, version.version):
                details[Node("source_file", observation.file.path)] = _of_file(observation.file)
            for segment in registry.segments(view, version.version).values():
                details[Node("segment", segment.segment_id)] = _of_segment(segment)
    for run in registry.runs(state="published"):
        # Runs come newest first, so a version has the revision of its last run, a segment that of its own.
        version_details = details.setdefault(Node("view_version", f"{run.view}@{run.version}"), {})
        version_details.update({name: value for name, value in _of_run(run).items() if name not in version_details})
        if run.segment_id is not None:
            details.setdefault(Node("segment", run.segment_id), {}).update(_of_run(run))
    for record in registry.training_sets():
        details[Node("training_set", f"{record.name}@{record.version}")] = _of_training_set(record)
    serving = {name: served.version for name, served in snapshot.views.items()}
    return build(edges, snapshot.definitions, serving=serving, details=details)


def _of_file(file: SourceFile) -> dict[str, Any]:
    identity = {"modified": file.modified, "footer": file.footer}
    return {"rows": file.rows, "bytes": file.size, "identity": identity}


def _state_of(version: ViewVersion) -> str:
    if version.serving_from is None:
        return "not serving yet"
    return "serving" if version.serving_until is None else "replaced"


def _of_segment(segment: Segment) -> dict[str, Any]:
    return {
        "rows": segment.rows,
        "keys": segment.keys,
        "start": rfc3339(segment.interval.start),
        "end": rfc3339(segment.interval.end),
        "content_hash": segment.content_hash,
    }


def _of_run(run: Run) -> dict[str, Any]:
    wanted = ("git_revision", "transform", "libraries")
    return {name: run.source[name] for name in wanted if run.source.get(name)}


def _of_training_set(record: TrainingSetRecord) -> dict[str, Any]:
    return {"rows": record.rows, "content_hash": record.content_hash, "created_at": rfc3339(record.created_at)}
