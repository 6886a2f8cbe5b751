"""Windowed features of entity rows (semantics 11): the rows of the asked keys are read in their order, and the room `windows` computes.

Keys are worked on in chunks, so that memory does not grow with the rows. Nothing is joined: each chunk of rows is searched for each entity row.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa

from hitherto.definitions.aggregation import WindowedFeature
from hitherto.definitions.feature_view import FeatureView
from hitherto.offline.duckdb.connection import Limits, connect, storage_errors
from hitherto.offline.duckdb.files import Files
from hitherto.offline.duckdb.gathering import Places, gather
from hitherto.offline.duckdb.names import AVAILABLE, EVENT, key_list
from hitherto.offline.duckdb.point_in_time import FOUND, Winners, nothing, opened, traced
from hitherto.offline.duckdb.reading import as_declared
from hitherto.offline.duckdb.requests import TIME, Requests
from hitherto.offline.duckdb.visible import attached, rows_of_all
from hitherto.offline.duckdb.windowed_rows import NUMBER, Reader, Wanted
from hitherto.offline.plan import SegmentRead, ViewRead
from hitherto.sql import timestamp
from hitherto.timeline import MIN_INSTANT
from hitherto.types import Int64
from hitherto.windows.requests import answer


def retrieve(
    con: duckdb.DuckDBPyConnection,
    read: ViewRead,
    requests: Requests,
    *,
    limits: Limits,
) -> Winners:
    """Answer one windowed view; the arguments are those of `point_in_time.retrieve`.

    A request has a row if any of its key is in the view's longest window; what is traced is the newest such row.
    """
    if not read.segments:
        return nothing(read, len(requests))
    features = {one.name: one for one in read.view.windowed}
    with opened(con, read, limits) as files:
        columns, found = _answers(con, read, requests, files, [features[name] for name in read.features])

    def trace() -> pa.Table:
        with connect(limits) as con, opened(con, read, limits) as again:
            (numbers,), there = _answers(con, read, requests, again, [newest(read)])
            rows = np.where(there, numbers.fill_null(-1).to_numpy(), -1)
            read_rows = again.to_read(rows)
            return traced(again, read_rows, Places(again.places(rows, read_rows)))

    state = found.astype(np.int8) * np.int8(FOUND)
    return Winners(pa.table(columns, names=list(read.outputs)), state, trace)


def newest(read: ViewRead) -> WindowedFeature:
    """The number of the newest row in the longest window, as if it were a feature."""
    return WindowedFeature(NUMBER, NUMBER, "last", read.view.longest_window, None, None, Int64)


def _answers(
    con: duckdb.DuckDBPyConnection,
    read: ViewRead,
    requests: Requests,
    files: Files,
    features: Sequence[WindowedFeature],
) -> tuple[list[pa.ChunkedArray], np.ndarray]:
    """The features of each request, and whether it has a row."""
    view, threads = read.view, files.limits.workers
    ordered = requests.ordered_keys(con, read)
    asking = np.flatnonzero(~(requests.null_times | requests.null_keys(read)))
    asking = asking.take(np.argsort(ordered.numbers.take(asking), kind="stable"))
    keys, times = ordered.numbers.take(asking), requests.times.take(asking)
    parts: list[list[pa.ChunkedArray]] = [[pa.chunked_array([], one.dtype.arrow)] for one in features]
    found = np.zeros(len(requests), dtype=bool)
    reader = Reader(con, files, ordered, _wanted(read, features, keys, times))
    for first, last, part in reader.chunks():
        mine = slice(*np.searchsorted(keys, [first, last + 1]))
        rows = part.rows(versions=view.has_versions)
        answers = answer(rows, keys[mine], times[mine], features, longest=view.longest_window, threads=threads)
        found[asking[mine]] = answers.found
        for column, made in zip(parts, answers.features, strict=True):
            column.append(made)
    places = np.full(len(requests), -1, dtype=np.int64)
    places[asking] = np.arange(len(asking))
    # What is computed of no row, such as a count, is there for every request that asks, and hidden where no row is found.
    placed = Places(places).only(found)
    columns = [pa.chunked_array([chunk for one in column for chunk in one.chunks], column[0].type) for column in parts]
    return gather(columns, placed, threads=threads), found


def _wanted(read: ViewRead, features: Sequence[WindowedFeature], keys: np.ndarray, times: np.ndarray) -> Wanted:
    """What has to be read: rows in the longest window of the view tell whether a request has a row."""
    view = read.view
    window = view.longest_window
    since = MIN_INSTANT
    if window is not None and len(times):
        since = max(MIN_INSTANT, int(times.min()) - window + 1)
    until = int(times.max(initial=MIN_INSTANT))
    columns = tuple(dict.fromkeys(one.column for one in features))
    return Wanted(view, read.segments, columns, _distinct(keys), since, until)


def _distinct(ascending: np.ndarray) -> np.ndarray:
    if not len(ascending):
        return ascending
    firsts: np.ndarray = ascending[np.concatenate([[True], ascending[1:] != ascending[:-1]])]
    return firsts


def read_latest(
    con: duckdb.DuckDBPyConnection, view: FeatureView, state: Sequence[SegmentRead], *, at: int, limits: Limits
) -> pa.Table:
    """For each key with a row in the longest window at an instant its features, as a lookup would give them, in the order of keys.

    The times are those of its newest row.
    """
    keys = _keys_at(con, view, state, at)
    asked = keys.append_column(TIME, pa.array(np.full(len(keys), at), pa.timestamp("us")))
    read = ViewRead(
        name=view.name,
        view=view,
        version=0,
        key_columns={key: key for key in view.join_keys},
        features=view.feature_names,
        outputs=view.feature_names,
        segments=tuple(state),
    )
    found = retrieve(con, read, Requests(asked), limits=limits)
    times = {f"{name}_time": found.traced.column(name) for name in ("event", "created", "available")}
    columns = {**{key: asked.column(key) for key in view.join_keys}, **times}
    values = dict(zip(found.values.column_names, found.values.columns, strict=True))
    latest = pa.table({**columns, **values}).filter(pa.array(found.state == FOUND))
    return as_declared(view, latest, view.features)


def _keys_at(con: duckdb.DuckDBPyConnection, view: FeatureView, state: Sequence[SegmentRead], at: int) -> pa.Table:
    """All keys that may have a row in the longest window, in their order; one row without columns for a view without keys."""
    if not view.join_keys:
        return pa.table({"__one": [0]})
    since = None if view.longest_window is None else at - view.longest_window
    recent = "" if since is None or since < MIN_INSTANT else f" and {EVENT} > {timestamp(since)}"
    rows = rows_of_all(view, state, columns=f"{key_list(view)}, {EVENT}, {AVAILABLE}")
    query = f"select distinct {key_list(view)} from ({rows}) where {AVAILABLE} <= {timestamp(at)}{recent} order by all"
    with attached(con, state, view=view.name), storage_errors(f"Reading feature view {view.name!r}"):
        table = con.sql(query).to_arrow_table()
    return table.cast(pa.schema([(name, kind.arrow) for name, kind in view.join_keys.items()]))
