"""Records to rows of the registry's tables and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from hitherto.definitions.feature_view import FeatureView
from hitherto.registry import json_format
from hitherto.registry.records import (
    DefinitionChange,
    Edge,
    FileObservation,
    Publication,
    Run,
    Segment,
    SourceFile,
    TrainingSetRecord,
    ViewVersion,
)
from hitherto.timeline import Interval

FIXED = ("run_id", "view", "version", "sequence", "token", "interval", "began_at")
"""What a run keeps from its beginning to its end."""
_RUN_TEXTS = ("checks", "profile", "source", "pending")
_RUN_PLAIN = (
    "run_id", "view", "version", "sequence", "token", "state", "began_at", "generation", "online_sequence", "finished_at",
    "published_at", "rows_read", "rows_written", "rows_superseded", "rows_quarantined", "keys_pushed", "seconds", "segment_id",
    "error",
)  # fmt: skip


def run_to_row(run: Run) -> dict[str, Any]:
    """Column -> value."""
    row: dict[str, Any] = {name: getattr(run, name) for name in _RUN_PLAIN}
    row |= {name: json_format.dumps(getattr(run, name), canonical=False) for name in _RUN_TEXTS}
    return row | {"interval_start": run.interval.start, "interval_end": run.interval.end}


def run_from_row(row: sqlite3.Row) -> Run:
    """A run."""
    plain = {name: row[name] for name in _RUN_PLAIN}
    texts = {name: json.loads(row[name]) for name in _RUN_TEXTS}
    texts["checks"] = tuple(texts["checks"])
    return Run(interval=_interval(row), **plain, **texts)


def segment_to_row(segment: Segment) -> dict[str, Any]:
    """Column -> value."""
    row = {name: value for name, value in vars(segment).items() if name != "interval"}
    row["indexed"] = int(segment.indexed)
    return row | {"interval_start": segment.interval.start, "interval_end": segment.interval.end}


def segment_from_row(row: sqlite3.Row) -> Segment:
    """A segment."""
    return Segment(
        segment_id=row["segment_id"],
        view=row["view"],
        version=row["version"],
        run_id=row["run_id"],
        interval=_interval(row),
        path=row["path"],
        rows=row["rows"],
        keys=row["keys"],
        content_hash=row["content_hash"],
        file_hash=row["file_hash"],
        indexed=bool(row["indexed"]),
    )


def publication_from_row(row: sqlite3.Row) -> Publication:
    """A publication."""
    return Publication(
        number=row["number"],
        view=row["view"],
        version=row["version"],
        run_id=row["run_id"],
        run_sequence=row["run_sequence"],
        interval=_interval(row),
        segment_id=row["segment_id"],
        published_at=row["published_at"],
    )


def observation_from_row(row: sqlite3.Row) -> FileObservation:
    """A file observation."""
    file = SourceFile(
        path=row["path"],
        size=row["size"],
        modified=row["modified"],
        footer=row["footer"],
        rows=row["rows"],
        start=row["first_time"],
        end=row["last_time"],
        source=row["source"],
    )
    return FileObservation(file, row["since_run"], row["until_run"])


def file_to_row(file: SourceFile) -> dict[str, Any]:
    """Column -> value."""
    row = {name: value for name, value in vars(file).items() if name not in ("start", "end")}
    return row | {"first_time": file.start, "last_time": file.end}


@lru_cache(maxsize=4096)
def view_from_text(document: str) -> FeatureView:
    """The view of a document, read once: documents never change, and views are frozen.

    Of 200 views, every process that serves spent 0.3 s on them at each publish.
    """
    view: FeatureView = json_format.from_json(json.loads(document))
    return view


def version_from_row(row: sqlite3.Row) -> ViewVersion:
    """A view version; the row has the document of its newest definition."""
    return ViewVersion(
        view=row["view"],
        version=row["version"],
        definition=view_from_text(row["document"]),
        created_at=row["created_at"],
        serving_from=row["serving_from"],
        serving_until=row["serving_until"],
        generation=row["generation"],
    )


def change_from_row(row: sqlite3.Row) -> DefinitionChange:
    """A change of a view's definition."""
    return DefinitionChange(
        view=row["view"],
        version=row["version"],
        definition=view_from_text(row["document"]),
        applied_at=row["applied_at"],
    )


def training_set_from_row(row: sqlite3.Row) -> TrainingSetRecord:
    """A saved training set."""
    return TrainingSetRecord(
        name=row["name"],
        version=row["version"],
        description=row["description"],
        created_at=row["created_at"],
        content_hash=row["content_hash"],
        rows=row["rows"],
        manifest=json.loads(row["manifest"]),
    )


def edge_from_row(row: sqlite3.Row) -> Edge:
    """An arrow of the lineage."""
    return Edge(row["from_kind"], row["from_name"], row["to_kind"], row["to_name"], row["run_id"] or None)


def insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    """Insert one row; the names are this package's own, never a user's."""
    columns = ", ".join(row)
    marks = ", ".join(f":{name}" for name in row)
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", dict(row))


def _interval(row: sqlite3.Row) -> Interval:
    return Interval(row["interval_start"], row["interval_end"])
