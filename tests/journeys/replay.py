"""A week of flights, run by run every ten minutes, with lookups at random instants between the runs: each must be what a training set says.

    PYTHONPATH=tests python -m journeys.replay --days 7 --together 1 --lookups 10000 --url lmdb:///online

With `--together 1` each day has a feature store of its own, which begins with the two days before; a run is slower with each segment, by about
5 ms of processor time.

Windows over an airport's departures (1, 3 and 24 hours), and an aircraft's last five delays. What lookups gave is recorded, and compared, values and
statuses, with a training set that is made after the last run: as served, at every instant; and as it is known now, at the instants that are
the watermark of a run. Runs end half a minute past, since flights leave at whole minutes: a row that is known at the very end of a run comes with the next.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hitherto import Aggregation, Entity, FeatureStore, FeatureView, ParquetSource
from hitherto.monitoring.parity import same
from hitherto.testing import FakeClock
from hitherto.types import Int64, String

DATA = Path(__file__).resolve().parents[2] / "feature_repo" / "data" / "flights.parquet"
BEGIN = datetime(2013, 3, 4, 5, 0, 30, tzinfo=UTC)
EVERY = timedelta(minutes=10)
HISTORY = timedelta(days=2)
"""What the first run has."""
FEATURES = [
    *(f"traffic:departure_delay_{one}_{length}" for one in ("count", "mean", "max") for length in ("1h", "3h", "24h")),
    "fleet:arrival_delay_last_5",
    "fleet:arrival_delay_mean_24h",
]


def definitions() -> list[FeatureView]:
    """Two views of the example's flights."""
    path = "flights.parquet"
    departures = ParquetSource(path, name="departures", timestamp_field="departed_at", known_after="1m")
    arrivals = ParquetSource(
        path, name="arrivals", timestamp_field="scheduled_departure", known_timestamp_field="arrived_at"
    )
    windows = ["1h", "3h", "24h"]
    return [
        FeatureView(
            "traffic",
            entities=[Entity("airport", join_keys={"airport": String})],
            source=departures,
            transform="select * from source where departed_at is not null",
            lookback="0s",
            aggregations=[
                Aggregation("departure_delay", one, dtype=Int64, windows=windows) for one in ("count", "mean", "max")
            ],
        ),
        FeatureView(
            "fleet",
            entities=[Entity("aircraft", join_keys={"aircraft": String})],
            source=arrivals,
            transform="select * from source where arrived_at is not null and aircraft is not null",
            lookback="0s",
            aggregations=[
                Aggregation("arrival_delay", "last", n=5, dtype=Int64),
                Aggregation("arrival_delay", "mean", dtype=Int64, windows=["24h"]),
            ],
        ),
    ]


