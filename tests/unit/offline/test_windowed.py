"""Windowed features over several, partly masked segments against plain Python, in every way of reading; and their SQL text."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from hitherto import Aggregation, Entity, FeatureView, ParquetSource
from hitherto.offline.duckdb import windowed, windowed_rows, windowed_sql
from hitherto.offline.duckdb.connection import Limits
from hitherto.offline.duckdb.point_in_time import FOUND, Requests, Winners
from hitherto.offline.plan import SegmentRead, ViewRead
from hitherto.testing.aggregates import WindowRow, aggregate, rows_of_window
from hitherto.types import DataType, Int64, String
from unit.offline.engine import Row, engine, reads, visible, write
from vectors import same

Asked = list[tuple[tuple[Any, ...], int | None]]
EVENTS = ParquetSource("x.parquet", timestamp_field="at", known_timestamp_field="known")
VERSIONS = ParquetSource(
    "x.parquet", timestamp_field="at", created_timestamp_field="made", known_timestamp_field="known"
)
KEYS: dict[str, list[DataType]] = {"one key": [Int64], "two keys": [Int64, String], "no key": []}


def view_of(name: str, *, versions: bool = False, windows: Sequence[str] | None = ("4us", "30us")) -> FeatureView:
    keys = {f"k{place}": kind for place, kind in enumerate(KEYS[name])}
    numbers = ("count", "sum", "mean", "min", "max", "variance", "count_distinct")
    return FeatureView(
        "things",
        entities=[Entity("thing", join_keys=keys)] if keys else [],
        source=VERSIONS if versions else EVENTS,
        aggregations=[
            *(Aggregation("x", function, windows=windows) for function in numbers),
            Aggregation("x", "percentile", p=0.25, windows=windows),
            Aggregation("n", "sum", windows=["9us"], dtype=Int64),
            Aggregation("t", "last", n=3, windows=windows, dtype=String),
            Aggregation("t", "first", windows=windows),
            Aggregation("t", "approx_count_distinct", windows=windows),
        ],
    )


def random_rows(view: FeatureView, span: tuple[int, int], count: int, rng: random.Random) -> list[Row]:
    """Rows available in the span, many of them known late, some alike in all their times."""
    rows: list[Row] = []
    for _ in range(count):
        key = tuple(
            rng.randrange(4) if kind == Int64 else rng.choice(["", "a", "1"]) for kind in view.join_keys.values()
        )
        known = rng.randrange(*span)
        event = known - rng.choice([0, 0, 1, 5])
        created = rng.choice([None, 0, 1]) if view.has_versions else None
        number, letter = rng.choice([None, 2**62, -3, 7]), rng.choice([None, "", "a", "é"])
        # Versions that agree in all times are superseded; here no two do.
        if view.has_versions and any(row[: len(key) + 3] == (*key, event, created, known) for row in rows):
            continue
        rows.append((*key, event, created, known, rng.choice([None, -0.0, rng.random()]), number, letter))
    return rows


@dataclass(frozen=True)
class State:
    view: FeatureView
    segments: tuple[SegmentRead, ...]
    rows: list[Row]

    def read(self, features: Sequence[str] | None = None, **changes: Any) -> ViewRead:
        names = tuple(features or self.view.feature_names)
        parts = {
            "name": "things",
            "view": self.view,
            "version": 1,
            "key_columns": {key: f"E {key}" for key in self.view.join_keys},
            "features": names,
            "outputs": tuple(f"out {name}" for name in names),
            "segments": self.segments,
        }
        return ViewRead(**{**parts, **changes})

    def expected(self, key: tuple[Any, ...], at: int | None) -> tuple[list[Any], Row | None]:
        """By hand: each feature, and the newest row of the longest window."""
        view, keys = self.view, len(self.view.join_keys)
        columns = {name: keys + 3 + place for place, name in enumerate(view.column_names)}
        kinds = {one.name: one.dtype for one in view.schema}
        mine = sorted((row for row in self.rows if row[:keys] == key), key=lambda row: order(row, keys))
        events = [WindowRow(row[keys], row[keys + 2], None, row) for row in mine]
        if at is None or None in key:
            events, at = [], 0
        longest = rows_of_window(events, at, view.longest_window, versions=view.has_versions)
        if not longest:
            return [None] * len(view.feature_names), None
        found = []
        for one in view.windowed:
            rows = rows_of_window(events, at, one.window, versions=view.has_versions)
            values = [event.value[columns[one.column]] for event in rows]
            found.append(aggregate(one.function, values, kinds[one.column], n=one.n, p=one.p))
        return found, longest[-1].value


def order(row: Row, keys: int) -> tuple[Any, ...]:
    event, created, known, *values = row[keys:]
    x, number, letter = values
    # The order of their bytes, as far as these values need it.
    return (event, -1 if created is None else created, known, text(x), text(number), text(letter, quoted=True))


def text(value: Any, *, quoted: bool = False) -> bytes:
    return b"null" if value is None else f'"{value}"'.encode() if quoted else repr(value).encode()


PLAN: list[tuple[tuple[int, int], list[tuple[int, int]]]] = [
    ((0, 60), [(0, 20), (30, 50)]),
    ((20, 30), []),
    ((50, 90), [(50, 70), (80, 90)]),
]


@contextmanager
def state(view: FeatureView, folder: Path, *, parts: int = 3) -> Iterator[tuple[duckdb.DuckDBPyConnection, State]]:
    """Three segments: the first is masked in the middle and at an edge, the second is whole, the third is masked in part."""
    rng = random.Random(parts)
    with engine(threads=2) as con:
        written, listed = [], []
        for number, (span, intervals) in enumerate(PLAN[:parts] if parts > 1 else [((0, 90), [])]):
            rows = random_rows(view, span, 80, rng)
            segment = write(con, view, rows, folder / f"{number}.duckdb")
            written.append(reads(segment, *(intervals or [span])))
            written[-1] = replace(written[-1], whole=not intervals)
            listed.append((rows, intervals))
        yield con, State(view, tuple(written), visible(listed, len(view.join_keys)))


def entity_table(one: State, asked: Asked) -> pa.Table:
    columns: dict[str, pa.Array] = {"__time": pa.array([at for _, at in asked], pa.timestamp("us"))}
    for place, (key, kind) in enumerate(one.view.join_keys.items()):
        columns[f"E {key}"] = pa.array([values[place] for values, _ in asked], kind.arrow)
    return pa.table(columns)


def questions(one: State, rng: random.Random) -> Asked:
    keys = len(one.view.join_keys)
    known = [*sorted({row[:keys] for row in one.rows}), (99, "no")[:keys], *([(None, "a")[:keys]] if keys else [])]
    asked: Asked = [(key, at) for key in known for at in [*range(-8, 130, 3), None]]
    rng.shuffle(asked)
    return asked + asked[:5]


def retrieve(con: duckdb.DuckDBPyConnection, read: ViewRead, requests: Requests) -> Winners:
    return windowed.retrieve(con, read, requests, limits=Limits(threads=2))


def check(one: State, asked: Asked, found: Winners) -> None:
    values, traced = found.values.to_pydict(), found.traced.to_pylist()
    columns = list(values.values())
    for place, (key, at) in enumerate(asked):
        wanted, newest = one.expected(key, at)
        got = [column[place] for column in columns]
        assert all(map(same, got, wanted)), (key, at, got, wanted)
        assert found.state[place] == (0 if newest is None else FOUND)
        epoch = None if newest is None else newest[len(key)]
        event = traced[place]["event"]
        assert (None if event is None else event.microsecond + (-1_000_000 if event.year == 1969 else 0)) == epoch
        assert (traced[place]["run_id"] is None) == (newest is None)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("versions", [False, True], ids=["events", "versions"])
@pytest.mark.parametrize("parts", [1, 3])
def test_each_entity_row_has_the_functions_of_its_windows(
    name: str, versions: bool, parts: int, tmp_path: Path
) -> None:
    with state(view_of(name, versions=versions), tmp_path, parts=parts) as (con, one):
        asked = questions(one, random.Random(7))
        found = retrieve(con, one.read(), Requests(entity_table(one, asked)))
    check(one, asked, found)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("sparse", [0, 10_000], ids=["joined", "scanned"])
def test_rows_in_small_chunks_are_answered_alike(
    name: str, sparse: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windowed_rows, "CHUNK", 10)
    monkeypatch.setattr(windowed_rows, "SAMPLE", 3)
    monkeypatch.setattr(windowed_rows, "SPARSE", sparse)
    # Asking for few keys as well: most rows of the dictionaries are of nobody's key.
    with state(view_of(name, windows=None), tmp_path) as (con, one):
        asked = questions(one, random.Random(8))
        few = [question for question in asked if question[0][:1] in ((2,), (99,), ())]
        for some in (asked, few, []):
            check(one, some, retrieve(con, one.read(), Requests(entity_table(one, some))))


def test_only_rows_that_windows_can_reach_are_read(tmp_path: Path) -> None:
    with state(view_of("one key"), tmp_path) as (con, one):
        # The longest window is 30: at 85 no row of the first two segments can be in it.
        asked: Asked = [((key,), at) for key in range(4) for at in (85, 86)]
        left_out = one.read(segments=(*one.segments[2:],))
        for read in (one.read(), left_out):
            check(one, asked, retrieve(con, read, Requests(entity_table(one, asked))))
        wanted = windowed_rows.Wanted(one.view, one.segments, ("x",), np.array([1]), 85 - 29, 86)
    assert [windowed_rows._reaches(segment, wanted) for segment in one.segments] == [False, False, True]


def test_rows_that_were_published_in_another_order_keep_the_order_of_rows(tmp_path: Path) -> None:
    view = view_of("one key", windows=None)
    with engine() as con:
        late = write(con, view, [(1, 5, None, 12, 1.0, 1, "late")], tmp_path / "a.duckdb")
        early = write(con, view, [(1, 5, None, 8, 2.0, 2, "early")], tmp_path / "b.duckdb")
        # What was known first was published last.
        segments = (
            replace(reads(late, (10, 20)), served=(30, None)),
            replace(reads(early, (0, 10)), served=(40, None)),
        )
        one = State(view, segments, [])
        asked: Asked = [((1,), at) for at in (29, 30, 39, 40)]
        found = retrieve(con, one.read(["t_first"]), Requests(entity_table(one, asked)))
    assert found.values.column(0).to_pylist() == [None, "late", "late", "early"]


def nearly(one: Any, other: Any) -> bool:
    """Sums of the engine depend on its order, and it knows one zero only."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("versions", [False, True], ids=["events", "versions"])
