"""The reference: semantics 1-4 and 11 of one feature view in plain Python, slow and obvious.

Every engine and every online store is compared with it on generated data. It keeps lists and looks at every row for
every question. Numbers in comments are sections of the semantics; instants are int microseconds UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from hitherto.definitions import FeatureView
from hitherto.encoding.row_codec import encode_payload
from hitherto.errors import ClockError
from hitherto.testing.aggregates import WindowRow, aggregate, rows_of_window
from hitherto.timeline import Interval, instant, micros, subtract, to_datetime, union

Status = Literal["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"]
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Row:
    """A row of a view that has a whole key and all the times it needs."""

    key: Key
    event: int
    created: int | None
    available: int
    values: tuple[Any, ...]
    row_bytes: bytes

    @property
    def order(self) -> tuple[int, tuple[bool, int], int, bytes]:
        """2: rows of one key are ordered by event, created, available time, row bytes; nulls first."""
        created = (False, 0) if self.created is None else (True, self.created)
        return (self.event, created, self.available, self.row_bytes)


@dataclass(frozen=True)
class RunCounts:
    """Where the rows of one run went (5: the first is the sum of the others)."""

    rows_read: int
    rows_written: int
    rows_superseded: int
    rows_quarantined: int


@dataclass(frozen=True)
class Publication:
    """From `published_at` on, the rows available in `interval` are these."""

    interval: Interval
    published_at: int
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Stored:
    """What the online store holds for a key: a row, and the sequence of the run or push that wrote it."""

    row: Row
    sequence: int


@dataclass(frozen=True)
class Answer:
    """One view's part of a training row or of a lookup: a value and a status per feature, and the row behind them."""

    values: tuple[Any, ...]
    statuses: tuple[Status, ...]
    row: Row | None


def read_row(view: FeatureView, columns: Mapping[str, Any]) -> Row | None:
    """A source row (after the view's transform) as a row of the view; None if a run would set it aside.

    Args:
        view: Says which columns are keys, times and features.
        columns: Column name -> value. Times are microseconds or datetimes; naive ones are UTC (1).
    """
    event, created, available = read_times(view, columns)
    key = tuple(columns[name] for name in view.join_keys)
    # 9: null keys and null event or known times are always quarantined. A null created time is not.
    if event is None or available is None or None in key:
        return None
    values = tuple(columns[field.column] for field in view.schema)
    row_bytes = encode_payload([field.dtype for field in view.schema], values)
    return Row(key, event, created, available, values, row_bytes)


def read_times(view: FeatureView, columns: Mapping[str, Any]) -> tuple[int | None, int | None, int | None]:
    """Event, created and available time of a source row; arguments as in `read_row`."""
    source = view.source
    event, known = _event_and_known(view, columns)
    created = _micros(columns[source.created_timestamp_field]) if source.created_timestamp_field else None
    # 1: available time is the later of event time and known time.
    available = None if event is None or known is None else max(event, known)
    return event, created, available


def read_place(view: FeatureView, columns: Mapping[str, Any]) -> int | None:
    """The time that says which run takes a source row: its available time, or the one it has if event or known time is null."""
    event, known = _event_and_known(view, columns)
    times = [time for time in (event, known) if time is not None]
    return max(times) if times else None


def _event_and_known(view: FeatureView, columns: Mapping[str, Any]) -> tuple[int | None, int | None]:
    source = view.source
    event = _micros(columns[source.timestamp_field])
    if source.known_timestamp_field:
        return event, _micros(columns[source.known_timestamp_field])
    return event, None if event is None else event + micros(source.delay)


def _micros(value: datetime | int | None) -> int | None:
    if isinstance(value, datetime):
        return instant(value if value.tzinfo else value.replace(tzinfo=UTC))
    return value