@dataclass
class Recorded:
    """What lookups gave: keys, instants, and for each feature the value and its status."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    values: list[tuple[Any, ...]] = field(default_factory=list)
    statuses: list[tuple[str, ...]] = field(default_factory=list)
    at_watermark: list[bool] = field(default_factory=list)

    @property
    def present_share(self) -> float:
        """The share of values that are there."""
        return sum(row.count("PRESENT") for row in self.statuses) / (len(FEATURES) * len(self.rows))

    def add(self, store: FeatureStore, now: datetime, *, airport: str, aircraft: str, at_watermark: bool) -> None:
        """One lookup."""
        keys = {"airport": airport, "aircraft": aircraft}
        found = store.get_online_features(FEATURES, [keys]).to_dict(include_metadata=True)
        names = [one.partition(":")[2] for one in FEATURES]
        self.rows.append({**keys, "event_timestamp": now})
        self.values.append(tuple(found[name][0] for name in names))
        self.statuses.append(tuple(str(found[f"{name}__status"][0]) for name in names))
        self.at_watermark.append(at_watermark)


def run(
    folder: Path, *, url: str, runs: int, lookups: int, seed: int, begin: datetime = BEGIN, project: str = "replay"
) -> Recorded:
    """Replay, look up, compare; AssertionError where anything differs."""
    rng = random.Random(seed)
    end = begin + runs * EVERY
    flights = _flights(begin - HISTORY, end)
    aircraft = [one for one in flights.column("aircraft").unique().to_pylist() if one]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hitherto.toml").write_text(f'project = "{project}"\n[online]\nurl = "{url}"\n', encoding="utf-8")
    pq.write_table(flights, folder / "flights.parquet", row_group_size=1_000)
    clock = FakeClock(begin)
    found = Recorded()
    with FeatureStore(folder, clock=clock) as store:
        store.apply(definitions())
        for number in range(runs):
            watermark = begin + number * EVERY
            clock.set(watermark)
            store.materialize_incremental()
            share = lookups * (number + 1) // runs - lookups * number // runs
            offsets = sorted([0, *(rng.randrange(EVERY // timedelta(microseconds=1)) for _ in range(share - 1))])
            for offset in offsets[:share]:
                now = watermark + timedelta(microseconds=offset)
                clock.set(now)
                airport = rng.choice(["JFK", "LGA", "EWR", "JFK", "LGA", "EWR", "SFO"])
                found.add(store, now, airport=airport, aircraft=rng.choice(aircraft), at_watermark=offset == 0)
        clock.set(end)
        _compare(store, found, list(range(len(found.rows))), as_served=True)
        _compare(store, found, [row for row, there in enumerate(found.at_watermark) if there], as_served=False)
    return found


def _flights(begin: datetime, end: datetime) -> pa.Table:
    flights = pq.read_table(DATA)
    scheduled = flights.column("scheduled_departure").cast(pa.timestamp("us", "UTC"))
    # A flight may leave a day after its schedule.
    first, last = (pa.scalar(one, pa.timestamp("us", "UTC")) for one in (begin, end + timedelta(days=1)))
    return flights.filter(pc.and_(pc.greater_equal(scheduled, first), pc.less(scheduled, last)))


def _compare(store: FeatureStore, found: Recorded, rows: Sequence[int], *, as_served: bool) -> None:
    asked = pa.Table.from_pylist([found.rows[row] for row in rows])
    training = store.get_historical_features(asked, FEATURES, as_served=as_served)
    table, statuses = training.to_arrow(), training.statuses()
    values = [*zip(*(table.column(name).to_pylist() for name in training.features), strict=True)]
    told = [*zip(*(statuses.column(name).to_pylist() for name in training.features), strict=True)]
    wrong = [
        (found.rows[row], one, found.values[row])
        for row, one, status in zip(rows, values, told, strict=True)
        if status != found.statuses[row] or not same(one, found.values[row])
    ]
    assert not wrong, f"{len(wrong)} of {len(rows)} lookups differ (as_served={as_served}): {wrong[0]}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--together", type=float, help="days that are in one feature store; all if not given")
    parser.add_argument("--lookups", type=int, default=10_000)
    parser.add_argument("--url", default="lmdb:///online")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    runs, together = (round(timedelta(days=days) / EVERY) for days in (given.days, given.together or given.days))
    found: list[Recorded] = []
    for first in range(0, runs, together):
        part = min(together, runs - first)
        with tempfile.TemporaryDirectory(prefix="hitherto-replay-") as folder:
            one = run(
                Path(folder) / "repo",
                url=given.url,
                runs=part,
                lookups=given.lookups * (first + part) // runs - given.lookups * first // runs,
                seed=given.seed + first,
                begin=BEGIN + first * EVERY,
                project=f"replay_{first}",
            )
        found.append(one)
        asked, watermarks = (sum(counts) for counts in zip(*(_counts(one) for one in found), strict=True))
        present = sum(one.present_share * len(one.rows) for one in found) / asked
        sys.stdout.write(
            f"{first + part:,} runs, {asked:,} lookups equal as served, {watermarks:,} also as known now; {present:.1%} PRESENT\n"
        )
        sys.stdout.flush()


def _counts(found: Recorded) -> tuple[int, int]:
    return len(found.rows), sum(found.at_watermark)


if __name__ == "__main__":
    main()
