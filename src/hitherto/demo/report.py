"""The demo's report as one HTML page: what was measured, the checks, the profile, the lineage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hitherto import __version__
from hitherto.demo import charts, leak, model
from hitherto.demo.page import Content, Markup, badge, element, escaped, folded, joined, page, section, table, tile
from hitherto.demo.stage import HISTORY_END, Stage
from hitherto.demo.story import Findings
from hitherto.demo.telling import minute, rate
from hitherto.errors import StorageError
from hitherto.lineage.graph import Lineage
from hitherto.lineage.nodes import Node
from hitherto.materialization.report import RunReport
from hitherto.registry.records import Run
from hitherto.timeline import to_datetime
from hitherto.validation.report import CheckResult

_TONES = {"published": "good", "rejected": "bad", "failed": "bad", "fail": "bad"}
_TOP = 5


def write_report(path: Path, stage: Stage, findings: Findings) -> Path:
    """Write the page. Raises StorageError."""
    text = page(
        "hitherto demo",
        element("h1", "Will this flight leave late?"),
        element(
            "p",
            f"A year of flights from New York, to {minute(HISTORY_END)} and three days on; lookups from {stage.online}.",
            class_="soft",
        ),
        _tiles(findings),
        _leak(findings),
        _checks(findings),
        _training(findings),
        _models(findings),
        _serving(findings),
        _profiles(stage, findings),
        _lineage(stage),
        _runs(stage),
        element("footer", f"Written by hitherto demo, version {__version__}. It loads nothing from elsewhere."),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"The report {path} cannot be written: {error.strerror or error}.") from error
    return path


def _tiles(findings: Findings) -> Markup:
    whole, first, trained = findings.parity.whole, findings.materialized, findings.trained
    share = f"{whole.equal / max(whole.checked, 1):.0%}" if whole.ok else f"{whole.equal:,} of {whole.checked:,}"
    tiles = (
        tile(f"{trained.rows:,}", f"training rows, {rate(trained.rows, trained.seconds)}"),
        tile(f"{first.rows:,}", f"source rows checked, {rate(first.rows, first.seconds)}"),
        tile(f"{findings.served.one.p50:.2f} ms", f"HTTP lookup, p50; p99 {findings.served.one.p99:.2f} ms"),
        tile(share, f"parity: {whole.equal:,} of {whole.checked:,} equal"),
    )
    return element("div", *tiles, class_="tiles")


def _leak(findings: Findings) -> Markup:
    found = {reference: leak.of_feature(findings.leakage, reference) for reference in leak.FEATURES}
    bars = charts.areas(
        [
            (leak.FEATURES[reference], one.auc or 0.5, "bad" if one.suspicious else "good")
            for reference, one in found.items()
        ]
    )
    row = findings.explained
    sides = (("joined by schedule", row.leak), ("as it was known", row.honest))
    explained = table(
        ("", "value", "happened", "known", "age", "run"),
        [
            (
                words,
                f"{next(iter(side.values.values())):+} minutes",
                minute(side.event_time),
                minute(side.available_time),
                str(side.age),
                side.run_id or "-",
            )
            for words, side in sides
        ],
    )
    return section(
        "A model that looks too good",
        "Area under the ROC curve of one feature alone. Joined by schedule, a flight sees its own arrival.",
        element("div", bars, class_="card"),
        element("h3", f"{row.aircraft} is to leave {row.airport} at {minute(row.time)}: its last arrival delay"),
        explained,
        element("p", f"It arrived at {minute(row.arrived_at)}; until then nobody could know the first.", class_="soft"),
    )


def _checks(findings: Findings) -> Markup:
    delivery = findings.delivery
    steps = table(
        ("delivery", "what happened"),
        [
            (badge("before", "good"), f"A lookup gives {delivery.before}."),
            (
                badge("rejected", "bad"),
                f"Run {delivery.rejected.run_id}: visibility is -9999 in {delivery.broken_reports} reports of the new file. "
                + "; ".join(str(check) for check in delivery.rejected.broken_checks if check.severity == "fail")
                + ".",
            ),
            (badge("still serving", "good"), f"A lookup gives {delivery.during}."),
            (badge("repaired", "good"), f"Run {delivery.repaired.run_id}; a lookup gives {delivery.after}."),
        ],
    )
    runs = findings.materialized.report.runs
    return section(
        "Checks",
        "Rows that break a check are set aside, made null or warned of; a broken delivery is turned away whole.",
        steps,
        *(_checks_of(run) for run in runs),
    )


def _checks_of(run: RunReport) -> Markup:
    broken = len(run.broken_checks)
    head = joined(
        [
            element("b", run.view),
            f"{run.rows_read:,} rows, {len(run.checks)} checks, {broken} of them broken by a row, {run.rows_quarantined:,} rows set aside",
        ],
        " ",
    )
    rows = [
        (
            check.field or "the view",
            check.name,
            _verdict(check),
            f"{check.broken:,}",
            charts.bar(_holding(check)),
            check.detail,
        )
        for check in sorted(run.checks, key=lambda one: (not one.broken, one.passed))
    ]
    return folded(
        head,
        table(("of", "check", "said", ">broken by", "holds", "detail"), rows),
        opened=run.view == "airport_weather",
    )


def _holding(check: CheckResult) -> float:
    return 1 - check.broken / check.rows if check.rows else 1.0


def _verdict(check: CheckResult) -> Markup:
    if check.passed:
        return badge("ok", "good")
    return badge(check.severity, _TONES.get(check.severity, "warn"))


def _training(findings: Findings) -> Markup:
    trained = findings.trained
    head = trained.training.head().to_arrow()
    shown = [name for name in head.column_names if head.column_names.index(name) < 12]
    rows = [[_short(row[name]) for name in shown] for row in head.to_pylist()]
    coverage = [
        (
            name,
            f"{one.found:,} of {one.rows:,}",
            charts.bar(one.found / max(one.rows, 1)),
            f"{one.expired:,}",
            f"{one.null_keys:,}",
        )
        for name, one in trained.training.coverage.views.items()
    ]
    return section(
        "Training set",
        f"{trained.rows:,} rows, {len(trained.training.features)} features, every value as it was known at its row's time.",
        table(("view", ">rows found", "share", ">past the ttl", ">without a key"), coverage),
        folded("The first rows", table(shown, rows)),
        folded("The SQL that finds the features", element("pre", trained.training.sql())),
    )


def _models(findings: Findings) -> Markup:
    models = findings.models
    bars = charts.areas([(f"{one.words} ({one.features})", one.auc, "") for one in models.qualities])
    return section(
        "What windows and the request bring to a model",
        f"Area under the ROC curve of one additive model with more and more features. It learned from the flights before {model.SPLIT:%Y-%m-%d}; "
        f"this is of the {models.flights:,} after it.",
        element("div", bars, class_="card"),
    )


def _serving(findings: Findings) -> Markup:
    served, parity = findings.served, findings.parity
    timing = [
        (name, f"{one.requests:,}", f"{one.p50:.2f} ms", f"{one.p99:.2f} ms")
        for name, one in (("1 row", served.one), ("100 rows", served.many))
    ]
    states = [
        (
            minute(end),
            f"{len(one.instants)}",
            f"{one.equal:,} of {one.checked:,}",
            badge("equal", "good") if one.ok else badge("differs", "bad"),
            charts.bar(one.present_share),
            f"{one.present_share:.1%}",
        )
        for end, one in parity.states
    ]
    return section(
        "Lookups and parity",
        f"Lookups over HTTP at {minute(served.now)}; then values and statuses of lookups beside those of training, bit for bit.",
        table(("request", ">requests", ">p50", ">p99"), timing),
        table(("published to", ">instants", ">equal", "", "PRESENT", ">share"), states),
    )


def _profiles(stage: Stage, findings: Findings) -> Markup:
    parts = []
    for report in findings.materialized.report.runs:
        run = stage.store.get_run(report.run_id)
        kinds = {field.name: repr(field.dtype) for field in stage.store.get_feature_view(run.view).schema}
        features = run.profile.get("features", {})
        cards = [_card(name, kinds.get(name, ""), facts) for name, facts in features.items()]
        head = joined([element("b", run.view), f"{run.rows_written:,} rows, {len(features)} features"], " ")
        parts.append(folded(head, element("div", *cards, class_="cards"), opened=run.view == "airport_weather"))
    return section("Profile", "What each feature looks like in the first run; later runs keep the same bins.", *parts)


def _card(name: str, kind: str, facts: Mapping[str, Any]) -> Markup:
    lines = [f"{kind}, {facts.get('null_share', 0.0):.1%} null"]
    if "distinct" in facts:
        lines[0] += f", ~{facts['distinct']:,} values"
    if facts.get("mean") is not None:
        lines.append(f"{_short(facts.get('min'))} to {_short(facts.get('max'))}, mean {_short(facts['mean'])}")
    shape: Content = ""
    if facts.get("histogram"):
        shape = charts.histogram(facts["histogram"]["edges"], facts["histogram"]["counts"])
    elif facts.get("top"):
        shape = joined([_top(value, share) for value, share in facts["top"][:_TOP]], "")
    return element("div", element("h4", name), shape, *(element("p", line) for line in lines), class_="card")


def _top(value: Any, share: float) -> Markup:
    return element("p", joined([charts.bar(share, width=200), escaped(f"{value}: {share:.1%}")], ""))


def _lineage(stage: Stage) -> Markup:
    lineage = stage.store.lineage()
    drawing = charts.graph(lineage, dict(_notes(lineage)))
    return section(
        "Lineage",
        "From the files to what models take. Every run adds its segment, its SQL and the identity of each file that it saw.",
        element("div", element("div", drawing, style="min-width: 1200px; padding: 16px"), class_="scroll"),
    )


def _notes(lineage: Lineage) -> Iterator[tuple[Node, str]]:
    for node in lineage.nodes:
        details = lineage.details.get(node, {})
        if node.kind == "source_file" and "bytes" in details:
            yield node, f"{details['rows']:,} rows, {details['bytes'] / 1_000:,.0f} kB"
        elif node.kind == "view_version":
            segments = [child for child in lineage.children.get(node, ()) if child.kind == "segment"]
            rows = sum(lineage.details.get(segment, {}).get("rows", 0) for segment in segments)
            yield node, f"{rows:,} rows in {len(segments)} segments"
        elif node.kind == "training_set" and "rows" in details:
            yield node, f"training set, {details['rows']:,} rows"


def _runs(stage: Stage) -> Markup:
    heads = (
        "run",
        "view",
        "interval",
        "state",
        ">read",
        ">written",
        ">superseded",
        ">set aside",
        ">keys pushed",
        ">seconds",
    )
    rows = [_run_row(run) for run in reversed(stage.store.list_runs())]
    return section(
        "Runs",
        "rows read = written + superseded + set aside, in every published run.",
        folded(f"All {len(rows)} runs", table(heads, rows)),
    )


def _run_row(run: Run) -> tuple[Content, ...]:
    interval = f"{minute(to_datetime(run.interval.start))} to {minute(to_datetime(run.interval.end))}"
    counts = (run.rows_read, run.rows_written, run.rows_superseded, run.rows_quarantined, run.keys_pushed)
    state = badge(run.state, _TONES.get(run.state, "warn"))
    return (run.run_id, run.view, interval, state, *(f"{count:,}" for count in counts), f"{run.seconds:.2f}")


def _short(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if hasattr(value, "hour"):
        return minute(value)
    return str(value)
