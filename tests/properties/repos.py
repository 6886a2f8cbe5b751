"""Packs many histories into one repo: Parquet files in shuffled order, definitions, runs; beside it one reference per key."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import hitherto
from hitherto import Aggregation, Entity, FeatureView, Field, ParquetSource
from hitherto.encoding.row_codec import encode_payload
from hitherto.testing import Answer, FakeClock, ReferenceStore, RunCounts
from hitherto.testing.reference import read_times
from hitherto.timeline import MIN_INSTANT, Interval, to_datetime
from hitherto.types import DataType
from properties.histories import History, Scenario, SourceRow, Step, Storage, anchor

ARROW_TIMES: dict[Storage, pa.DataType] = {
    "us": pa.timestamp("us"),
    "us_utc": pa.timestamp("us", "UTC"),
    "us_new_york": pa.timestamp("us", "America/New_York"),
    "ns_utc": pa.timestamp("ns", "UTC"),
    "ms": pa.timestamp("ms"),
}
NULL_KEY_EVERY = 16


def times(micros: Iterable[int | None], storage: Storage, rng: random.Random) -> pa.Array:
    """A column of instants as a source stores it; nanoseconds get a fraction of a microsecond, which must be floored."""
    if storage == "ns_utc":
        values = [None if one is None else one * 1_000 + rng.randrange(1_000) for one in micros]
    elif storage == "ms":
        values = [None if one is None else one // 1_000 for one in micros]
    else:
        values = list(micros)
    return pa.array(values, ARROW_TIMES[storage])


def feature_view(scenario: Scenario, path: str, *, name: str = "history") -> FeatureView:
    """The definition of a scenario's view."""
    source = ParquetSource(
        path,
        name=f"{name}_source",
        timestamp_field="event_at",
        created_timestamp_field="created_at" if scenario.created else None,
        known_timestamp_field="known_at" if scenario.known == "column" else None,
        known_after=scenario.duration(scenario.known_after) if scenario.known == "after" else None,
    )
    entities = [Entity("subject", join_keys=scenario.join_keys)] if scenario.join_keys else []
    defaults = dict(enumerate(scenario.defaults))
    schema = [
        Field(f"f{n}", kind, source_column=f"Column {n}", default=defaults.get(n))
        for n, kind in enumerate(scenario.kinds)
    ]
    ttl = None if scenario.ttl is None else scenario.duration(scenario.ttl)
    return FeatureView(
        name,
        entities=entities,
        source=source,
        schema=schema,
        aggregations=aggregations(scenario),
        ttl=ttl,
        online=scenario.online,
    )


def aggregations(scenario: Scenario) -> list[Aggregation]:
    """Each aggregated column and function in all windows of the scenario."""
    lengths = [scenario.duration(one) for one in scenario.windows if one is not None]
    found = []
    for column, function, parameters in scenario.aggregated:
        if lengths:
            found.append(Aggregation(f"f{column}", function, windows=lengths, **parameters))
        if None in scenario.windows:
            found.append(Aggregation(f"f{column}", function, **parameters))
    return found


def source_columns(scenario: Scenario, key: tuple[Any, ...], row: SourceRow) -> dict[str, Any]:
    """A source row as the reference reads it."""

    def micros(tick: int | None) -> int | None:
        return None if tick is None else scenario.at(tick)

    columns = {"event_at": micros(row.event), "created_at": micros(row.created), "known_at": micros(row.known)}
    features = {f"Column {n}": value for n, value in enumerate(row.values)}
    return {**dict(zip(scenario.join_keys, key, strict=True)), **columns, **features}


def source_table(scenario: Scenario, listed: Sequence[dict[str, Any]], rng: random.Random) -> pa.Table:
    """Source rows as an Arrow table, in an order of no meaning."""
    shuffled = rng.sample(listed, len(listed))
    columns: dict[str, pa.Array] = {}
    for name, kind in scenario.join_keys.items():
        columns[name] = pa.array([row[name] for row in shuffled], kind.arrow)
    for name in ("event_at", "created_at", "known_at"):
        columns[name] = times([row[name] for row in shuffled], scenario.storage, rng)
    for number, kind in enumerate(scenario.kinds):
        columns[f"Column {number}"] = pa.array([row[f"Column {number}"] for row in shuffled], kind.arrow)
    return pa.table(columns)


