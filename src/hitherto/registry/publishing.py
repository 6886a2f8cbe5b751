"""Runs and what a publish writes, table by table, each on an open transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hitherto.errors import FencedError, RegistryError, UnknownNameError
from hitherto.registry import reads, rows
from hitherto.registry.records import UNFINISHED, Edge, Run, RunState, Segment, SourceFile
from hitherto.timeline import Interval

_ORDER: tuple[RunState, ...] = (*UNFINISHED, "published", "rejected", "failed")


def bump(connection: sqlite3.Connection) -> None:
    """Raise the serial."""
    connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'serial'")


def begin(connection: sqlite3.Connection, view: str, version: int, interval: Interval, *, began_at: int) -> Run:
    """A new run with the next sequence and the highest token of its view."""
    _require_version(connection, view, version)
    # From the system's clock, never from an injected one: a registry made anew must hold higher tokens than the one that
    # an online store still remembers, or every write would be fenced.
    token = connection.execute(
        "INSERT INTO tokens VALUES (?1, ?2) ON CONFLICT (view) DO UPDATE SET token = max(token + 1, ?2) RETURNING token",
        (view, time.time_ns() // 1_000_000),
    ).fetchone()["token"]
    # What AUTOINCREMENT keeps: a sequence is never given twice, even if runs are deleted one day.
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'runs'").fetchone()
    sequence = (last["seq"] if last else 0) + 1
    run = Run(
        run_id=f"r{sequence:06d}",
        view=view,
        version=version,
        sequence=sequence,
        token=token,
        interval=interval,
        state="planned",
        began_at=began_at,
    )
    rows.insert(connection, "runs", rows.run_to_row(run))
    return run


def held(connection: sqlite3.Connection, run_id: str) -> Run:
    """The run, if its process may still write: it is not finished, and has the highest token of its view."""
    run = reads.run(connection, run_id)
    if run.state not in UNFINISHED:
        raise FencedError(f"Run {run_id} of view {run.view!r} is {run.state} already; nothing was changed.")
    newest = connection.execute("SELECT token FROM tokens WHERE view = ?", (run.view,)).fetchone()["token"]
    if newest > run.token:
        raise FencedError(
            f"Run {run_id} of view {run.view!r} holds token {run.token}, but a newer run holds {newest}. "
            "Nothing was changed; this run was given up, run again."
        )
    return run


def changed(run: Run, changes: Mapping[str, Any]) -> Run:
    """The run with other fields, if they may change so."""
    fixed = sorted(set(changes) & set(rows.FIXED))
    if fixed:
        raise TypeError(f"a run keeps its {', '.join(fixed)}")
    after = replace(run, **changes)
    if after.state not in _ORDER or _ORDER.index(after.state) < _ORDER.index(run.state):
        raise RegistryError(f"Run {run.run_id} is {run.state} and cannot become {after.state}.")
    return after


def save_run(connection: sqlite3.Connection, run: Run) -> None:
    """Write a run over what is there."""
    row = rows.run_to_row(run)
    settings = ", ".join(f"{name} = :{name}" for name in row if name not in ("run_id", "sequence"))
    connection.execute(f"UPDATE runs SET {settings} WHERE run_id = :run_id", row)


def observe(connection: sqlite3.Connection, run: Run, files: Sequence[SourceFile]) -> None:
    """Open an observation for each new or changed file, close those of changed and vanished ones."""
    found = connection.execute(
        "SELECT * FROM file_observations WHERE view = ? AND version = ? AND until_run IS NULL", (run.view, run.version)
    )
    opened = {rows.observation_from_row(row).file.identity: row for row in found}
    for file in files:
        row = opened.pop(file.identity, None)
        if row is None:
            home = {"view": run.view, "version": run.version, "since_run": run.sequence}
            rows.insert(connection, "file_observations", {**home, **rows.file_to_row(file)})
        elif file.start is not None and (row["first_time"], row["last_time"]) != (file.start, file.end):
            connection.execute(
                "UPDATE file_observations SET first_time = ?, last_time = ? WHERE number = ?",
                (file.start, file.end, row["number"]),
            )
    connection.executemany(
        "UPDATE file_observations SET until_run = ? WHERE number = ?",
        [(run.sequence, row["number"]) for row in opened.values()],
    )


def enter_ledger(connection: sqlite3.Connection, run: Run, segment: Segment | None, published_at: int) -> None:
    """Write the segment and its publication."""
    if segment is not None:
        rows.insert(connection, "segments", rows.segment_to_row(segment))
    publication = {
        "view": run.view,
        "version": run.version,
        "run_id": run.run_id,
        "run_sequence": run.sequence,
        "interval_start": run.interval.start,
        "interval_end": run.interval.end,
        "segment_id": segment.segment_id if segment else None,
        "published_at": published_at,
    }
    rows.insert(connection, "publications", publication)


def serve(connection: sqlite3.Connection, run: Run, *, generation: int, published_at: int, switch: bool) -> None:
    """Set the generation of the run's version, and let it serve from now on if it is to switch."""
    connection.execute(
        "UPDATE view_versions SET generation = ? WHERE view = ? AND version = ?", (generation, run.view, run.version)
    )
    if not switch or reads.serving_version(connection, run.view) == run.version:
        return
    connection.execute(
        "UPDATE view_versions SET serving_until = ? "
        "WHERE view = ? AND serving_from IS NOT NULL AND serving_until IS NULL",
        (published_at, run.view),
    )
    connection.execute(
        "UPDATE view_versions SET serving_from = ?, serving_until = NULL WHERE view = ? AND version = ?",
        (published_at, run.view, run.version),
    )


def add_edges(connection: sqlite3.Connection, edges: Iterable[Edge]) -> None:
    """Write lineage; what is there stays."""
    connection.executemany(
        "INSERT OR IGNORE INTO edges (from_kind, from_name, to_kind, to_name, run_id) VALUES (?, ?, ?, ?, ?)",
        [(one.from_kind, one.from_name, one.to_kind, one.to_name, one.run_id or "") for one in edges],
    )


def _require_version(connection: sqlite3.Connection, view: str, version: int) -> None:
    found = connection.execute("SELECT view, version FROM view_versions ORDER BY view, version")
    known = [f"{row['view']}@{row['version']}" for row in found]
    if f"{view}@{version}" not in known:
        raise UnknownNameError("feature view version", f"{view}@{version}", known)
