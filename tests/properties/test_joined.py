"""Joined views over deliveries that add, replace and remove files of either source, against a computation in plain Python.

Whatever the runs were, the published state is what one run over the files of now would make: each row joined to what was
known when it was.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hitherto import Entity, FeatureStore, FeatureView, Field, ParquetSource
from hitherto.materialization.foresight import look
from hitherto.materialization.staging import SourceRows
from hitherto.offline.duckdb.connection import Limits, connect
from hitherto.sources.files import files_of
from hitherto.testing import FakeClock
from hitherto.timeline import instant, to_datetime
from hitherto.types import Float64, Int64
from properties.histories import CASES, chosen_seed

KEYS, TICKS, FILES = 12, 40, ("a", "b", "c")
LAST = 70  # no row becomes available so late
MINUTE, START = 60_000_000, instant("2021-03-04")
FEATURES = ("facts:value", "facts:factor", "facts:seen")
Answer = tuple[Any, ...]

SQL = """
    select f.subject, f.event_at, f.known_at, f.value,
        case when f.__available_time - n.__available_time <= interval '{lookback} minutes' then n.factor end as factor,
        (
            select count(*) from notes o where o.subject = f.subject and o.__available_time <= f.__available_time
            and o.__available_time >= f.__available_time - interval '{lookback} minutes'
        ) as seen
    from facts f asof left join notes n on f.subject = n.subject and f.__available_time >= n.__available_time
