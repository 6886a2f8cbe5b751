"""One function over many slices of a column at once. Each slice is made of neighbouring rows of one key.

Nulls are put aside first, so that a slice of rows becomes a slice of values; from there on a function is a prefix sum, a sparse table
or a wavelet matrix, which all slices share. Nothing depends on how rows were cut into calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import md5

import numpy as np
import pyarrow as pa

from hitherto import types
from hitherto.encoding.row_codec import encode_fragment
from hitherto.errors import UsageError
from hitherto.types import DataType, DecimalType, Float64, Int64
from hitherto.windows import order
from hitherto.windows.codes import (
    Codes,
    array_of,
    doubles_of_decimals,
    encoded,
    numpy_of,
    without_negative_zero,
)
from hitherto.windows.exact import Add, Numbers, Totals, prefix_sums

SAMPLE = 1_024
"""The most distinct values that approx_count_distinct counts one by one."""
_HASH_BITS = 64
_DECIMAL_LIMIT = 10**38


class Column:
    """A column whose rows are sorted by key, for any number of calls of `compute`: what they share is made once.

    Args:
        values: The rows' values.
        bounds: The first row of each key, and the number of rows.
    """

    def __init__(self, values: pa.Array | pa.ChunkedArray, bounds: np.ndarray) -> None:
        kind = types.from_arrow(values.type)
        if kind is None:
            raise UsageError(f"No function can be computed over a column of the Arrow type {values.type}.")
        self.kind = kind
        typed = values if values.type == kind.arrow else values.cast(kind.arrow)
        self.rows: pa.Array = _one_array(typed)
        self._row_bounds = bounds
        self._slices: tuple[np.ndarray, np.ndarray, Slices] | None = None

    @cached_property
    def _before(self) -> np.ndarray | None:
        """How many values are before each row; None if there are no nulls."""
        if not self.rows.null_count:
            return None
        before = np.zeros(len(self.rows) + 1, dtype=np.int64)
        np.cumsum(self.valid, out=before[1:])
        return before

    @cached_property
    def valid(self) -> np.ndarray:
        """Which rows have a value."""
        valid: np.ndarray = self.rows.is_valid().to_numpy(zero_copy_only=False)
        return valid

    @cached_property
    def places(self) -> np.ndarray | None:
        """The row of each value; None if each row has one."""
        return None if self._before is None else np.flatnonzero(self.valid)

    @cached_property
    def bounds(self) -> np.ndarray:
        """The first value of each key, and the number of values."""
        return self._row_bounds if self._before is None else self._before.take(self._row_bounds)

    @cached_property
    def values(self) -> pa.Array:
        """The values, without nulls."""
        return self.rows.drop_null() if self.rows.null_count else self.rows

    @cached_property
    def codes(self) -> Codes:
        """The values as codes."""
        return encoded(self.values, self.kind)

    @cached_property
    def ranking(self) -> tuple[np.ndarray, np.ndarray]:
        """The places of each key's values in their order, and for each place its rank in that of its key."""
        return order.sorted_by_key(self.codes.codes, self.bounds)

    @cached_property
    def distinct_codes(self) -> np.ndarray:
        """Codes that are equal where distinct counts see one value."""
        return without_negative_zero(self.codes.codes) if self.kind.is_float else self.codes.codes

    @cached_property
    def hashes(self) -> np.ndarray:
        """64 bits for each value, of its canonical fragment."""
        distinct, which = np.unique(self.distinct_codes, return_inverse=True)
        fragments = [encode_fragment(self.kind, value) for value in self.codes.values(distinct, None).to_pylist()]
        hashed = [md5(one, usedforsecurity=False).digest()[:8] for one in fragments]
        found: np.ndarray = np.frombuffer(b"".join(hashed), ">u8").astype(np.uint64).take(which)
        return found

    @cached_property
    def raw(self) -> np.ndarray:
        """Numbers as they lie in memory: floats as doubles, integers and Decimals that fit as int64, other Decimals as pairs of words."""
        values = numpy_of(self.values)
        if self.kind.is_float:
            return values.astype(np.float64, copy=False)
        if values.ndim == 2 and (values[:, 1] == values[:, 0] >> 63).all():
            return np.ascontiguousarray(values[:, 0])
        return values if values.ndim == 2 else values.astype(np.int64, copy=False)

    @cached_property
    def specials(self) -> tuple[np.ndarray, ...]:
        """Which values are NaN, infinite, and negative infinite; nothing if none are."""
        if not self.kind.is_float or np.isfinite(self.raw).all():
            return ()
        return tuple(one.astype(np.int64) for one in (np.isnan(self.raw), self.raw == np.inf, self.raw == -np.inf))

    @cached_property
    def numbers(self) -> Numbers:
        """The numbers to be summed, exact; zeros for NaN and infinities."""
        return Numbers(np.where(np.isfinite(self.raw), self.raw, 0.0) if self.specials else self.raw)

    def doubles(self, places: np.ndarray) -> np.ndarray:
        """Values as doubles."""
        chosen: np.ndarray = self.raw[places]
        if not isinstance(self.kind, DecimalType):
            return chosen.astype(np.float64)
        whole = chosen if chosen.ndim == 1 else _integers(chosen)
        return doubles_of_decimals(whole, self.kind.scale)

    def slices(self, begins: np.ndarray, ends: np.ndarray) -> Slices:
        """Slices of rows as slices of values; asked for again with the same arrays, they are the same."""
        if self._slices is None or self._slices[0] is not begins or self._slices[1] is not ends:
            places = (one if self._before is None else self._before.take(one) for one in (begins, ends))
            self._slices = begins, ends, Slices(self, *places)
        return self._slices[2]


