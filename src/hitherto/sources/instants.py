"""SQL that turns every kind of timestamp into the one kind that the rest knows: TIMESTAMP, microseconds, UTC, floored."""

from __future__ import annotations

from typing import Any, Protocol, cast

from hitherto.sql import quote, text

_NANOSECONDS = ("timestamp_ns", "timestamptz_ns")
_ZONED = "timestamp with time zone"
_COARSE = ("timestamp_s", "timestamp_ms")


class ColumnType(Protocol):
    """What DuckDB's Python types look like."""

    @property
    def id(self) -> str:
        """The kind of type: `list`, `timestamp_ns`, ..."""

    @property
    def children(self) -> Any:
        """(name, type) pairs of nested types."""


def normal(expression: str, kind: Any) -> str:
    """The expression with all its timestamps normalised, inside lists, arrays, structs and maps too; itself if there are none."""
    return _normal(expression, cast(ColumnType, kind), depth=0) or expression


def _normal(expression: str, kind: ColumnType, *, depth: int) -> str | None:
    """None when there is nothing to do."""
    if kind.id in _NANOSECONDS:
        # DuckDB's cast rounds and its division truncates toward zero; rounding up would leak the future (semantics 1).
        nanos = f"epoch_ns({expression})"
        return (
            f"CASE WHEN {nanos} >= 0 THEN make_timestamp({nanos} // 1000) "
            f"WHEN {nanos} < 0 THEN make_timestamp(({nanos} + 1) // 1000 - 1) {_infinite(expression)}"
        )
    if kind.id == _ZONED:
        # Twenty times as fast as a cast, which asks the calendar of the session's zone.
        micros = f"epoch_us({expression})"
        return f"CASE WHEN {micros} IS NOT NULL THEN make_timestamp({micros}) {_infinite(expression)}"
    if kind.id in _COARSE:
        # The range of seconds is wider than that of microseconds.
        return f"TRY_CAST({expression} AS TIMESTAMP)"
    return _normal_nested(expression, kind, depth=depth)


def _infinite(expression: str) -> str:
    # An infinity has no epoch. It must not become a null in silence: the gate sets it aside by its range.
    return f"WHEN {expression} IS NOT NULL THEN TIMESTAMP 'infinity' END"


def _normal_nested(expression: str, kind: ColumnType, *, depth: int) -> str | None:
    element = f"__e{depth}"
    if kind.id in ("list", "array"):
        inner = _normal(element, kind.children[0][1], depth=depth + 1)
        plain = expression if kind.id == "list" else f"{expression}::{kind.children[0][1]}[]"
        return f"list_transform({plain}, lambda {element}: {inner})" if inner else None
    if kind.id == "struct":
        parts = [(name, f"struct_extract({expression}, {text(name)})", inner) for name, inner in kind.children]
        done = [(name, part, _normal(part, inner, depth=depth)) for name, part, inner in parts]
        if any(inner for _, _, inner in done):
            packed = ", ".join(f"{quote(name)} := {inner or part}" for name, part, inner in done)
            return f"CASE WHEN {expression} IS NOT NULL THEN struct_pack({packed}) END"
    return None
