"""A raw row as JSON text, as the quarantine keeps it: every value as it came, typed loosely, for people to read."""

from __future__ import annotations

from collections.abc import Sequence

from hitherto.sql import text
from hitherto.validation.source_types import SourceType


def row_sql(columns: Sequence[tuple[str, str, SourceType]]) -> str:
    """SQL for one JSON object, from (name, expression, type) of each column."""
    parts = [f"{_key(name)} || {fragment(expression, kind)}" for name, expression, kind in columns]
    return "'{' || " + " || ', ' || ".join(parts) + " || '}'" if parts else "'{}'"


def fragment(expression: str, kind: SourceType, *, depth: int = 0) -> str:
    """SQL for the JSON text of one value; never null."""
    return f"coalesce({_some(expression, kind, depth)}, 'null')"


def _key(name: str) -> str:
    return f"to_json({text(name)}) || ': '"


def _some(expression: str, kind: SourceType, depth: int) -> str:
    if kind.kind == "float" or kind.kind == "double":
        # DuckDB's JSON has bare NaN and Infinity, which is none.
        shown = f"CAST({expression} AS VARCHAR)"
        words = f"CASE WHEN isnan({expression}) THEN 'NaN' WHEN {expression} > 0 THEN 'Infinity' ELSE '-Infinity' END"
        text_of = f"CASE WHEN isfinite({expression}) THEN {shown} ELSE '\"' || {words} || '\"' END"
        return f"CASE WHEN {expression} IS NOT NULL THEN {text_of} END"
    if kind.kind == "blob":
        return f"'\"' || base64({expression}) || '\"'"
    if kind.is_integer or kind.kind == "boolean":
        return f"CAST({expression} AS VARCHAR)"
    if kind.kind == "list":
        element = f"__j{depth}"
        inner = fragment(element, kind.children[0][1], depth=depth + 1)
        return f"'[' || array_to_string(list_transform({expression}, lambda {element}: {inner}), ', ') || ']'"
    if kind.kind == "struct":
        parts = [(name, f"struct_extract({expression}, {text(name)})", inner) for name, inner in kind.children]
        body = " || ', ' || ".join(
            f"{_key(name)} || {fragment(part, inner, depth=depth)}" for name, part, inner in parts
        )
        return f"CASE WHEN {expression} IS NOT NULL THEN '{{' || {body} || '}}' END"
    # Times, decimals, texts and whatever else there is: their text, quoted.
    return f"to_json(CAST({expression} AS VARCHAR))"