class Sums:
    """What functions of sums share, over whichever values `add` sums.

    Args:
        column: The values.
        counts: How many there are for each result.
        add: Sums arrays, one number per value, for each result.
    """

    def __init__(self, column: Column, counts: np.ndarray, add: Add) -> None:
        self.column, self.counts, self._add = column, counts, add
        self.filled = counts > 0

    @cached_property
    def totals(self) -> Totals:
        """The exact sums, of what is finite."""
        return self.column.numbers.totals(self._add)

    @cached_property
    def specials(self) -> list[np.ndarray]:
        """Where there are NaN, infinities and negative infinities; nothing if the column has none."""
        return [one > 0 for one in self._add(self.column.specials)]

    @cached_property
    def sums(self) -> np.ndarray:
        """The sums, each rounded once to a double."""
        kind = self.column.kind
        if not isinstance(kind, DecimalType):
            return self._with_specials(self.totals.doubles())
        whole, fits = self.totals.int64()
        found = doubles_of_decimals(np.where(fits, whole, 0), kind.scale)
        if not fits.all():
            found[~fits] = doubles_of_decimals(self.totals.integers()[~fits], kind.scale)
        return found

    def _with_specials(self, sums: np.ndarray) -> np.ndarray:
        if not self.specials:
            return sums
        nan, infinite, negative = self.specials
        sums = np.where(infinite, np.inf, np.where(negative, -np.inf, sums))
        return np.where(nan | (infinite & negative), np.nan, sums)

    @cached_property
    def variances(self) -> tuple[np.ndarray, np.ndarray]:
        """The sample variance of each slice that has two values or more, and whether it has."""
        there = self.counts >= 2
        first, second = (one[there] for one in self.column.numbers.moments(self._add))
        counts = self.counts[there].astype(object)
        above, below = counts * second - first * first, counts * (counts - 1)
        if isinstance(self.column.kind, DecimalType):
            below = below * 10 ** (2 * self.column.kind.scale)
        grid = self.column.numbers.grid
        above, below = (above << 2 * grid, below) if grid >= 0 else (above, below << -2 * grid)
        found = np.zeros(len(self.counts))
        found[there] = _quotients(above, below)
        for one in self.specials:
            found[one] = np.nan
        return found, there


