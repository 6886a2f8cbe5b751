"""Aggregation: a function over the rows of a key in windows of time, declared once (semantics 11)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hitherto.definitions.problems import check_name, here, report, taken_tags
from hitherto.errors import InstantError, Location, did_you_mean
from hitherto.timeline import duration, duration_text, micros
from hitherto.types import DataType, Decimal, DecimalType, Float64, Int64, List, String

NUMERIC_FUNCTIONS = ("sum", "mean", "stddev", "variance", "percentile")
COUNTING_FUNCTIONS = ("count", "count_distinct", "approx_count_distinct")
FUNCTIONS = (
    "count",
    "sum",
    "mean",
    "min",
    "max",
    "stddev",
    "variance",
    "first",
    "last",
    "count_distinct",
    "approx_count_distinct",
    "percentile",
)
# What a column is read as where nobody says it: for these a number, for the others text.
_OF_NUMBERS = (*NUMERIC_FUNCTIONS, "min", "max", "first", "last")
_MOST_LAST = 1_000


@dataclass(frozen=True)
class WindowedFeature:
    """One feature that is computed from the rows of a window."""

    name: str
    column: str
    """The stored column that it looks at."""
    function: str
    window: int | None
    """How far back it looks, microseconds; None is to the key's first row."""
    n: int | None
    """How many values `last` keeps in a list; None is one value and no list."""
    p: float | None
    """Which percentile, 0 to 1."""
    dtype: DataType

    @property
    def measure(self) -> tuple[str, str, int | None, float | None]:
        """What is computed, whatever the window: features that agree in it differ only in where their window begins."""
        return self.column, self.function, self.n, self.p

    @property
    def track(self) -> tuple[str, str, int | None, float | None, bool]:
        """What is stored once for all windows online: the measure; what has no window never changes, and is kept apart."""
        return *self.measure, self.window is None

    @property
    def of_nothing(self) -> int | None:
        """What it is over no row."""
        return 0 if self.function in COUNTING_FUNCTIONS else None


