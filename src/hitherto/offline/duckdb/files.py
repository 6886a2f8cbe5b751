"""The rows of a view's segment files under one numbering: a file's rows follow those of the file before it, by row id."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa

from hitherto.offline.duckdb.connection import Limits, read_once
from hitherto.offline.duckdb.visible import alias
from hitherto.offline.plan import SegmentRead
from hitherto.search import blocks

# Rows that one statement picks, and what the engine takes to hold their ids and to look them up: bytes for each.
PICKED = 1 << 19
PER_PICKED = 128
# What it takes to scan: bytes for each thread and column, of which it holds a block or two at a time, and for all else.
PER_COLUMN = 1 << 20
ROOM = 32 << 20
# Rows for each winner up to which winners are marked in an array of all rows; beyond it, sorting them costs less than that array.
MARKED = 16
# Bytes of a value in a file, at a guess.
VALUE = 8


class Files:
    """The files of some segments, each once, attached to the connection, which has these limits."""

    def __init__(self, con: duckdb.DuckDBPyConnection, segments: Sequence[SegmentRead], limits: Limits) -> None:
        self._con, self.limits = con, limits
        self._unswept = 0
        self._names = list(dict.fromkeys(alias(segment) for segment in segments))
        counts = " union all ".join(
            f"select {number}, count(*) from {name}.rows" for number, name in enumerate(self._names)
        )
        found: dict[int, int] = dict(con.execute(counts).fetchall())
        self._counts = [found[number] for number in range(len(self._names))]
        self._bases = [0, *np.cumsum(self._counts).tolist()]
        runs = {alias(segment): segment.run_id for segment in segments}
        self.run_ids = pa.array([runs[name] for name in self._names], pa.string())

    @property
    def total(self) -> int:
        """How many rows all files have."""
        return int(self._bases[-1])

    def count(self, segment: SegmentRead) -> int:
        """How many rows the segment's file has."""
        return int(self._counts[self._names.index(alias(segment))])

    def base(self, segment: SegmentRead) -> int:
        """The number of the file's first row."""
        return int(self._bases[self._names.index(alias(segment))])

    def file_of(self, numbers: np.ndarray) -> np.ndarray:
        """The place of each row's file among the files."""
        return np.searchsorted(self._bases, numbers, side="right") - 1

    def to_read(self, winners: np.ndarray) -> np.ndarray:
        """The numbers of the rows to read for winners (-1 is none), ascending: each one once, or all rows of a file.

        A file of which more than a third is asked for is read as it is: a scan takes 83 ms of a processor for 1 M rows of ten
        features, the join that picks half of them out 174 ms.
        """
        if self.total > MARKED * len(winners):
            return np.unique(winners[winners >= 0])
        asked = np.zeros(self.total + 1, dtype=bool)
        # -1 falls on the one beyond the last.
        asked[winners] = True
        asked[-1] = False
        for begin, end in zip(self._bases, self._bases[1:], strict=False):
            if 3 * np.count_nonzero(asked[begin:end]) > end - begin:
                asked[begin:end] = True
        return np.flatnonzero(asked)

    def places(self, winners: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Where the winners are among ascending row numbers; -1 for none."""
        if self.total > MARKED * len(winners):
            return np.where(winners >= 0, np.searchsorted(numbers, winners), -1)
        # Only the numbers, which have all winners, and the last place, where -1 falls, are looked at.
        place = np.empty(self.total + 1, dtype=np.int64 if len(numbers) > 2**31 - 2 else np.int32)
        place[numbers] = np.arange(len(numbers), dtype=place.dtype)
        place[-1] = -1
        return place.take(winners, mode="wrap").astype(np.int64)

    def read(self, numbers: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Columns, as SQL, of the rows with these numbers, which ascend, in their order."""
        parts = []
        cuts = np.searchsorted(numbers, self._bases).tolist()
        for name, base, count, begin, end in zip(self._names, self._bases, self._counts, cuts, cuts[1:], strict=False):
            if end - begin == count:
                parts.append(
                    self.scan(f"select {', '.join(columns)} from {name}.rows", rows=count, columns=len(columns))
                )
            else:
                ids = numbers[begin:end] - base
                parts += [self._picked(name, ids[block], columns) for block in blocks(len(ids), PICKED)]
        return (
            pa.concat_tables(parts)
            if parts
            else self._con.sql(f"select {', '.join(columns)} from {self._names[0]}.rows limit 0").to_arrow_table()
        )

    def scan(self, query: str, *, rows: int, columns: int, picked: int = 0) -> pa.Table:
        """What a scan of so many rows and columns gives, of which it picks some by row id; then few blocks of the files are held.

        Limits are set only where blocks may have piled up since: it takes 1.3 ms, as long as the whole scan of a small file.
        """
        self._unswept += rows * columns * VALUE
        if self._unswept < ROOM:
            return self._con.sql(query).to_arrow_table()
        self._unswept = 0
        room = ROOM + PER_COLUMN * columns * self.limits.workers + PER_PICKED * picked
        return read_once(self._con, query, limits=self.limits, room=room)

    def _picked(self, name: str, ids: np.ndarray, columns: Sequence[str]) -> pa.Table:
        register(self._con, "__picked", pa.table({"id": ids}))
        found = self.scan(
            f"select rowid as __id, {', '.join(columns)} from {name}.rows "
            f"where rowid between {ids[0]} and {ids[-1]} and rowid in (select id from __picked)",
            rows=int(ids[-1] - ids[0]) + 1,
            columns=len(columns),
            picked=len(ids),
        )
        order = found.column("__id").to_numpy()
        table = found.drop_columns("__id")
        # It comes in the order of rows as long as the engine scans `rows` and looks the ids up, which only small tables turn round.
        return table if np.array_equal(order, ids) else table.take(np.argsort(order))


def register(con: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    """Give the connection a temporary table. A table, not a view on Arrow memory: the planner then knows its size."""
    con.register("__arrow", table)
    con.execute(f"create or replace temp table {name} as select * from __arrow")
    con.unregister("__arrow")
