"""Functions over slices against plain Python: every function, every type, every kind of slice."""

from __future__ import annotations

import math
import random

import numpy as np
import pyarrow as pa
import pytest

from hitherto import types
from hitherto.errors import UsageError
from hitherto.testing.aggregates import aggregate
from hitherto.types import DataType, Float64, Int64
from hitherto.windows import exact
from hitherto.windows.kernel import FUNCTIONS, Column, compute
from vectors import same
from window_values import NUMERIC, VALUES, result_type


def slices(rng: random.Random, sizes: list[int]) -> list[tuple[int, int]]:
    """Slices of each key, empty ones among them, in any order."""
    found, first = [], 0
    for size in sizes:
        places = [sorted((rng.randint(0, size), rng.randint(0, size))) for _ in range(6)]
        found += [(first + begin, first + end) for begin, end in [*places, [0, size]]]
        first += size
    rng.shuffle(found)
    return found


@pytest.mark.parametrize("nulls", [0.0, 0.3])
@pytest.mark.parametrize("name", VALUES)
def test_every_function_is_what_plain_python_makes_of_the_values(name: str, nulls: float) -> None:
    rng = random.Random(f"{name} {nulls}")
    kind, make = VALUES[name]
    sizes = [rng.randint(0, 9) for _ in range(40)] + [150]
    values = [None if rng.random() < nulls else make(rng) for _ in range(sum(sizes))]
    column = Column(pa.array(values, kind.arrow), np.concatenate([[0], np.cumsum(sizes)]))
    asked = slices(rng, sizes)
    begins, ends = (np.array(places) for places in zip(*asked, strict=True))
    questions = [(one, None, None) for one in FUNCTIONS if one != "percentile"]
    questions += [("last", 3, None), *(("percentile", None, p) for p in (0.0, 0.1, 0.5, 1.0))]
    for function, n, p in questions:
        if function in NUMERIC and not kind.is_number:
            continue
        dtype = result_type(function, kind, n)
        found = compute(function, column, begins, ends, dtype=dtype, n=n, p=p)
        assert found.type == dtype.arrow
        for (begin, end), one in zip(asked, found.to_pylist(), strict=True):
            wanted = aggregate(function, values[begin:end], kind, n=n, p=p)
            assert same(one, wanted), (function, n, p, values[begin:end], one, wanted)


@pytest.mark.parametrize("function", ["count_distinct", "approx_count_distinct"])
def test_many_distinct_values_are_counted_as_declared(function: str) -> None:
    rng = random.Random(7)
    values = [rng.randint(0, 20_000) / 4 for _ in range(30_000)]
    column = Column(pa.array(values), np.array([0, 100, 30_000]))
    asked = [(0, 100), (100, 1_100), (100, 2_000), (100, 30_000), (5_000, 16_000)]
    begins, ends = (np.array(places) for places in zip(*asked, strict=True))
    found = compute(function, column, begins, ends, dtype=Int64).to_pylist()
    assert found == [aggregate(function, values[begin:end], Float64) for begin, end in asked]


def test_an_approximate_count_is_near_the_exact_one_whatever_the_order() -> None:
    values = np.arange(50_000)
    columns = [
        Column(pa.array(one), np.array([0, 50_000])) for one in (values, np.random.default_rng(1).permutation(values))
    ]
    counts = [compute("approx_count_distinct", one, np.array([0]), np.array([50_000]), dtype=Int64)[0].as_py() for one in columns]  # fmt: skip
    assert counts[0] == counts[1]
    assert abs(counts[0] - 50_000) < 50_000 * 0.15


def test_a_sum_of_many_numbers_of_all_sizes_is_rounded_once() -> None:
    rng = random.Random(3)
    values = [rng.gauss(0, 1) * 2.0 ** rng.randint(-900, 900) for _ in range(3_000)] + [1e-300, -1e300, 1e300]
    column = Column(pa.array(values), np.array([0, len(values)]))
    begins, ends = np.array([0, 10, 2_000]), np.array([3_003, 2_500, 3_003])
    found = compute("sum", column, begins, ends, dtype=Float64).to_pylist()
    assert found == [math.fsum(values[begin:end]) for begin, end in zip(begins, ends, strict=True)]


def test_results_do_not_depend_on_what_else_is_in_the_column() -> None:
    values = [0.1, 0.2, 0.3, 1e-9]
    alone = Column(pa.array(values), np.array([0, 4]))
    beside = Column(pa.chunked_array([[1e300, -1e-300], values]), np.array([0, 2, 6]))
    for function in ("sum", "mean", "variance", "stddev", "percentile"):
        one = compute(function, alone, np.array([0]), np.array([4]), dtype=Float64, p=0.3)
        other = compute(function, beside, np.array([2]), np.array([6]), dtype=Float64, p=0.3)
        assert one.equals(other)


def test_no_rows_and_no_slices() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    for column in (Column(pa.array([], pa.float64()), np.array([0])), Column(pa.array([1.0]), np.array([0, 1]))):
        for function in FUNCTIONS:
            dtype = result_type(function, Float64, None)
            assert compute(function, column, nothing, nothing, dtype=dtype, p=0.5).equals(pa.array([], dtype.arrow))


def test_a_column_of_no_known_type_is_refused() -> None:
    with pytest.raises(UsageError, match="month_day_nano"):
        Column(pa.array([], pa.month_day_nano_interval()), np.array([0]))


@pytest.mark.parametrize("kind", [Int64, types.Decimal(38, 4), Float64])
def test_moments_by_limbs_are_those_by_integers_of_any_size(kind: DataType, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(kind.name)
    values = [rng.randint(-(10**17), 10**17) for _ in range(500)]
    array = pa.array(values).cast(kind.arrow) if kind != Float64 else pa.array([one / 7 for one in values])
    begins, ends = np.array([0, 10, 499]), np.array([500, 12, 500])
    found = []
    for few in (8, 0):
        monkeypatch.setattr(exact, "FEW_FACTORS", few)
        found.append(compute("variance", Column(array, np.array([0, 500])), begins, ends, dtype=Float64).to_pylist())
    assert found[0] == found[1]
    assert found[0][2] is None
