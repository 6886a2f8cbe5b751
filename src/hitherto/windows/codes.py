"""Values as 64-bit codes that are ordered and equal as the values are, and fixed-width columns as NumPy arrays and back.

For floats -0.0 is less than 0.0, and NaN is one value, the greatest. Text and bytes are ordered byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hitherto.types import Bool, DataType, Date, Timestamp

_NOT_THE_SIGN = np.int64((1 << 63) - 1)


class Codes(NamedTuple):
    """Codes of the values of a column, and the way back."""

    codes: np.ndarray
    values: Callable[[np.ndarray, np.ndarray | None], pa.Array]
    """The values of codes; null where a mask says that there is none."""


def encoded(array: pa.Array, kind: DataType) -> Codes:
    """The codes of a column of a scalar type, which has no nulls."""
    if kind.is_float:
        return Codes(
            float_codes(numpy_of(array).astype(np.float64)),
            lambda codes, there: array_of(kind, _floats(codes).astype(numpy_type(kind)), there),
        )
    if kind == Bool:
        return Codes(
            numpy_of(array.cast(pa.int8())).astype(np.int64),
            lambda codes, there: pa.array(codes.astype(bool), mask=None if there is None else ~there),
        )
    if kind.is_integer or kind in (Date, Timestamp):
        return Codes(
            numpy_of(array).astype(np.int64),
            lambda codes, there: array_of(kind, codes.astype(numpy_type(kind)), there),
        )
    return _ranked(array)


def _ranked(array: pa.Array) -> Codes:
    """The codes are ranks among the column's distinct values."""
    dictionary = array.dictionary_encode()
    order = pc.sort_indices(dictionary.dictionary)
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order.to_numpy()] = np.arange(len(order))
    ascending = dictionary.dictionary.take(order)
    return Codes(
        ranks.take(numpy_of(dictionary.indices)),
        lambda codes, there: ascending.take(pa.array(codes, mask=None if there is None else ~there)),
    )


def float_codes(values: np.ndarray) -> np.ndarray:
    """Integers in the order of doubles: those of the bits, but that negative numbers count down."""
    bits = np.where(np.isnan(values), np.nan, values).view(np.int64)
    codes: np.ndarray = bits ^ (bits >> 63 & _NOT_THE_SIGN)
    return codes


def _floats(codes: np.ndarray) -> np.ndarray:
    values: np.ndarray = (codes ^ (codes >> 63 & _NOT_THE_SIGN)).view(np.float64)
    return values


def without_negative_zero(codes: np.ndarray) -> np.ndarray:
    """Codes of floats in which both zeros are one value."""
    return np.where(codes == -1, 0, codes)


def numpy_type(kind: DataType) -> np.dtype:
    """How one value of a fixed-width type lies in memory."""
    letter = "f" if kind.is_float else "i"
    return np.dtype(f"{letter}{kind.arrow.bit_width // 8}")


def numpy_of(array: pa.Array) -> np.ndarray:
    """The values of a column of numbers without nulls, not copied; of Decimals their low and high 64-bit words, in rows."""
    width = array.type.bit_width // 8
    if width == 16:
        words = np.frombuffer(array.buffers()[1], np.int64).reshape(-1, 2)
        return words[array.offset : array.offset + len(array)]
    letter = "f" if pa.types.is_floating(array.type) else "i"
    values = np.frombuffer(array.buffers()[1], np.dtype(f"{letter}{width}"))
    return values[array.offset : array.offset + len(array)]


def array_of(kind: DataType, values: np.ndarray, there: np.ndarray | None) -> pa.Array:
    """A column of a fixed-width type from its values in memory, null where a mask says that there is none."""
    bitmap = None if there is None or there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(kind.arrow, len(values), [bitmap, buffer])


def doubles_of_decimals(whole: np.ndarray, scale: int) -> np.ndarray:
    """`whole / 10**scale`, each rounded once to the nearest double. The whole numbers are int64 or Python's integers."""
    if whole.dtype == np.int64:
        # One division of two numbers that are exact is rounded once.
        small = np.abs(whole) <= 1 << 53 if scale <= 22 else np.zeros(len(whole), dtype=bool)
        found = whole / 10.0**scale
        large = np.flatnonzero(~small)
        found[large] = doubles_of_decimals(whole[large].astype(object), scale) if len(large) else 0.0
        return found
    unit = 10**scale
    return np.array([one / unit for one in whole.tolist()], dtype=np.float64)
