"""Floats are written so that they read back, in few digits."""

from __future__ import annotations

import math
import random
import struct

import pytest

from hitherto.encoding.numbers import float32_text, float64_text


def test_a_double_reads_back_bit_for_bit() -> None:
    generator = random.Random(2)
    for _ in range(5000):
        (number,) = struct.unpack("d", generator.randbytes(8))
        if math.isfinite(number):
            assert float(float64_text(number)) == number


def test_a_float_reads_back_bit_for_bit_and_is_short() -> None:
    generator = random.Random(2)
    for _ in range(1000):
        (number,) = struct.unpack("f", generator.randbytes(4))
        if math.isfinite(number):
            text = float32_text(number)
            assert struct.pack("f", float(text)) == struct.pack("f", number)
    assert [float32_text(number / 100) for number in range(1, 1000, 7)] == [
        repr(number / 100) for number in range(1, 1000, 7)
    ]


def test_numbers_beyond_a_float_are_infinite() -> None:
    assert (float32_text(1e39), float32_text(-1e39), float32_text(math.nan)) == ('"Infinity"', '"-Infinity"', '"NaN"')


@pytest.mark.parametrize("value", [True, "1", None, 2**53 + 1])
def test_only_numbers_that_are_floats_are_taken(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        float64_text(value)