@pytest.mark.parametrize("served", [None, (15, 70)])
def test_the_sql_text_gives_the_same_answer(
    name: str, versions: bool, served: tuple[int, int] | None, tmp_path: Path
) -> None:
    with state(view_of(name, versions=versions), tmp_path) as (con, one):
        asked = questions(one, random.Random(3))
        read = one.read(segments=tuple(replace(segment, served=served) for segment in one.segments))
        table = entity_table(one, asked)
        found = retrieve(con, read, Requests(table))
        rows = table.append_column("__row", pa.array(range(len(asked)), pa.int64()))
        con.register("__entity_rows", rows)
        *attach, answer = windowed_sql.sql(read)
        for statement in attach:
            con.execute(statement)
        by_hand = con.sql(answer).to_arrow_table().to_pylist()
    by_row = {row["__row"]: row for row in by_hand}
    assert sorted(by_row) == [place for place in range(len(asked)) if found.state[place] == FOUND]
    assert len(by_hand) == len(by_row)
    for place, values in enumerate(found.values.to_pylist()):
        for feature, output in zip(read.features, read.outputs, strict=True):
            if place in by_row:
                assert nearly(by_row[place][feature], values[output]), (feature, asked[place])


def test_without_segments_all_is_null(tmp_path: Path) -> None:
    with state(view_of("one key"), tmp_path) as (con, one):
        asked: Asked = [((1,), 50)]
        found = retrieve(con, one.read(segments=()), Requests(entity_table(one, asked)))
    assert (found.state.tolist(), set(map(str, found.values.to_pylist()[0].values()))) == ([0], {"None"})
    kinds = [field.dtype.arrow for field in one.view.features]
    assert found.values.schema.types == kinds


@pytest.mark.parametrize("name", KEYS)
def test_the_latest_are_those_of_every_key_with_a_row_in_the_longest_window(name: str, tmp_path: Path) -> None:
    with state(view_of(name), tmp_path) as (con, one):
        keys = sorted({row[: len(KEYS[name])] for row in one.rows})
        for at in (-1, 20, 60, 100, 200):
            found = windowed.read_latest(con, one.view, one.segments, at=at, limits=Limits()).to_pylist()
            wanted = [(key, *one.expected(key, at)) for key in keys]
            there = [(key, values) for key, values, newest in wanted if newest is not None]
            assert [tuple(row[key] for key in one.view.join_keys) for row in found] == [key for key, _ in there]
            for row, (_, values) in zip(found, there, strict=True):
                assert all(map(same, [row[feature] for feature in one.view.feature_names], values))
        assert windowed.read_latest(con, one.view, (), at=50, limits=Limits()).num_rows == 0