class Slices(Sums):
    """Slices of a column's values."""

    def __init__(self, column: Column, begins: np.ndarray, ends: np.ndarray) -> None:
        self.begins, self.ends = begins, ends
        super().__init__(column, ends - begins, self._differences)

    def _differences(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [sums.take(self.ends) - sums.take(self.begins) for sums in map(prefix_sums, values)]

    def at_least(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Those slices that have so many values: which, and where they begin and end."""
        which = np.flatnonzero(self.counts >= count)
        if len(which) == len(self.counts):
            return which, self.begins, self.ends
        return which, self.begins.take(which), self.ends.take(which)


def compute(
    function: str,
    column: Column,
    begins: np.ndarray,
    ends: np.ndarray,
    *,
    dtype: DataType,
    n: int | None = None,
    p: float | None = None,
) -> pa.Array:
    """A function over slices of a column's rows; nulls are ignored.

    Args:
        function: One of FUNCTIONS.
        column: The rows.
        begins, ends: The slices `[begin, end)`, each of rows of one key, in their order.
        dtype: The type of the result.
        n: With "last": a list of so many values at most, oldest first, instead of one value.
        p: The share for "percentile", from 0 to 1.

    Returns:
        One value per slice. Of no values it is null, but a count of any kind is 0.

    >>> column = Column(pa.array([1.0, None, 2.5, 4.0]), np.array([0, 3, 4]))
    >>> compute("sum", column, np.array([0, 1, 3]), np.array([3, 2, 4]), dtype=Float64).to_pylist()
    [3.5, None, 4.0]
    """
    slices = column.slices(begins, ends)
    if function == "last" and n is not None:
        found = _last_n(slices, n)
    elif function == "percentile" and p is not None:
        found = _percentile(slices, p)
    else:
        found = _FUNCTIONS[function](slices) if function in _FUNCTIONS else FUNCTIONS_OF_SUMS[function](slices)
    return found if found.type == dtype.arrow else found.cast(dtype.arrow)


def suffixes(bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row the slice from it to the last row of its key: what a window has left when all rows before have gone.

    >>> suffixes(np.array([0, 2, 3]))
    (array([0, 1, 2]), array([2, 2, 3]))
    """
    return np.arange(bounds[-1]), np.repeat(bounds[1:], np.diff(bounds))


def _count(slices: Sums) -> pa.Array:
    return array_of(Int64, slices.counts, None)


def _sum(slices: Sums) -> pa.Array:
    kind = slices.column.kind
    if kind.is_float:
        return array_of(Float64, slices.sums, slices.filled)
    if isinstance(kind, DecimalType):
        low, high, fits = slices.totals.words()
        fits &= _within_decimals(low, high)
        words = np.column_stack([low.view(np.int64), high])
        return array_of(types.Decimal(38, kind.scale), words, slices.filled & fits)
    found, fits = slices.totals.int64()
    return array_of(Int64, found, slices.filled & fits)


def _mean(slices: Sums) -> pa.Array:
    return array_of(Float64, slices.sums / np.maximum(slices.counts, 1), slices.filled)


def _variance(slices: Sums) -> pa.Array:
    return array_of(Float64, *slices.variances)


def _stddev(slices: Sums) -> pa.Array:
    found, there = slices.variances
    return array_of(Float64, np.sqrt(found), there)


def _min(slices: Slices) -> pa.Array:
    return _extreme(slices, least=True)


def _max(slices: Slices) -> pa.Array:
    return _extreme(slices, least=False)


def _extreme(slices: Slices, *, least: bool) -> pa.Array:
    which, begins, ends = slices.at_least(1)
    codes = np.zeros(len(slices.counts), dtype=np.int64)
    codes[which] = order.extremes(slices.column.codes.codes, begins, ends, least=least)
    return slices.column.codes.values(codes, slices.filled)


def _first(slices: Slices) -> pa.Array:
    return _taken(slices, slices.begins)


def _last(slices: Slices) -> pa.Array:
    return _taken(slices, slices.ends - 1)


def _taken(slices: Slices, places: np.ndarray) -> pa.Array:
    return slices.column.values.take(pa.array(places, mask=~slices.filled))


def _last_n(slices: Slices, n: int) -> pa.Array:
    counts = np.minimum(slices.counts, n)
    offsets = prefix_sums(counts)
    return last_values(slices, offsets, np.repeat(slices.ends - offsets[1:], counts) + np.arange(offsets[-1]))


def last_values(of: Sums, offsets: np.ndarray, places: np.ndarray) -> pa.Array:
    """Lists of the values at some places, null where there are none."""
    values = of.column.values.take(pa.array(places))
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()),
        values,
        type=pa.list_(values.type),
        mask=None if of.filled.all() else pa.array(~of.filled),
    )


