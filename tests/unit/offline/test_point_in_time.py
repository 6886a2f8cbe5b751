"""Retrieval over several, partly masked segments against the same by hand; and its SQL text."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, cast

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from hitherto.offline.duckdb import files, finding, point_in_time
from hitherto.offline.duckdb.connection import Limits
from hitherto.offline.duckdb.point_in_time import EXPIRED, FOUND, Requests, Winners
from hitherto.offline.plan import AgeLimit, SegmentRead, ViewRead
from unit.offline.engine import engine, rank, reads, write
from unit.offline.states import VIEWS, State, state, view_of

AS_NUMBERS = pa.schema([*((name, pa.int64()) for name in ("event", "created", "available")), ("run_id", pa.string())])


def read_of(one: State, segments: tuple[SegmentRead, ...] | None = None, **changes: Any) -> ViewRead:
    parts = {
        "name": "things",
        "view": one.view,
        "version": 1,
        "key_columns": {key: f"E {key}" for key in one.view.join_keys},
        "features": ("x",),
        "outputs": ("out",),
        "segments": one.segments if segments is None else segments,
    }
    return ViewRead(**{**parts, **changes})


def entity_table(one: State, asked: list[tuple[tuple[Any, ...], int | None]]) -> pa.Table:
    columns: dict[str, pa.Array] = {
        "__time": pa.array([at for _, at in asked], pa.timestamp("us")),
    }
    for place, (key, kind) in enumerate(one.view.join_keys.items()):
        columns[f"E {key}"] = pa.array([values[place] for values, _ in asked], kind.arrow)
    return pa.table(columns)


def retrieve(con: duckdb.DuckDBPyConnection, read: ViewRead, requests: Requests) -> Winners:
    return point_in_time.retrieve(con, read, requests, limits=Limits(threads=2))


def questions(one: State, rng: random.Random) -> list[tuple[tuple[Any, ...], int | None]]:
    keys = [*one.all_keys, (99, "no")[: one.keys], *([(None, "a")[: one.keys]] if one.keys else [])]
    asked: list[tuple[tuple[Any, ...], int | None]] = [(key, at) for key in keys for at in [*range(-8, 95, 3), None]]
    rng.shuffle(asked)
    return asked + asked[:5]


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize(("parts", "ttl"), [(1, None), (3, None), (3, 4)])
def test_each_entity_row_gets_the_greatest_row_available_by_its_time(
    name: str, parts: int, ttl: int | None, tmp_path: Path
) -> None:
    with state(name, tmp_path, parts=parts, seed=parts) as (con, one):
        asked = questions(one, random.Random(7))
        requests = Requests(entity_table(one, asked))
        limits = (AgeLimit(None, ttl),)
        found = retrieve(con, read_of(one, ttl=limits), requests)
    values, traced = found.values.column("out").to_pylist(), found.traced.cast(AS_NUMBERS).to_pylist()
    for place, (key, at) in enumerate(asked):
        known = [row for row in one.of_key(key) if at is not None and None not in key and row[one.keys + 2] <= at]
        winner = max(known, key=lambda row: rank(row, one.keys)) if known else None
        if winner is None:
            assert (found.state[place], values[place], traced[place]["event"]) == (0, None, None)
            continue
        expired = ttl is not None and winner[one.keys] < (at or 0) - ttl
        assert found.state[place] == (EXPIRED if expired else FOUND)
        assert repr(values[place]) == repr(None if expired else winner[-1])
        times = tuple(traced[place][name] for name in ("event", "created", "available"))
        assert times == winner[one.keys : one.keys + 3]
        assert traced[place]["run_id"] in {segment.run_id for segment in one.segments}


def test_a_retention_hides_a_row_wholly_and_limits_hold_from_their_instants_on(tmp_path: Path) -> None:
    with state("no key", tmp_path, parts=1) as (con, one):
        newest = max(row[0] for row in one.rows)
        asked: list[tuple[tuple[Any, ...], int | None]] = [
            ((), newest + after) for after in (60, 100, 101, 200, 201, 301)
        ]
        requests = Requests(entity_table(one, asked))
        read = read_of(
            one,
            ttl=(AgeLimit(None, 50), AgeLimit(newest + 90, None), AgeLimit(newest + 200, 200)),
            online_retention=(AgeLimit(None, 300),),
        )
        found = retrieve(con, read, requests)
    assert found.state.tolist() == [EXPIRED, FOUND, FOUND, FOUND, EXPIRED, 0]
    assert found.traced.to_pylist()[5]["event"] is None


def test_a_served_segment_is_seen_only_by_entity_rows_of_its_span(tmp_path: Path) -> None:
    with state("no key", tmp_path, parts=1) as (con, one):
        (segment,) = one.segments
        served = SegmentRead(segment.path, "r", segment.intervals, segment.whole, segment.indexed, (100, 200))
        open_end = SegmentRead(segment.path, "r", segment.intervals, segment.whole, segment.indexed, (300, None))
        asked: list[tuple[tuple[Any, ...], int | None]] = [((), at) for at in (99, 100, 199, 200, 299, 300, 10**9)]
        requests = Requests(entity_table(one, asked))
        found = retrieve(con, read_of(one, (served, open_end)), requests)
    assert found.state.tolist() == [0, FOUND, FOUND, 0, 0, FOUND, FOUND]


@pytest.mark.parametrize("name", VIEWS)
def test_nothing_published_answers_nulls_of_the_right_type(name: str, tmp_path: Path) -> None:
    with state(name, tmp_path, parts=0) as (con, one), engine() as con:
        asked: list[tuple[tuple[Any, ...], int | None]] = [((1, "a")[: len(one.view.join_keys)], 5)]
        requests = Requests(entity_table(one, asked))
        found = retrieve(con, read_of(one), requests)
    assert found.values.to_pylist() == [{"out": None}]
    assert found.values.schema.types == [pa.float64()]
    assert found.state.tolist() == [0]
    assert found.traced.column("run_id").to_pylist() == [None]


@pytest.mark.parametrize("name", VIEWS)
def test_no_entity_row_gets_no_row(name: str, tmp_path: Path) -> None:
    with state(name, tmp_path) as (con, one):
        requests = Requests(entity_table(one, []))
        assert retrieve(con, read_of(one), requests).values.num_rows == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_a_large_result_keeps_the_order_of_its_entity_rows(threads: int, tmp_path: Path) -> None:
    with state("one key", tmp_path) as (_, one), engine(threads=threads) as con:
        # More than the engine's row groups, so that several threads have a part each.
        rows = 150_000
        keys = np.random.default_rng(1).integers(0, 5, rows)
        table = pa.table({"__time": pa.array(np.full(rows, 89)).cast(pa.timestamp("us")), "E k0": keys})
        requests = Requests(table)
        found = retrieve(con, read_of(one), requests)
        newest = {key[0]: max(one.of_key(key), key=lambda row: rank(row, 1))[-1] for key in one.all_keys}
    answers = found.values.column("out").to_numpy()
    for key in range(5):
        mine = np.unique(answers[keys == key].astype(str))
        assert mine.tolist() == [str(np.float64("nan") if newest.get(key) is None else np.float64(newest[key]))]


def test_one_hot_key_is_not_quadratic(tmp_path: Path) -> None:
    view, rows = view_of(), 60_000
    with engine() as con:
        written = write(con, view, [(at, None, at + 7, float(at)) for at in range(rows)], tmp_path / "hot.duckdb")
        one = State(view, (reads(written),), (), 0)
        table = pa.table({"__time": pa.array(np.arange(rows)).cast(pa.timestamp("us"))})
        requests = Requests(table)
        found = retrieve(con, read_of(one), requests)
    # 60,000 x 60,000 comparisons would not end within the test's patience.
    assert found.values.column("out")[-1].as_py() == rows - 8.0
    assert int((found.state == FOUND).sum()) == rows - 7


@pytest.mark.parametrize("name", VIEWS)
def test_its_sql_run_by_hand_gives_the_same(name: str, tmp_path: Path) -> None:
    with state(name, tmp_path, parts=3) as (con, one):
        asked = questions(one, random.Random(3))
        rows = entity_table(one, asked)
        read = read_of(one, ttl=(AgeLimit(None, 9), AgeLimit(40, 4)), online_retention=(AgeLimit(None, 60),))
        found = retrieve(con, read, Requests(rows))
        con.register("__entity_rows", rows.append_column("__row", pa.array(np.arange(len(asked)))))
        *attaching, answer = point_in_time.sql(read)
        for statement in attaching:
            con.execute(statement)
        by_hand = {row[0]: row[1:] for row in con.execute(answer).fetchall()}
    values = found.values.column("out").to_pylist()
    for place, state_of in enumerate(found.state.tolist()):
        expected, *_, value = by_hand.get(place, (0, None))
        assert (state_of, repr(values[place])) == (expected, repr(value if expected == FOUND else None))


class Counted:
    """A connection, and what it was asked, but for what is about its memory."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self.statements: list[str] = []

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """Itself, which has all that a connection has."""
        return cast(duckdb.DuckDBPyConnection, self)

    def execute(self, statement: str, *given: Any) -> Any:
        if "memory" not in statement:
            self.statements.append(statement)
        return self.con.execute(statement, *given)

    def sql(self, statement: str) -> Any:
        self.statements.append(statement)
        return self.con.sql(statement)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.con, name)