@dataclass(frozen=True)
class Aggregation:
    """A function over one column, in some windows; each window makes a feature.

    A feature at T looks at the key's rows with `T - window < event time <= T` that are available by T.

    Args:
        column: The column to look at: a field of the view's schema, or a column of the source (or of the transform's result).
        function: count, sum, mean, min, max, stddev, variance, first, last, count_distinct, approx_count_distinct or percentile.
        windows: How far back to look: timedeltas or texts such as "1h", "30d", which end the feature's name. None: all of the key's rows.
        n: With last: the last n values, as a list, oldest first.
        p: With percentile: which one, 0 to 1; between two values it is interpolated linearly.
        dtype: What the column is read as; Float64 for functions of numbers, String for the others, if neither this nor the schema says.
        name: How the features' names begin; `<column>_<function>` if not given.
        default: What is answered where a feature has no value (semantics 4); counts have 0 if it is not given.
        description, tags: For people; they change nothing.

    Raises:
        DefinitionError: With the file and line of the definition.

    >>> [one.name for one in Aggregation("amount", "sum", windows=["1h", "30d"]).features(Float64)]
    ['amount_sum_1h', 'amount_sum_30d']
    """

    column: str
    function: str
    windows: Sequence[timedelta | str] | None = field(default=None, kw_only=True)
    n: int | None = field(default=None, kw_only=True)
    p: float | None = field(default=None, kw_only=True)
    dtype: DataType | None = field(default=None, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    default: Any = field(default=None, kw_only=True)
    description: str = field(default="", kw_only=True)
    tags: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    location: Location | None = field(default_factory=here, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_name(self.column, object=self._what, location=self.location)
        if self.function not in FUNCTIONS:
            self._complain(
                f"{self.function!r} is not a function.{did_you_mean(str(self.function), FUNCTIONS)} "
                f"Functions: {', '.join(FUNCTIONS)}."
            )
        if self.dtype is not None and not isinstance(self.dtype, DataType):
            self._complain(f"dtype={self.dtype!r} is not a type of hitherto.types.")
            object.__setattr__(self, "dtype", None)
        self._check_parameters()
        self._take_windows()
        object.__setattr__(self, "tags", taken_tags(self.tags, object=self._what, location=self.location))
        for name in [self._prefix] if self.windows is None else [one[0] for one in self._named_windows()]:
            check_name(name, object=self._what, location=self.location)

    @property
    def _what(self) -> str:
        return f"aggregation {self.function!r} of {self.column!r}"

    def _complain(self, message: str) -> None:
        report(message, object=self._what, location=self.location)

    def _check_parameters(self) -> None:
        if self.n is not None:
            if self.function != "last":
                self._complain(f"n= goes with last, not with {self.function}.")
            if not isinstance(self.n, int) or isinstance(self.n, bool) or not 1 <= self.n <= _MOST_LAST:
                self._complain(f"n={self.n!r} is not a number of values: 1 to {_MOST_LAST:,}.")
                object.__setattr__(self, "n", None)
        if self.function != "percentile":
            if self.p is not None:
                self._complain(f"p= goes with percentile, not with {self.function}.")
        elif not isinstance(self.p, int | float) or isinstance(self.p, bool) or not 0 <= self.p <= 1:
            self._complain(f"a percentile needs p= between 0 and 1, such as p=0.95, and has p={self.p!r}.")
            object.__setattr__(self, "p", 0.5)
        else:
            object.__setattr__(self, "p", abs(float(self.p)))  # -0.0 is 0.0

    def _take_windows(self) -> None:
        """Keep the windows as texts, which name the features; 24h and 1d are one window, but not one name."""
        if self.windows is None:
            return
        if isinstance(self.windows, str | timedelta) or not isinstance(self.windows, Iterable):
            self._complain(f"windows={self.windows!r} is not a list: write windows=[...].")
            object.__setattr__(self, "windows", (self.windows,) if isinstance(self.windows, str | timedelta) else None)
        texts: dict[int, str] = {}
        for one in self.windows or ():
            text = self._window_text(one)
            if text is None:
                continue
            known = texts.setdefault(micros(duration(text)), text)
            if known is not text:
                self._complain(f"the windows {known!r} and {text!r} are one and the same.")
        if not texts:
            self._complain("windows= is empty: give at least one, or leave it out to look at all of a key's rows.")
        object.__setattr__(self, "windows", tuple(texts.values()) or None)

    def _window_text(self, value: Any) -> str | None:
        try:
            length = duration(value, what="window")
        except InstantError as error:
            self._complain(str(error))
            return None
        if length <= timedelta(0):
            self._complain(f"the window {value!r} is not above zero.")
            return None
        return "".join(value.split()) if isinstance(value, str) else duration_text(value)

    @property
    def _prefix(self) -> str:
        if self.name:
            return self.name
        if self.n is not None:
            return f"{self.column}_last_{self.n}"
        if self.p is not None:
            return f"{self.column}_p{100 * self.p:.10g}".replace(".", "_").replace("-", "_")
        return f"{self.column}_{self.function}"

    def _named_windows(self) -> list[tuple[str, int | None]]:
        """Name and window, in microseconds, of each feature."""
        if self.windows is None:
            return [(self._prefix, None)]
        return [(f"{self._prefix}_{text}", micros(duration(text))) for text in self.windows]

    @property
    def input_type(self) -> DataType:
        """What the column is read as where the view's schema does not say."""
        return self.dtype or (Float64 if self.function in _OF_NUMBERS else String)

    def misfit(self, kind: DataType) -> str | None:
        """Why the function cannot be applied to a type, or None."""
        if self.function in NUMERIC_FUNCTIONS and not kind.is_number:
            return f"{self.function} needs a number, and the column is {kind!r}; say what it is read as with dtype=."
        if kind.is_nested and self.function != "count":
            return f"{self.function} does not take {kind!r}."
        return None

    def output_type(self, kind: DataType) -> DataType:
        """The type of its features over a column of a type."""
        if self.function in COUNTING_FUNCTIONS:
            return Int64
        if self.function == "sum":
            return Decimal(38, kind.scale) if isinstance(kind, DecimalType) else Int64 if kind.is_integer else Float64
        if self.function in NUMERIC_FUNCTIONS:
            return Float64
        return kind if self.n is None else List(kind)

    @property
    def default_value(self) -> Any:
        """What is answered where its features have no value; None is null."""
        return 0 if self.default is None and self.function in COUNTING_FUNCTIONS else self.default

    def features(self, kind: DataType) -> tuple[WindowedFeature, ...]:
        """Its features over a column of a type."""
        made = self.output_type(kind)
        return tuple(
            WindowedFeature(name, self.column, self.function, window, self.n, self.p, made)
            for name, window in self._named_windows()
        )

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.column, self.function, self.windows))
