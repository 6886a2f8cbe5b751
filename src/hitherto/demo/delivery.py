"""Checks at work: what the first run said of the data, and a broken delivery that is turned away while the old values serve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hitherto.demo.stage import DELIVERY, HISTORY_END, Stage
from hitherto.demo.telling import Cell, Grid, Section, Words, minute
from hitherto.errors import MaterializationRejected, VerificationError
from hitherto.materialization.report import MaterializationReport, RunReport
from hitherto.validation.report import CheckResult

VIEW = "airport_weather"
FIELDS = ("temperature", "visibility")
AIRPORT = "LGA"


@dataclass(frozen=True)
class Lookup:
    """What a lookup of the weather at one airport gave."""

    values: tuple[Any, ...]
    statuses: tuple[str, ...]
    event_time: datetime | None
    age: timedelta | None

    def same_row(self, other: Lookup) -> bool:
        """Whether both answered with the same row and the same statuses; the age may differ."""
        mine, others = ((one.values, one.statuses, one.event_time) for one in (self, other))
        return mine == others

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {value}" for name, value in zip(FIELDS, self.values, strict=True))
        return f"{shown} ({'/'.join(dict.fromkeys(self.statuses))}), of {minute(self.event_time)}"


@dataclass(frozen=True)
class Delivery:
    """The broken delivery from beginning to end."""

    broken_reports: int
    rejected: RunReport
    repaired: RunReport
    before: Lookup
    during: Lookup
    after: Lookup


def look_up(stage: Stage) -> Lookup:
    """The weather at one airport, now."""
    references = [f"{VIEW}:{name}" for name in FIELDS]
    found = stage.store.get_online_features(references, {"airport": [AIRPORT]}).to_dict(include_metadata=True)
    statuses = tuple(str(found[f"{name}__status"][0]) for name in FIELDS)
    values = tuple(found[name][0] for name in FIELDS)
    return Lookup(values, statuses, found[f"{FIELDS[0]}__event_time"][0], found[f"{FIELDS[0]}__age"][0])


def deliver(stage: Stage) -> Delivery:
    """Deliver a broken file, see it turned away, look up, and deliver the good one.

    Raises:
        VerificationError: The broken file was published, or the lookup gave anything else than before.
    """
    before = look_up(stage)
    stage.clock.now = DELIVERY
    broken = stage.weather.deliver_broken(HISTORY_END)
    try:
        stage.store.materialize_incremental()
    except MaterializationRejected as error:
        report: MaterializationReport = error.report
    else:
        raise VerificationError(f"A delivery in which {broken} visibilities are broken was published.")
    during = look_up(stage)
    if not during.same_row(before):
        raise VerificationError(f"After the rejected delivery a lookup gives {during}; before it gave {before}.")
    stage.weather.deliver_again()
    repaired = stage.store.materialize_incremental()
    return Delivery(broken, report[VIEW], repaired[VIEW], before, during, look_up(stage))


def tell_checks(first: MaterializationReport, delivery: Delivery) -> Section:
    """The first run's warning, quarantine and nulls; then the delivery."""
    failed = next(check for check in delivery.rejected.broken_checks if check.severity == "fail" and not check.passed)
    rows: list[Sequence[Cell]] = [
        *_first_findings(first),
        (
            "delivered",
            f"at {minute(DELIVERY)}, a weather file with visibility -9999 in {delivery.broken_reports} reports",
        ),
        (Words("rejected", "bad"), f"run {delivery.rejected.run_id}: {_text(failed)}"),
        (Words("still serving", "good"), f"{AIRPORT}: {delivery.during}: as before"),
        (Words("repaired", "good"), f"run {delivery.repaired.run_id}: {delivery.after}"),
    ]
    return Section(
        "Nothing bad gets served",
        "Until a run has passed its checks and is published, nothing that anybody reads changes.",
        (Grid(rows),),
    )


def _first_findings(first: MaterializationReport) -> Iterator[Sequence[Cell]]:
    weather, history = first["airport_weather"], first["aircraft_history"]
    never = max((one for one in history.checks if one.severity == "quarantine"), key=lambda one: one.broken)
    set_aside = f"{history.rows_quarantined:,} of {history.rows_read:,} rows set aside: {never.field} is null in {never.broken:,}"
    yield Words("warning", "warn"), f"airport_weather: {_text(_first(weather, 'warn'))}"
    yield Words("made null", "warn"), f"airport_weather: {_text(_first(weather, 'nullify'))}"
    yield Words("quarantine", "warn"), f"aircraft_history: {set_aside}"


def _first(run: RunReport, severity: str) -> CheckResult:
    return next(one for one in run.broken_checks if one.severity == severity and one.broken)


def _text(check: CheckResult) -> str:
    name = check.name
    if check.at_least is not None:
        between = "" if name.endswith("()") else ", "
        name = f"{name.removesuffix(')')}{between}at_least={check.at_least:g})"
    return f"{check.broken:,} of {check.rows:,} rows break {check.field} {name}"