@pytest.mark.parametrize(("parts", "asked_times"), [(1, 1), (3, 1), (3, 50)])
def test_a_view_takes_few_statements_whatever_the_number_of_entity_rows(
    parts: int, asked_times: int, tmp_path: Path
) -> None:
    with state("one key", tmp_path, parts=parts) as (con, one):
        counted = Counted(con)
        asked = questions(one, random.Random(1)) * asked_times
        retrieve(counted.connection, read_of(one), Requests(entity_table(one, asked)))
    files = {segment.path for segment in one.segments}
    # To attach and detach each file, to count the rows of all, to read the entries of each, and the features: of a file that is
    # read in part by two statements, the first of which gives the row ids. Several indexed segments are compared by rank.
    ranks = 2 * parts if parts > 1 else 0
    assert len(counted.statements) <= 2 * len(files) + 1 + parts + ranks + 2 * len(files)
    assert not any("asof" in statement for statement in counted.statements)


def test_each_winner_is_read_once_and_losers_are_not(tmp_path: Path) -> None:
    view, rows = VIEWS["one key"], 9_000
    with engine() as con:
        written = write(con, view, [(at // 9, at, None, at, float(at)) for at in range(rows)], tmp_path / "s.duckdb")
        one = State(view, (reads(written),), (), 1)
        # A tenth of the keys, each at two times with one winner, and many times over.
        asked: list[tuple[tuple[Any, ...], int | None]] = [
            ((key,), key * 9 + at) for key in range(0, 1_000, 10) for at in (4, 4, 3, 4)
        ] * 5
        counted = Counted(con)
        found = retrieve(counted.connection, read_of(one), Requests(entity_table(one, asked)))
        reading = [statement for statement in counted.statements if '"x"' in statement]
        (picked,) = con.execute("select count(*), count(distinct id) from __picked").fetchall()
    assert found.values.column("out").to_pylist() == [float(at or 0) for _, at in asked]
    assert len(reading) == 1
    assert picked == (200, 200)


@pytest.mark.parametrize("name", VIEWS)
def test_chunks_and_keys_that_are_left_out_change_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for parts in (1, 3):
        (tmp_path / str(parts)).mkdir()
        with state(name, tmp_path / str(parts), parts=parts) as (con, one):
            requests = Requests(entity_table(one, questions(one, random.Random(5))))
            whole = retrieve(con, read_of(one), requests)
            for chunk, sparse, picked, room in ((7, 10**9, 3, 0), (10**6, 0, 10**6, 10**9)):
                monkeypatch.setattr(finding, "CHUNK", chunk)
                monkeypatch.setattr(finding, "SPARSE", sparse)
                monkeypatch.setattr(files, "PICKED", picked)
                monkeypatch.setattr(files, "ROOM", room)
                again = retrieve(con, read_of(one), requests)
                assert again.state.tolist() == whole.state.tolist()
                assert repr(again.values.to_pylist()) == repr(whole.values.to_pylist())
            monkeypatch.undo()
