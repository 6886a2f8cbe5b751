"""Lookups over HTTP at the data's own time, and parity with training at every published state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import add
from typing import Any

from hitherto.demo.stage import DAYS, Stage
from hitherto.demo.telling import Cell, Grid, Section, Tone, Words, minute
from hitherto.demo.traffic import ROUTE, Traffic, ask
from hitherto.monitoring.parity import ParityReport
from hitherto.serving.server import running

SERVICE = "delay_model"
ASKED = "airport_weather:temperature"
"""What the request to try asks for."""
KEYS = ("aircraft", "airport", "alternate")
ENTITY = (*KEYS, "scheduled_departure")
"""What a request says of a flight: its keys, and when it is to leave."""
SHOWN = {
    "airport_traffic__departures_3h": "departures_3h",
    "departure__minutes_to_departure": "minutes_to_departure",
    "aircraft_history__last_arrival_delay": "last_arrival_delay",
}
UNKNOWN_AIRCRAFT = "N0NAME"
_REQUESTS, _LARGE_REQUESTS, _LARGE = 1_000, 100, 100
# Where rows are fresh, where some have passed their ttl (2 hours, 6 hours), and where most have.
OFFSETS = tuple(timedelta(minutes=minutes) for minutes in (0, 1, 30, 120, 361))


@dataclass(frozen=True)
class Served:
    """What the server answered, and how fast."""

    url: str
    now: datetime
    one: Traffic
    """Requests of one row."""
    many: Traffic
    """Requests of a hundred rows."""
    example: Traffic
    """One request of a flight that is known and one that is not."""
    last: Mapping[str, str]
    """What the request says of that known flight."""


@dataclass(frozen=True)
class Parity:
    """Parity at several instants of each published state."""

    states: Sequence[tuple[datetime, ParityReport]]

    @property
    def whole(self) -> ParityReport:
        """All of them together."""
        return reduce(add, (report for _, report in self.states), ParityReport())


def body(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """A lookup of the example's service, as Feast's clients send it."""
    entities = {name: [row[name] for row in rows] for name in ENTITY}
    return {"feature_service": SERVICE, "entities": entities, "full_feature_names": True}


def next_flights(stage: Stage) -> list[dict[str, Any]]:
    """What requests say of the flights that are to leave next, one of them per entity row of the example's labels."""
    later = f"event_timestamp > timestamp '{stage.clock.now:%Y-%m-%d %H:%M:%S}'"
    text = (stage.folder / "labels.sql").read_text(encoding="utf-8")
    columns = ", ".join((*KEYS, "event_timestamp"))
    sql = f"select {columns} from ({text}) where {later} and aircraft is not null order by event_timestamp, airport, aircraft limit {_REQUESTS}"
    rows = stage.store.get_historical_features(sql, [ASKED]).to_dicts()
    return [
        {**{key: row[key] for key in KEYS}, "scheduled_departure": f"{row['event_timestamp']:%Y-%m-%dT%H:%M:%SZ}"}
        for row in rows
    ]


def serve_lookups(stage: Stage) -> Served:
    """Start the server on a free port and ask for the flights that are to leave next."""
    rows = next_flights(stage)
    known = rows[0]
    with running(stage.store) as url:
        one = ask(url, [body([row]) for row in rows])
        many = ask(url, [body(rows[start : start + _LARGE]) for start in range(_LARGE_REQUESTS)])
        example = ask(url, [body([known, {**known, "aircraft": UNKNOWN_AIRCRAFT}])])
    return Served(url, stage.clock.now, one, many, example, known)


def tell_served(served: Served, online: str) -> Section:
    """Latencies, and what the answers look like."""
    features = len(served.one.answer["results"]) - len(ENTITY)
    timing = [
        (
            f"{name} x {features} features",
            f"{traffic.p50:.2f} ms",
            f"{traffic.p99:.2f} ms",
            f"{traffic.requests:,} requests",
        )
        for name, traffic in (("1 row", served.one), ("100 rows", served.many))
    ]
    lines = [Words(line) for line in _answers(served.example.answer)]
    return Section(
        "Lookups over HTTP",
        f"POST {ROUTE} at {minute(served.now)}, in Feast's JSON, from {online}.",
        (Grid(timing, (served.url, ">p50", ">p99", "")), *lines),
    )


def _answers(answer: Mapping[str, Any]) -> list[str]:
    names = answer["metadata"]["feature_names"]
    results = dict(zip(names, answer["results"], strict=True))
    lines = []
    for row, aircraft in enumerate(results["aircraft"]["values"]):
        airport = results["airport"]["values"][row]
        found = [_value(words, results[name], row) for name, words in SHOWN.items()]
        lines.append(f"{aircraft} at {airport}: {', '.join(found)}")
    return lines


def _value(words: str, result: Mapping[str, Any], row: int) -> str:
    value, status = result["values"][row], result["statuses"][row]
    return f"{words} {round(value, 1)}" if status == "PRESENT" else f"{words} {status}"


def measure_parity(stage: Stage) -> Parity:
    """Compare lookups with retrieval now, then publish a day and compare, day by day."""
    states = [(stage.clock.now, _at_one_state(stage))]
    for end in DAYS:
        stage.progress(f"Publishing to {minute(end)} and comparing lookups with training")
        stage.clock.now = end
        stage.store.materialize_incremental()
        states.append((end, _at_one_state(stage)))
    return Parity(states)


def _at_one_state(stage: Stage) -> ParityReport:
    return stage.store.check_parity(SERVICE, instants=[stage.clock.now + offset for offset in OFFSETS])


def tell_parity(parity: Parity) -> Section:
    """N of N, and how many of them are values."""
    whole = parity.whole
    tone: Tone = "good" if whole.ok else "bad"
    rows: list[Sequence[Cell]] = [
        (
            Words(f"{whole.equal:,} of {whole.checked:,}", tone),
            f"values and statuses equal offline and online; {whole.present_share:.1%} are PRESENT",
        ),
        (
            f"{len(whole.instants)} instants",
            f"{len(OFFSETS)} in each of {len(parity.states)} published states, to {minute(parity.states[-1][0])}",
        ),
    ]
    rows += [(Words("differs", tone), str(one)) for one in whole.mismatches[:3]]
    return Section(
        "Parity: what a model was trained on is what it is served",
        "At any instant a lookup equals point-in-time retrieval, bit for bit; hitherto verify measures it.",
        (Grid(rows),),
    )
