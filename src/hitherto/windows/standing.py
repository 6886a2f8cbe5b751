"""Sums over the rows of windows that are there at an instant, where some are not and too many would have to be spelled out.

Of the rows of a slice, those that have come by an instant and those that have gone by then are both rows below a limit, if each row is
numbered by when it comes, or goes, within its key. The wavelet matrix adds them up in so many steps as such a number has bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hitherto.search import last_at_most
from hitherto.types import DataType
from hitherto.windows import order
from hitherto.windows.kernel import FUNCTIONS_OF_SUMS, Column, Sums


class Standing:
    """The rows of slices that are there, each slice at an instant of its own.

    Args:
        bounds: The first row of each key, and the number of rows.
        starts, ends: From when on each row is there, and from when on not any more; none goes if `ends` is None.
        slices: Where each slice begins and ends.
        times: The instant of each.
    """

    def __init__(
        self,
        bounds: np.ndarray,
        starts: np.ndarray,
        ends: np.ndarray | None,
        slices: tuple[np.ndarray, np.ndarray],
        times: np.ndarray,
    ) -> None:
        self._bounds, self._slices = bounds, slices
        self._firsts = order.first_places(bounds, np.minimum(slices[0], slices[1] - 1))
        # A row that goes before it comes is never there: it comes when it goes.
        came = starts if ends is None else np.minimum(starts, ends)
        self._came = self._numbered(came, times)
        self._gone = None if ends is None else self._numbered(ends, times)

    def sums(self, weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The sums of arrays, one number per row."""
        bits = order.bits_of_places(self._bounds)
        came = order.sums_below(self._came[0], weights, self._slices, self._came[1], bits=bits)
        if self._gone is None:
            return came
        gone = order.sums_below(self._gone[0], weights, self._slices, self._gone[1], bits=bits)
        return [one - other for one, other in zip(came, gone, strict=True)]

    def _numbered(self, instants: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each row's number in its key by an instant, and for each slice how many rows of its key have one by its time."""
        places, numbers = order.sorted_by_key(instants, self._bounds)
        lasts = self._bounds.take(np.searchsorted(self._bounds, self._firsts, side="right"), mode="clip")
        found = last_at_most(instants.take(places), self._firsts, lasts, times)
        return numbers, found + 1 - self._firsts


def compute_standing(function: str, sums: Sums, *, dtype: DataType) -> pa.Array:
    """One of FUNCTIONS_OF_SUMS, over the rows that are there."""
    found = FUNCTIONS_OF_SUMS[function](sums)
    return found if found.type == dtype.arrow else found.cast(dtype.arrow)


def standing_sums(column: Column, standing: Standing) -> Sums:
    """What functions of sums need of a column, over the rows that are there."""
    places, count = column.places, len(column.rows)

    def add(values: Sequence[np.ndarray]) -> list[np.ndarray]:
        if places is None:
            return standing.sums(values)
        spread = [np.zeros(count, dtype=one.dtype) for one in values]
        for whole, one in zip(spread, values, strict=True):
            whole[places] = one
        return standing.sums(spread)

    (counts,) = standing.sums([column.valid.astype(np.int64)])
    return Sums(column, counts, add)