@dataclass
class Repo:
    """A feature store with one view and many keys, and the reference of each key.

    `rng` orders rows, files and row groups; nothing may depend on it.
    """

    folder: Path
    scenario: Scenario
    histories: Sequence[History]
    rng: random.Random
    extra_settings: str = ""
    view: FeatureView = field(init=False)
    store: Any = field(init=False)
    clock: FakeClock = field(init=False)
    keys: list[tuple[Any, ...]] = field(init=False)
    references: list[ReferenceStore] = field(init=False)
    _written: dict[str, list[dict[str, Any]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.histories = [anchor(self.scenario), *self.histories]
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "source").mkdir()
        (self.folder / "hitherto.toml").write_text(f'project = "properties"\n{self.extra_settings}')
        self.keys = [self._key(number) for number in range(len(self.histories))]
        self.view = feature_view(self.scenario, "source/*.parquet")
        self.references = [ReferenceStore(self.view) for _ in self.histories]
        self.clock = FakeClock(to_datetime(self.scenario.at(0)))
        self.store = hitherto.FeatureStore(repo_path=self.folder, clock=self.clock)
        self.deliver(0)  # a view whose source has no files cannot be applied
        self.store.apply([self.view])

    def _key(self, number: int) -> tuple[Any, ...]:
        key = self.scenario.key(number)
        if number % NULL_KEY_EVERY != NULL_KEY_EVERY - 1:
            return key
        missing = number // NULL_KEY_EVERY % len(key)
        return (*key[:missing], None, *key[missing + 1 :])

    @property
    def features(self) -> list[str]:
        """All features, by reference."""
        return [f"{self.view.name}:{name}" for name in self.view.feature_names]

    @property
    def kinds(self) -> list[DataType]:
        """The types of the features."""
        return [one.dtype for one in self.view.features]

    def deliver(self, step: int) -> None:
        """Bring the source's files to a delivery: some stay, some are new, some are replaced, some vanish."""
        files: dict[str, list[dict[str, Any]]] = {}
        for name, columns in self._rows(step):
            files.setdefault(name, []).append(columns)
        for name in set(self._written) - set(files):
            (self.folder / "source" / name).unlink()
        for name in self.rng.sample(sorted(files), len(files)):
            # Rows come in one order from all deliveries, so equal files have equal lists.
            if files[name] != self._written.get(name):
                self._write(name, files[name])
        self._written = files

    def _rows(self, step: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """File and columns of each source row of a delivery."""
        number = 0
        for key, history in zip(self.keys, self.histories, strict=True):
            for row in history:
                columns = source_columns(self.scenario, key, row)
                for copy in range(row.copies):
                    number += 1
                    if row.delivered(step):
                        yield self._file(row, number, copy), columns

    def _file(self, row: SourceRow, number: int, copy: int) -> str:
        if row.last is not None:
            return f"moving-{number % 3}.parquet"
        return f"late-{row.first}.parquet" if row.first else f"stays-{copy}.parquet"

    def _write(self, name: str, listed: list[dict[str, Any]]) -> None:
        table = source_table(self.scenario, listed, self.rng)
        group = self.rng.choice([5, 64, 100_000])
        pq.write_table(
            table, self.folder / "source" / name, row_group_size=group, use_dictionary=self.rng.random() < 0.5
        )

    def file_ranges(self, step: int) -> list[tuple[int, int]]:
        """First and last available time of each file of a delivery."""
        found: dict[str, list[int]] = {}
        for name, columns in self._rows(step):
            available = read_times(self.view, columns)[2]
            if available is not None:
                found.setdefault(name, []).append(available)
        return [(min(instants), max(instants)) for instants in found.values()]

    def run(self, step: int, what: Step) -> tuple[Any, RunCounts]:
        """Deliver, set the clock, materialize; the report, and the counts of the references."""
        self.deliver(step)
        self.clock.set(to_datetime(self.scenario.at(what.clock)))
        end = self.scenario.at(what.end)
        if what.start is None:
            report = self.store.materialize_incremental(to_datetime(end))
            interval = Interval(MIN_INSTANT, end)
        else:
            interval = Interval(self.scenario.at(what.start), end)
            report = self.store.materialize(to_datetime(interval.start), to_datetime(end))
        return report, self._publish(step, interval, self.scenario.at(what.clock))

    def _publish(self, step: int, interval: Interval, published_at: int) -> RunCounts:
        total = [0, 0, 0, 0]
        for key, history, reference in zip(self.keys, self.histories, self.references, strict=True):
            listed = [
                source_columns(self.scenario, key, row)
                for row in history
                if row.delivered(step)
                for _ in range(row.copies)
            ]
            counts = reference.publish(listed, interval, published_at=published_at)
            for place, count in enumerate(vars(counts).values()):
                total[place] += count
        return RunCounts(*total)


@dataclass(frozen=True)
class Question:
    """One entity row: which history's key, at which instant (microseconds, or none)."""

    number: int
    at: int | None


def entity_table(repo: Repo, questions: Sequence[Question], *, storage: Storage = "us_utc") -> pa.Table:
    """Entity rows in the order of the questions, with columns of their own that must come back untouched."""
    columns: dict[str, pa.Array] = {"note": pa.array([f"row {n % 7}" for n in range(len(questions))])}
    for place, (name, kind) in enumerate(repo.scenario.join_keys.items()):
        columns[name] = pa.array([repo.keys[one.number][place] for one in questions], kind.arrow)
    columns["event_timestamp"] = times([one.at for one in questions], storage, repo.rng)
    columns["Row Number"] = pa.array(range(len(questions)), pa.int32())
    return pa.table(columns)


def retrieve(repo: Repo, entity_rows: pa.Table, **options: Any) -> list[tuple[bytes, tuple[str, ...]]]:
    """What the store answers to each entity row: the bytes of the values, and their statuses."""
    training = repo.store.get_historical_features(entity_rows, features=repo.features, **options)
    answered = training.to_arrow()
    assert answered.column_names == [*entity_rows.column_names, *repo.view.feature_names]
    assert answered.select(entity_rows.column_names).equals(entity_rows)
    statuses = as_columns(training.statuses())
    return list(
        zip(
            payloads(repo, answered),
            zip(*(statuses[name] for name in repo.view.feature_names), strict=True),
            strict=True,
        )
    )


def payloads(repo: Repo, table: pa.Table) -> list[bytes]:
    """The values of each row as bytes, so that NaN equals NaN and -0.0 is not 0.0."""
    columns = [table.column(name).to_pylist() for name in repo.view.feature_names]
    return [encode_payload(repo.kinds, values) for values in zip(*columns, strict=True)]


def as_columns(table: Any) -> dict[str, list[Any]]:
    """A table or a mapping as lists."""
    return table.to_pydict() if isinstance(table, pa.Table) else {name: list(column) for name, column in table.items()}


def expected(repo: Repo, answers: Iterable[Answer]) -> list[tuple[bytes, tuple[str, ...]]]:
    """The reference's answers in the form of `retrieve` and `look_up`."""
    return [(encode_payload(repo.kinds, one.values), one.statuses) for one in answers]


def look_up(repo: Repo, numbers: Sequence[int]) -> list[tuple[bytes, tuple[str, ...]]]:
    """What the online store answers for some histories' keys at the clock's instant."""
    entity_rows = {
        name: [repo.keys[number][place] for number in numbers] for place, name in enumerate(repo.scenario.join_keys)
    }
    answer = repo.store.get_online_features(features=repo.features, entity_rows=entity_rows)
    values = answer.to_dict()
    names = repo.view.feature_names
    statuses = statuses_of(answer, names)
    found = [encode_payload(repo.kinds, row) for row in zip(*(values[name] for name in names), strict=True)]
    return list(zip(found, zip(*(statuses[name] for name in names), strict=True), strict=True))


def statuses_of(answer: Any, names: Sequence[str]) -> dict[str, list[str]]:
    """Each feature's statuses from `to_dict(include_metadata=True)`."""
    detailed = answer.to_dict(include_metadata=True)
    return {name: [str(status) for status in detailed[f"{name}__status"]] for name in names}


def assert_agree(
    repo: Repo,
    questions: Sequence[Question],
    found: Sequence[tuple[bytes, tuple[str, ...]]],
    wanted: Sequence[tuple[bytes, tuple[str, ...]]],
    *,
    what: str,
) -> None:
    """Equal everywhere; otherwise the smallest history that shows the difference."""
    assert len(found) == len(wanted) == len(questions)
    wrong = [place for place in range(len(questions)) if found[place] != wanted[place]]
    if not wrong:
        return
    place = min(wrong, key=lambda one: len(repo.histories[questions[one].number]))
    question = questions[place]
    rows = "\n  ".join(map(str, repo.histories[question.number]))
    at = "no time" if question.at is None else f"tick {(question.at - repo.scenario.at(0)) / repo.scenario.unit}"
    raise AssertionError(
        f"{what}: {len(wrong)} of {len(questions)} answers differ from the reference.\n"
        f"{repo.scenario!r}\nkey {repo.keys[question.number]!r} at {at}\nrows\n  {rows}\n"
        f"published {repo.references[question.number].publications}\nfound  {found[place]}\nwanted {wanted[place]}"
    )
