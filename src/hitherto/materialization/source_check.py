"""Whether sources and transforms bear what the views declare: asked at plan, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from hitherto.definitions.collection import Definitions
from hitherto.definitions.feature_view import FeatureView
from hitherto.errors import DataError, DefinitionError, Problem
from hitherto.materialization.staging import SourceRows, view_relation
from hitherto.offline.duckdb.connection import Limits, connect, storage_errors
from hitherto.registry.diff import Plan
from hitherto.sources.files import files_of
from hitherto.validation import columns
from hitherto.validation.checks import check_expectations

if TYPE_CHECKING:
    import duckdb


ENGINE_NAMES = ("rowid",)
"""Columns that every table of the engine has already; one of a user's would hide it."""


def check_changed(plan: Plan, wanted: Definitions, *, root: Path, limits: Limits) -> None:
    """Check the views that a plan creates or starts a new version of. Raises DefinitionError with all problems."""
    names = [
        change.name
        for change in plan.changes
        if change.kind == "feature view" and change.action in ("create", "new version")
    ]
    problems = problems_of([wanted.feature_views[name] for name in names], root=root, limits=limits) if names else ()
    if problems:
        raise DefinitionError(problems)


def problems_of(views: Iterable[FeatureView], *, root: Path, limits: Limits) -> tuple[Problem, ...]:
    """All problems of these views with their sources: missing files, columns, types that would lose something, bad SQL."""
    with connect(limits) as con, storage_errors("Checking the sources"):
        return tuple(problem for view in views for problem in _problems_of(con, view, root))


def _problems_of(con: duckdb.DuckDBPyConnection, view: FeatureView, root: Path) -> list[Problem]:
    def problem(message: str) -> Problem:
        return Problem(message, f"feature view {view.name!r}", view.location)

    taken = [name for name in (*view.join_keys, *view.column_names) if name in ENGINE_NAMES]
    if taken:
        return [problem(f"the name {taken[0]!r} is the engine's own; choose another, and map it with source_column.")]
    try:
        relation = view_relation(con, SourceRows(view, files_of(view, root=root), root), None, limit=0)
        described = {name: kind for name, kind, *_ in con.execute(f"describe {relation}").fetchall()}
        found = columns.column_problems(view, described)
    except DataError as error:
        found = (str(error),)
    return [problem(message) for message in (*found, *check_expectations(view))]
