"""Registry: what is deployed, what ran and what was published, in one SQLite file. Every change is one transaction.

`serial` rises with each change that a plan, a training set or a lookup can see; the progress of a run is not one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hitherto.definitions.collection import Definitions
from hitherto.errors import RegistryConflict, RegistryError, UnknownNameError
from hitherto.registry import applying, diff, json_format, ledger, lineage_edges, publishing, reads, rows
from hitherto.registry.connection import Connection
from hitherto.registry.records import (
    UNFINISHED,
    DefinitionChange,
    Edge,
    FileObservation,
    Publication,
    Run,
    RunState,
    Segment,
    SourceFile,
    TrainingSetRecord,
    ViewVersion,
)
from hitherto.registry.snapshot import Snapshot
from hitherto.timeline import Interval


class Registry:
    """The registry of one project. Any number of threads and processes may use one file.

    Args:
        path: The SQLite file; it and its folder are created when missing.
        project: The project's name; a file that belongs to another one is refused.

    Raises:
        RegistryError: The file cannot be read or written, is damaged, or is something else.
        RegistryFormatError: It was written by a newer Hitherto.
    """

    def __init__(self, path: Path, *, project: str) -> None:
        self.path, self.project = Path(path), project
        self._connection = Connection(self.path, project=project)
        self._snapshot: Snapshot | None = None

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what is deployed --------------------------------------------------------------------------------------------

    def serial(self) -> int:
        """Rises with every change that a plan, a training set or a lookup can see."""
        with self._connection.read() as connection:
            return reads.serial(connection)

    def deployed(self) -> Definitions:
        """What was applied last."""
        with self._connection.read() as connection:
            return reads.deployed(connection)

    def snapshot(self) -> Snapshot:
        """What is deployed and served. The same object as long as the serial is the same."""
        with self._connection.read() as connection:
            serial = reads.serial(connection)
            known = self._snapshot
            if known is None or known.serial != serial:
                known = self._snapshot = reads.snapshot(connection, serial, self.project)
            return known

    def plan(self, wanted: Definitions) -> diff.Plan:
        """What `apply(wanted)` would change; its `serial` is what apply expects."""
        with self._connection.read() as connection:
            versions = reads.newest_versions(connection)
            published = {}
            for view in versions:
                serving = reads.serving_version(connection, view) or versions[view].version
                intervals = ledger.covered(reads.publications(connection, view, serving))
                if intervals:
                    published[view] = diff.Published(serving, intervals)
            return diff.compare(
                reads.deployed(connection),
                wanted,
                versions,
                training_sets=lineage_edges.views_of_training_sets(reads.edges(connection)),
                published=published,
                serial=reads.serial(connection),
            )

    def apply(self, wanted: Definitions, *, expected_serial: int | None, now: int, allow_remove: bool = False) -> None:
        """Set the registry to what the repo says (semantics 6).

        Args:
            wanted: All definitions.
            expected_serial: The serial of the plan that was shown; None takes the registry as it is.
            now: The instant, microseconds UTC.
            allow_remove: Whether views that have published data may go from the definitions (their data stays).

        Raises:
            RegistryConflict: The registry has moved since the plan.
            UsageError: A view that has data would be removed.
        """
        with self._connection.write() as connection:
            serial = reads.serial(connection)
            if expected_serial is not None and serial != expected_serial:
                raise RegistryConflict(
                    f"The registry has moved since the plan (it was at {expected_serial}, it is at {serial}): "
                    "another apply or a materialization came between. Plan again, look at it, and apply."
                )
            if not allow_remove:
                applying.refuse_removal(connection, wanted)
            moved = applying.write_definitions(connection, wanted)
            for view in wanted.feature_views.values():
                moved |= applying.write_version(connection, view, now)
            if moved:
                publishing.bump(connection)

    def view_versions(self, view: str) -> tuple[ViewVersion, ...]:
        """All versions of a view, oldest first, each with its newest definition; none for an unknown view."""
        with self._connection.read() as connection:
            return reads.versions(connection, view)

    def definition_changes(self, view: str) -> tuple[DefinitionChange, ...]:
        """Every definition that a view ever had, in the order of applying."""
        with self._connection.read() as connection:
            found = connection.execute("SELECT * FROM definition_changes WHERE view = ? ORDER BY number", (view,))
            return tuple(rows.change_from_row(row) for row in found)

    # -- runs --------------------------------------------------------------------------------------------------------

    def begin_run(self, view: str, version: int, interval: Interval, *, began_at: int) -> Run:
        """A new run in state planned, with the next sequence and the highest fencing token of its view.

        Raises:
            UnknownNameError: The view has no such version.
        """
        with self._connection.write() as connection:
            return publishing.begin(connection, view, version, interval, began_at=began_at)

    def update_run(self, run_id: str, **changes: Any) -> Run:
        """Note a run's progress: any field but those of its beginning.

        Raises:
            UnknownNameError: There is no such run.
            FencedError: The run is finished, or a newer run of its view has begun.
        """
        with self._connection.write() as connection:
            run = publishing.changed(publishing.held(connection, run_id), changes)
            if run.state == "published":
                raise RegistryError(f"Run {run_id} can be published only by publish().")
            publishing.save_run(connection, run)
            return run

    def publish(
        self,
        run: Run,
        *,
        segment: Segment | None,
        files: Sequence[SourceFile],
        published_at: int,
        generation: int,
        unchanged: bool = False,
        switch: bool = False,
        edges: Iterable[Edge] = (),
        **changes: Any,
    ) -> Run:
        """Publish a run, in one transaction: segment, ledger, files, lineage, generation, serving version, state.

        Args:
            run: The run; what it did so far is in the registry (`update_run`).
            segment: Its rows; None if the interval has none.
            files: All files of the source, as the run saw them.
            published_at: The publish instant, microseconds UTC.
            generation: The online generation that lookups read from now on.
            unchanged: The content is what was published before: files and state are noted, the ledger stays.
            switch: This version serves from now on, and the one that did so far no longer. The first version
                of a view that publishes serves at once.
            edges: Lineage beside files -> version -> segment -> generation, which are written by themselves.
            changes: Last fields of the run, as in `update_run`.

        Raises:
            FencedError: The run is finished, or a newer run of its view has begun. Nothing was changed.
        """
        with self._connection.write() as connection:
            held = publishing.held(connection, run.run_id)
            publishing.observe(connection, held, files)
            if not unchanged:
                publishing.enter_ledger(connection, held, segment, published_at)
                derived = lineage_edges.of_publish(
                    held, reads.definition(connection, held.view, held.version), segment, files, generation
                )
                publishing.add_edges(connection, derived)
            publishing.add_edges(connection, edges)
            # Before anything serves there is nothing to wait for.
            first = not unchanged and reads.serving_version(connection, held.view) is None
            publishing.serve(connection, held, generation=generation, published_at=published_at, switch=switch or first)
            done = {"finished_at": published_at, "segment_id": segment.segment_id if segment else None, **changes}
            fixed = {"state": "published", "published_at": published_at, "generation": generation, "pending": {}}
            published = publishing.changed(held, {**done, **fixed})
            publishing.save_run(connection, published)
            publishing.bump(connection)
            return published

    def run(self, run_id: str) -> Run:
        """One run. Raises UnknownNameError."""
        with self._connection.read() as connection:
            return reads.run(connection, run_id)

    def runs(self, view: str | None = None, state: RunState | None = None, limit: int | None = None) -> tuple[Run, ...]:
        """Runs, the newest first."""
        with self._connection.read() as connection:
            found = connection.execute(
                "SELECT * FROM runs WHERE (:view IS NULL OR view = :view) AND (:state IS NULL OR state = :state) "
                "ORDER BY sequence DESC LIMIT :limit",
                {"view": view, "state": state, "limit": -1 if limit is None else max(0, limit)},
            )
            return tuple(rows.run_from_row(row) for row in found)

    def unfinished_runs(self) -> tuple[Run, ...]:
        """Runs that are under way, or whose process died: the oldest first, as recovery takes them."""
        with self._connection.read() as connection:
            marks = ", ".join("?" * len(UNFINISHED))
            found = connection.execute(f"SELECT * FROM runs WHERE state IN ({marks}) ORDER BY sequence", UNFINISHED)
            return tuple(rows.run_from_row(row) for row in found)

    # -- what was published ------------------------------------------------------------------------------------------

    def publications(self, view: str, version: int) -> tuple[Publication, ...]:
        """The ledger of a view version, in the order of publishing."""
        with self._connection.read() as connection:
            return reads.publications(connection, view, version)

    def segments(self, view: str, version: int) -> dict[str, Segment]:
        """The segments of a view version by id, masked ones included."""
        with self._connection.read() as connection:
            found = connection.execute(
                "SELECT * FROM segments WHERE view = ? AND version = ? ORDER BY rowid", (view, version)
            )
            return {row["segment_id"]: rows.segment_from_row(row) for row in found}

    def observations(self, view: str, version: int) -> tuple[FileObservation, ...]:
        """Which source files the runs of a view version saw, and from which run to which."""
        with self._connection.read() as connection:
            found = connection.execute(
                "SELECT * FROM file_observations WHERE view = ? AND version = ? ORDER BY number", (view, version)
            )
            return tuple(rows.observation_from_row(row) for row in found)

    # -- training sets and lineage -----------------------------------------------------------------------------------

    def save_training_set(
        self,
        name: str,
        description: str,
        created_at: int,
        content_hash: str,
        rows: int,
        manifest: Mapping[str, Any],
        *,
        edges: Iterable[Edge] = (),
    ) -> TrainingSetRecord:
        """Save a training set as the next version of its name.

        `edges` may leave `to_name` empty for the version that is given here (`name@version`).
        """
        with self._connection.write() as connection:
            version = connection.execute(
                "SELECT coalesce(max(version), 0) + 1 FROM training_sets WHERE name = ?", (name,)
            ).fetchone()[0]
            text = json_format.dumps(manifest, canonical=False)
            connection.execute(
                "INSERT INTO training_sets VALUES (?, ?, ?, ?, ?, ?, ?)",
                (name, version, description, created_at, content_hash, rows, text),
            )
            label = f"{name}@{version}"
            publishing.add_edges(connection, (edge if edge.to_name else replace(edge, to_name=label) for edge in edges))
            publishing.bump(connection)
            return TrainingSetRecord(name, version, description, created_at, content_hash, rows, json.loads(text))

    def training_set(self, name: str, version: int | None = None) -> TrainingSetRecord:
        """A saved training set, its newest version if none is given. Raises UnknownNameError."""
        saved = self.training_sets()
        found = [one for one in saved if one.name == name and version in (None, one.version)]
        if not found:
            labels = [one.name for one in saved] if version is None else [f"{one.name}@{one.version}" for one in saved]
            raise UnknownNameError("training set", name if version is None else f"{name}@{version}", set(labels))
        return found[-1]

    def training_sets(self) -> tuple[TrainingSetRecord, ...]:
        """All saved training sets, by name and version."""
        with self._connection.read() as connection:
            found = connection.execute("SELECT * FROM training_sets ORDER BY name, version")
            return tuple(rows.training_set_from_row(row) for row in found)

    def edges(self) -> tuple[Edge, ...]:
        """The whole lineage, in the order of writing."""
        with self._connection.read() as connection:
            return reads.edges(connection)
