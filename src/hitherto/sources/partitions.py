"""Hive partitions: folders named key=value, whose values are a column of every row inside. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

NULL = "__HIVE_DEFAULT_PARTITION__"


def partitions_of(path: str) -> dict[str, str | None]:
    """The partition values in a file's recorded path, from the outer folder to the inner one.

    >>> partitions_of("flights/year=2013/month=01/a.parquet")
    {'year': '2013', 'month': '01'}
    """
    values: dict[str, str | None] = {}
    for folder in path.split("/")[:-1]:
        key, separator, value = folder.partition("=")
        if separator and key:
            values[unquote(key)] = None if value in (NULL, "") else unquote(value)
    return values


def values_of(paths: Iterable[str], key: str) -> tuple[str, ...]:
    """The distinct values of one partition column, sorted; nulls are left out."""
    found = (partitions_of(path).get(key) for path in paths)
    return tuple(sorted({value for value in found if value is not None}))
