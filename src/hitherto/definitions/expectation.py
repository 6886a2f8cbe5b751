"""The vocabulary of checks (semantics 9): `from hitherto import expect`.

Row checks go on a Field: not_null, between, is_in, matches, length, unique, sql. Checks on the whole go on a view:
row_count, freshness, new_keys, null_share_change, mean_change; a row predicate over several columns (sql) goes there too.
A null passes every row check but not_null, as in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from hitherto.definitions.problems import here, report
from hitherto.errors import InstantError, Location
from hitherto.timeline import duration, duration_text

Severity = Literal["fail", "quarantine", "nullify", "warn"]
SEVERITIES = ("fail", "quarantine", "nullify", "warn")
ROW_KINDS = ("not_null", "between", "is_in", "matches", "length", "unique", "sql")
WHOLE_KINDS = ("row_count", "freshness", "new_keys", "null_share_change", "mean_change")


@dataclass(frozen=True)
class Expectation:
    """One check: its kind, its bounds, what happens when it is broken.

    `at_least` is the share of rows, 0 to 1, that must hold (1 when not given).
    `params` are (name, value) pairs of plain values, so that a definition is comparable and becomes JSON.
    """

    kind: str
    params: tuple[tuple[str, Any], ...] = ()
    severity: Severity = "fail"
    at_least: float | None = None
    location: Location | None = field(default_factory=here, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        def complain(message: str) -> None:
            report(message, object=f"expect.{self.kind}", location=self.location)

        if self.severity not in SEVERITIES:
            complain(f"severity {self.severity!r} is not one of {', '.join(SEVERITIES)}.")
        if self.at_least is not None and not (_is_number(self.at_least) and 0 < self.at_least <= 1):
            complain(f"at_least={self.at_least!r} is not a share: above 0, at most 1.")
        if self.at_least is not None and self.severity in ("quarantine", "nullify"):
            complain(f"at_least= goes with fail and warn; {self.severity} acts on each row by itself.")
        if not self.is_row_check and self.severity in ("quarantine", "nullify"):
            complain(f"it looks at the whole, so its severity is fail or warn, not {self.severity}.")
        if self.kind == "not_null" and self.severity == "nullify":
            complain("nullify would put back the null that it forbids; use quarantine, fail or warn.")

    @property
    def is_row_check(self) -> bool:
        """Whether it is evaluated row by row."""
        return self.kind in ROW_KINDS

    @property
    def bounds(self) -> dict[str, Any]:
        """The parameters by name."""
        return dict(self.params)

    @property
    def name(self) -> str:
        """How reports call it.

        >>> between(None, 1).name
        'between(high=1)'
        """
        both = self.bounds.get("low") is not None and self.bounds.get("high") is not None
        bare = {"values", "pattern", "predicate", *(("low", "high") if both else ())}
        shown = [
            _shown(value) if key in bare else f"{key}={_shown(value)}"
            for key, value in self.params
            if value is not None
        ]
        return f"{self.kind}({', '.join(shown)})"


def _shown(value: Any) -> str:
    return duration_text(value) if isinstance(value, timedelta) else repr(value)


def not_null(*, severity: Severity = "fail", at_least: float | None = None) -> Expectation:
    """The value is there."""
    return Expectation("not_null", (), severity, at_least)


def between(low: Any, high: Any, *, severity: Severity = "fail", at_least: float | None = None) -> Expectation:
    """low <= value <= high; None leaves a side open. NaN is outside."""
    expectation = Expectation("between", (("low", low), ("high", high)), severity, at_least)
    if low is None and high is None:
        report("it needs a low or a high bound.", object="expect.between", location=expectation.location)
    elif low is not None and high is not None and not _in_order(low, high):
        report(
            f"low={low!r} and high={high!r} are not bounds: they must be of one type, the low one first.",
            object="expect.between",
            location=expectation.location,
        )
    return expectation


def is_in(values: Iterable[Any], *, severity: Severity = "fail", at_least: float | None = None) -> Expectation:
    """The value is one of these."""
    listed = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str | bytes) else ()
    expectation = Expectation("is_in", (("values", listed),), severity, at_least)
    if not listed or None in listed:
        report(
            "it needs a list of at least one value and no None (a null passes; forbid it with not_null).",
            object="expect.is_in",
            location=expectation.location,
        )
    return expectation


def matches(pattern: str, *, severity: Severity = "fail", at_least: float | None = None) -> Expectation:
    """The whole text matches the regular expression (RE2's syntax, which runs in linear time)."""
    return Expectation("matches", (("pattern", pattern),), severity, at_least)


def length(
    low: int | None = None, high: int | None = None, *, severity: Severity = "fail", at_least: float | None = None
) -> Expectation:
    """low <= length <= high: characters of a String, bytes of a Bytes, elements of a List."""
    expectation = Expectation("length", (("low", low), ("high", high)), severity, at_least)
    if not _are_counts(low, high):
        report(
            f"low={low!r}, high={high!r} are not bounds of a length.",
            object="expect.length",
            location=expectation.location,
        )
    return expectation


def unique(*, severity: Severity = "fail", at_least: float | None = None) -> Expectation:
    """No other row of the run has the value; every row that shares one breaks it."""
    return Expectation("unique", (), severity, at_least)


def sql(predicate: str, *, severity: Severity = "fail", at_least: float | None = None) -> Expectation:
    """A predicate in DuckDB's SQL over the view's keys, times and features, by their names; null passes."""
    return Expectation("sql", (("predicate", predicate.strip()),), severity, at_least)


def row_count(low: int | None = None, high: int | None = None, *, severity: Severity = "fail") -> Expectation:
    """low <= rows written <= high, per run."""
    expectation = Expectation("row_count", (("low", low), ("high", high)), severity)
    if not _are_counts(low, high):
        report(
            f"low={low!r}, high={high!r} are not bounds of a count.",
            object="expect.row_count",
            location=expectation.location,
        )
    return expectation


def freshness(max_age: timedelta | str, *, severity: Severity = "fail") -> Expectation:
    """The newest event time is at most this long before the run's end."""
    expectation = Expectation("freshness", (("max_age", max_age),), severity)
    try:
        age = duration(max_age, what="max_age")
        object.__setattr__(expectation, "params", (("max_age", age),))
        if age <= timedelta(0):
            report(f"max_age={max_age!r} must be positive.", object="expect.freshness", location=expectation.location)
    except InstantError as error:
        report(str(error), object="expect.freshness", location=expectation.location)
    return expectation


def new_keys(high: float, *, severity: Severity = "fail") -> Expectation:
    """At most this share of the run's keys, 0 to 1, has never been seen. The first run passes."""
    return _share("new_keys", (("high", high),), high, severity)


def null_share_change(column: str, high: float, *, severity: Severity = "fail") -> Expectation:
    """A feature's share of nulls moves by at most this, 0 to 1, against the last published run. The first run passes."""
    return _share("null_share_change", (("column", column), ("high", high)), high, severity)


def mean_change(column: str, high: float, *, severity: Severity = "fail") -> Expectation:
    """A feature's mean moves by at most this many standard deviations of the last published run. The first run passes."""
    expectation = Expectation("mean_change", (("column", column), ("high", high)), severity)
    if not _is_number(high) or high <= 0:
        report(f"high={high!r} must be a positive number.", object="expect.mean_change", location=expectation.location)
    return expectation


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_order(low: Any, high: Any) -> bool:
    try:
        return bool(low <= high)
    except TypeError:
        return False


def _are_counts(low: Any, high: Any) -> bool:
    """Whether these bound a count: at least one of them, whole, not negative, in order."""
    bounds = [bound for bound in (low, high) if bound is not None]
    whole = all(isinstance(bound, int) and not isinstance(bound, bool) and bound >= 0 for bound in bounds)
    return bool(bounds) and whole and bounds == sorted(bounds)


def _share(kind: str, params: tuple[tuple[str, Any], ...], high: float, severity: Severity) -> Expectation:
    expectation = Expectation(kind, params, severity)
    if not _is_number(high) or not 0 <= high <= 1:
        report(f"high={high!r} is not a share: 0 to 1.", object=f"expect.{kind}", location=expectation.location)
    return expectation
