"""From a column's type to a declared one without loss: freely, checked value by value, or never (semantics 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hitherto.sql import text
from hitherto.timeline import MAX_INSTANT, MIN_INSTANT
from hitherto.types import (
    INTEGER_RANGES,
    Bool,
    Bytes,
    DataType,
    Date,
    DecimalType,
    Float32,
    Float64,
    ListType,
    String,
    StructType,
    Timestamp,
)
from hitherto.validation.source_types import SourceType, parse

Verdict = Literal["free", "checked", "never"]
# The integers that a float holds without a gap, in bits.
_EXACT_BITS: dict[DataType, int] = {Float32: 24, Float64: 53}
_EXACT_DIGITS: dict[DataType, int] = {Float32: 6, Float64: 15}
_TEXTS = ("varchar", "enum", "uuid")
_INSTANTS = ("timestamp", "timestamp with time zone", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamptz_ns")


@dataclass(frozen=True)
class Cast:
    """How one column becomes one declared type."""

    source: SourceType
    kind: DataType
    verdict: Verdict
    problem: str = ""
    """For "never": what the matter is, beyond the two types."""

    def typed(self, expression: str) -> str:
        """SQL for the typed value; null where the value does not survive ("checked" only)."""
        survives = _survives(expression, self.source, self.kind)
        if survives is None:
            return _same(expression, self.source, self.kind) or f"CAST({expression} AS {self.kind.sql})"
        value = (
            _same(expression, self.source, self.kind)
            or f"TRY_CAST({_text(expression, self.source)} AS {self.kind.sql})"
        )
        return f"CASE WHEN {survives} THEN {value} END"


def cast(source: str | SourceType, kind: DataType) -> Cast:
    """Whether and how a column of a DuckDB type becomes a declared type.

    free: every value survives. checked: a value that would change is told by a null beside a raw value that is none,
    and is set aside. never: a problem at plan.

    >>> from hitherto.types import Int64
    >>> cast("INTEGER", Int64).verdict, cast("DOUBLE", Int64).verdict, cast("VARCHAR", Int64).verdict
    ('free', 'checked', 'never')
    """
    origin = parse(source) if isinstance(source, str) else source
    problem = _never(origin, kind)
    if problem is not None:
        return Cast(origin, kind, "never", problem)
    return Cast(origin, kind, "free" if _survives("x", origin, kind) is None else "checked")


def in_range(expression: str, kind: DataType) -> str:
    """SQL that is true for a Timestamp or Date in the years 1 to 9999, which is what Python and RFC 3339 can hold."""
    if kind == Date:
        return f"{expression} BETWEEN DATE '0001-01-01' AND DATE '9999-12-31'"
    return f"{expression} BETWEEN make_timestamp({MIN_INSTANT}) AND make_timestamp({MAX_INSTANT})"


def _same(expression: str, source: SourceType, kind: DataType) -> str | None:
    """The expression itself where the column has the declared type already."""
    return expression if source.text == kind.sql or source.text == kind.sql.replace(", ", ",") else None


def _text(expression: str, source: SourceType) -> str:
    return f"CAST({expression} AS VARCHAR)" if source.kind == "enum" else expression


def _never(source: SourceType, kind: DataType) -> str | None:
    """Why no value can be cast, or None. The empty text: the two types say it all."""
    if source.kind == "null":
        return None
    if isinstance(kind, ListType):
        return _never(source.children[0][1], kind.element) if source.kind == "list" else ""
    if isinstance(kind, StructType):
        return _never_struct(source, kind) if source.kind == "struct" else ""
    if source.kind == "enum":
        return "" if kind == Bytes else None
    if kind == String:
        return None if source.kind in _TEXTS else ""
    if kind == Timestamp:
        return None if source.kind in (*_INSTANTS, "date") else ""
    if kind in (Bool, Bytes, Date):
        own = {Bool: "boolean", Bytes: "blob", Date: "date"}[kind]
        return None if source.kind == own else ""
    return _never_number(source, kind)


def _never_number(source: SourceType, kind: DataType) -> str | None:
    if not (source.is_integer or source.is_real or source.kind == "decimal"):
        return ""
    if kind == Float32 and source.kind == "double":
        return "a Float32 has half the digits; declare Float64"
    if kind == Float32 and source.kind == "decimal" and source.precision > _EXACT_DIGITS[Float32]:
        return "a Float32 has 6 digits; declare Float64 or a Decimal"
    if isinstance(kind, DecimalType) and source.kind == "decimal" and source.scale > kind.scale:
        return f"{source.scale - kind.scale} digit(s) after the point would be cut off"
    return None


def _never_struct(source: SourceType, kind: StructType) -> str | None:
    # DuckDB matches the fields of a struct by name, in any case.
    theirs = {name.lower(): inner for name, inner in source.children}
    ours = {name.lower(): (name, inner) for name, inner in kind.fields}
    for key, (name, inner) in ours.items():
        if key not in theirs:
            return f"it has no field {name!r}"
        problem = _never(theirs[key], inner)
        if problem is not None:
            return problem or f"its field {name!r} is {theirs[key].text}, not {inner.name}"
    extra = [name for name, _ in source.children if name.lower() not in ours]
    return f"its field {extra[0]!r} would be lost" if extra else None


def _survives(expression: str, source: SourceType, kind: DataType, *, depth: int = 0) -> str | None:
    """SQL that is true for a value that the cast keeps, and false or null for others; None where all survive."""
    if source.kind == "null":
        return None
    if isinstance(kind, ListType):
        element = f"__e{depth}"
        inner = _survives(element, source.children[0][1], kind.element, depth=depth + 1)
        if inner is None:
            return None
        lost = f"list_filter({expression}, lambda {element}: {element} IS NOT NULL AND NOT coalesce({inner}, false))"
        return f"len({lost}) = 0"
    if isinstance(kind, StructType):
        return _struct_survives(expression, source, kind, depth=depth)
    if source.kind == "enum":
        return _text_survives(_text(expression, source), kind)
    if kind == Date or (kind == Timestamp and source.kind in ("timestamp", "date")):
        return in_range(expression, kind) if source.kind != "date" else in_range(expression, Date)
    if kind == Timestamp:
        return in_range(f"TRY_CAST({expression} AS TIMESTAMP)", kind)
    return _number_survives(expression, source, kind)


def _struct_survives(expression: str, source: SourceType, kind: StructType, *, depth: int) -> str | None:
    theirs = {name.lower(): (name, inner) for name, inner in source.children}
    checks = []
    for name, inner in kind.fields:
        origin, origin_type = theirs[name.lower()]
        value = f"struct_extract({expression}, {text(origin)})"
        survives = _survives(value, origin_type, inner, depth=depth)
        if survives is not None:
            checks.append(f"({value} IS NULL OR coalesce({survives}, false))")
    return f"({expression} IS NOT NULL AND {' AND '.join(checks)})" if checks else None


def _text_survives(expression: str, kind: DataType) -> str | None:
    """A partition's text is read as its declared type, and must be written as one would write it."""
    if kind == String:
        return None
    tried = f"TRY_CAST({expression} AS {kind.sql})"
    if kind in INTEGER_RANGES:
        return f"regexp_full_match({expression}, '[+-]?[0-9]+') AND {tried} IS NOT NULL"
    if kind in (Date, Timestamp):
        return in_range(tried, kind)
    if isinstance(kind, DecimalType):
        return f"CAST({tried} AS VARCHAR) = {expression}"
    return f"{tried} IS NOT NULL"


