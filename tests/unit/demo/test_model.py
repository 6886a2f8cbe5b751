from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from hitherto.demo.model import SPLIT, Models, Quality, bins, compare, fit, tell_models
from hitherto.demo.telling import Grid, Words

EVERY = np.ones(8, dtype=bool)


def chunked(values: list[object], kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


def test_numbers_fall_into_bins_in_their_order_and_nulls_into_one_of_their_own():
    found = bins(chunked([3.0, None, 1.0, 2.0, 1.0, None, 9.0, 2.5]), EVERY)
    assert found[2] == found[4] < found[3] < found[7] < found[0] <= found[6] < found[1] == found[5]


def test_bins_are_those_of_what_is_learned_from():
    learned = np.array([True] * 4 + [False] * 4)
    column = [1.0, 2.0, 3.0, 4.0]
    alone = bins(chunked(column), EVERY[:4])
    assert bins(chunked([*column, 900.0, -900.0, 800.0, None]), learned)[:4].tolist() == alone.tolist()


def test_texts_are_what_they_are():
    found = bins(chunked(["BOEING", None, "AIRBUS", "BOEING"]), EVERY[:4])
    assert found[0] == found[3]
    assert len(set(found.tolist())) == 3


@pytest.mark.parametrize("kind", [pa.float64(), pa.string()])
def test_a_column_of_nulls_is_one_bin(kind: pa.DataType):
    assert len(set(bins(chunked([None] * 8, kind), EVERY).tolist())) == 1


def test_weights_rise_with_the_share_of_late_flights():
    generator = np.random.default_rng(1)
    column = generator.integers(0, 3, 3_000)
    late = (generator.random(3_000) < np.array([0.1, 0.5, 0.9])[column]).astype(float)
    (weights,) = fit([column], late)
    assert weights[0] < weights[1] < weights[2]
    # With one column the model is exact: the share of late flights in each bin, a little held back.
    assert 1 / (1 + np.exp(-weights)) == pytest.approx([0.1, 0.5, 0.9], abs=0.05)


def table(rows: int = 4_000) -> pa.Table:
    """Flights before and after the split, late by two features that have nothing to do with each other, and noise."""
    generator = np.random.default_rng(7)
    first, second, noise = generator.normal(size=(3, rows))
    late = first + second + generator.normal(size=rows) > 0
    times = [SPLIT + timedelta(hours=int(hour)) for hour in generator.integers(-1_000, 1_000, rows)]
    columns = {"event_timestamp": times, "late": late, "a": first, "b": second, "c": noise}
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def test_what_tells_something_makes_a_model_better_and_noise_does_not():
    one, two, three = compare(table(), {"a": ["a"], "and b": ["b"], "and c": ["c"]})
    assert [quality.features for quality in (one, two, three)] == [1, 2, 3]
    assert 0.65 < one.auc < two.auc - 0.05
    assert three.auc == pytest.approx(two.auc, abs=0.02)


def test_a_model_is_measured_on_what_it_has_not_seen():
    flights = table()
    after = np.array([time >= SPLIT for time in flights.column("event_timestamp").to_pylist()])
    late = np.where(after, ~np.array(flights.column("late").to_pylist()), flights.column("late").to_pylist())
    turned = flights.set_column(1, "late", pa.array(late))
    (quality,) = compare(turned, {"a": ["a"]})
    assert quality.auc < 0.4


def test_each_gain_is_told():
    models = Models([Quality("a", 1, 0.7), Quality("and b", 2, 0.75), Quality("and c", 3, 0.749)], 1_234)
    section = tell_models(models)
    assert "1,234" in section.why
    (grid,) = section.body
    assert isinstance(grid, Grid)
    gains = [row[3] for row in grid.rows]
    assert gains == [Words(""), Words("+0.050", "good"), Words("-0.001", "warn")]
    assert [row[1] for row in grid.rows] == ["1", "2", "3"]


def test_the_split_is_in_the_year():
    assert datetime(2013, 1, 1) < SPLIT < datetime(2013, 12, 31)
