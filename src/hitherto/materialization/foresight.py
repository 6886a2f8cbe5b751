"""Whether a transform sees the future, or further back than its lookback: it is run on fewer rows, and compared.

A row that becomes available at `a` may follow only from rows available by `a`, and since `a - lookback` (semantics 5). So
what the transform makes up to an instant must not change when everything after that instant is left out, nor what it
makes from an instant on, when everything before that instant and its lookback is. Each comparison judges all rows on its
side of the instant; that there is no difference at some instants is no proof that there is none anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from hitherto.definitions.feature_view import FeatureView
from hitherto.definitions.relations import AVAILABLE_TIME
from hitherto.materialization.staging import SourceRows, open_windows
from hitherto.sources import transform
from hitherto.sources.relation import available_sql, placed_sql
from hitherto.sql import quote, quote_all, timestamp
from hitherto.timeline import MIN_INSTANT, Interval, duration_text, rfc3339

if TYPE_CHECKING:
    import duckdb

Side = Literal["<=", ">="]
_WHOLE, _FEWER = "__whole", "__fewer"
_QUARTILES = "[0.25, 0.5, 0.75]"
# Sums of floats depend on their order, which depends on threads: that is no sight of the future.
_NOISE = 1e-9


def look(
    con: duckdb.DuckDBPyConnection, rows: SourceRows, interval: Interval | None, *, limit: int | None = None
) -> tuple[str, ...]:
    """What is wrong with when the view's transform looks at its sources, in sentences; none if there is no transform.

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
        return ()
    windows = _held(con, rows, interval, limit)
    replay = _Replay(con, view, windows)
    replay.run(windows, _WHOLE)
    return tuple(filter(None, (_ahead(replay), _behind(replay))))


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

    def first_difference(self, side: Side, instant: int, *, since: int) -> int | None:
        """When the first row on the side of the instant becomes available that is another one without the rest; None: none is.

        The rest is what lies beyond `since`: of each source the rows on its side stay, by the source's own available time.
        """
        parts = {}
        for name, source in self.view.all_sources.items():
            parts[name] = f"__part_{name}"
            placed = placed_sql(source)
            self.con.execute(
                f"create or replace temp view {parts[name]} as select * from {self.windows[name]} "
                f"where {placed} {side} {timestamp(since)} or {placed} is null"
            )
        self.run(parts, _FEWER)
        on_side = f"{available_sql(self.view.source)} {side} {timestamp(instant)}"
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


def _ahead(replay: _Replay) -> str | None:
    for instant in _instants(replay):
        first = replay.first_difference("<=", instant, since=instant)
        if first is not None:
            return (
                f"its transform sees the future: a row that is available at {rfc3339(first)} is another one without what became "
                f"available after {rfc3339(instant)}. Join and rank by what was known, e.g. `a.{AVAILABLE_TIME} >= b.{AVAILABLE_TIME}`; "
                "if rows tie there, say which of them is taken."
            )
    return None


def _behind(replay: _Replay) -> str | None:
    lookback = replay.view.lookback
    if not isinstance(lookback, timedelta):
        return None
    for instant in _result_times(replay):
        since = max(instant - (replay.view.lookback_micros or 0), MIN_INSTANT)
        first = replay.first_difference(">=", instant, since=since)
        if first is not None:
            return (
                f"its transform looks back further than lookback={duration_text(lookback)}: a row that is available at {rfc3339(first)} "
                f"is another one in a run that begins at {rfc3339(instant)}. Declare how far back the SELECT looks; None is to the beginning."
            )
    return None


def _instants(replay: _Replay) -> list[int]:
    """Where to leave out what comes after: over the rows of the result, and just before rows of each further source."""
    found = dict.fromkeys(_result_times(replay))
    for name, source in list(replay.view.all_sources.items())[1:]:
        placed = placed_sql(source)
        bounds = f"select min({available_sql(replay.view.source)}) from {_WHOLE}"
        query = f"select {placed} as a from {replay.windows[name]} where {placed} > ({bounds})"
        found.update(dict.fromkeys(instant - 1 for instant in _quartiles(replay.con, query)))
    return list(found)


def _result_times(replay: _Replay) -> list[int]:
    return _quartiles(replay.con, f"select {available_sql(replay.view.source)} as a from {_WHOLE}")


def _quartiles(con: duckdb.DuckDBPyConnection, query: str) -> list[int]:
    sql = f"select distinct unnest(quantile_disc(epoch_us(a), {_QUARTILES})) as a from ({query}) where a is not null order by a"
    return [int(row[0]) for row in con.execute(sql).fetchall() if row[0] is not None]
