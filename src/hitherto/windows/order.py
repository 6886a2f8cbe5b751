"""Questions about the order of values in slices: the least, the greatest, the k-th, how many are below, how many differ.

All answer many slices at once, in a number of NumPy steps that grows with the logarithm of the longest slice and no faster, so a key with a
million rows has no plan that could go wrong. One level of a structure is in memory at a time, and all slices pass through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np


def extremes(codes: np.ndarray, begins: np.ndarray, ends: np.ndarray, *, least: bool) -> np.ndarray:
    """The least or the greatest code of each slice; none may be empty.

    A sparse table: level i knows the extreme of each 2**i codes in a row, and two of these, which may overlap, cover a slice.

    >>> extremes(np.array([3, 1, 2, 5]), np.array([0, 2]), np.array([3, 4]), least=True)
    array([1, 2])
    """
    pick = np.minimum if least else np.maximum
    levels = np.frexp((ends - begins).astype(np.float64))[1] - 1
    found = np.empty(len(begins), dtype=codes.dtype)
    for level in range(int(levels.max(initial=-1)) + 1):
        if level:
            step = 1 << level - 1
            codes = pick(codes[:-step], codes[step:])
        which = np.flatnonzero(levels == level)
        found[which] = pick(codes.take(begins.take(which)), codes.take(ends.take(which) - (1 << level)))
    return found


def count_below(
    values: np.ndarray, begins: np.ndarray, ends: np.ndarray, limits: np.ndarray, *, bits: int
) -> np.ndarray:
    """How many values of each slice are below a limit of its own; values and limits are below `2**bits`.

    >>> count_below(np.array([3, 1, 2, 5]), np.array([0, 1]), np.array([4, 3]), np.array([3, 2]), bits=3)
    array([2, 1])
    """
    found = np.zeros(len(begins), dtype=np.int64)
    for bit, zeros in _levels(values, bits):
        from_, to = zeros.take(begins), zeros.take(ends)
        ones = (limits >> bit & 1).astype(bool)
        found += np.where(ones, to - from_, 0)
        begins = np.where(ones, begins - from_ + zeros[-1], from_)
        ends = np.where(ones, ends - to + zeros[-1], to)
    return found


def kth_least(values: np.ndarray, begins: np.ndarray, ends: np.ndarray, k: np.ndarray, *, bits: int) -> np.ndarray:
    """The value of each slice that has k smaller ones before it, where the slice is sorted; values are below `2**bits`.

    >>> kth_least(np.array([3, 1, 2, 5]), np.array([0, 1]), np.array([4, 3]), np.array([3, 0]), bits=3)
    array([5, 1])
    """
    found = np.zeros(len(begins), dtype=np.int64)
    for bit, zeros in _levels(values, bits):
        from_, to = zeros.take(begins), zeros.take(ends)
        ones = k >= to - from_
        k = np.where(ones, k - (to - from_), k)
        found |= ones.astype(np.int64) << bit
        begins = np.where(ones, begins - from_ + zeros[-1], from_)
        ends = np.where(ones, ends - to + zeros[-1], to)
    return found


def kth_least_of_difference(
    values: tuple[np.ndarray, np.ndarray], ends: tuple[np.ndarray, np.ndarray], k: np.ndarray, *, bits: int
) -> np.ndarray:
    """The k-th least, from 0, of the first so many values of one order that are not among the first so many of another.

    Args:
        values: Of each key the same values, below `2**bits`, in two orders.
        ends: For each question the end of a slice of each, both from the first value of one key on; the second has none that the first lacks.
        k: Which is asked for.

    >>> orders = np.array([5, 1, 3]), np.array([1, 3, 5])
    >>> kth_least_of_difference(orders, (np.array([3, 2]), np.array([1, 0])), np.array([1, 0]), bits=3)
    array([5, 1])
    """
    found = np.zeros(len(k), dtype=np.int64)
    came, gone = ends
    for (bit, zeros), (_, other) in zip(_levels(values[0], bits), _levels(values[1], bits), strict=True):
        # On each level a key's slices begin at the same place in both, so that what is before them cancels out.
        to, other_to = zeros.take(came), other.take(gone)
        ones = k >= to - other_to
        k = np.where(ones, k - (to - other_to), k)
        found |= ones.astype(np.int64) << bit
        came = np.where(ones, came - to + zeros[-1], to)
        gone = np.where(ones, gone - other_to + zeros[-1], other_to)
    return found


def _levels(values: np.ndarray, bits: int) -> Iterator[tuple[int, np.ndarray]]:
    """A wavelet matrix, level by level from the highest bit: how many values before each place have a zero there.

    From level to level the values with a zero go to the front and those with a one behind them, each in their order; so a slice's zeros, and
    its ones, are slices of the next level.
    """
    for bit in range(bits - 1, -1, -1):
        zero = (values >> bit & 1) == 0
        zeros = np.zeros(len(values) + 1, dtype=np.int64)
        np.cumsum(zero, out=zeros[1:])
        yield bit, zeros
        if bit:
            values = np.concatenate([values[zero], values[~zero]])


def places_of_equals(codes: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """For each place, one more than the place of the last equal code before it in its key, counted from the key's first; 0 for none.

    >>> places_of_equals(np.array([7, 8, 7, 7, 8]), np.array([0, 3, 5]))
    array([0, 0, 1, 0, 0])
    """
    keys, within = _keys_and_places(bounds, len(codes))
    order = np.lexsort((codes, keys))
    same = (codes[order[1:]] == codes[order[:-1]]) & (keys[order[1:]] == keys[order[:-1]])
    before = np.zeros(len(codes), dtype=np.int64)
    before[order[1:][same]] = within[order[:-1][same]] + 1
    return before


def count_distinct(codes: np.ndarray, bounds: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """How many different codes each slice has: those that have no equal before them in the slice."""
    firsts = first_places(bounds, begins)
    before = places_of_equals(codes, bounds)
    limits = begins - firsts + 1
    return count_below(before, begins, ends, limits, bits=bits_of_places(bounds))


def sorted_by_key(codes: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places of each key's codes in their order, and for each place its rank in that of its key, from 0."""
    keys, within = _keys_and_places(bounds, len(codes))
    order = np.lexsort((codes, keys))
    ranks = np.empty(len(codes), dtype=np.int64)
    ranks[order] = within
    return order, ranks


