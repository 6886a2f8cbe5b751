"""What the registry reads from its tables, each on an open transaction."""

from __future__ import annotations

import json
import sqlite3
from functools import lru_cache
from typing import Any

from hitherto.definitions.collection import Definitions
from hitherto.definitions.feature_view import FeatureView
from hitherto.errors import UnknownNameError
from hitherto.registry import json_format, rows
from hitherto.registry.records import Edge, Publication, Run, ViewVersion
from hitherto.registry.snapshot import ServedView, Snapshot

KINDS = {
    "entity": "entities",
    "source": "sources",
    "feature_view": "feature_views",
    "on_demand_feature_view": "on_demand_feature_views",
    "feature_service": "feature_services",
}
"""Kind of a definition in its table and its JSON -> where Definitions keeps it."""
_NEWEST_DOCUMENT = """(SELECT document FROM definition_changes c WHERE c.view = v.view AND c.version = v.version
    ORDER BY number DESC LIMIT 1) AS document"""


def serial(connection: sqlite3.Connection) -> int:
    """The serial."""
    return int(connection.execute("SELECT value FROM meta WHERE key = 'serial'").fetchone()[0])


def documents(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """(kind, name) -> JSON text, in the order of definition."""
    found = connection.execute("SELECT kind, name, document FROM definitions ORDER BY position")
    return {(row["kind"], row["name"]): row["document"] for row in found}


def deployed(connection: sqlite3.Connection) -> Definitions:
    """What was applied last."""
    return _definitions(tuple((kind, text) for (kind, _), text in documents(connection).items()))


@lru_cache(maxsize=16)
def _definitions(texts: tuple[tuple[str, str], ...]) -> Definitions:
    """The definitions of (kind, document) texts: a publish changes none of them, so the next snapshot finds them here."""
    document: dict[str, Any] = {"kind": "definitions", **{plural: [] for plural in KINDS.values()}}
    for kind, text in texts:
        document[KINDS[kind]].append(json.loads(text))
    definitions = json_format.from_json(document)
    assert isinstance(definitions, Definitions)
    return definitions


def versions(connection: sqlite3.Connection, view: str) -> tuple[ViewVersion, ...]:
    """All versions of a view, oldest first."""
    found = connection.execute(
        f"SELECT v.*, {_NEWEST_DOCUMENT} FROM view_versions v WHERE view = ? ORDER BY version", (view,)
    )
    return tuple(rows.version_from_row(row) for row in found)


def newest_versions(connection: sqlite3.Connection) -> dict[str, ViewVersion]:
    """View name -> its newest version, of removed views too."""
    found = connection.execute(
        f"SELECT v.*, {_NEWEST_DOCUMENT} FROM view_versions v "
        "WHERE version = (SELECT max(version) FROM view_versions w WHERE w.view = v.view) ORDER BY view"
    )
    return {row["view"]: rows.version_from_row(row) for row in found}


def definition(connection: sqlite3.Connection, view: str, version: int) -> FeatureView:
    """The newest definition of a view version."""
    row = connection.execute(
        "SELECT * FROM definition_changes WHERE view = ? AND version = ? ORDER BY number DESC LIMIT 1", (view, version)
    ).fetchone()
    return rows.change_from_row(row).definition


def serving_version(connection: sqlite3.Connection, view: str) -> int | None:
    """The version that lookups and training read, or None."""
    row = connection.execute(
        "SELECT version FROM view_versions WHERE view = ? AND serving_from IS NOT NULL AND serving_until IS NULL",
        (view,),
    ).fetchone()
    return None if row is None else int(row["version"])


def publications(connection: sqlite3.Connection, view: str, version: int) -> tuple[Publication, ...]:
    """The ledger of a view version."""
    found = connection.execute(
        "SELECT * FROM publications WHERE view = ? AND version = ? ORDER BY number", (view, version)
    )
    return tuple(rows.publication_from_row(row) for row in found)


def edges(connection: sqlite3.Connection) -> tuple[Edge, ...]:
    """The whole lineage."""
    return tuple(rows.edge_from_row(row) for row in connection.execute("SELECT * FROM edges ORDER BY number"))


def run(connection: sqlite3.Connection, run_id: str) -> Run:
    """One run. Raises UnknownNameError."""
    row = connection.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if row is None:
        recent = connection.execute("SELECT run_id FROM runs ORDER BY sequence DESC LIMIT 100")
        raise UnknownNameError("run", run_id, [one["run_id"] for one in recent])
    return rows.run_from_row(row)


def snapshot(connection: sqlite3.Connection, serial: int, project: str) -> Snapshot:
    """What is deployed and served."""
    definitions = deployed(connection)
    marks = {
        (row["view"], row["version"]): row["mark"]
        for row in connection.execute(
            "SELECT view, version, max(interval_end) AS mark FROM publications GROUP BY view, version"
        )
    }
    views: dict[str, ServedView] = {}
    known: dict[tuple[str, int], ServedView] = {}
    for name in definitions.feature_views:
        for one in versions(connection, name):
            serving = one.serving_from is not None and one.serving_until is None
            mark = marks.get((name, one.version))
            known[name, one.version] = ServedView(one.definition, one.version, one.generation, mark, serving)
            # The one that serves stays; until there is one, the newest stands for the view.
            if name not in views or not views[name].serving:
                views[name] = known[name, one.version]
    return Snapshot(serial, project, definitions, views, known)
