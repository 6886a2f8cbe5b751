"""Whether sources and transforms bear what the views declare: asked at plan, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hitherto.definitions.collection import Definitions
from hitherto.definitions.feature_view import FeatureView
from hitherto.errors import DataError, DefinitionError, Problem
from hitherto.materialization import foresight
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


def checked(
    load: Callable[[], Definitions], *, root: Path, limits: Limits, run_transforms: bool = False
) -> Definitions:
    """What `load` gives, after a look at every source. Raises DefinitionError with the problems of both, all at once."""
    # Where only names and types are read, nothing is spilled, and no folder is made for it.
    limits = limits if run_transforms else replace(limits, temp_directory=None)
    looked = partial(problems_of, root=root, limits=limits, run_transforms=run_transforms)
    try:
        definitions = load()
    except DefinitionError as error:
        raise DefinitionError([*error.problems, *looked(error.sound)]) from None
    problems = looked(definitions.feature_views.values())
    if problems:
        raise DefinitionError(problems)
    return definitions


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


def problems_of(
    views: Iterable[FeatureView], *, root: Path, limits: Limits, run_transforms: bool = False
) -> tuple[Problem, ...]:
    """All problems of these views with their sources: missing files, columns, types that would lose something, bad SQL.

    With `run_transforms` also what the transforms make of the rows: whether one sees the future, or further back than its
    lookback. Without it only names and types are read.
    """
    with connect(limits) as con, storage_errors("Checking the sources"):
        return tuple(problem for view in views for problem in _problems_of(con, view, root, run_transforms))


def _problems_of(con: duckdb.DuckDBPyConnection, view: FeatureView, root: Path, run_transforms: bool) -> list[Problem]:
    def problem(message: str) -> Problem:
        return Problem(message, f"feature view {view.name!r}", view.location)

    taken = [name for name in (*view.join_keys, *view.column_names) if name in ENGINE_NAMES]
    if taken:
        return [problem(f"the name {taken[0]!r} is the engine's own; choose another, and map it with source_column.")]
    try:
        rows = SourceRows(view, files_of(view, root=root), root)
        relation = view_relation(con, rows, None, limit=0)
        described = {name: kind for name, kind, *_ in con.execute(f"describe {relation}").fetchall()}
        found = columns.column_problems(view, described)
        if run_transforms and not found:
            found = tuple(filter(None, [foresight.look(con, rows, None)]))
    except DataError as error:
        found = (str(error),)
    return [problem(message) for message in (*found, *check_expectations(view))]
