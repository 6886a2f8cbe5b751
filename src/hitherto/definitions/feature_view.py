"""FeatureView: the features of some entities, from one source, in one schema."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from hitherto.definitions.entity import Entity
from hitherto.definitions.expectation import Expectation
from hitherto.definitions.field import Field
from hitherto.definitions.problems import check_name, here, report
from hitherto.definitions.source import ParquetSource
from hitherto.errors import InstantError, Location, did_you_mean
from hitherto.timeline import duration, micros
from hitherto.types import DataType


@dataclass(frozen=True)
class FeatureView:
    """Features that share keys, a source and a run.

    Args:
        name: Its name (semantics 7).
        entities: What the features are about; none makes a view with one row for everybody.
        source: Where the rows come from.
        schema: The features, with their declared types.
        ttl: How long a row is valid after its event time (semantics 3); None is for ever. timedelta or "90s", "30m", "6h", "7d".
        transform: One DuckDB SELECT over the relation `source`, or a Path to a .sql file (beside the defining file).
        lookback: How far before its interval the transform looks; None is to the beginning.
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
    source: ParquetSource = field(kw_only=True)
    schema: Sequence[Field] = field(kw_only=True)
    ttl: timedelta | str | None = field(default=None, kw_only=True)
    transform: str | Path | None = field(default=None, kw_only=True)
    lookback: timedelta | str | None = field(default=None, kw_only=True)
    online: bool = field(default=True, kw_only=True)
    online_retention: timedelta | str | None = field(default=None, kw_only=True)
    expect: Sequence[Expectation] = field(default=(), kw_only=True)
    description: str = field(default="", kw_only=True)
    owner: str | None = field(default=None, kw_only=True)
    tags: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    location: Location | None = field(default_factory=here, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_name(self.name, object=self._what, location=self.location)
        for attribute, kind in (("entities", Entity), ("schema", Field), ("expect", Expectation)):
            self._take_list(attribute, kind)
        object.__setattr__(self, "tags", dict(self.tags))
        if not isinstance(self.source, ParquetSource):
            self._complain(f"its source is {self.source!r}; give source=ParquetSource(...).")
            return
        for attribute in ("ttl", "lookback", "online_retention"):
            self._take_duration(attribute)
        self._read_transform()
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

    def _take_duration(self, attribute: str) -> None:
        value = getattr(self, attribute)
        if value is None:
            return
        try:
            value = duration(value, what=attribute)
        except InstantError as error:
            self._complain(str(error))
            value = None
        else:
            if value < timedelta(0):
                self._complain(f"{attribute}={value} is negative.")
        object.__setattr__(self, attribute, value)

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

    def _check_schema(self) -> None:
        if not self.schema:
            self._complain("it has no features: give schema=[Field(...), ...].")
        seen: set[str] = set()
        for name in (*self.join_keys, *(one.name for one in self.schema)):
            if name in seen:
                self._complain(f"the name {name!r} stands twice among its keys and features.")
            seen.add(name)
        for expectation in self.expect:
            if expectation.is_row_check and expectation.kind != "sql":
                self._complain(
                    f"{expectation.name} looks at one field's values; put it into that Field's expect=[...]."
                )
            column = expectation.bounds.get("column")
            if column is not None and column not in self.feature_names:
                self._complain(
                    f"{expectation.name} looks at {column!r}, which is not a feature.{did_you_mean(column, self.feature_names)}"
                )

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
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features, in the order of the schema."""
        return tuple(one.name for one in self.schema)

    @property
    def ttl_micros(self) -> int | None:
        """The ttl in microseconds; None is for ever."""
        return micros(self.ttl) if isinstance(self.ttl, timedelta) else None

    @property
    def online_retention_micros(self) -> int | None:
        """The online retention in microseconds; None is for ever."""
        return micros(self.online_retention) if isinstance(self.online_retention, timedelta) else None

    @property
    def lookback_micros(self) -> int | None:
        """How far the transform looks back, in microseconds; None is to the beginning (or there is no transform: 0)."""
        if self.transform is None:
            return 0
        return micros(self.lookback) if isinstance(self.lookback, timedelta) else None

    @property
    def sql(self) -> str | None:
        """The text of the transform, if there is one."""
        return self.transform if isinstance(self.transform, str) else None

    def field(self, name: str) -> Field | None:
        """The field of a name, or None."""
        return next((one for one in self.schema if one.name == name), None)

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
        # The one upward call of the house: the interface puts this verb on the view, the work is the facade's.
        facade = importlib.import_module("hitherto.feature_store")
        return facade.preview(self, limit=limit, repo_path=repo_path)

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.name))


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
