"""The demo in order: it does each step for real, tells it when it is done, and keeps what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from time import perf_counter
from typing import Any

import pyarrow as pa

from hitherto.demo import delivery, leak, model, serving
from hitherto.demo.delivery import Delivery
from hitherto.demo.leak import ExplainedRow
from hitherto.demo.model import Models
from hitherto.demo.serving import Parity, Served
from hitherto.demo.stage import HISTORY_END, Stage
from hitherto.demo.telling import Cell, Grid, Section, Words, minute, rate
from hitherto.materialization.report import MaterializationReport
from hitherto.training.leakage import LeakageReport
from hitherto.training.training_set import TrainingSet

Tell = Callable[[Section | Words], None]
TRAINING_SET = "delays"
_HEAD_ROWS = 4
_HEAD = {
    "event_timestamp": "scheduled",
    "aircraft": "aircraft",
    "airport": "airport",
    "airport_traffic__departures_3h": ">departures_3h",
    "aircraft_history__last_arrival_delay": ">last_arrival_delay",
    "departure__hour_of_day": ">hour_of_day",
    "late": "late",
}


@dataclass(frozen=True)
class Materialized:
    """The first run of every view."""

    report: MaterializationReport
    seconds: float

    @property
    def rows(self) -> int:
        """Rows read and checked, all views together."""
        return sum(run.rows_read for run in self.report.runs)


@dataclass(frozen=True)
class Trained:
    """The training set of the example's service."""

    training: TrainingSet
    seconds: float

    @property
    def rows(self) -> int:
        """Its entity rows."""
        return len(self.training)


@dataclass(frozen=True)
class Findings:
    """Everything that the demo measured."""

    views: int
    materialized: Materialized
    leakage: LeakageReport
    explained: ExplainedRow
    delivery: Delivery
    trained: Trained
    models: Models
    served: Served
    parity: Parity

    def to_json(self) -> dict[str, Any]:
        """The figures, for `hitherto --json demo`."""
        whole = self.parity.whole
        return {
            "views": self.views,
            "training_rows": self.trained.rows,
            "auc": {name: _rounded(leak.of_feature(self.leakage, name).auc) for name in leak.FEATURES},
            "models": {f"{one.features} features": _rounded(one.auc) for one in self.models.qualities},
            "lookup_ms": {"p50": _rounded(self.served.one.p50), "p99": _rounded(self.served.one.p99)},
            "parity": {"checked": whole.checked, "equal": whole.equal, "present": whole.present},
        }


def play(stage: Stage, tell: Tell) -> Findings:
    """Run the whole demo; each section is told as soon as it is known.

    Raises:
        VerificationError: The broken delivery was not turned away, or did not leave the old values serving.
        HithertoError: Any step failed.
    """
    tell(Words("Hitherto, on a year of flights from New York: will one leave more than 15 minutes late?", "strong"))
    first = _materialize(stage)
    stage.progress("Joining one feature by schedule, and as it was known")
    training, leakage = leak.too_good(stage)
    tell(leak.tell_leak(leakage, len(training)))
    explained = leak.explain_one(stage.store, training)
    tell(leak.tell_row(explained))
    stage.progress("Delivering a broken file")
    delivered = delivery.deliver(stage)
    tell(delivery.tell_checks(first.report, delivered))
    stage.progress("Building the training set")
    trained = _train(stage)
    tell(_tell_training(first, trained))
    stage.progress("Training a model, without windows and with them")
    models = model.train(trained.training)
    tell(model.tell_models(models))
    stage.progress("Looking up over HTTP")
    served = serving.serve_lookups(stage)
    tell(serving.tell_served(served, stage.online))
    stage.progress("Comparing lookups with training")
    parity = serving.measure_parity(stage)
    tell(serving.tell_parity(parity))
    views = len(stage.store.list_feature_views())
    return Findings(views, first, leakage, explained, delivered, trained, models, served, parity)


def _materialize(stage: Stage) -> Materialized:
    stage.progress("Applying the definitions")
    stage.store.apply()
    stage.progress(f"Checking and materializing the year to {minute(HISTORY_END)}")
    began = perf_counter()
    report = stage.store.materialize()
    return Materialized(report, perf_counter() - began)


def _train(stage: Stage) -> Trained:
    began = perf_counter()
    training = stage.store.get_historical_features(leak.labels(stage), serving.SERVICE, full_feature_names=True)
    training.to_arrow()
    seconds = perf_counter() - began
    training.save(TRAINING_SET, description="Made by hitherto demo.")
    return Trained(training, seconds)


def _tell_training(first: Materialized, trained: Trained) -> Section:
    features = len(trained.training.features)
    seconds: Sequence[Sequence[Cell]] = [
        ("checked and materialized", f"{first.rows:,} rows", f"{first.seconds:.1f} s", rate(first.rows, first.seconds)),
        (
            "training set",
            f"{trained.rows:,} rows x {features} features",
            f"{trained.seconds:.1f} s",
            rate(trained.rows, trained.seconds),
        ),
    ]
    head = trained.training.head(_HEAD_ROWS).to_arrow().select(list(_HEAD))
    return Section(
        "A training set, every value as it was known",
        f"Saved as {TRAINING_SET!r} with a manifest; store.get_training_set({TRAINING_SET!r}).recreate() builds it again.",
        (Grid(seconds), Grid(_cells(head), tuple(_HEAD.values()))),
    )


def _cells(table: pa.Table) -> list[list[str]]:
    return [[_cell(value) for value in row.values()] for row in table.to_pylist()]


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.1f}"
    return f"{value:%Y-%m-%dT%H:%MZ}" if hasattr(value, "year") else str(value)


def tell_closing(stage: Stage, findings: Findings, *, report: Path, program: str) -> Section:
    """Where it all is, and what to do next."""
    repo = f"{program} --repo {quote(str(stage.folder))}"
    request = {"features": [serving.ASKED], "entities": {"airport": [findings.served.last["airport"], "XXX"]}}
    commands = [
        stage.preparation,
        f"{repo} serve --now {minute(stage.clock.now)}",
        "curl -s localhost:6566/get-online-features -H 'content-type: application/json' \\",
        f"  -d {quote(json.dumps(request))}",
        f"{repo} quarantine aircraft_history",
        f"{repo} lineage {serving.SERVICE}",
        f"{program} --repo my-features init --from FILE.parquet --key COLUMN --time COLUMN",
    ]
    return Section(
        "Next",
        f"All of it on one page, with checks, profile and lineage: {report}",
        [Words(command) for command in commands if command],
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
