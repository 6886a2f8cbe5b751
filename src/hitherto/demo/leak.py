"""A model that looks too good, and one of its rows explained: the same delay, joined by schedule and as it was known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from hitherto.demo.stage import HISTORY_END, Stage
from hitherto.demo.telling import Cell, Grid, Section, Words, minute
from hitherto.feature_store import FeatureStore
from hitherto.training.explanation import ViewExplanation
from hitherto.training.leakage import FeatureLeakage, LeakageReport
from hitherto.training.training_set import TrainingSet

LEAK = "aircraft_history_by_schedule:last_arrival_delay"
HONEST = "aircraft_history:last_arrival_delay"
CONGESTION = "airport_congestion:mean_departure_delay"
FEATURES = {
    LEAK: "last arrival delay, joined by schedule",
    HONEST: "last arrival delay, as it was known",
    CONGESTION: "airport congestion, as it was known",
}
LABEL = "late"
# One summer flight that shows the difference: the delay that the model sees is large, the one that was known is none.
_SUMMER = datetime(2013, 7, 1)  # noqa: DTZ001  (naive is UTC in data, and the labels' times are)
_SEEN, _KNOWN = 60, 0


@dataclass(frozen=True)
class ExplainedRow:
    """One flight: when it was to leave, and where its two delays come from."""

    aircraft: str
    airport: str
    time: datetime
    leak: ViewExplanation
    honest: ViewExplanation
    arrived_at: datetime | None
    """When the delay that the leak tells became known in fact."""


def labels(stage: Stage) -> str:
    """The example's labels as SQL, up to the end of what the first run publishes."""
    text = (stage.folder / "labels.sql").read_text(encoding="utf-8")
    return f"select * from ({text}) where event_timestamp < timestamp '{HISTORY_END:%Y-%m-%d %H:%M:%S}'"


def too_good(stage: Stage) -> tuple[TrainingSet, LeakageReport]:
    """A training set of the leak beside two honest features, and what the leakage report says of it."""
    training = stage.store.get_historical_features(labels(stage), list(FEATURES), full_feature_names=True)
    return training, training.leakage_report(label=LABEL)


def of_feature(report: LeakageReport, reference: str) -> FeatureLeakage:
    """What the report says of a feature."""
    return next(one for one in report.features if one.feature == reference.replace(":", "__"))


def tell_leak(report: LeakageReport, rows: int) -> Section:
    """The areas under the curve, side by side."""
    found = []
    for reference, words in FEATURES.items():
        one = of_feature(report, reference)
        auc = Words(f"{one.auc:.3f}" if one.auc is not None else "-", "bad" if one.suspicious else "good")
        note = Words("SUSPICIOUS: it knows the label", "bad") if one.suspicious else Words("")
        found.append((words, auc, f"{one.age_zero_share:.1%}", note))
    return Section(
        "A model that looks too good",
        "A join by event time lets a flight see its own arrival. A declared known time is always enforced.",
        (Grid(found, (f"one feature alone, {rows:,} flights", ">AUC", ">age zero", "leakage report")),),
    )


def explain_one(store: FeatureStore, training: TrainingSet) -> ExplainedRow:
    """The first flight of the summer that tells the two joins apart."""
    row = _telling_row(training.to_arrow())
    explained = training.explain(row)
    leak, honest = (explained[reference.partition(":")[0]] for reference in (LEAK, HONEST))
    assert explained.time is not None
    aircraft, airport = (str(training.to_arrow().column(name)[row].as_py()) for name in ("aircraft", "airport"))
    arrived_at = _arrival(store, aircraft, explained.time)
    return ExplainedRow(aircraft, airport, explained.time, leak, honest, arrived_at)


def _telling_row(table: pa.Table) -> int:
    leak, honest = (table.column(reference.replace(":", "__")) for reference in (LEAK, HONEST))
    summer = pc.greater_equal(table.column("event_timestamp"), pa.scalar(_SUMMER, pa.timestamp("us")))
    telling = pc.and_(summer, pc.and_(pc.greater_equal(leak, _SEEN), pc.less_equal(honest, _KNOWN)))
    found = pc.indices_nonzero(pc.fill_null(telling, False))
    return int(found[0].as_py())


def _arrival(store: FeatureStore, aircraft: str, scheduled: datetime) -> datetime | None:
    """When a flight's arrival was known, from the rows of the view that says so."""
    rows = store.read("aircraft_history", scheduled, scheduled + timedelta(days=1)).to_arrow().to_pylist()
    own = [row for row in rows if row["aircraft"] == aircraft and row["event_time"] == scheduled]
    return own[0]["available_time"] if own else None


def tell_row(one: ExplainedRow) -> Section:
    """Where its two delays come from."""
    sides = (one.leak, one.honest)
    grid: Sequence[Sequence[Cell]] = [
        ("last_arrival_delay", *(_delay(side) for side in sides)),
        ("happened", *(minute(side.event_time) for side in sides)),
        ("known", *(minute(side.available_time) for side in sides)),
        ("age, run", *(f"{side.age}, {side.run_id}" for side in sides)),
    ]
    landed = (
        f"It arrived at {minute(one.arrived_at)}: until then nobody could know the first." if one.arrived_at else ""
    )
    return Section(
        "One row explained",
        f"Every value says where it comes from. {one.aircraft} is to leave {one.airport} at {minute(one.time)}:",
        (Grid(grid, ("", "joined by schedule", "as it was known")), Words(landed, "dim")),
    )


def _delay(side: ViewExplanation) -> Words:
    value = next(iter(side.values.values()))
    return Words(f"{value:+} minutes", "bad" if value >= _SEEN else "good")
