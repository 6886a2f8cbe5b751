"""The registry's storage format, as the steps that lead to it. A released step never changes; a new format adds one."""

from __future__ import annotations

from dataclasses import dataclass

APPLICATION_ID = 0x48495448
"""What SQLite keeps in the file's header, so that a foreign database is told from a registry ("HITH")."""


@dataclass(frozen=True)
class Migration:
    """From the format before `version` to `version`."""

    version: int
    name: str
    statements: tuple[str, ...]


_FIRST = (
    "CREATE TABLE migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT",
    "INSERT INTO meta VALUES ('serial', 0)",
    """CREATE TABLE definitions (
        kind TEXT NOT NULL, name TEXT NOT NULL, position INTEGER NOT NULL, document TEXT NOT NULL,
        PRIMARY KEY (kind, name)) STRICT""",
    """CREATE TABLE view_versions (
        view TEXT NOT NULL, version INTEGER NOT NULL, created_at INTEGER NOT NULL, serving_from INTEGER, serving_until INTEGER,
        generation INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (view, version)) STRICT""",
    """CREATE TABLE definition_changes (
        number INTEGER PRIMARY KEY AUTOINCREMENT, view TEXT NOT NULL, version INTEGER NOT NULL, applied_at INTEGER NOT NULL,
        document TEXT NOT NULL) STRICT""",
    "CREATE INDEX definition_changes_of_view ON definition_changes (view, version, number)",
    # Tokens outlive runs and versions: the online store remembers the highest one.
    "CREATE TABLE tokens (view TEXT PRIMARY KEY, token INTEGER NOT NULL) STRICT",
    """CREATE TABLE runs (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE, view TEXT NOT NULL, version INTEGER NOT NULL,
        token INTEGER NOT NULL, interval_start INTEGER NOT NULL, interval_end INTEGER NOT NULL, state TEXT NOT NULL,
        began_at INTEGER NOT NULL, generation INTEGER NOT NULL, online_sequence INTEGER NOT NULL, finished_at INTEGER,
        published_at INTEGER, rows_read INTEGER NOT NULL, rows_written INTEGER NOT NULL, rows_superseded INTEGER NOT NULL,
        rows_quarantined INTEGER NOT NULL, keys_pushed INTEGER NOT NULL, seconds REAL NOT NULL, segment_id TEXT,
        checks TEXT NOT NULL, profile TEXT NOT NULL, source TEXT NOT NULL, error TEXT, pending TEXT NOT NULL) STRICT""",
    "CREATE INDEX runs_of_view ON runs (view, sequence)",
    "CREATE INDEX runs_in_state ON runs (state, sequence)",
    """CREATE TABLE segments (
        segment_id TEXT PRIMARY KEY, view TEXT NOT NULL, version INTEGER NOT NULL, run_id TEXT NOT NULL,
        interval_start INTEGER NOT NULL, interval_end INTEGER NOT NULL, path TEXT NOT NULL, rows INTEGER NOT NULL,
        keys INTEGER NOT NULL, content_hash TEXT NOT NULL, file_hash TEXT NOT NULL, indexed INTEGER NOT NULL) STRICT""",
    "CREATE INDEX segments_of_view ON segments (view, version)",
    """CREATE TABLE publications (
        number INTEGER PRIMARY KEY AUTOINCREMENT, view TEXT NOT NULL, version INTEGER NOT NULL, run_id TEXT NOT NULL,
        run_sequence INTEGER NOT NULL, interval_start INTEGER NOT NULL, interval_end INTEGER NOT NULL, segment_id TEXT,
        published_at INTEGER NOT NULL) STRICT""",
    "CREATE INDEX publications_of_view ON publications (view, version, number)",
    """CREATE TABLE file_observations (
        number INTEGER PRIMARY KEY AUTOINCREMENT, view TEXT NOT NULL, version INTEGER NOT NULL, path TEXT NOT NULL,
        size INTEGER NOT NULL, modified TEXT NOT NULL, footer TEXT NOT NULL, rows INTEGER NOT NULL, first_time INTEGER,
        last_time INTEGER, since_run INTEGER NOT NULL, until_run INTEGER) STRICT""",
    "CREATE INDEX file_observations_of_view ON file_observations (view, version, until_run)",
    """CREATE TABLE training_sets (
        name TEXT NOT NULL, version INTEGER NOT NULL, description TEXT NOT NULL, created_at INTEGER NOT NULL,
        content_hash TEXT NOT NULL, rows INTEGER NOT NULL, manifest TEXT NOT NULL, PRIMARY KEY (name, version)) STRICT""",
    # '' for an edge without a run, because a unique index takes every NULL for another value.
    """CREATE TABLE edges (
        number INTEGER PRIMARY KEY AUTOINCREMENT, from_kind TEXT NOT NULL, from_name TEXT NOT NULL, to_kind TEXT NOT NULL,
        to_name TEXT NOT NULL, run_id TEXT NOT NULL DEFAULT '', UNIQUE (from_kind, from_name, to_kind, to_name, run_id)) STRICT""",
)

_SOURCES_BY_NAME = (
    # Every view had one source, which its transform calls `source`.
    "ALTER TABLE file_observations ADD COLUMN source TEXT NOT NULL DEFAULT 'source'",
)

MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "first release", _FIRST),
    Migration(2, "files by the source that a view reads them as", _SOURCES_BY_NAME),
)
