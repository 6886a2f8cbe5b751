"""ParquetSource: where rows come from, and which columns tell their times."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from hitherto.definitions.problems import check_name, here, report
from hitherto.errors import InstantError, Location
from hitherto.timeline import duration
from hitherto.types import is_name


@dataclass(frozen=True)
class ParquetSource:
    """Parquet files and the meaning of their time columns (semantics 1).

    Args:
        path: A file, a glob, a folder (of Hive partitions, if it has any); relative to the repo; s3:// and gs:// through
            pyarrow's file systems.
        timestamp_field: Column of the event time: when the fact happened.
        created_timestamp_field: Column that breaks ties between rows of one event time.
        known_timestamp_field: Column of the known time: when the value could be known. Enforced.
        known_after: A fixed delay from event time to known time, instead of a column. timedelta or "90s", "30m", "6h", "7d".
        name: Its name; from the path if not given ("data/weather.parquet" -> "weather").
        description, owner: For people; they change nothing.

    >>> ParquetSource("data/weather.parquet", timestamp_field="observed_at", known_after="30m").name
    'weather'
    """

    path: str
    timestamp_field: str = field(kw_only=True)
    created_timestamp_field: str | None = field(default=None, kw_only=True)
    known_timestamp_field: str | None = field(default=None, kw_only=True)
    known_after: timedelta | str | None = field(default=None, kw_only=True)
    name: str = field(default="", kw_only=True)
    description: str = field(default="", kw_only=True)
    owner: str | None = field(default=None, kw_only=True)
    location: Location | None = field(default_factory=here, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.path, Path):
            object.__setattr__(self, "path", str(self.path))
        if not isinstance(self.path, str) or not self.path.strip():
            report(
                f"its path {self.path!r} is not a file, a glob or a folder.",
                object=f"source {self.name!r}",
                location=self.location,
            )
            object.__setattr__(self, "path", str(self.path))
        if not self.name:
            object.__setattr__(self, "name", name_of(self.path))
        what = f"source {self.name!r}"
        check_name(self.name, object=what, location=self.location)
        if self.known_after is not None and self.known_timestamp_field:
            report("give known_timestamp_field or known_after, not both.", object=what, location=self.location)
        if self.known_after is not None:
            try:
                object.__setattr__(self, "known_after", duration(self.known_after, what="known_after"))
            except InstantError as error:
                report(str(error), object=what, location=self.location)
                object.__setattr__(self, "known_after", None)
        if self.delay < timedelta(0):
            report(
                f"known_after={self.delay} is negative: a value cannot be known before it happens.",
                object=what,
                location=self.location,
            )
        times = [
            column
            for column in (self.timestamp_field, self.created_timestamp_field, self.known_timestamp_field)
            if column
        ]
        if not self.timestamp_field or len(set(times)) != len(times):
            report(
                "timestamp_field, created_timestamp_field and known_timestamp_field must be different columns.",
                object=what,
                location=self.location,
            )

    @property
    def delay(self) -> timedelta:
        """`known_after` as a timedelta; zero if there is none."""
        return self.known_after if isinstance(self.known_after, timedelta) else timedelta(0)

    @property
    def time_columns(self) -> tuple[str, ...]:
        """The declared time columns: event, then created and known if there are any."""
        return tuple(
            column
            for column in (self.timestamp_field, self.created_timestamp_field, self.known_timestamp_field)
            if column
        )


def name_of(path: str) -> str:
    """A source's name from its path: the last part that is no pattern.

    >>> name_of("s3://bucket/flights/year=*/*.parquet")
    'flights'
    """
    parts = [part for part in re.split(r"[/\\]", path) if part and "*" not in part and "=" not in part]
    stem = re.sub(r"[^a-z0-9]+", "_", (parts[-1] if parts else "source").split(".")[0].lower()).strip("_")
    return stem if is_name(stem) else re.sub(r"_+", "_", f"source_{stem}")[:63].strip("_")
