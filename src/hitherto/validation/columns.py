"""Whether a relation has the columns that a view needs, in types that can become the declared ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from hitherto.definitions.feature_view import FeatureView
from hitherto.errors import did_you_mean
from hitherto.types import DataType, Timestamp
from hitherto.validation.casting import cast
from hitherto.validation.checks import check_expectations

if TYPE_CHECKING:
    import duckdb


def check_columns(
    view: FeatureView, describe: Mapping[str, str], con: duckdb.DuckDBPyConnection | None = None
) -> tuple[str, ...]:
    """All that is wrong between a view and a relation's columns (name -> DuckDB type), and with the view's row checks.

    A missing column is named with the nearest known one; a type that cannot become the declared one without loss with
    both types (semantics 8). Empty when nothing is wrong. For a view with a transform, the relation is its result.
    """
    return (*column_problems(view, describe), *check_expectations(view, con))


def column_problems(view: FeatureView, describe: Mapping[str, str]) -> tuple[str, ...]:
    """The part of `check_columns` that depends on the relation."""
    found = (_problem(what, column, kind, describe) for what, column, kind in _needs(view))
    return tuple(problem for problem in found if problem is not None)


def _needs(view: FeatureView) -> Iterator[tuple[str, str, DataType]]:
    for key, kind in view.join_keys.items():
        yield f"join key {key!r}", key, kind
    source = view.source
    yield "event time", source.timestamp_field, Timestamp
    if source.created_timestamp_field:
        yield "created time", source.created_timestamp_field, Timestamp
    if source.known_timestamp_field:
        yield "known time", source.known_timestamp_field, Timestamp
    what = (
        "aggregated column {!r} (its type is said by dtype=, or in the schema)" if view.aggregations else "feature {!r}"
    )
    for field in view.schema:
        yield what.format(field.name), field.column, field.dtype


def _problem(what: str, column: str, kind: DataType, describe: Mapping[str, str]) -> str | None:
    if column not in describe:
        return f"{what}: there is no column {column!r}.{did_you_mean(column, describe)}"
    found = cast(describe[column], kind)
    if found.verdict != "never":
        return None
    because = f" ({found.problem})" if found.problem else ""
    return (
        f"{what}: column {column!r} is {found.source.shown}, which cannot be cast to {kind.name} without loss{because}."
    )
