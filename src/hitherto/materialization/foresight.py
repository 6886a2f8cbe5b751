"""Whether a transform sees the future, or further back than its lookback: it is run on fewer rows, and compared.

A row that becomes available at `a` may follow only from rows available by `a`, and since `a - lookback` (semantics 5). So
what the transform makes up to an instant must not change when everything after that instant is left out, nor what it
makes from an instant on, when everything before that instant and its lookback is. With a lookback many instants are tried at
once: stretches of time are left out, and what lies before each of them, further than the lookback behind the last, must be
as it was. That no instant of these shows a difference is no proof that there is none anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from hitherto.definitions.feature_view import FeatureView
from hitherto.definitions.relations import AVAILABLE_TIME
from hitherto.materialization.staging import SourceRows, open_windows
from hitherto.sources import transform
from hitherto.sources.relation import available_sql, placed_sql
from hitherto.sql import quote, quote_all, timestamp
from hitherto.timeline import MIN_INSTANT, Interval, rfc3339

if TYPE_CHECKING:
    import duckdb

Condition = Callable[[str], str]
"""SQL over the SQL of a time."""
_WHOLE, _FEWER = "__whole", "__fewer"
_OF_RESULT, _OF_SOURCE = "[0.3, 0.7]", "[0.1, 0.5, 0.9]"
"""Where among their available times rows are left out from; each is a run of the transform."""
_STRETCHES = 1000
"""How many stretches of time are left out at most, where the lookback is short."""
# Sums of floats depend on their order, which depends on threads: that is no sight of the future.
_NOISE = 1e-9


def look(
    con: duckdb.DuckDBPyConnection, rows: SourceRows, interval: Interval | None, *, limit: int | None = None
) -> str | None:
    """What is wrong with when the view's transform looks at, in a sentence; None if nothing was found, or there is no transform.

    Args:
        con: An in-memory database.
        rows: The view and its sources' files; its columns are as declared.
        interval: In available time; None is everything.
        limit: Read only so many rows of the first source.

    Raises:
        SourceError, TransformError: As a run would.
    """
    view = rows.view
    if view.sql is None:
        return None
    windows = _held(con, rows, interval, limit)
    replay = _Replay(con, view, windows)
    replay.run(windows, _WHOLE)
    instants = _result_times(replay)
    # One after the other: each is a run of the transform.
    tried: list[Callable[[], str | None]] = [
        partial(_beyond_stretches, replay),
        *(partial(_ahead, replay, instant) for instant in (*instants, *_before_rows(replay))),
        *(partial(_behind, replay, instant) for instant in instants),
    ]
    return next(filter(None, (look_once() for look_once in tried)), None)


def _held(
    con: duckdb.DuckDBPyConnection, rows: SourceRows, interval: Interval | None, limit: int | None
) -> dict[str, str]:
    """The windows; a limited one as a table, so that each comparison begins with the same rows."""
    windows = open_windows(con, rows, interval, limit=limit)
    if limit is not None:
        first = next(iter(windows))
        con.execute(f"create or replace temp table __limited as select * from {windows[first]}")
        windows[first] = "__limited"
    return windows


@dataclass(frozen=True)
class _Replay:
    """A view's transform, to be run on parts of its windows."""

    con: duckdb.DuckDBPyConnection
    view: FeatureView
    windows: Mapping[str, str]

    def run(self, relations: Mapping[str, str], name: str) -> None:
        """Make the table `name`: the transform's result over these relations."""
        assert self.view.sql is not None
        transform.run(self.con, self.view.sql, relations=relations, name=name, view=self.view)

    def first_difference(self, kept: Callable[[str], Condition | None], judged: Condition) -> int | None:
        """When the first of the judged rows becomes available that is another one if only some rows are kept; None: none is.

        `kept` tells of each source, by its name, what holds for the available times of its rows that stay (None: all do);
        `judged` what holds for those of the result.
        """
        parts = {}
        for name, source in self.view.all_sources.items():
            parts[name] = f"__part_{name}"
            condition, placed = kept(name), placed_sql(source)
            where = f" where {condition(placed)} or {placed} is null" if condition else ""
            self.con.execute(f"create or replace temp view {parts[name]} as select * from {self.windows[name]}{where}")
        self.run(parts, _FEWER)
        on_side = judged(available_sql(self.view.source))
        whole, fewer = (f"select {self._columns} from {table} where {on_side}" for table in (_WHOLE, _FEWER))
        if self._sum_of(whole) == self._sum_of(fewer):
            return None
        (found,) = self.con.execute(self._difference_sql(whole, fewer)).fetchall()
        return None if found[0] is None else int(found[0])

    @property
    def _columns(self) -> str:
        """What a run takes of the result; what else it has decides nothing."""
        view = self.view
        names = (*view.join_keys, *view.source.time_columns, *(field.column for field in view.schema))
        return quote_all(dict.fromkeys(names))

    def _sum_of(self, query: str) -> tuple[object, ...]:
        (found,) = self.con.execute(f"select count(*), sum(hash(r)) from ({query}) as r").fetchall()
        return tuple(found)

    def _difference_sql(self, whole: str, fewer: str) -> str:
        """The first time of a row that has no partner in the other result: equal, but for the noise of floats."""
        kinds = {name: str(kind) for name, kind, *_ in self.con.execute(f"describe {whole}").fetchall()}
        floats = [quote(name) for name, kind in kinds.items() if kind in ("FLOAT", "DOUBLE")]
        others = [quote(name) for name, kind in kinds.items() if kind not in ("FLOAT", "DOUBLE")]
        order = f" order by {', '.join(floats)}" if floats else ""
        number = f"row_number() over (partition by {', '.join(others)}{order}) as __number"
        same = [f"w.{one} is not distinct from f.{one}" for one in (*others, "__number")]
        same += [f"({_close(f'w.{one}', f'f.{one}')})" for one in floats]
        times = {side: available_sql(self.view.source, prefix=f"{side}.") for side in ("w", "f")}
        return (
            f"with w as (select *, {number} from ({whole})), f as (select *, {number} from ({fewer})), "
            f"lost as (select {times['w']} as a from w anti join f on {' and '.join(same)} "
            f"union all select {times['f']} as a from f anti join w on {' and '.join(same)}) "
            "select epoch_us(min(a)) from lost"
        )


