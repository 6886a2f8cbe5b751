"""Which columns of a source its views read: what a test's rows have to have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hitherto.definitions.feature_view import FeatureView
from hitherto.definitions.source import ParquetSource
from hitherto.sources.naming import columns_of
from hitherto.types import DataType, Timestamp


@dataclass(frozen=True)
class Needs:
    """The columns that a source's rows need."""

    readers: Mapping[str, str]
    """Column -> who reads it, for people."""
    kinds: Mapping[str, DataType]
    """The declared types of those that have one. What a transform computes with is typed by its values."""


def needs(source: ParquetSource, views: Iterable[tuple[FeatureView, str]]) -> Needs:
    """What the views need of a source.

    Args:
        source: The source.
        views: Those that read it, each with the name by which its transform, if it has one, knows the source.
    """
    readers: dict[str, str] = {}
    kinds: dict[str, DataType] = {}
    for column in source.time_columns:
        readers[column], kinds[column] = f"source {source.name!r}", Timestamp
    for view, table in views:
        typed = {**view.join_keys, **({} if view.sql else {one.column: one.dtype for one in view.schema})}
        result = (*view.join_keys, *(one.column for one in view.schema))
        read = result if view.sql is None else columns_of(view.sql, table, result)
        for column in read:
            readers.setdefault(column, f"feature view {view.name!r}")
            if column in typed:
                kinds.setdefault(column, typed[column])
    return Needs(readers, kinds)
