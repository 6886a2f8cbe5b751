"""A windowed view's answer as one SQL statement, to be read, and to be run by hand on the segments: `training.sql()`.

It says what semantics 11 says, as directly as SQL can: the rows of the key that are seen by then, a function over those of each window. Sums are
the engine's, which depend in their last digits on the order in which it adds; `windowed` rounds each sum once.
"""

from __future__ import annotations

from hitherto.definitions.aggregation import WindowedFeature
from hitherto.definitions.feature_view import FeatureView
from hitherto.offline.duckdb.names import AVAILABLE, CREATED, EVENT, NO_CREATED
from hitherto.offline.duckdb.retrieval_sql import ENTITY_ROWS, FOUND, ROW, TIME
from hitherto.offline.duckdb.visible import alias, attach_texts, inside
from hitherto.offline.plan import SegmentRead, ViewRead
from hitherto.sql import quote, timestamp
from hitherto.types import DecimalType, Float64

ORDER = "__order"
_SAMPLE_MOMENTS = {"stddev": "stddev_samp", "variance": "var_samp", "mean": "avg"}


def sql(read: ViewRead) -> list[str]:
    """Statements that answer one view; the last one is the answer, a row for each entity row that finds any row in the longest window."""
    return [*attach_texts(read.segments), _answer(read)]


def _answer(read: ViewRead) -> str:
    asked = {one.name: one for one in read.view.windowed}
    features = [asked[name] for name in read.features]
    columns = tuple(dict.fromkeys(one.column for one in features))
    seen = "\n    union all\n".join(_seen(read, segment, n, columns) for n, segment in enumerate(read.segments))
    rows = "seen"
    versions = ""
    if read.view.has_versions:
        # Of the versions of one event that are seen the greatest counts.
        versions = f", latest as (\n    select * from seen qualify row_number() over (partition by {ROW}, {EVENT} order by {ORDER} desc) = 1\n)"
        rows = "latest"
    computed = "".join(f",\n    {_function(read.view, one)} as {quote(one.name)}" for one in features)
    return (
        f"with seen as (\n{seen}\n){versions}\n"
        f"select {ROW}, {FOUND} as __state, max({EVENT}) as {EVENT}{computed}\nfrom {rows} group by {ROW}"
    )


def _seen(read: ViewRead, segment: SegmentRead, number: int, columns: tuple[str, ...]) -> str:
    """The rows of one segment that each entity row sees in the longest window."""
    conditions = [f"e.{quote(column)} = r.{quote(key)}" for key, column in read.key_columns.items()]
    conditions.append(f"r.{AVAILABLE} <= e.{TIME}")
    if read.view.longest_window is not None:
        conditions.append(_within(read.view.longest_window, row="r.", entity="e."))
    if not segment.whole:
        conditions.append(f"({inside(segment.intervals, column='r.' + AVAILABLE)})")
    if segment.served:
        since, until = segment.served
        conditions.append(f"e.{TIME} >= {timestamp(since)}")
        conditions += [f"e.{TIME} < {timestamp(until)}"] if until is not None else []
    order = (
        f"{{e: epoch_us(r.{EVENT}), c: coalesce(epoch_us(r.{CREATED}), {NO_CREATED}), a: epoch_us(r.{AVAILABLE}), "
        f"s: {number}, i: r.rowid}}"
    )
    values = "".join(f", r.{quote(column)}" for column in columns)
    return (
        f"    select e.{ROW}, e.{TIME}, r.{EVENT}, {order} as {ORDER}{values}\n"
        f"    from {ENTITY_ROWS} e join {alias(segment)}.rows r on {' and '.join(conditions)}"
    )


def _within(window: int, *, row: str = "", entity: str = "") -> str:
    return f"{row}{EVENT} > {entity}{TIME} - to_microseconds({window})"


def _function(view: FeatureView, feature: WindowedFeature) -> str:
    """A feature as an aggregate over the rows of its window."""
    column = quote(feature.column)
    kind = next(one.dtype for one in view.schema if one.name == feature.column)
    conditions = [] if feature.window is None or feature.window == view.longest_window else [_within(feature.window)]
    function = feature.function
    if function in ("first", "last"):
        conditions.insert(0, f"{column} is not null")
        listed = f"list({column} order by {ORDER}){_filter(conditions)}"
        if feature.n is not None:
            return f"{listed}[-{feature.n}:]"
        return f"{listed}[{1 if function == 'first' else -1}]"
    where = _filter(conditions)
    if function == "sum":
        if kind.is_integer:
            return f"try_cast(sum({column}){where} as bigint)"
        return f"sum({column if isinstance(kind, DecimalType) else column + '::double'}){where}"
    if function in _SAMPLE_MOMENTS:
        return f"{_SAMPLE_MOMENTS[function]}({column}::double){where}"
    if function == "percentile":
        return f"quantile_cont({column}::{Float64.sql}, {feature.p}){where}"
    if function in ("count_distinct", "approx_count_distinct"):
        # Up to 1,024 values the estimate is the count.
        return f"count(distinct {column}){where}"
    return f"{function}({column}){where}"


def _filter(conditions: list[str]) -> str:
    return f" filter (where {' and '.join(conditions)})" if conditions else ""
