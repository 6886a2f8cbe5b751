"""Results that come part by part, in any order, as one column in the order of the requests."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hitherto.types import Bool, DataType, DecimalType
from hitherto.windows.codes import array_of, numpy_of, numpy_type


class Output:
    """A column that is filled part by part, by several threads.

    Args:
        kind: Its type.
        count: Its length.
    """

    def __init__(self, kind: DataType, count: int) -> None:
        self._kind, self._count = kind, count
        # Numbers are put in their places at once; others are kept, and taken in their order at the end.
        arrow = kind.arrow
        self._flat = pa.types.is_primitive(arrow) and kind != Bool and not isinstance(kind, DecimalType)
        self._values = np.zeros(count if self._flat else 0, dtype=numpy_type(kind) if self._flat else np.int8)
        self._there = np.ones(count, dtype=bool)
        self._parts: list[tuple[np.ndarray, pa.Array]] = []

    def put(self, places: np.ndarray, part: pa.Array) -> None:
        """Put values in their places."""
        if not self._flat:
            self._parts.append((places, part))
            return
        self._values[places] = numpy_of(part)
        if part.null_count:
            self._there[places] = part.is_valid().to_numpy(zero_copy_only=False)

    def column(self) -> pa.ChunkedArray:
        """The column; all its places have been filled."""
        if self._flat:
            return pa.chunked_array([array_of(self._kind, self._values, self._there)])
        if not self._parts:
            return pa.chunked_array([], self._kind.arrow)
        places = np.concatenate([places for places, _ in self._parts])
        whole = pa.chunked_array([part for _, part in self._parts])
        if (places[1:] > places[:-1]).all():
            return whole
        back = np.empty(self._count, dtype=np.int64)
        back[places] = np.arange(self._count)
        return whole.take(pa.array(back))
