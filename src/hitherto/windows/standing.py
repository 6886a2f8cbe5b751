"""Functions over the rows of windows that are there at an instant, where some are not and too many would have to be spelled out.

A row is in a window of one length from its start on until it leaves: when it is masked, corrected, or too old. So what a request sees
are the rows of its key that have come by its time, without those that have left by then. Sorted by start, and once more by when they leave,
both are the first so many: a sum is a difference of two prefix sums, the k-th value is found by descending two wavelet matrices at once, and
distinct values are counted as rows are, once the lives of equal values have been united. So a request costs the logarithm of its key's rows,
however many of them are late. Rows that leave when they come or before are never there; they count on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa

from hitherto.search import blocks, last_at_most
from hitherto.types import DataType, Float64, Int64
from hitherto.windows import order
from hitherto.windows.codes import array_of
from hitherto.windows.exact import prefix_sums
from hitherto.windows.kernel import FUNCTIONS_OF_SUMS, SAMPLE, Column, Sums, last_values, within_sample

# So many questions go through the levels of the wavelet matrices at a time.
BLOCK = 1 << 20


class Moments:
    """An instant of each row, sorted within keys.

    Args:
        instants: One for each row.
        bounds: The first row of each key, and the number of rows.
    """

    def __init__(self, instants: np.ndarray, bounds: np.ndarray) -> None:
        self.places, _ = order.sorted_by_key(instants, bounds)
        self._bounds, self._sorted = bounds, instants.take(self.places)

    def until(self, keys: np.ndarray, times: np.ndarray) -> np.ndarray:
        """For each request the place behind the last instant of its key that is not after its time."""
        begins, ends = self._bounds.take(keys), self._bounds.take(keys + 1)
        found: np.ndarray = last_at_most(self._sorted, begins, ends, times) + 1
        return found


class Lives:
    """Rows of keys, each of which is there from its start on until it leaves.

    Args:
        bounds: The first row of each key, and the number of rows.
        starts, leaves: When each comes and goes; no row goes before it comes.
    """

    def __init__(self, bounds: np.ndarray, starts: np.ndarray, leaves: np.ndarray) -> None:
        self.bounds, self._starts, self._leaves = bounds, starts, leaves

    @cached_property
    def came(self) -> Moments:
        """The rows in the order in which they come."""
        return Moments(self._starts, self.bounds)

    @cached_property
    def gone(self) -> Moments:
        """The rows in the order in which they go."""
        return Moments(self._leaves, self.bounds)

    def counts(self, keys: np.ndarray, times: np.ndarray) -> np.ndarray:
        """How many rows of each request's key are there at its time."""
        found: np.ndarray = self.came.until(keys, times) - self.gone.until(keys, times)
        return found

    def only(self, kept: np.ndarray) -> Lives:
        """Some of the rows."""
        return Lives(prefix_sums(kept).take(self.bounds), self._starts[kept], self._leaves[kept])

    def united(self, codes: np.ndarray) -> tuple[Lives, np.ndarray]:
        """When at least one of the rows with a code is there, each such time as a row of its own, and the code of each."""
        keys = np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))
        places = np.lexsort((self._starts, codes, keys))
        codes, starts = codes.take(places), self._starts.take(places)
        first = np.ones(len(places), dtype=bool)
        first[1:] = (codes[1:] != codes[:-1]) | (keys[1:] != keys[:-1])
        leaves = order.greatest_so_far(self._leaves.take(places), first)
        # A gap: all before have left.
        first[1:] |= starts[1:] > leaves[:-1]
        last = np.append(first[1:], True)[: len(first)]
        return Lives(prefix_sums(first).take(self.bounds), starts[first], leaves[last]), codes[first]