def _close(one: str, other: str) -> str:
    """SQL: two floats are one value, or differ by no more than another order of adding them up would make."""
    return (
        f"{one} is not distinct from {other} or abs({one} - {other}) <= {_NOISE} * greatest(abs({one}), abs({other}))"
    )


def _beyond_stretches(replay: _Replay) -> str | None:
    """What is wrong at one of many instants; only of sources with a lookback, which tells when the lack of a stretch is over."""
    lookbacks = {name: one for name, one in replay.view.lookbacks.items() if one is not None}
    times = _quantiles(replay.con, f"select {available_sql(replay.view.source)} as a from {_WHOLE}", "[0, 1]")
    if not lookbacks or not times:
        return None
    longest = max(lookbacks.values())
    left_out = max(longest, (times[-1] - times[0]) // _STRETCHES, 1)
    period = 4 * left_out
    for offset in (0, 2 * left_out):
        phase = _phase(offset, period)
        kept, judged = (_where(phase, f"not between 1 and {end}") for end in (left_out, left_out + longest))
        first = replay.first_difference(dict.fromkeys(lookbacks, kept).get, judged)
        if first is not None:
            # It missed something in the stretch before it, or in the one after it: which, these two tell.
            return _ahead(replay, first) or _behind(replay, first)
    return None


def _ahead(replay: _Replay, instant: int) -> str | None:
    first = replay.first_difference(lambda _: _until(instant), _until(instant))
    if first is None:
        return None
    return (
        f"its transform sees the future: a row that is available at {rfc3339(first)} is another one without what became "
        f"available after {rfc3339(instant)}. Join and rank by what was known, e.g. `a.{AVAILABLE_TIME} >= b.{AVAILABLE_TIME}`; "
        "if rows tie there, say which of them is taken."
    )


def _behind(replay: _Replay, instant: int) -> str | None:
    lookbacks = replay.view.lookbacks
    if all(one is None for one in lookbacks.values()):
        return None

    def kept(name: str) -> Condition | None:
        lookback = lookbacks[name]
        return None if lookback is None else _from(max(instant - lookback, MIN_INSTANT))

    first = replay.first_difference(kept, _from(instant))
    if first is None:
        return None
    return (
        f"its transform looks back further than its lookback: a row that is available at {rfc3339(first)} is another one in a run "
        f"that begins at {rfc3339(instant)}. Declare how far back the SELECT looks; None is to the beginning."
    )


def _phase(offset: int, period: int) -> Condition:
    """How far into its period a time lies, in microseconds."""
    return lambda time: f"(((epoch_us({time}) - {offset}) % {period} + {period}) % {period})"


def _where(value: Condition, holds: str) -> Condition:
    return lambda time: f"{value(time)} {holds}"


def _from(instant: int) -> Condition:
    return lambda time: f"{time} >= {timestamp(instant)}"


def _until(instant: int) -> Condition:
    return lambda time: f"{time} <= {timestamp(instant)}"


def _before_rows(replay: _Replay) -> list[int]:
    """Instants just before rows of each further source became available, among the rows of the result."""
    found: list[int] = []
    for name, source in list(replay.view.all_sources.items())[1:]:
        placed, available = placed_sql(source), available_sql(replay.view.source)
        during = f"between (select min({available}) from {_WHOLE}) and (select max({available}) from {_WHOLE})"
        query = f"select {placed} as a from {replay.windows[name]} where {placed} {during}"
        found += [instant - 1 for instant in _quantiles(replay.con, query, _OF_SOURCE)]
    return found


def _result_times(replay: _Replay) -> list[int]:
    return _quantiles(replay.con, f"select {available_sql(replay.view.source)} as a from {_WHOLE}", _OF_RESULT)


def _quantiles(con: duckdb.DuckDBPyConnection, query: str, shares: str) -> list[int]:
    sql = f"select distinct unnest(quantile_disc(epoch_us(a), {shares})) as a from ({query}) where a is not null order by a"
    return [int(row[0]) for row in con.execute(sql).fetchall() if row[0] is not None]