"""


@dataclass(frozen=True)
class Row:
    """A row of either source, in minutes after START."""

    key: int
    event: int
    available: int
    value: float


@dataclass
class Project:
    """Files of two sources, a store over them, and which rows lie in which file now."""

    folder: Path
    lookback: int | None
    rng: random.Random
    facts: dict[str, list[Row]] = field(default_factory=dict)
    notes: dict[str, list[Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("facts", "notes"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "hitherto.toml").write_text('project = "joined"\n')
        self.clock = FakeClock(to_datetime(START))
        self.store = FeatureStore(self.folder, clock=self.clock)

    @property
    def view(self) -> FeatureView:
        """Facts, each with the last note, and with how many notes there were."""
        facts = ParquetSource("facts", timestamp_field="event_at", known_timestamp_field="known_at")
        notes = ParquetSource("notes", timestamp_field="noted_at", known_after="3m")
        return FeatureView(
            "facts",
            entities=[Entity("subject", join_keys={"subject": Int64})],
            sources={"facts": facts, "notes": notes},
            transform=SQL.format(lookback=10_000 if self.lookback is None else self.lookback),
            # The SELECT looks back among the notes only; said by name, or for both.
            lookback={"facts": "0m", "notes": "7m"} if self.lookback == 7 else self.lookback and f"{self.lookback}m",
            schema=[Field("value", Float64), Field("factor", Float64), Field("seen", Int64)],
        )

    def deliver(self, name: str, file: str, rows: list[Row]) -> None:
        """Write a file of a source, or remove it if it has no rows."""
        path = self.folder / name / f"{file}.parquet"
        held = self.facts if name == "facts" else self.notes
        held[file] = rows
        if not rows:
            path.unlink(missing_ok=True)
            return
        shuffled = self.rng.sample(rows, len(rows))
        columns = {
            "subject": [row.key for row in shuffled],
            "factor" if name == "notes" else "value": [row.value for row in shuffled],
        }
        times = {"event_at": "event", "known_at": "available"} if name == "facts" else {"noted_at": "event"}
        at = {column: [START + getattr(row, part) * MINUTE for row in shuffled] for column, part in times.items()}
        stamps = {column: pa.array(values, pa.timestamp("us", "UTC")) for column, values in at.items()}
        pq.write_table(pa.table({**columns, **stamps}), path)

    def some_rows(self, name: str, file: str) -> list[Row]:
        """New rows for a file. No two rows of a source agree in key and times, over all of its files."""
        number = FILES.index(file)
        slots = [(key, tick) for key in range(KEYS) for tick in range(TICKS) if tick % len(FILES) == number]
        chosen = self.rng.sample(slots, self.rng.randrange(1, 30))
        # Of notes the available time tells them apart; of facts the event time does.
        late = (lambda: 3) if name == "notes" else (lambda: self.rng.choice([0, 0, 1, 5, 20]))
        # There is always a row from the beginning, so that the first run begins there.
        first = [(0, 0)] if file == "a" else []
        return [Row(key, tick, tick + late(), self.rng.randrange(1000) / 8) for key, tick in sorted({*chosen, *first})]

    def run(self, tick: int) -> None:
        """Materialize incrementally at an instant."""
        self.clock.set(to_datetime(START + tick * MINUTE))
        self.store.materialize_incremental()

    def computed(self, key: int, tick: int) -> Answer:
        """What a training set has to answer, from the rows that lie in the files now."""
        facts = [row for rows in self.facts.values() for row in rows if row.key == key and row.available <= tick]
        if not facts:
            return (None, None, None)
        fact = max(facts, key=lambda row: (row.event, row.available))
        since = -1 if self.lookback is None else fact.available - self.lookback
        notes = [
            row for rows in self.notes.values() for row in rows
            if row.key == key and since <= row.available <= fact.available
        ]  # fmt: skip
        last = max(notes, key=lambda row: row.available, default=None)
        return (fact.value, last.value if last else None, len(notes))

    def answered(self, ticks: range) -> Iterator[tuple[int, int, Answer]]:
        """(key, tick, what a training set answers)."""
        asked = [(key, tick) for key in range(KEYS) for tick in ticks]
        rows = {
            "subject": [key for key, _ in asked],
            "event_timestamp": pa.array([START + tick * MINUTE for _, tick in asked], pa.timestamp("us", "UTC")),
        }
        answers = self.store.get_historical_features(pa.table(rows), list(FEATURES)).to_arrow()
        columns = [answers.column(name.partition(":")[2]).to_pylist() for name in FEATURES]
        for (key, tick), *answer in zip(asked, *columns, strict=True):
            yield key, tick, tuple(answer)

    def looked_up(self) -> list[Answer]:
        """What a lookup of each key answers now."""
        found = self.store.get_online_features(list(FEATURES), {"subject": list(range(KEYS))}).to_dict()
        return list(zip(*(found[name.partition(":")[2]] for name in FEATURES), strict=True))


def begin(folder: Path, lookback: int | None, number: int) -> Project:
    project = Project(folder, lookback, random.Random(number))
    for name in ("facts", "notes"):
        project.deliver(name, "a", project.some_rows(name, "a"))
    project.store.apply([project.view])
    return project


def change(project: Project) -> None:
    """A file of either source is new, another one or gone; the first of each always has rows."""
    for _ in range(project.rng.randrange(1, 4)):
        name, file = project.rng.choice(["facts", "notes"]), project.rng.choice(FILES)
        rows = project.some_rows(name, file)
        project.deliver(name, file, [] if file != "a" and project.rng.random() < 0.3 else rows)


@pytest.mark.parametrize("lookback", [None, 7, 2])
@pytest.mark.parametrize("case", range(max(1, CASES // 2000)))
def test_joined_views_are_what_their_files_of_now_say(tmp_path: Path, lookback: int | None, case: int) -> None:
    number = chosen_seed() + case
    project = begin(tmp_path / "many", lookback, number)
    for tick in (14, 15, 28, LAST):
        project.run(tick)
        told = f"PROPERTY_SEED={number}, lookback {lookback}, at {tick}"
        assert_computed(project, tick, told)
        # The run's end is not in it.
        assert project.looked_up() == [project.computed(key, tick - 1) for key in range(KEYS)], told
        assert project.store.materialize_incremental().runs == (), told
        change(project)
    project.store.close()


def assert_computed(project: Project, tick: int, told: str) -> None:
    """Training sets at every minute before the watermark are what plain Python makes of the files."""
    compared = [(key, at, answer, project.computed(key, at)) for key, at, answer in project.answered(range(tick))]
    wrong = [one for one in compared if one[2] != one[3]]
    assert not wrong, f"{told}: (key, tick, answered, computed) {wrong[:3]}"


@pytest.mark.parametrize("lookback", [None, 7])
def test_one_run_and_many_make_the_same_and_neither_sees_the_future(tmp_path: Path, lookback: int | None) -> None:
    number = chosen_seed()
    for folder, ticks in (("one", (LAST,)), ("many", (9, 10, 31, LAST))):
        project = begin(tmp_path / folder, lookback, number)
        for name in ("facts", "notes"):
            for file in FILES:
                project.deliver(name, file, project.some_rows(name, file))
        for tick in ticks:
            project.run(tick)
        assert_computed(project, LAST, f"PROPERTY_SEED={number}, {folder}")
        with connect(Limits()) as con:
            rows = SourceRows(project.view, files_of(project.view, root=project.folder), project.folder)
            assert look(con, rows, None) is None
        project.store.close()
