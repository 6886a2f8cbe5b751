"""FeatureView: the features of some entities, from one source or several that are joined: columns, or aggregations over windows."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from hitherto.definitions import relations
from hitherto.definitions.aggregation import Aggregation, WindowedFeature
from hitherto.definitions.entity import Entity
from hitherto.definitions.expectation import Expectation
from hitherto.definitions.field import Field
from hitherto.definitions.problems import check_name, here, report, taken_tags
from hitherto.definitions.source import ParquetSource
from hitherto.errors import InstantError, Location, did_you_mean
from hitherto.timeline import duration, micros
from hitherto.types import DataType, String


@dataclass(frozen=True)
class FeatureView:
    """Features that share keys, a source and a run.

    Args:
        name: Its name (semantics 7).
        entities: What the features are about; none makes a view with one row for everybody.
        source: Where the rows come from.
        sources: Instead of `source`, several of them by the names that the transform reads. The first is the one whose
            time columns and known-time rule hold for the rows of the result; `view.source` is that one.
        schema: The features, with their declared types. With aggregations: the columns that they look at, where their types
            (and checks on their values) are to be declared.
        aggregations: Features that are computed from a key's rows in windows of time, instead of being columns (semantics 11).
        ttl: How long a row is valid after its event time (semantics 3); None is for ever. timedelta or "90s", "30m", "6h", "7d".
        transform: One DuckDB SELECT over the relation `source`, or over the names of `sources`; or a Path to a .sql file
            (beside the defining file).
        lookback: How far before its interval the transform looks; None is to the beginning. Of several sources also by name.
        online: Whether runs write the online store.
        online_retention: How long after its event time a row stays in the online store; None is for ever.
        expect: Checks on the whole, and row predicates over several columns (semantics 9).
        description, owner, tags: For people; they change nothing.

    Raises:
        DefinitionError: With the file and line of the definition.

    >>> from hitherto.types import Float64, Int64
    >>> user = Entity("user", join_keys={"user_id": Int64})
    >>> clicks = ParquetSource("clicks.parquet", timestamp_field="at")
    >>> view = FeatureView("clicks", entities=[user], source=clicks, schema=[Field("rate", Float64)], ttl="7d")
    >>> view.join_keys
    {'user_id': Int64}
    """

    name: str
    entities: Sequence[Entity] = field(default=(), kw_only=True)
    source: ParquetSource = field(default=None, kw_only=True)  # type: ignore[assignment]  # the first of sources=, if not given
    sources: Mapping[str, ParquetSource] | None = field(default=None, kw_only=True)
    schema: Sequence[Field] = field(default=(), kw_only=True)
    aggregations: Sequence[Aggregation] = field(default=(), kw_only=True)
    ttl: timedelta | str | None = field(default=None, kw_only=True)
    transform: str | Path | None = field(default=None, kw_only=True)
    lookback: timedelta | str | Mapping[str, timedelta | str | None] | None = field(default=None, kw_only=True)
    online: bool = field(default=True, kw_only=True)
    online_retention: timedelta | str | None = field(default=None, kw_only=True)
    expect: Sequence[Expectation] = field(default=(), kw_only=True)
    description: str = field(default="", kw_only=True)
    owner: str | None = field(default=None, kw_only=True)
    tags: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    location: Location | None = field(default_factory=here, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_name(self.name, object=self._what, location=self.location)
        for attribute, kind in (
            ("entities", Entity),
            ("schema", Field),
            ("aggregations", Aggregation),
            ("expect", Expectation),
        ):
            self._take_list(attribute, kind)
        object.__setattr__(self, "tags", taken_tags(self.tags, object=self._what, location=self.location))
        self._take_sources()
        if not isinstance(self.source, ParquetSource):
            if self.sources is None:
                self._complain(f"its source is {self.source!r}; give source=ParquetSource(...).")
            return
        for attribute in ("ttl", "online_retention"):
            object.__setattr__(self, attribute, self._as_duration(getattr(self, attribute), attribute))
        self._take_lookback()
        self._read_transform()
        if self.aggregations:
            self._take_aggregations()
        self._check_schema()
        self._check_times()

    @property
    def _what(self) -> str:
        return f"feature view {self.name!r}"

    def _complain(self, message: str) -> None:
        report(message, object=self._what, location=self.location)

    def _take_list(self, attribute: str, kind: type) -> None:
        """Keep what is of the kind, and complain about the rest."""
        value = getattr(self, attribute)
        listed = list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]
        if not isinstance(value, Iterable) or any(not isinstance(one, kind) for one in listed):
            self._complain(f"{attribute}={value!r} is not a list of {kind.__name__}.")
        object.__setattr__(self, attribute, tuple(one for one in listed if isinstance(one, kind)))

    def _take_sources(self) -> None:
        if self.sources is None:
            return
        found = relations.take(self.sources, self._complain)
        first = next(iter(found.values()), None)
        # dataclasses.replace gives back both, as they were.
        if self.source is not None and self.source != first:
            self._complain("it has source= and sources=; give one of the two.")
        if self.transform is None:
            self._complain("sources= are joined by a transform, and there is none; give transform=, or one source=.")
        object.__setattr__(self, "sources", found)
        object.__setattr__(self, "source", first)

    def _as_duration(self, value: Any, what: str) -> timedelta | None:
        if value is None:
            return None
        try:
            found = duration(value, what=what)
        except InstantError as error:
            self._complain(str(error))
            return None
        if found < timedelta(0):
            self._complain(f"{what}={found} is negative.")
        return found

    def _take_lookback(self) -> None:
        given: Any = self.lookback
        if not isinstance(given, Mapping):
            object.__setattr__(self, "lookback", self._as_duration(given, "lookback"))
            return
        if self.sources is None:
            self._complain('lookback= by name is for sources=; of one source it is a duration, such as "2h".')
        for name in given:
            if name not in self.all_sources:
                self._complain(
                    f"lookback= names {name!r}, which is not among its sources.{did_you_mean(str(name), self.all_sources)}"
                )
        found = {name: self._as_duration(given.get(name), f"lookback of {name!r}") for name in self.all_sources}
        object.__setattr__(self, "lookback", found)

    def _read_transform(self) -> None:
        if self.transform is None or isinstance(self.transform, str):
            return
        if not isinstance(self.transform, Path):
            self._complain(f"transform={self.transform!r} is neither a SELECT nor the Path of a .sql file.")
            object.__setattr__(self, "transform", None)
            return
        path = self.transform
        if not path.is_absolute() and self.location is not None:
            path = Path(self.location.file).parent / path
        try:
            object.__setattr__(self, "transform", path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            self._complain(f"its transform {str(self.transform)!r} cannot be read: {error}.")
            object.__setattr__(self, "transform", None)

    def _take_aggregations(self) -> None:
        """Complete the schema with the columns that aggregations look at, and check that each function fits its column."""
        fields = {one.name: one for one in self.schema}
        wanted: dict[str, DataType] = {}
        for one in sorted(self.aggregations, key=_says_type):
            if one.column not in fields:
                wanted[one.column] = one.input_type
        # In the order of the aggregations, whichever of them said the type.
        for column in dict.fromkeys(one.column for one in self.aggregations if one.column in wanted):
            fields[column] = Field(column, wanted[column], location=self.location)
        object.__setattr__(self, "schema", tuple(fields.values()))
        for one in self.aggregations:
            kind = fields[one.column].dtype
            misfit = one.misfit(kind)
            if one.dtype not in (None, kind):
                misfit = f"it reads the column as {one.dtype!r}, which is {kind!r} elsewhere in the view: a column has one type."
            if misfit:
                report(misfit, object=f"{self._what}, {one.function} of {one.column!r}", location=one.location)
        for name in fields.keys() - {one.column for one in self.aggregations}:
            self._complain(f"the field {name!r} of its schema is looked at by no aggregation; leave it out.")
        for name in [name for name, one in fields.items() if one.default is not None]:
            self._complain(f"the field {name!r} is aggregated: a default belongs to its Aggregation(default=...).")
        if self.ttl is not None or self.online_retention is not None:
            self._complain(
                "ttl= and online_retention= do not go with aggregations: their windows say how long a row counts."
            )
            object.__setattr__(self, "ttl", None)
            object.__setattr__(self, "online_retention", None)

    def _check_schema(self) -> None:
        if not self.schema:
            self._complain("it has no features: give schema=[Field(...), ...] or aggregations=[Aggregation(...), ...].")
        for names in {self.column_names, self.feature_names}:
            seen: set[str] = set()
            for name in (*self.join_keys, *names):
                if name in seen:
                    self._complain(f"the name {name!r} stands twice among its keys and features.{self._remedy(name)}")
                seen.add(name)
        for expectation in self.expect:
            if expectation.is_row_check and expectation.kind != "sql":
                self._complain(
                    f"{expectation.name} looks at one field's values; put it into that Field's expect=[...]."
                )
            column = expectation.bounds.get("column")
            if column is not None and column not in self.column_names:
                what = "a column that is aggregated" if self.aggregations else "a feature"
                self._complain(
                    f"{expectation.name} looks at {column!r}, which is not {what}.{did_you_mean(column, self.column_names)}"
                )

    def _remedy(self, name: str) -> str:
        """What to do about a name that stands twice in a windowed view."""
        if name in self.join_keys and name in self.column_names and self.aggregations:
            return (
                f" To aggregate a key, read it under a second name: schema=[Field('other_{name}', ..., source_column={name!r})], "
                f"and Aggregation('other_{name}', ...)."
            )
        return " Give one of the aggregations another name=." if self.aggregations else ""

    def _check_times(self) -> None:
        ttl, retention = self.ttl, self.online_retention
        if isinstance(ttl, timedelta) and self.source.delay > ttl >= timedelta(0):
            self._complain(
                f"known_after={self.source.delay} is above ttl={ttl}: every row would be too old before it is known."
            )
        if isinstance(retention, timedelta) and (not isinstance(ttl, timedelta) or retention < ttl):
            self._complain(
                f"online_retention={retention} is shorter than ttl={ttl or 'for ever'}: valid rows would vanish from lookups."
            )
        if self.lookback is not None and self.transform is None:
            self._complain("lookback= is how far a transform looks back, and there is no transform.")

    @property
    def join_keys(self) -> dict[str, DataType]:
        """All join keys of all entities, in order, with their types."""
        return {key: kind for entity in self.entities for key, kind in entity.join_keys.items()}

    @property
    def all_sources(self) -> dict[str, ParquetSource]:
        """What the transform reads, by name: `{"source": ...}`, or the sources of a joined view, the first of them first."""
        return dict(self.sources) if self.sources is not None else {relations.SOURCE: self.source}

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns that runs store, in the order of the schema."""
        return tuple(one.name for one in self.schema)

    @cached_property
    def windowed(self) -> tuple[WindowedFeature, ...]:
        """How the features of the aggregations are computed, in their order; empty for a view without any."""
        kinds = {one.name: one.dtype for one in self.schema}
        return tuple(feature for one in self.aggregations for feature in one.features(kinds[one.column]))

    @cached_property
    def features(self) -> tuple[Field, ...]:
        """What the view offers: the fields of the schema, or the features of the aggregations."""
        if not self.aggregations:
            return tuple(self.schema)
        kinds = {one.name: one.dtype for one in self.schema}
        return tuple(
            Field(
                made.name,
                made.dtype,
                default=one.default_value,
                description=one.description,
                tags=one.tags,
                location=one.location,
            )
            for one in self.aggregations
            for made in one.features(kinds[one.column])
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features, in their order."""
        return tuple(one.name for one in self.features)

    @property
    def defaults(self) -> dict[str, Any]:
        """Feature -> what is answered where it has no value; only features that have a default."""
        return {one.name: one.default for one in self.features if one.default is not None}

    @property
    def longest_window(self) -> int | None:
        """The longest window of the aggregations, in microseconds; None if one looks at all rows, or if there are none."""
        windows = [one.window for one in self.windowed]
        return None if None in windows else max((one for one in windows if one is not None), default=None)

    @property
    def has_versions(self) -> bool:
        """Whether rows of one key and event time are versions of one event; if not, each row of a windowed view is an event."""
        return not self.aggregations or self.source.created_timestamp_field is not None

    @property
    def ttl_micros(self) -> int | None:
        """The ttl in microseconds; None is for ever."""
        return micros(self.ttl) if isinstance(self.ttl, timedelta) else None

    @property
    def online_retention_micros(self) -> int | None:
        """The online retention in microseconds; None is for ever. That of a windowed view follows from its longest window."""
        if self.longest_window is not None:
            # A row counts as long as its event time is above now - window, and is kept as long as it is not below now - retention.
            return self.longest_window - 1
        return micros(self.online_retention) if isinstance(self.online_retention, timedelta) else None

    @property
    def lookbacks(self) -> dict[str, int | None]:
        """How far the transform looks back in each source, by the name that it reads, in microseconds.

        None is to the beginning; without a transform it is 0.
        """
        if self.transform is None:
            return dict.fromkeys(self.all_sources, 0)
        by_name = (
            self.lookback if isinstance(self.lookback, Mapping) else dict.fromkeys(self.all_sources, self.lookback)
        )
        return {name: micros(one) if isinstance(one, timedelta) else None for name, one in by_name.items()}

    @property
    def sql(self) -> str | None:
        """The text of the transform, if there is one."""
        return self.transform if isinstance(self.transform, str) else None

    def field(self, name: str) -> Field | None:
        """The feature of a name, or None."""
        return next((one for one in self.features if one.name == name), None)

    def __getitem__(self, features: Sequence[str]) -> FeatureViewProjection:
        """Some of the features: `view[["temperature"]]`."""
        return FeatureViewProjection(self)[features]

    def with_name(self, name: str) -> FeatureViewProjection:
        """The view under another name, so that it can be joined twice."""
        return FeatureViewProjection(self).with_name(name)

    def with_join_key_map(self, join_key_map: Mapping[str, str]) -> FeatureViewProjection:
        """The view with its join keys taken from other entity columns: {join key: column}."""
        return FeatureViewProjection(self).with_join_key_map(join_key_map)

    def preview(self, limit: int = 1000, *, repo_path: str | Path | None = None) -> Any:
        """Transform and checks on the first real rows of the source; nothing is written.

        Args:
            limit: How many rows of the source to read.
            repo_path: What the source's path is relative to; the folder of the defining file if not given.

        Returns:
            A Preview: `.report` (checks, counts) and the rows as in every result (`to_pandas()`, `to_arrow()`, ...).
        """
        # The one upward call of the house: the interface puts this verb on the view, the work is another room's.
        room = importlib.import_module("hitherto.materialization.preview")
        return room.preview_of(self, limit=limit, repo_path=repo_path)

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.name))


def _says_type(aggregation: Aggregation) -> int:
    """How firmly it says what its column is read as, least first: a type that is written, a number, text."""
    return 2 if aggregation.dtype is not None else 0 if aggregation.input_type == String else 1


@dataclass(frozen=True)
class FeatureViewProjection:
    """A feature view as a service or a request uses it: some features, maybe another name, maybe other key columns."""

    view: FeatureView
    alias: str | None = None
    join_key_map: Mapping[str, str] = field(default_factory=dict)
    features: tuple[str, ...] | None = None
    location: Location | None = field(default_factory=here, compare=False, repr=False)

    def __post_init__(self) -> None:
        def complain(message: str) -> None:
            report(message, object=f"feature view {self.name!r}", location=self.location)

        if self.alias is not None:
            check_name(self.alias, object=f"feature view {self.view.name!r} with_name", location=self.location)
        object.__setattr__(self, "join_key_map", dict(self.join_key_map))
        for key, column in self.join_key_map.items():
            if key not in self.view.join_keys:
                complain(f"{key!r} is not a join key of {self.view.name!r}.{did_you_mean(key, self.view.join_keys)}")
            if not isinstance(column, str) or not column:
                complain(f"the join key {key!r} is mapped to {column!r}, which is not a column name.")
        for feature in self.features or ():
            if feature not in self.view.feature_names:
                complain(
                    f"{self.view.name!r} has no feature {feature!r}.{did_you_mean(feature, self.view.feature_names)}"
                )
        if self.features is not None and not self.features:
            complain("it takes no feature at all.")

    @property
    def name(self) -> str:
        """The name that feature references and full names use."""
        return self.alias or self.view.name

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features that it takes, in order."""
        return self.view.feature_names if self.features is None else self.features

    @property
    def key_columns(self) -> dict[str, str]:
        """Join key -> the entity column that it is taken from."""
        return {key: self.join_key_map.get(key, key) for key in self.view.join_keys}

    def __getitem__(self, features: Sequence[str]) -> FeatureViewProjection:
        """Some of the features."""
        chosen = (features,) if isinstance(features, str) else tuple(features)
        return replace(self, features=chosen, location=here())

    def with_name(self, name: str) -> FeatureViewProjection:
        """The same under another name."""
        return replace(self, alias=name, location=here())

    def with_join_key_map(self, join_key_map: Mapping[str, str]) -> FeatureViewProjection:
        """The same with keys from other entity columns."""
        return replace(self, join_key_map=join_key_map, location=here())

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.name, self.features))
