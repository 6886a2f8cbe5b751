"""Published states of several segments, some partly masked, beside the same by hand."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from hitherto import Entity, FeatureView, Field, ParquetSource
from hitherto.offline.plan import SegmentRead
from hitherto.types import DataType, Float64, Int64, String
from unit.offline.engine import Row, engine, reads, visible, write

SOURCE = ParquetSource("x.parquet", timestamp_field="at", created_timestamp_field="made", known_timestamp_field="known")


def view_of(*kinds: DataType, **changes: Any) -> FeatureView:
    """A view with so many keys."""
    keys = {f"k{place}": kind for place, kind in enumerate(kinds)}
    entities = [Entity("thing", join_keys=keys)] if keys else []
    return FeatureView("things", entities=entities, source=SOURCE, schema=[Field("x", Float64)], **changes)


VIEWS = {"one key": view_of(Int64), "two keys": view_of(Int64, String), "no key": view_of()}


@dataclass(frozen=True)
class State:
    """Segments, how a retrieval reads them, and the rows that count."""

    view: FeatureView
    segments: tuple[SegmentRead, ...]
    rows: tuple[Row, ...]
    keys: int

    def of_key(self, key: tuple[Any, ...]) -> list[Row]:
        """The rows of one key."""
        return [row for row in self.rows if row[: self.keys] == key]

    @property
    def all_keys(self) -> list[tuple[Any, ...]]:
        """Every key that has a row that counts."""
        return sorted({row[: self.keys] for row in self.rows})


def random_rows(view: FeatureView, span: tuple[int, int], count: int, rng: random.Random) -> list[Row]:
    """Rows available in the span, no two alike in key and times, many of them known late."""
    rows: dict[tuple[Any, ...], Row] = {}
    for _ in range(count):
        key = tuple(
            rng.randrange(4) if kind == Int64 else rng.choice(["", "a", "1"]) for kind in view.join_keys.values()
        )
        known = rng.randrange(*span)
        event = known - rng.choice([0, 0, 1, 5])
        created = rng.choice([None, 0, 1])
        rows[key, event, created, known] = (*key, event, created, known, rng.choice([None, -0.0, rng.random()]))
    return list(rows.values())


@contextmanager
def state(
    name: str, folder: Path, *, seed: int = 0, parts: int = 3
) -> Iterator[tuple[duckdb.DuckDBPyConnection, State]]:
    """Three segments: the first is masked in the middle and at an edge, the second is whole, the third is masked in part."""
    rng, view = random.Random(seed), VIEWS[name]
    plan: Sequence[tuple[tuple[int, int], list[tuple[int, int]]]] = [
        ((0, 60), [(0, 20), (30, 50)]),
        ((20, 30), []),
        ((50, 90), [(50, 70), (80, 90)]),
    ][:parts]
    with engine(threads=2) as con:
        written, listed = [], []
        for number, (span, intervals) in enumerate(plan):
            rows = random_rows(view, span, 80, rng)
            segment = write(con, view, rows, folder / f"{number}.duckdb")
            written.append(reads(segment, *intervals))
            listed.append((rows, intervals))
        keys = len(view.join_keys)
        yield con, State(view, tuple(written), tuple(visible(listed, keys)), keys)
