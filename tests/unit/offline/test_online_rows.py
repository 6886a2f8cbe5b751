"""What a first run sends to the online store from its staged rows: to the byte what it would send from its segment."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from hitherto import FeatureView
from hitherto.offline.duckdb import online_rows
from hitherto.offline.duckdb.online_rows import EarlyRows, all_winners, staged_winners
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
