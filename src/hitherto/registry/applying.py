"""Apply, table by table: definitions, and the versions of views."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from hitherto.definitions.collection import Definitions
from hitherto.definitions.feature_view import FeatureView
from hitherto.errors import UsageError
from hitherto.registry import diff, json_format, reads, rows


def refuse_removal(connection: sqlite3.Connection, wanted: Definitions) -> None:
    """Raise UsageError if a deployed view with published data is not wanted any more."""
    with_data = connection.execute(
        "SELECT name FROM definitions WHERE kind = 'feature_view' AND name IN (SELECT view FROM publications) ORDER BY position"
    )
    gone = [row["name"] for row in with_data if row["name"] not in wanted.feature_views]
    if gone:
        raise UsageError(
            f"The repo no longer has {', '.join(gone)}, which {'has' if len(gone) == 1 else 'have'} published data. "
            "Put the definition back, or apply with --allow-remove (allow_remove=True); the data stays until it is deleted."
        )


def write_definitions(connection: sqlite3.Connection, wanted: Definitions) -> bool:
    """Replace all definitions; whether anything but locations changed."""
    before = reads.deployed(connection)
    connection.execute("DELETE FROM definitions")
    moved = False
    for kind, plural in reads.KINDS.items():
        objects: Mapping[str, json_format.Definition] = getattr(wanted, plural)
        for position, (name, definition) in enumerate(objects.items()):
            row = {"kind": kind, "name": name, "position": position}
            rows.insert(connection, "definitions", {**row, "document": _document(definition)})
        deployed: Mapping[str, json_format.Definition] = getattr(before, plural)
        moved |= _comparables(deployed) != _comparables(objects)
    return moved


def _comparables(objects: Mapping[str, json_format.Definition]) -> dict[str, str]:
    return {name: json_format.comparable(definition) for name, definition in objects.items()}


def _document(definition: json_format.Definition) -> str:
    return json_format.dumps(json_format.to_json(definition))


def write_version(connection: sqlite3.Connection, view: FeatureView, now: int) -> bool:
    """Bring a view's versions up to its definition; whether anything changed."""
    known = reads.versions(connection, view.name)
    version = diff.version_of(view, known[-1] if known else None)
    if not known or version != known[-1].version:
        row = {"view": view.name, "version": version, "created_at": now}
        rows.insert(connection, "view_versions", row)
    elif json_format.comparable(view) == json_format.comparable(known[-1].definition):
        return False
    change = {"view": view.name, "version": version, "applied_at": now, "document": _document(view)}
    rows.insert(connection, "definition_changes", change)
    return True
