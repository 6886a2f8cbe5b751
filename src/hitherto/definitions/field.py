"""Field: one feature of a view, its type, where it comes from and what is expected of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hitherto.definitions.expectation import Expectation
from hitherto.definitions.problems import check_name, here, report, taken_tags
from hitherto.errors import Location
from hitherto.types import DataType


@dataclass(frozen=True)
class Field:
    """A feature.

    Args:
        name: Its name (semantics 7).
        dtype: Its declared type; types are never inferred (semantics 8).
        source_column: The column of the source (or of the transform's result) if it has another name.
        expect: Row checks on the values (semantics 9).
        default: What is answered where there is no value, in training sets and lookups (semantics 4); it is never stored.
        description, tags: For people; they change nothing.

    >>> from hitherto.types import Float64
    >>> Field("temperature", Float64, source_column="temp").column
    'temp'
    """

    name: str
    dtype: DataType
    source_column: str | None = field(default=None, kw_only=True)
    expect: Sequence[Expectation] = field(default=(), kw_only=True)
    default: Any = field(default=None, kw_only=True)
    description: str = field(default="", kw_only=True)
    tags: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    location: Location | None = field(default_factory=here, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        what = f"field {self.name!r}"
        check_name(self.name, object=what, location=self.location)
        if not isinstance(self.dtype, DataType):
            report(f"{self.dtype!r} is not a type of hitherto.types.", object=what, location=self.location)
        elif self.default is not None:
            self._take_default()
        if isinstance(self.expect, Expectation):
            report("expect= is a list of checks: expect=[...].", object=what, location=self.location)
            object.__setattr__(self, "expect", (self.expect,))
        for expectation in self.expect:
            if not isinstance(expectation, Expectation) or not expectation.is_row_check:
                report(
                    f"{expectation!r} is not a check on a field's values; checks on the whole belong into the view's expect=[...].",
                    object=what,
                    location=self.location,
                )
        object.__setattr__(self, "expect", tuple(self.expect))
        object.__setattr__(self, "tags", taken_tags(self.tags, object=what, location=self.location))

    def _take_default(self) -> None:
        # Imported where it is needed: the codecs bring a JSON parser with them, and most fields have no default.
        from hitherto.definitions.default import taken

        try:
            object.__setattr__(self, "default", taken(self.dtype, self.default))
        except ValueError as error:
            report(str(error), object=f"field {self.name!r}", location=self.location)
            object.__setattr__(self, "default", None)

    @property
    def column(self) -> str:
        """The column that the values are read from."""
        return self.source_column or self.name

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.name, self.dtype))
