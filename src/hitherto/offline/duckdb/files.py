"""The rows of a view's segment files under one numbering: a file's rows follow those of the file before it, by row id."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa

from hitherto.offline.duckdb.visible import alias
from hitherto.offline.plan import SegmentRead


class Files:
    """The files of some segments, each once, attached to the connection."""

    def __init__(self, con: duckdb.DuckDBPyConnection, segments: Sequence[SegmentRead]) -> None:
        self._con = con
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
        if self.total > 16 * len(winners):
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
        if self.total > 16 * len(winners):
            return np.where(winners >= 0, np.searchsorted(numbers, winners), -1)
        place = np.full(self.total + 1, -1, dtype=np.int64 if len(numbers) > 2**31 - 2 else np.int32)
        place[numbers] = np.arange(len(numbers), dtype=place.dtype)
        return place.take(winners, mode="wrap").astype(np.int64)

    def read(self, numbers: np.ndarray, columns: str) -> pa.Table:
        """Columns of the rows with these numbers, which ascend, in their order."""
        parts = []
        cuts = np.searchsorted(numbers, self._bases).tolist()
        for name, base, count, begin, end in zip(self._names, self._bases, self._counts, cuts, cuts[1:], strict=False):
            if end - begin == count:
                parts.append(self._con.sql(f"select {columns} from {name}.rows").to_arrow_table())
            elif begin < end:
                parts.append(self._picked(name, numbers[begin:end] - base, columns))
        return (
            pa.concat_tables(parts)
            if parts
            else self._con.sql(f"select {columns} from {self._names[0]}.rows limit 0").to_arrow_table()
        )

    def _picked(self, name: str, ids: np.ndarray, columns: str) -> pa.Table:
        register(self._con, "__picked", pa.table({"id": ids}))
        found = self._con.sql(
            f"select rowid as __id, {columns} from {name}.rows where rowid in (select id from __picked)"
        ).to_arrow_table()
        order = found.column("__id").to_numpy()
        table = found.drop_columns("__id")
        # It comes in the order of rows as long as the engine scans `rows` and looks the ids up, which only small tables turn round.
        return table if np.array_equal(order, ids) else table.take(np.argsort(order))


def register(con: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    """Give the connection a temporary table. A table, not a view on Arrow memory: the planner then knows its size."""
    con.register("__arrow", table)
    con.execute(f"create or replace temp table {name} as select * from __arrow")
    con.unregister("__arrow")
