"""Values of every type that windowed features look at, drawn at random, and the types that functions give."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from hitherto import types
from hitherto.types import Bool, Bytes, DataType, Date, Float32, Float64, Int8, Int64, List, String, Timestamp

NUMERIC = ("sum", "mean", "variance", "stddev", "percentile")
DAY, MOST = datetime(2020, 1, 1, tzinfo=UTC), 10**38 - 1
SPECIAL = [0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, -5e-324, 1.7976931348623157e308, -1.7976931348623157e308, 2.2250738585072014e-308, 0.1, 1e16]  # fmt: skip
FINITE = [one for one in SPECIAL if math.isfinite(one)]
Make = Callable[[random.Random], Any]
VALUES: dict[str, tuple[DataType, Make]] = {
    "any floats": (Float64, lambda rng: rng.choice([rng.choice(SPECIAL), rng.gauss(0, 1), any_float(rng)])),
    "finite floats": (Float64, lambda rng: rng.choice([rng.choice(FINITE), rng.gauss(0, 1)])),
    "floats around a hundred": (Float64, lambda rng: rng.gauss(100, 50)),
    "floats of many sizes": (Float64, lambda rng: rng.gauss(0, 1) * 2.0 ** rng.randint(-60, 60)),
    "amounts": (Float64, lambda rng: round(rng.expovariate(0.01), 2)),
    "whole floats": (Float64, lambda rng: float(rng.randint(-30, 400))),
    "short floats": (Float32, lambda rng: float(np.float32(rng.choice([rng.gauss(0, 1), 0.1, -0.0, math.nan, 3e38])))),
    "large integers": (Int64, lambda rng: rng.choice([rng.randint(-(2**63), 2**63 - 1), -(2**63), 2**63 - 1, 1])),
    "small integers": (Int8, lambda rng: rng.randint(-128, 127)),
    "long decimals": (types.Decimal(38, 10), lambda rng: decimal(rng.choice([rng.randint(-MOST, MOST), MOST, 7]), 10)),
    "short decimals": (types.Decimal(10, 2), lambda rng: decimal(rng.randint(-(10**9), 10**9), 2)),
    "text": (String, lambda rng: rng.choice(["a", "b", "", "é", "\U0001f600", "\uffff", "zz"])),
    "bytes": (Bytes, lambda rng: rng.choice([b"", b"\xff", b"a", b"ab"])),
    "bools": (Bool, lambda rng: rng.random() < 0.5),
    "dates": (Date, lambda rng: date(1970, 1, 1) + timedelta(days=rng.randint(-4, 4))),
    "times": (Timestamp, lambda rng: DAY + timedelta(microseconds=rng.randint(-4, 4))),
}


def any_float(rng: random.Random) -> float:
    return float(np.int64(rng.getrandbits(63)).view(np.float64))


def decimal(unscaled: int, scale: int) -> Decimal:
    digits = tuple(int(digit) for digit in str(abs(unscaled)))
    return Decimal((int(unscaled < 0), digits, -scale))


def result_type(function: str, kind: DataType, n: int | None) -> DataType:
    if "count" in function:
        return Int64
    if function == "sum" and isinstance(kind, types.DecimalType):
        return types.Decimal(38, kind.scale)
    if function == "sum" and kind.is_integer:
        return Int64
    if function in NUMERIC:
        return Float64
    return List(kind) if n else kind