class ReferenceStore:
    """A feature store of one view, its ledger and its online rows.

    Args:
        view: The definition. Its transform and its checks are not run: give rows as the transform leaves them.

    >>> from datetime import datetime
    >>> from hitherto import Entity, FeatureView, Field, ParquetSource
    >>> from hitherto.types import Float64, String
    >>> airport = Entity("airport", join_keys={"airport": String})
    >>> source = ParquetSource("weather.parquet", timestamp_field="at", known_after="30m")
    >>> view = FeatureView("weather", entities=[airport], source=source, schema=[Field("temp", Float64)], ttl="6h")
    >>> noon = instant("2013-01-01T12:00:00Z")
    >>> store = ReferenceStore(view)
    >>> row = {"airport": "JFK", "at": datetime(2013, 1, 1, 9), "temp": 39.0}
    >>> counts = store.publish([row], Interval(0, noon), published_at=noon)
    >>> store.retrieve(("JFK",), noon).values, store.lookup(("JFK",), noon).statuses
    ((39.0,), ('PRESENT',))
    """

    def __init__(self, view: FeatureView) -> None:
        self.view = view
        self.publications: list[Publication] = []
        self.online: dict[Key, Stored] = {}
        self._sequence = 0

    # Runs

    def begin_run(self) -> int:
        """The next number of the sequence that runs and pushes of a view share (4)."""
        self._sequence += 1
        return self._sequence

    def publish(
        self,
        source_rows: Iterable[Mapping[str, Any]],
        interval: Interval,
        *,
        published_at: int,
        sequence: int | None = None,
    ) -> RunCounts:
        """Run over one interval of the source and publish.

        Args:
            source_rows: All rows that the source has now, those outside the interval too.
            interval: Half-open, in available time.
            published_at: The publish instant.
            sequence: From `begin_run`, if there were pushes after the run began.

        Returns:
            Where the rows went.
        """
        sequence = self.begin_run() if sequence is None else sequence
        rows_read = rows_quarantined = 0
        kept: dict[tuple[Any, ...], Row] = {}
        events: list[Row] = []
        for columns in source_rows:
            placed = read_place(self.view, columns)
            # A row without any time lies in no interval: every run that reads it sets it aside.
            if placed is not None and not _within(interval, placed):
                continue
            rows_read += 1
            row = read_row(self.view, columns)
            if row is None:
                rows_quarantined += 1
                continue
            # 11: a row of a windowed view is an event of its own, unless a created time makes it a version of one.
            if not self.view.has_versions:
                events.append(row)
                continue
            # 2: of rows that are equal in key, event, created and available time the greatest stays.
            same = (row.key, row.event, row.created, row.available)
            if same not in kept or row.order > kept[same].order:
                kept[same] = row
        before = self.visible_rows()
        rows = (*kept.values(), *events)
        self.publications.append(Publication(interval, published_at, rows))
        self._write_online(before, interval, sequence)
        rows_superseded = rows_read - rows_quarantined - len(rows)
        return RunCounts(rows_read, len(rows), rows_superseded, rows_quarantined)

    def _write_online(self, before: Sequence[Row], interval: Interval, sequence: int) -> None:
        for key, winner in self.online_writes(before, interval).items():
            stored = self.online.get(key)
            # 4: a run does not undo a push that came after it began.
            pushed_since = stored is not None and stored.sequence > sequence
            if pushed_since and stored and (winner is None or stored.row.order > winner.order):
                continue
            if winner is None:
                self.online.pop(key, None)
            else:
                self.online[key] = Stored(winner, sequence)

    def online_writes(self, before: Iterable[Row], interval: Interval) -> dict[Key, Row | None]:
        """4: what a run over the interval writes, just published: for every key that it added, changed or masked the
        winner over the published state; None removes the key.

        Args:
            before: The visible rows just before it was published.
            interval: Its interval.
        """
        after = self.visible_rows()
        keys = {row.key for row in (*before, *after) if _within(interval, row.available)}
        return {key: _greatest(row for row in after if row.key == key) for key in keys}

    def push(self, columns: Mapping[str, Any]) -> bool:
        """Push one row; whether it was stored. It must be available already."""
        row = read_row(self.view, columns)
        sequence = self.begin_run()
        stored = None if row is None else self.online.get(row.key)
        # 4: an older row never replaces a newer one, a replay is a no-op; a correction is greater and wins.
        if row is None or (stored is not None and row.order <= stored.row.order):
            return False
        self.online[row.key] = Stored(row, sequence)
        return True

    # The published state

    def visible_rows(self, *, by: int | None = None) -> list[Row]:
        """The rows of the published state, now or as it was at an instant.

        5: published again, [a, b) masks every older row in [a, b). The publish instant itself is inside: what was
        published at `by` is there.
        """
        published = [one for one in self.publications if by is None or one.published_at <= by]
        rows: list[Row] = []
        for number, publication in enumerate(published):
            masks = [later.interval for later in published[number + 1 :]]
            rows += [row for row in publication.rows if not any(_within(mask, row.available) for mask in masks)]
        return rows

    def watermark(self, *, by: int | None = None) -> int | None:
        """The end of the last interval that was published; None if none was."""
        ends = [one.interval.end for one in self.publications if by is None or one.published_at <= by]
        return max(ends, default=None)

    # Answers

    def retrieve(self, key: Key, at: int | None, *, as_of: int | None = None, as_served: bool = False) -> Answer:
        """3: one entity row (key, T). `as_of`: by the state published then; `as_served`: by the one published at T, instead."""
        if at is None or None in key:
            return self._nothing()
        rows = self.visible_rows(by=at if as_served else as_of)
        if self.view.aggregations:
            return self._windows((row for row in rows if row.key == key), at)
        # Of the view's rows with this key and available time <= T, the greatest.
        winner = _greatest(row for row in rows if row.key == key and row.available <= at)
        return self._answer(winner, at)

    def lookup(self, key: Key, now: int) -> Answer:
        """4: what the online store answers at an instant. Raises ClockError before the watermark."""
        watermark = self.watermark()
        if watermark is not None and now < watermark:
            raise ClockError(self.view.name, to_datetime(now), to_datetime(watermark))
        if None in key:
            return self._nothing()
        if self.view.aggregations:
            # 11: rows leave a window at the very microsecond, online too; there are no pushes.
            return self._windows((row for row in self.visible_rows() if row.key == key), now)
        stored = self.online.get(key)
        return self._answer(stored.row if stored else None, now)

    def _answer(self, row: Row | None, now: int) -> Answer:
        ttl, retention = self.view.ttl, self.view.online_retention
        # 4: stored rows expire only by online_retention.
        if row is None or (isinstance(retention, timedelta) and row.event < now - micros(retention)):
            return self._nothing()
        # 3, 4: too old if event time < T - ttl; the boundary itself is inside.
        if isinstance(ttl, timedelta) and row.event < now - micros(ttl):
            return self._nulls("OUTSIDE_MAX_AGE", row)
        statuses: list[Status] = ["NULL_VALUE" if value is None else "PRESENT" for value in row.values]
        return Answer(self._filled(row.values), tuple(statuses), row)

    def _windows(self, rows: Iterable[Row], at: int) -> Answer:
        """11: functions over the key's rows with `at - window < event <= at` that are available by then."""
        view = self.view
        events = [WindowRow(row.event, row.available, None, row) for row in sorted(rows, key=lambda row: row.order)]
        longest = rows_of_window(events, at, view.longest_window, versions=view.has_versions)
        if not longest:
            return self._nothing()
        lengths = {feature.window for feature in view.windowed}
        windows = {one: rows_of_window(events, at, one, versions=view.has_versions) for one in lengths}
        values = []
        for feature in view.windowed:
            place = view.column_names.index(feature.column)
            found = [event.value.values[place] for event in windows[feature.window]]
            values.append(aggregate(feature.function, found, view.schema[place].dtype, n=feature.n, p=feature.p))
        statuses: list[Status] = ["NULL_VALUE" if value is None else "PRESENT" for value in values]
        return Answer(self._filled(values), tuple(statuses), longest[-1].value)

    def _nothing(self) -> Answer:
        # No row, a null key, or a null timestamp.
        return self._nulls("NOT_FOUND", None)

    def _nulls(self, status: Status, row: Row | None) -> Answer:
        nothing = [None] * len(self.view.features)
        return Answer(self._filled(nothing), tuple(status for _ in nothing), row)

    def _filled(self, values: Sequence[Any]) -> tuple[Any, ...]:
        # 4: wherever the status is not PRESENT the value is the default; that of counts is 0 (11).
        pairs = zip(self.view.features, values, strict=True)
        return tuple(field.default if value is None else value for field, value in pairs)

    # Coverage

    def missing(self, files: Iterable[tuple[int, int]], *, by: int | None = None) -> tuple[Interval, ...]:
        """3: where the source's files are known to have rows and no run has published.

        Args:
            files: First and last available time of each file, both inclusive.
            by: As it was at this instant.
        """
        watermark = self.watermark(by=by)
        covered = [one.interval for one in self.publications if by is None or one.published_at <= by]
        ranges = []
        for known in union(Interval(first, last + 1) for first, last in files):
            for rest in subtract(known, covered):
                # T after the watermark is served as a lookup would be: what comes after it is late, not missing.
                end = rest.end if watermark is None else min(rest.end, watermark)
                if rest.start < end:
                    ranges.append(Interval(rest.start, end))
        return tuple(ranges)

    def needs(self, key: Key, at: int | None, missing: Iterable[Interval]) -> bool:
        """3: whether an entity row needs a missing range: whether a row that is valid at T may lie in it."""
        if at is None or None in key:
            return False
        if self.view.aggregations:
            # Such a row is in the longest window at T if its event time is above T - window.
            window = self.view.longest_window
            return any(one.start <= at and (window is None or one.end - 1 > at - window) for one in missing)
        ttl = self.view.ttl
        # A row in [start, end) is available at T if start <= T; its event time is below `end`, so it is too old for
        # certain if even end - 1 is.
        oldest = at - micros(ttl) if isinstance(ttl, timedelta) else None
        return any(one.start <= at and (oldest is None or one.end - 1 >= oldest) for one in missing)


def _greatest(rows: Iterable[Row]) -> Row | None:
    return max(rows, key=lambda row: row.order, default=None)


def _within(interval: Interval, at: int) -> bool:
    """1: intervals are half-open, [start, end), in available time."""
    return interval.start <= at < interval.end
