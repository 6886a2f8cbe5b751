"""What the registry remembers besides definitions, as frozen records. Instants are microseconds UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hitherto.definitions.feature_view import FeatureView
from hitherto.definitions.relations import SOURCE
from hitherto.timeline import Interval

RunState = Literal["planned", "staging", "validated", "pushing", "published", "rejected", "failed"]
UNFINISHED: tuple[RunState, ...] = ("planned", "staging", "validated", "pushing")


@dataclass(frozen=True)
class ViewVersion:
    """One version of a feature view (semantics 6). It serves in [serving_from, serving_until)."""

    view: str
    version: int
    definition: FeatureView
    created_at: int
    serving_from: int | None = None
    serving_until: int | None = None
    generation: int = 0
    """The online generation that lookups read; 0 before the first publish."""


@dataclass(frozen=True)
class DefinitionChange:
    """The definition of a view from an instant on, in-place changes included: what `as_of` looks up."""

    view: str
    version: int
    definition: FeatureView
    applied_at: int


@dataclass(frozen=True)
class SourceFile:
    """One Parquet file as a run saw it. Equal identity means equal content, short of a full hash."""

    path: str
    size: int
    modified: str
    """Modification time in nanoseconds, or the ETag of an object store."""
    footer: str
    """SHA-256 of the Parquet footer."""
    rows: int
    start: int | None = None
    """First available time in the file (for a row without one, the time it has); None while it has not been read."""
    end: int | None = None
    """The last one, inclusive."""
    source: str = SOURCE
    """What the view calls the source that it is a file of: two sources of a view may be one path, with other times."""

    @property
    def content(self) -> tuple[str, int, str, str]:
        """What tells a changed file."""
        return (self.path, self.size, self.modified, self.footer)

    @property
    def identity(self) -> tuple[str, str, int, str, str]:
        """What tells a file that a view has not read yet as it is now."""
        return (self.source, *self.content)


@dataclass(frozen=True)
class FileObservation:
    """A source file, seen by the runs with since_run <= sequence < until_run (None: still there at the last run)."""

    file: SourceFile
    since_run: int
    until_run: int | None = None


@dataclass(frozen=True)
class Segment:
    """One immutable file of published rows."""

    segment_id: str
    view: str
    version: int
    run_id: str
    interval: Interval
    path: str
    """Relative to the offline path of the project."""
    rows: int
    keys: int
    content_hash: str
    """SHA-256 over the canonical rows: identity."""
    file_hash: str
    """SHA-256 of the file: integrity."""
    indexed: bool = True
    """Whether the file holds a separate index from (key, available time) to the winner's row."""


@dataclass(frozen=True)
class Publication:
    """One entry of the ledger: from `published_at` on, the interval's rows are those of the segment (None: no rows)."""

    number: int
    view: str
    version: int
    run_id: str
    run_sequence: int
    interval: Interval
    segment_id: str | None
    published_at: int


@dataclass(frozen=True)
class Run:
    """One materialization of one view version over one interval."""

    run_id: str
    view: str
    version: int
    sequence: int
    """Rises by one with each run of the project; orders runs."""
    token: int
    """Fencing token of the view: the highest one holds the lease."""
    interval: Interval
    state: RunState
    began_at: int
    generation: int = 0
    """The online generation that the run writes."""
    online_sequence: int = 0
    """The online store's sequence when the run began: pushes with a higher one are newer than the run."""
    finished_at: int | None = None
    published_at: int | None = None
    rows_read: int = 0
    rows_written: int = 0
    rows_superseded: int = 0
    rows_quarantined: int = 0
    keys_pushed: int = 0
    seconds: float = 0.0
    segment_id: str | None = None
    checks: tuple[Mapping[str, Any], ...] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    """Lineage: source name, transform SQL, git revision, library versions."""
    error: str | None = None
    pending: Mapping[str, Any] = field(default_factory=dict)
    """What recovery needs to roll the run forward: the segment and the files of the publish to come."""


@dataclass(frozen=True)
class TrainingSetRecord:
    """A saved training set: name, version, and the manifest that re-creates it."""

    name: str
    version: int
    description: str
    created_at: int
    content_hash: str
    rows: int
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Edge:
    """One arrow of the lineage: what came from what, by which run (None: not by a run).

    Kinds: source_file, source, view_version (`view@1`), segment, generation (`view@1#3`), training_set (`name@1`), on_demand_view.
    """

    from_kind: str
    from_name: str
    to_kind: str
    to_name: str
    run_id: str | None = None
