"""Entity rows as a retrieval asks with them: times as numbers, and the keys of a view as key ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import duckdb
import numpy as np
import pyarrow as pa

from hitherto.offline.duckdb.names import KEY, needs_dictionary
from hitherto.offline.duckdb.visible import alias
from hitherto.offline.plan import SegmentRead, ViewRead
from hitherto.sql import quote, quote_all

TIME = "__time"
ASKED = "__asked"
NO_KEY = -1
"""Where a dictionary of keys is used, whose key ids begin at 0: a key that it does not have."""


@dataclass(frozen=True)
class Requests:
    """Entity rows: `__time` (TIMESTAMP) and key columns, typed as their entities declare."""

    rows: pa.Table

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    @cached_property
    def times(self) -> np.ndarray:
        """Microseconds; 0 where there is no time."""
        return _numbers(self.rows.column(TIME).cast(pa.int64()))

    @cached_property
    def null_times(self) -> np.ndarray:
        """Which rows have no time."""
        return _nulls(self.rows.column(TIME))

    def null_keys(self, read: ViewRead) -> np.ndarray:
        """Which rows lack a key of the view."""
        nulls = np.zeros(len(self), dtype=bool)
        for column in read.key_columns.values():
            nulls |= _nulls(self.rows.column(column))
        return nulls

    def ordered_keys(self, con: duckdb.DuckDBPyConnection, read: ViewRead) -> OrderedKeys:
        """The keys of all rows under one numbering for all segments, in whose order each segment is sorted."""
        columns = [self.rows.column(column) for column in read.key_columns.values()]
        if needs_dictionary(read.view):
            return _in_order(con, columns, list(read.view.join_keys))
        ids = _as_integers(columns[0]) if columns else np.zeros(len(self), dtype=np.int64)
        return OrderedKeys(ids, lambda segment: None)

    def key_ids(self, con: duckdb.DuckDBPyConnection, read: ViewRead) -> Callable[[SegmentRead], np.ndarray]:
        """What gives the key ids of all rows in a segment. They mean nothing where a key is null."""
        columns = [self.rows.column(column) for column in read.key_columns.values()]
        if needs_dictionary(read.view):
            return _from_dictionaries(con, columns, list(read.view.join_keys))
        ids = _as_integers(columns[0]) if columns else np.zeros(len(self), dtype=np.int64)
        return lambda segment: ids


@dataclass(frozen=True)
class OrderedKeys:
    """Keys as numbers that ascend wherever the rows of a segment do."""

    numbers: np.ndarray
    """That of each request; it means nothing where a key is null."""
    known: Callable[[SegmentRead], tuple[np.ndarray, np.ndarray] | None]
    """Those of the asked keys that a segment's dictionary has: its key ids, which ascend, and their numbers; None if both are the same."""


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    numbers: np.ndarray = (column.fill_null(0) if column.null_count else column).to_numpy()
    return numbers


def _nulls(column: pa.ChunkedArray) -> np.ndarray:
    return column.is_null().to_numpy() if column.null_count else np.zeros(len(column), dtype=bool)


def _as_integers(column: pa.ChunkedArray) -> np.ndarray:
    """What `names.key_id_of` says in SQL: a value, its days or its microseconds."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.int32())
    return _numbers(column.cast(pa.int64()))


def _from_dictionaries(
    con: duckdb.DuckDBPyConnection, columns: Sequence[pa.ChunkedArray], names: Sequence[str]
) -> Callable[[SegmentRead], np.ndarray]:
    """Key ids by a join of each segment's dictionary with the distinct keys only, which are far fewer than the rows."""
    numbers, count = _ask(con, columns, names)

    def ids(segment: SegmentRead) -> np.ndarray:
        asked, found = _looked_up(con, names, segment)
        # One more, which the rows without a key find under their number -1.
        of_asked = np.full(count + 1, NO_KEY, dtype=np.int64)
        of_asked[asked] = found
        return of_asked.take(numbers, mode="wrap")

    return ids


def _in_order(con: duckdb.DuckDBPyConnection, columns: Sequence[pa.ChunkedArray], names: Sequence[str]) -> OrderedKeys:
    """The asked keys by their place in the engine's order, by which dictionaries number theirs too."""
    numbers, count = _ask(con, columns, names)
    order = con.sql(f"select {ASKED} from {ASKED} order by {quote_all(names)}").to_arrow_table()
    ranks = np.empty(count + 1, dtype=np.int64)
    ranks[order.column(0).to_numpy()] = np.arange(count)
    ranks[-1] = NO_KEY

    def known(segment: SegmentRead) -> tuple[np.ndarray, np.ndarray]:
        asked, found = _looked_up(con, names, segment)
        ascending = np.argsort(found)
        return found[ascending], ranks.take(asked[ascending])

    return OrderedKeys(ranks.take(numbers, mode="wrap"), known)


def _ask(
    con: duckdb.DuckDBPyConnection, columns: Sequence[pa.ChunkedArray], names: Sequence[str]
) -> tuple[np.ndarray, int]:
    """A table of the distinct keys, numbered by `ASKED`; each row's number, -1 without a key, and how many there are."""
    numbers, distinct = distinct_keys(columns)
    table = pa.table([*distinct, pa.array(np.arange(len(distinct[0])))], names=[*names, ASKED])
    con.register("__asked_arrow", table)
    # A table, not a view on Arrow memory: the planner then knows its size.
    con.execute(f"create or replace temp table {ASKED} as select * from __asked_arrow")
    con.unregister("__asked_arrow")
    return numbers, len(table)


def _looked_up(
    con: duckdb.DuckDBPyConnection, names: Sequence[str], segment: SegmentRead
) -> tuple[np.ndarray, np.ndarray]:
    """Of the distinct keys those that a segment's dictionary has: their numbers, and their key ids."""
    on = " and ".join(f"a.{quote(name)} = k.{quote(name)}" for name in names)
    found = con.sql(f"select a.{ASKED}, k.{KEY} from {ASKED} a join {alias(segment)}.keys k on {on}").to_arrow_table()
    return found.column(ASKED).to_numpy(), found.column(KEY).to_numpy()


def distinct_keys(columns: Sequence[pa.ChunkedArray]) -> tuple[np.ndarray, list[pa.Array]]:
    """Number the distinct keys: each row's number (-1 for a null in its key), and the columns of the numbered keys.

    Arrow's hash tables, column by column: of composite keys the numbers of two columns become one number, and so on.

    >>> numbers, keys = distinct_keys([pa.chunked_array([["a", "b", "a", None]]), pa.chunked_array([[1, 1, 1, 1]])])
    >>> numbers.tolist(), [key.to_pylist() for key in keys]
    ([0, 1, 0, -1], [['a', 'b'], [1, 1]])
    """
    numbers, first = _encoded(columns[0])
    distinct = [first]
    for column in columns[1:]:
        more, values = _encoded(column)
        pairs = pa.array(numbers * len(values) + more, mask=(numbers < 0) | (more < 0))
        numbers, found = _encoded(pa.chunked_array([pairs]))
        left, right = np.divmod(found.to_numpy(), max(len(values), 1))
        distinct = [*(one.take(pa.array(left)) for one in distinct), values.take(pa.array(right))]
    return numbers, distinct


def _encoded(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    encoded = column.dictionary_encode().unify_dictionaries()
    values = encoded.chunk(0).dictionary if encoded.num_chunks else pa.array([], column.type)
    parts = [chunk.indices.cast(pa.int64()).fill_null(-1).to_numpy() for chunk in encoded.chunks]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64), values