def _number_survives(expression: str, source: SourceType, kind: DataType) -> str | None:
    there, back = f"TRY_CAST({expression} AS {kind.sql})", source.text
    if source.is_integer:
        return _integer_survives(expression, source, kind)
    if source.is_real and kind in INTEGER_RANGES:
        # A double of 2^63 is one beyond the range; TRY_CAST gives null for it, for NaN and for infinities.
        return f"CAST({there} AS {back}) = {expression}"
    if source.is_real:
        return None if kind in (Float32, Float64) else f"CAST({there} AS {back}) = {expression}"
    if source.kind != "decimal":
        return None
    if isinstance(kind, DecimalType):
        fits = source.precision - source.scale <= kind.precision - kind.scale
        return None if fits else f"{there} IS NOT NULL"
    if kind in INTEGER_RANGES:
        low, high = INTEGER_RANGES[kind]
        digits = source.precision - source.scale
        fits = source.scale == 0 and 10**digits - 1 <= high
        return None if fits else f"TRY_CAST({there} AS {back}) = {expression}"
    return None if source.precision <= _EXACT_DIGITS[kind] else f"TRY_CAST({there} AS {back}) = {expression}"


def _integer_survives(expression: str, source: SourceType, kind: DataType) -> str | None:
    low, high = source.range
    there = f"TRY_CAST({expression} AS {kind.sql})"
    if kind in INTEGER_RANGES:
        least, most = INTEGER_RANGES[kind]
        return None if least <= low and high <= most else f"{there} IS NOT NULL"
    if isinstance(kind, DecimalType):
        fits = max(-low, high) < 10 ** (kind.precision - kind.scale)
        return None if fits else f"{there} IS NOT NULL"
    if kind in _EXACT_BITS:
        fits = max(-low, high) <= 2 ** _EXACT_BITS[kind]
        return None if fits else f"TRY_CAST({there} AS {source.text}) = {expression}"
    return None
