"""What a first run sends to the online store from its staged rows: to the byte what it would send from its segment."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from hitherto import Aggregation, FeatureView
from hitherto.offline.duckdb import online_rows, windowed_values
from hitherto.offline.duckdb.online_rows import EarlyRows, all_winners, changed_winners, staged_winners
from hitherto.timeline import Interval
from unit.offline.engine import Row, engine, reads, write
from unit.offline.states import VIEWS

SEQUENCE = 7


def rows_of(view: FeatureView, *, seed: int = 0, count: int = 300) -> list[Row]:
    """Rows of few keys in no order, with ties of every kind."""
    chance = Random(seed)
    keys = len(view.join_keys)
    rows = []
    for _ in range(count):
        key = (chance.randrange(9), chance.choice("abc"))[:keys]
        event = chance.randrange(20)
        created = chance.choice([None, event, event + 1])
        rows.append((*key, event, created, event + chance.randrange(3), chance.choice([None, -0.0, chance.random()])))
    return rows


def flat(batches: Iterable[pa.RecordBatch]) -> list[dict[str, Any]]:
    """All rows of some batches."""
    return [row for batch in batches for row in batch.to_pylist()]


@pytest.mark.parametrize("keep_from", [None, 0, 19, 10**6])
@pytest.mark.parametrize("name", VIEWS)
def test_staged_rows_give_the_bytes_that_the_segment_gives(name: str, keep_from: int | None, tmp_path: Path) -> None:
    view = VIEWS[name]
    with engine() as con:
        written = write(con, view, rows_of(view), tmp_path / "a.duckdb")
        options: dict[str, Any] = {"sequence": SEQUENCE, "end": 0, "keep_from": keep_from}
        wanted = flat(all_winners(con, view, [reads(written)], **options))
        found = flat(staged_winners(con, view, "staged", **options))
    assert found == wanted
    assert bool(found) == (keep_from != 10**6)


def test_without_any_row_there_is_nothing_to_send() -> None:
    view = VIEWS["one key"]
    with engine() as con:
        con.execute(
            "create table staged (k0 bigint, __event timestamp, __created timestamp, __available timestamp, x double)"
        )
        assert [batch.num_rows for batch in staged_winners(con, view, "staged", sequence=1, end=0, keep_from=None)] in (
            [],
            [0],
        )


def numbered(made: list[int]) -> Generator[pa.RecordBatch, None, None]:
    for number in range(6):
        made.append(number)
        yield pa.record_batch({"key": [f"{number}" * 10]})


def test_early_rows_are_all_rows_in_their_order_and_only_so_many_are_made_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    rows = EarlyRows(numbered(made))
    monkeypatch.setattr(online_rows, "EARLY_BYTES", 2 * next(numbered([])).nbytes)
    rows.begin()
    assert made == [0, 1]
    assert [batch.column("key")[0].as_py()[0] for batch in rows] == list("012345")


def test_early_rows_that_are_closed_are_made_no_further() -> None:
    made: list[int] = []
    rows = EarlyRows(numbered(made))
    next(iter(rows))
    rows.close()
    assert list(rows) == []
    assert made == [0]


def windowed(name: str, *, versions: bool, endless: bool) -> FeatureView:
    """The view of a name with aggregations instead of columns."""
    plain = VIEWS[name]
    source = plain.source if versions else replace(plain.source, created_timestamp_field=None)
    functions = [Aggregation("x", one, windows=["4us", "9us"]) for one in ("count", "sum", "last")]
    return replace(
        plain, source=source, aggregations=[*functions, *([Aggregation("x", "last", n=3)] if endless else [])]
    )


@pytest.mark.parametrize("endless", [False, True])
@pytest.mark.parametrize("versions", [False, True])
@pytest.mark.parametrize("name", VIEWS)
def test_staged_rows_segments_and_small_chunks_give_the_same_steps(
    name: str, versions: bool, endless: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = windowed(name, versions=versions, endless=endless)
    rows = rows_of(view)
    if not versions:
        keys = len(view.join_keys)
        rows = [(*row[: keys + 1], None, *row[keys + 2 :]) for row in rows]
    with engine() as con:
        written = write(con, view, rows, tmp_path / "a.duckdb")
        options: dict[str, Any] = {"sequence": SEQUENCE, "end": 22, "keep_from": None}
        wanted = flat(all_winners(con, view, [reads(written)], **options))
        found = flat(staged_winners(con, view, "staged", **options))
        # Two segments that share keys, as a run that touches all of them sees them.
        halves = [reads(written, (-100, 10)), reads(written, (10, 100))]
        run = {"before": halves[:1], "after": halves, "interval": Interval(10, 100), "restore": True}
        touched = flat(changed_winners(con, view, **run, **options))
        for setting, value in (("CHUNK", 7), ("READ_ROWS", 2), ("BATCH_ROWS", 1)):
            monkeypatch.setattr(windowed_values, setting, value)
        small = flat(all_winners(con, view, [reads(written)], **options))
    assert wanted
    assert found == small == wanted
    assert [one for one in touched if one["value"] is not None] == wanted
