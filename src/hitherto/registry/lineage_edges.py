"""Which arrows of the lineage a publish draws: source file -> source -> view version -> segment -> online generation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hitherto.definitions.feature_view import FeatureView
from hitherto.registry.records import Edge, Run, Segment, SourceFile


def of_publish(
    run: Run, view: FeatureView, segment: Segment | None, files: Sequence[SourceFile], generation: int
) -> tuple[Edge, ...]:
    """The arrows of one published run. Only files that the run can have read rows from are named."""
    version = f"{run.view}@{run.version}"
    sources = {name: source.name for name, source in view.all_sources.items()}
    found = [Edge("source", name, "view_version", version, run.run_id) for name in dict.fromkeys(sources.values())]
    lookbacks = view.lookbacks
    for file in files:
        lookback = lookbacks[file.source]
        begin = None if lookback is None else run.interval.start - lookback
        ends_before = begin is not None and file.end is not None and file.end < begin
        starts_after = file.start is not None and file.start >= run.interval.end
        if not ends_before and not starts_after:
            found.append(Edge("source_file", file.path, "source", sources[file.source], run.run_id))
    if segment is not None:
        found.append(Edge("view_version", version, "segment", segment.segment_id, run.run_id))
        if view.online:
            found.append(Edge("segment", segment.segment_id, "generation", f"{version}#{generation}", run.run_id))
    return tuple(found)


def views_of_training_sets(edges: Iterable[Edge]) -> dict[str, frozenset[str]]:
    """Training set (`name@version`) -> the views that it was built from."""
    views: dict[str, set[str]] = {}
    for edge in edges:
        if edge.from_kind in ("view_version", "on_demand_view") and edge.to_kind == "training_set":
            views.setdefault(edge.to_name, set()).add(edge.from_name.partition("@")[0])
    return {name: frozenset(found) for name, found in views.items()}
