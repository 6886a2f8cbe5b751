"""Checks on the whole of a run: row count, freshness, new keys, change against the last published run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hitherto.definitions.expectation import Expectation
from hitherto.definitions.feature_view import FeatureView
from hitherto.timeline import duration_text, micros, rfc3339
from hitherto.validation.report import CheckResult


@dataclass(frozen=True)
class WholeFacts:
    """What a run knows of itself before it publishes."""

    rows: int
    """Rows written."""
    keys: int
    """Distinct keys among them."""
    new_keys: int | None
    """How many of the keys no run has published before; None on the first run."""
    newest_event: int | None
    """The newest event time, microseconds UTC; None without rows."""
    end: int
    """The end of the run's interval, microseconds UTC."""
    profile: Mapping[str, Any]
    """As validation.profile.compute gives it."""
    previous_profile: Mapping[str, Any] | None = None
    """That of the last published run; None on the first run."""


def evaluate(view: FeatureView, facts: WholeFacts) -> tuple[CheckResult, ...]:
    """Judge the whole by the view's checks, in their order (semantics 9).

    What compares with the last published run passes on the first one. A run without rows is fresh as long as nothing
    says otherwise: declare row_count to refuse it.
    """
    return tuple(_result(one, *_judge(one, facts), facts) for one in view.expect if not one.is_row_check)


def _result(expectation: Expectation, passed: bool, detail: str, facts: WholeFacts) -> CheckResult:
    return CheckResult(
        name=expectation.name,
        field=expectation.bounds.get("column"),
        severity=expectation.severity,
        passed=passed,
        rows=facts.rows,
        broken=0 if passed else 1,
        detail=detail,
    )


def _judge(expectation: Expectation, facts: WholeFacts) -> tuple[bool, str]:
    bounds = expectation.bounds
    if expectation.kind == "row_count":
        return _row_count(facts.rows, bounds["low"], bounds["high"])
    if expectation.kind == "freshness":
        return _freshness(facts, bounds["max_age"])
    if expectation.kind == "new_keys":
        return _new_keys(facts, bounds["high"])
    if expectation.kind == "null_share_change":
        return _null_share_change(facts, bounds["column"], bounds["high"])
    return _mean_change(facts, bounds["column"], bounds["high"])


def _row_count(rows: int, low: int | None, high: int | None) -> tuple[bool, str]:
    return (low is None or rows >= low) and (high is None or rows <= high), f"{rows:,} rows"


def _freshness(facts: WholeFacts, max_age: timedelta) -> tuple[bool, str]:
    if facts.newest_event is None:
        return True, "no rows"
    age = max(0, facts.end - facts.newest_event)
    said = duration_text(timedelta(microseconds=age))
    return age <= micros(max_age), f"the newest event time, {rfc3339(facts.newest_event)}, is {said} before the end"


def _new_keys(facts: WholeFacts, high: float) -> tuple[bool, str]:
    if facts.new_keys is None:
        return True, "the first run"
    share = facts.new_keys / facts.keys if facts.keys else 0.0
    return share <= high + 1e-12, f"{facts.new_keys:,} of {facts.keys:,} keys are new ({share:.2%})"


def _null_share_change(facts: WholeFacts, column: str, high: float) -> tuple[bool, str]:
    before, after = _found(facts.previous_profile, column), _found(facts.profile, column)
    if before is None or not facts.previous_profile or not facts.previous_profile.get("rows"):
        return True, "the first run"
    if after is None or not facts.rows:
        return True, "no rows"
    old, new = float(before["null_share"]), float(after["null_share"])
    return abs(new - old) <= high + 1e-12, f"{old:.2%} null before, {new:.2%} now"


def _mean_change(facts: WholeFacts, column: str, high: float) -> tuple[bool, str]:
    before, after = _found(facts.previous_profile, column), _found(facts.profile, column)
    if before is None or before.get("mean") is None:
        return True, "the first run with a mean"
    if after is None or after.get("mean") is None:
        return True, "no finite value"
    old, new, spread = float(before["mean"]), float(after["mean"]), before.get("stddev")
    said = f"mean {old:.6g} before, {new:.6g} now"
    if not spread:
        # All values were equal: any other mean is infinitely many standard deviations away.
        return abs(new - old) <= 1e-9 * max(abs(old), abs(new)), f"{said}; no spread before"
    moved = abs(new - old) / float(spread)
    return moved <= high + 1e-12, f"{said}: {moved:.3g} standard deviations"


def _found(profile: Mapping[str, Any] | None, column: str) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = (profile or {}).get("features", {}).get(column)
    return found
