"""Entity: what features are about, and the columns that identify it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hitherto.definitions.problems import check_name, here, report, taken_tags
from hitherto.errors import Location
from hitherto.types import KEY_TYPES, DataType


@dataclass(frozen=True)
class Entity:
    """A thing that has features, identified by one or more typed join keys.

    Args:
        name: Its name (semantics 7).
        join_keys: Column name -> type, in order. Keys are Bool, integers, String, Bytes, Date or Timestamp (semantics 8).
        description, owner, tags: For people; they change nothing.

    Raises:
        DefinitionError: With the file and line of the definition.

    >>> from hitherto.types import String
    >>> Entity("airport", join_keys={"airport": String}).join_keys
    {'airport': String}
    """

    name: str
    join_keys: Mapping[str, DataType] = field(kw_only=True)
    description: str = field(default="", kw_only=True)
    owner: str | None = field(default=None, kw_only=True)
    tags: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    location: Location | None = field(default_factory=here, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        what = f"entity {self.name!r}"
        check_name(self.name, object=what, location=self.location)
        if not isinstance(self.join_keys, Mapping):
            report(
                f"join_keys={self.join_keys!r} is not a mapping: give join_keys={{'column': Type}}.",
                object=what,
                location=self.location,
            )
            object.__setattr__(self, "join_keys", {})
        elif not self.join_keys:
            report("it has no join keys: give join_keys={'column': Type}.", object=what, location=self.location)
        for key, kind in self.join_keys.items():
            check_name(key, object=what, location=self.location)
            if kind not in KEY_TYPES:
                report(
                    f"join key {key!r} has type {kind!r}; keys are {', '.join(known.name for known in KEY_TYPES)}.",
                    object=what,
                    location=self.location,
                )
        object.__setattr__(self, "join_keys", dict(self.join_keys))
        object.__setattr__(self, "tags", taken_tags(self.tags, object=what, location=self.location))

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.name))
