"""The relations that a view's transform reads: `source`, or several sources by the names that the view gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hitherto.definitions.source import ParquetSource
from hitherto.types import is_name

SOURCE = "source"
"""What a transform calls the source of a view that has only one."""

AVAILABLE_TIME = "__available_time"
"""The column that each relation offers beside the source's own: when the row became available (semantics 1)."""

# DuckDB's words that are no name of a relation unless they are quoted (its keywords of the kinds `reserved` and `type_function`).
WORDS = frozenset({
    "all", "analyse", "analyze", "and", "anti", "any", "array", "as", "asc", "asof", "asymmetric", "at", "authorization",
    "binary", "both", "by", "case", "cast", "check", "collate", "collation", "column", "columns", "concurrently", "constraint",
    "create", "cross", "default", "deferrable", "desc", "describe", "distinct", "do", "else", "end", "except", "false", "fetch",
    "for", "foreign", "freeze", "from", "full", "generated", "glob", "group", "having", "ilike", "in", "initially", "inner",
    "intersect", "into", "is", "isnull", "join", "lambda", "lateral", "leading", "left", "like", "limit", "map", "natural", "not",
    "notnull", "null", "offset", "on", "only", "or", "order", "outer", "overlaps", "pivot", "pivot_longer", "pivot_wider",
    "placing", "positional", "primary", "qualify", "references", "returning", "right", "select", "semi", "show", "similar", "some",
    "struct", "summarize", "symmetric", "table", "tablesample", "then", "to", "trailing", "true", "try_cast", "tuple", "union",
    "unique", "unpack", "unpivot", "using", "variadic", "verbose", "when", "where", "window", "with",
})  # fmt: skip


def take(sources: Any, complain: Callable[[str], None]) -> dict[str, ParquetSource]:
    """What of a view's `sources=` can be used, in its order; `complain` hears of the rest."""
    if not isinstance(sources, Mapping) or not sources:
        complain(
            f"sources={sources!r} is not a mapping from names to sources; give " + 'sources={"name": source, ...}.'
        )
        return {}
    found = {}
    for name, source in sources.items():
        if not isinstance(name, str) or not is_name(name):
            complain(
                f"sources= has the name {name!r}; the SELECT reads lower-case letters, digits and single underscores, "
                "a letter first, at most 63 characters."
            )
        elif name in WORDS:
            complain(
                f"sources= has the name {name!r}, which is a word of SQL; the SELECT could not read it. Rename it."
            )
        elif not isinstance(source, ParquetSource):
            complain(f"sources= has {source!r} as {name!r}; give a ParquetSource(...).")
        else:
            found[name] = source
    return found
