"""Exact sums over slices: integers in pieces of a few bits, so that prefix sums cannot overflow, rounded once at the end.

Each number is a whole multiple of a grid, a power of two that all numbers of the column lie on. That multiple is cut into limbs of
`width` bits; the prefix sums of each limb are exact in 64 bits, and so is their difference over a slice. Only what is left of a slice
is put together and rounded, to nearest even, as `math.fsum` does. So a sum depends on no order, no chunk and no thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

# A limb's prefix sums stay below this many bits.
ROOM = 62
# The bits of a double's mantissa, and the exponent of the smallest number above zero.
MANTISSA, LEAST = 53, -1074
# Squares of more limbs than this are left to Python's integers: numbers of one column that are 2**100 apart are rare.
FEW_FACTORS = 8

Add = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""Sums arrays, one number per value, over slices of values."""


class Totals(NamedTuple):
    """The exact sum of each slice: `sum(limbs[i] * 2**(i * width)) * 2**grid`; all limbs but the last lie in [0, 2**width)."""

    limbs: list[np.ndarray]
    width: int
    grid: int

    def integers(self) -> np.ndarray:
        """The sums in units of the grid, as Python's integers."""
        return _joined(self.limbs, self.width)

    def doubles(self) -> np.ndarray:
        """The sums, each rounded once to the nearest double, ties to even; beyond all doubles it is infinite."""
        negative = self.limbs[-1] < 0
        limbs = self.limbs
        if negative.any():
            limbs = _carried([np.where(negative, -limb, limb) for limb in limbs], self.width)
        # The first 62 bits or so, and a last one that says whether there is anything behind them: enough to round by.
        first = limbs[-1].astype(np.uint64)
        exponent = np.full(len(first), self.grid, dtype=np.int64)
        behind, full = np.zeros(len(first), dtype=bool), np.zeros(len(first), dtype=bool)
        for limb in limbs[-2::-1]:
            shift = np.where(full, 0, np.clip(63 - np.frexp(first.astype(np.float64))[1], 0, self.width))
            rest = self.width - shift
            bits = limb.astype(np.uint64)
            kept = bits >> rest.astype(np.uint64)
            first = np.where(full, first, (first << shift.astype(np.uint64)) | kept)
            behind |= np.where(full, bits, bits - (kept << rest.astype(np.uint64))) != 0
            exponent += rest
            full |= rest > 0
        first |= behind
        with np.errstate(over="ignore", under="ignore"):
            found = np.ldexp(first.astype(np.float64), exponent)
        return np.where(negative, -found, found)

    def words(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The sums in units of the grid, in 128 bits: low words, high words, and whether each fits."""
        low = np.zeros(len(self.limbs[0]), dtype=np.uint64)
        high = np.zeros(len(low), dtype=np.int64)
        for number, limb in enumerate(self.limbs):
            place = number * self.width
            if place < 64:
                low += limb.astype(np.uint64) << np.uint64(place)
                high += limb >> min(64 - place, 63)
            else:
                high += limb << place - 64
        spare = 127 - (len(self.limbs) - 1) * self.width
        last = self.limbs[-1]
        fits = np.ones(len(low), dtype=bool) if spare >= 63 else (last >= -(1 << spare)) & (last < 1 << spare)
        return low, high, fits

    def int64(self) -> tuple[np.ndarray, np.ndarray]:
        """The sums in units of the grid, and whether each fits into 64 bits."""
        low, high, fits = self.words()
        found = low.astype(np.int64)
        return found, fits & (high == found >> 63)


class Numbers:
    """The numbers of a column, exact: whole multiples of `2**grid`.

    Args:
        values: float64 without NaN and infinities, int64, or pairs of 64-bit words (low, high) of integers of 128 bits.
    """

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self._room = ROOM - len(values).bit_length()
        self.grid, self.bits = _grid_of_floats(values) if values.dtype == np.float64 else (0, _bits_of_integers(values))

    def totals(self, add: Add) -> Totals:
        """The sum of each slice.

        Args:
            add: Sums arrays of integers over the slices.
        """
        count = -(-self.bits // self._room) or 1
        found = add(list(self._limbs(self._room, count)))
        return Totals(_carried(found, self._room), self._room, self.grid)

    def moments(self, add: Add) -> tuple[np.ndarray, np.ndarray]:
        """The sum of each slice and that of its squares, in units of the grid and of its square, as Python's integers."""
        # Up to FEW_FACTORS products of two limbs are added before they are summed.
        width = (self._room - FEW_FACTORS.bit_length()) // 2
        count = -(-self.bits // width) or 1
        if count > FEW_FACTORS:
            integers = self._integers()
            first, second = add([integers, integers * integers])
            return first, second
        limbs = list(self._limbs(width, count))
        squares: list[np.ndarray] = []
        for place in range(2 * count - 1):
            first_factor = max(0, place - count + 1)
            factors = range(first_factor, place - first_factor + 1)
            square = np.zeros(len(self.values), dtype=np.int64)
            for one in factors:
                square += limbs[one] * limbs[place - one]
            squares.append(square)
        found = add([*limbs, *squares])
        return _joined(found[:count], width), _joined(found[count:], width)

    def _integers(self) -> np.ndarray:
        """The numbers in units of the grid, as Python's integers."""
        if self.values.dtype != np.float64:
            return _joined(list(self._limbs(ROOM, -(-self.bits // ROOM) or 1)), ROOM)
        exponents = np.maximum(np.frexp(self.values)[1] - MANTISSA, self.grid)
        integers: np.ndarray = np.ldexp(self.values, -exponents).astype(np.int64).astype(object)
        integers <<= (exponents - self.grid).astype(object)
        return integers

    def _limbs(self, width: int, count: int) -> Iterator[np.ndarray]:
        """The limbs, lowest first, signed; they need not be carried."""
        if self.values.dtype == np.float64:
            yield from _limbs_of_floats(self.values, self.grid, width, count)
        elif count == 1:
            yield self.values if self.values.ndim == 1 else self.values[:, 0]
        else:
            yield from _limbs_of_integers(self.values, width, count)


def _grid_of_floats(values: np.ndarray) -> tuple[int, int]:
    """The exponent of a grid that all numbers lie on, and the bits that the greatest of them needs on it."""
    sizes = np.abs(values)
    greatest = sizes.max(initial=0.0)
    if not greatest:
        return 0, 0
    top = int(np.frexp(greatest)[1])
    # Whole numbers are common, and need far fewer bits.
    if top <= MANTISSA and (np.trunc(values) == values).all():
        return 0, top
    least = sizes.min(initial=np.inf, where=sizes > 0)
    grid = max(int(np.frexp(least)[1]) - MANTISSA, LEAST)
    return grid, top - grid


def _bits_of_integers(values: np.ndarray) -> int:
    if not len(values):
        return 0
    if values.ndim == 2:
        return 128
    return max(int(values.max()).bit_length(), (int(values.min()) + 1).bit_length()) + 1


def _limbs_of_floats(values: np.ndarray, grid: int, width: int, count: int) -> Iterator[np.ndarray]:
    limbs = []
    rest = values
    for place in range(count - 1, 0, -1):
        # Cutting off and taking away are exact: both leave a multiple of the last bit, and no more of them than there were.
        exponent = grid + place * width
        limb = np.trunc(_scaled(rest, -exponent))
        rest = rest - _scaled(limb, exponent)
        limbs.append(limb.astype(np.int64))
    limbs.append(_scaled(rest, -grid).astype(np.int64))
    yield from reversed(limbs)


def _scaled(values: np.ndarray, exponent: int) -> np.ndarray:
    if -1022 <= exponent <= 1023:
        return values * 2.0**exponent
    with np.errstate(under="ignore"):
        scaled: np.ndarray = np.ldexp(values, exponent)
    return scaled


def _limbs_of_integers(values: np.ndarray, width: int, count: int) -> Iterator[np.ndarray]:
    low, high = (values, values >> 63) if values.ndim == 1 else (values[:, 0], values[:, 1])
    mask = (1 << width) - 1
    for place in range(0, count * width, width):
        last = place + width >= count * width
        if place >= 64:
            bits = high >> min(place - 64, 63)
        elif place == 0:
            bits = low
        else:
            bits = (low.view(np.uint64) >> np.uint64(place)).view(np.int64) | (high << 64 - place)
        yield bits if last else bits & mask


def prefix_sums(values: np.ndarray) -> np.ndarray:
    """The sum of all values before each place, and before the end."""
    sums = np.zeros(len(values) + 1, dtype=object if values.dtype == object else np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


def _carried(limbs: list[np.ndarray], width: int) -> list[np.ndarray]:
    """The same number, in limbs that lie in [0, 2**width), but for the last."""
    if len(limbs) == 1:
        return limbs
    carried, over = [], np.zeros(len(limbs[0]), dtype=np.int64)
    for limb in limbs[:-1]:
        whole = limb + over
        over = whole >> width
        carried.append(whole - (over << width))
    return [*carried, limbs[-1] + over]


def _joined(limbs: list[np.ndarray], width: int) -> np.ndarray:
    """Python's integers of limbs, which may be of any size and sign."""
    whole: np.ndarray = limbs[-1].astype(object)
    for limb in limbs[-2::-1]:
        whole = (whole << width) + limb
    return whole