def _count_distinct(slices: Slices) -> pa.Array:
    return array_of(Int64, _distinct(slices), None)


def _distinct(slices: Slices) -> np.ndarray:
    column = slices.column
    return order.count_distinct(column.distinct_codes, column.bounds, slices.begins, slices.ends)


def _approx_count_distinct(slices: Slices) -> pa.Array:
    found = _distinct(slices)
    which = np.flatnonzero(found > SAMPLE)
    if not len(which):
        return array_of(Int64, found, None)
    column, begins, ends = slices.column, slices.begins.take(which), slices.ends.take(which)

    def counts(kept: np.ndarray, asked: np.ndarray) -> np.ndarray:
        before = prefix_sums(kept)
        bounds, *places = (before.take(one) for one in (column.bounds, begins.take(asked), ends.take(asked)))
        return order.count_distinct(column.hashes[kept].view(np.int64), bounds, places[0], places[1])

    found[which] = within_sample(column.hashes, len(which), counts)
    return array_of(Int64, found, None)


def within_sample(hashes: np.ndarray, count: int, counts: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Adaptive sampling: with more than SAMPLE distinct values, those are counted whose hash is in the lower half of all hashes,
    of what is left the half again, until they are no more than that; each stands for 2**halvings.

    Args:
        hashes: Of everything that may be counted.
        count: How many questions there are, each with more than SAMPLE distinct values.
        counts: Given which of the hashes are in the sample, and which questions are still open, how many each of these has.
    """
    found, asked, halvings = np.zeros(count, dtype=np.int64), np.arange(count), 0
    while len(asked):
        halvings += 1
        counted = counts(hashes < np.uint64(1 << _HASH_BITS - halvings), asked)
        found[asked] = counted << halvings
        asked = asked[counted > SAMPLE]
    return found


def _percentile(slices: Slices, p: float) -> pa.Array:
    column = slices.column
    which, begins, ends = slices.at_least(1)
    found = np.zeros(len(slices.counts))
    found[which] = order.percentile(column.ranking, column.doubles, column.bounds, (begins, ends), p)
    return array_of(Float64, found, slices.filled)


FUNCTIONS_OF_SUMS: dict[str, Callable[[Sums], pa.Array]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "variance": _variance,
    "stddev": _stddev,
}
"""They look at nothing but sums, so they need no slices."""
_FUNCTIONS: dict[str, Callable[[Slices], pa.Array]] = {
    "min": _min,
    "max": _max,
    "first": _first,
    "last": _last,
    "count_distinct": _count_distinct,
    "approx_count_distinct": _approx_count_distinct,
}
FUNCTIONS = (*FUNCTIONS_OF_SUMS, *_FUNCTIONS, "percentile")


def _quotients(above: np.ndarray, below: np.ndarray) -> list[float]:
    return [_quotient(one, other) for one, other in zip(above.tolist(), below.tolist(), strict=True)]


def _quotient(above: int, below: int) -> float:
    # Python's division of integers is rounded once.
    try:
        return above / below
    except OverflowError:
        return float("inf")


def _integers(words: np.ndarray) -> np.ndarray:
    whole: np.ndarray = (words[:, 1].astype(object) << 64) + words[:, 0].view(np.uint64).astype(object)
    return whole


def _within_decimals(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether integers of 128 bits have at most 38 digits."""
    (most_high, most_low), (least_high, least_low) = (divmod(one, 1 << 64) for one in (_DECIMAL_LIMIT, -_DECIMAL_LIMIT))
    below = (high < most_high) | ((high == most_high) & (low < np.uint64(most_low)))
    above = (high > least_high) | ((high == least_high) & (low > np.uint64(least_low)))
    within: np.ndarray = below & above
    return within


def _one_array(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    return values.chunk(0) if values.num_chunks == 1 else pa.concat_arrays(values.chunks or [pa.array([], values.type)])