class Standing(Sums):
    """The values of a column that are there, for requests of keys that have rows.

    Args:
        column: The values.
        lives: When each of them is there.
        keys, times: The requests; a key is its number among those of the column.
    """

    def __init__(self, column: Column, lives: Lives, keys: np.ndarray, times: np.ndarray) -> None:
        self._lives, self._keys, self._times = lives, keys, times
        self._came, self._gone = lives.came.until(keys, times), lives.gone.until(keys, times)
        super().__init__(column, self._came - self._gone, self._differences)

    def _differences(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        # Before the first row of a key both have the same values, in another order.
        came, gone = self._lives.came.places, self._lives.gone.places
        return [
            prefix_sums(one.take(came)).take(self._came) - prefix_sums(one.take(gone)).take(self._gone)
            for one in values
        ]

    def newest(self) -> np.ndarray:
        """The place of the last value of each request, -1 for none."""
        found = np.full(len(self.counts), -1, dtype=np.int64)
        which = np.flatnonzero(self.filled)
        found[which] = self.in_order_of_rows(which, self.counts.take(which) - 1)
        return found

    def in_order_of_rows(self, which: np.ndarray, k: np.ndarray) -> np.ndarray:
        """The place of the k-th value of some requests, which may be named more than once, in the order of rows."""
        ranks = order.places_in_key(self.column.bounds, len(self.column.values))
        found: np.ndarray = self._firsts(which) + self._kth(ranks, which, k)
        return found

    def in_order_of_values(self, which: np.ndarray, k: np.ndarray) -> np.ndarray:
        """The place of the k-th least value of some requests."""
        places, ranks = self.column.ranking
        found: np.ndarray = places.take(self._firsts(which) + self._kth(ranks, which, k))
        return found

    def _firsts(self, which: np.ndarray) -> np.ndarray:
        return self.column.bounds.take(self._keys.take(which))

    def _kth(self, ranks: np.ndarray, which: np.ndarray, k: np.ndarray) -> np.ndarray:
        came, gone = ranks.take(self._lives.came.places), ranks.take(self._lives.gone.places)
        bits = order.bits_of_places(self.column.bounds)
        found = np.empty(len(which), dtype=np.int64)
        for block in blocks(len(which), BLOCK):
            ends = self._came.take(which[block]), self._gone.take(which[block])
            found[block] = order.kth_least_of_difference((came, gone), ends, k[block], bits=bits)
        return found

    def distinct(self, codes: np.ndarray) -> np.ndarray:
        """How many different codes the values of each request have."""
        lives, _ = self._lives.united(codes)
        return lives.counts(self._keys, self._times)

    def sampled(self, which: np.ndarray) -> np.ndarray:
        """The estimates of adaptive sampling for some requests (see `kernel.within_sample`)."""
        lives, codes = self._lives.united(self.column.hashes.view(np.int64))
        keys, times, hashes = self._keys.take(which), self._times.take(which), codes.view(np.uint64)

        def counts(kept: np.ndarray, asked: np.ndarray) -> np.ndarray:
            return lives.only(kept).counts(keys.take(asked), times.take(asked))

        return within_sample(hashes, len(which), counts)


def compute_standing(
    function: str, standing: Standing, *, dtype: DataType, n: int | None = None, p: float | None = None
) -> pa.Array:
    """A function over the values that are there; see `kernel.compute`."""
    if function == "last" and n is not None:
        found = _last_n(standing, n)
    elif function == "percentile" and p is not None:
        found = _percentile(standing, p)
    else:
        found = _FUNCTIONS[function](standing) if function in _FUNCTIONS else FUNCTIONS_OF_SUMS[function](standing)
    return found if found.type == dtype.arrow else found.cast(dtype.arrow)


def _min(standing: Standing) -> pa.Array:
    return _extreme(standing, np.zeros(len(standing.counts), dtype=np.int64))


def _max(standing: Standing) -> pa.Array:
    return _extreme(standing, standing.counts - 1)


def _extreme(standing: Standing, k: np.ndarray) -> pa.Array:
    which = np.flatnonzero(standing.filled)
    codes = np.zeros(len(k), dtype=np.int64)
    codes[which] = standing.column.codes.codes.take(standing.in_order_of_values(which, k.take(which)))
    return standing.column.codes.values(codes, standing.filled)


def _first(standing: Standing) -> pa.Array:
    which = np.flatnonzero(standing.filled)
    places = np.zeros(len(standing.counts), dtype=np.int64)
    places[which] = standing.in_order_of_rows(which, np.zeros(len(which), dtype=np.int64))
    return standing.column.values.take(pa.array(places, mask=~standing.filled))


def _last(standing: Standing) -> pa.Array:
    return standing.column.values.take(pa.array(standing.newest(), mask=~standing.filled))


def _last_n(standing: Standing, n: int) -> pa.Array:
    counts = np.minimum(standing.counts, n)
    offsets = prefix_sums(counts)
    k = np.repeat(standing.counts - offsets[1:], counts) + np.arange(offsets[-1])
    which = np.repeat(np.arange(len(counts)), counts)
    return last_values(standing, offsets, standing.in_order_of_rows(which, k))


def _count_distinct(standing: Standing) -> pa.Array:
    return array_of(Int64, standing.distinct(standing.column.distinct_codes), None)


def _approx_count_distinct(standing: Standing) -> pa.Array:
    found = standing.distinct(standing.column.distinct_codes)
    which = np.flatnonzero(found > SAMPLE)
    if len(which):
        found[which] = standing.sampled(which)
    return array_of(Int64, found, None)


def _percentile(standing: Standing, p: float) -> pa.Array:
    which = np.flatnonzero(standing.filled)

    def values(k: np.ndarray) -> np.ndarray:
        return standing.column.doubles(standing.in_order_of_values(np.tile(which, 2), k))

    found = np.zeros(len(standing.counts))
    found[which] = order.quantile(standing.counts.take(which), p, values)
    return array_of(Float64, found, standing.filled)


_FUNCTIONS: dict[str, Callable[[Standing], pa.Array]] = {
    "min": _min,
    "max": _max,
    "first": _first,
    "last": _last,
    "count_distinct": _count_distinct,
    "approx_count_distinct": _approx_count_distinct,
}