def first_places(bounds: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """The first place of the key that each slice belongs to; means nothing for empty slices."""
    firsts: np.ndarray = bounds.take(np.searchsorted(bounds, begins, side="right") - 1, mode="clip")
    return firsts


def percentile(
    ranking: tuple[np.ndarray, np.ndarray],
    doubles: Callable[[np.ndarray], np.ndarray],
    bounds: np.ndarray,
    slices: tuple[np.ndarray, np.ndarray],
    p: float,
) -> np.ndarray:
    """The p-quantile of each slice, none of which may be empty.

    Args:
        ranking: The places of each key's values in their order, and for each place its rank.
        doubles: What turns places into doubles.
        bounds: The first value of each key, and the number of values.
        slices: Where each begins and ends.
        p: The share.
    """
    places, ranks = ranking
    begins, ends = slices
    firsts, bits = first_places(bounds, begins), bits_of_places(bounds)

    def values(k: np.ndarray) -> np.ndarray:
        found = np.tile(firsts, 2) + kth_least(ranks, np.tile(begins, 2), np.tile(ends, 2), k, bits=bits)
        return doubles(places.take(found))

    return quantile(ends - begins, p, values)


def quantile(counts: np.ndarray, p: float, values: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The p-quantile of so many values each, by linear interpolation between the two nearest.

    Args:
        counts: How many values there are, one at least.
        p: The share.
        values: Given `k` twice for each, one after the other, the k-th least values. Both in one pass, since most of the work is that of levels.
    """
    exact = p * (counts - 1)
    lower = np.floor(exact).astype(np.int64)
    upper = np.minimum(lower + 1, counts - 1)
    below, above = np.split(values(np.concatenate([lower, upper])), 2)
    return interpolated(below, above, exact - lower)


def interpolated(below: np.ndarray, above: np.ndarray, share: np.ndarray) -> np.ndarray:
    """From one value to the next by a share, in doubles; a value itself where both are equal or the share is zero."""
    with np.errstate(invalid="ignore", over="ignore"):
        distance = above - below
        found = below + distance * share
        # A distance beyond all doubles.
        found = np.where(np.isfinite(distance), found, below * (1 - share) + above * share)
    return np.where((share == 0) | (below == above), below, found)


def greatest_so_far(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The greatest value up to each place, where a new group begins with each first one.

    >>> greatest_so_far(np.array([3, 1, 4, 1, 2]), np.array([True, False, False, True, False]))
    array([3, 3, 4, 1, 2])
    """
    places = np.argsort(values, kind="stable")
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[places] = np.arange(len(values))
    # All ranks of a group are above those of the groups before it.
    above = np.cumsum(first) * len(values)
    found: np.ndarray = values.take(places.take(np.maximum.accumulate(ranks + above) - above))
    return found


def places_in_key(bounds: np.ndarray, count: int) -> np.ndarray:
    """For each place its place among those of its key."""
    return _keys_and_places(bounds, count)[1]


def _keys_and_places(bounds: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each place the number of its key, and its place among that key's."""
    lengths = np.diff(bounds)
    keys = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    return keys, np.arange(count, dtype=np.int64) - np.repeat(bounds[:-1], lengths)


def bits_of_places(bounds: np.ndarray) -> int:
    """The bits of a place in the longest key, and of one more."""
    return int(np.diff(bounds).max(initial=0)).bit_length()
