"""Functions over Polars expressions: rows that fail, alone and among others, and expressions that mix rows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from hitherto import Field, FunctionError, OnDemandFeatureView, RequestSource, on_demand_feature_view
from hitherto.on_demand import polars_mode
from hitherto.on_demand.evaluation import Causes
from hitherto.on_demand.polars_mode import TRIES, PolarsEvaluator, misfits
from hitherto.types import Bool, DataType, Float64, Int64, List, String, Timestamp
from vectors import VECTORS

SOURCE = RequestSource(
    "source",
    schema=[Field("x", Float64), Field("k", String), Field("n", Int64), Field("t", String), Field("at", Timestamp)],
)


def evaluator(view: OnDemandFeatureView) -> PolarsEvaluator:
    assert view.function is not None
    return PolarsEvaluator(view, view.function, view.parameters, Causes())


@on_demand_feature_view(sources=[SOURCE], schema=[Field("number", Float64), Field("again", String)], mode="polars")
def strict(t: pl.Expr) -> dict[str, pl.Expr]:
    return {"number": t.cast(pl.Float64), "again": t + "!"}


def of_texts(texts: Sequence[str | None], *, arrow: bool = False) -> list[tuple[list[Any], list[int]]]:
    one = evaluator(strict)
    if arrow:
        return [(made.values.to_pylist(), list(made.errors)) for made in one.of_arrow([pa.array(texts)], len(texts))]
    return [(made.values, list(made.errors)) for made in one.of_lists([texts], len(texts))]


@pytest.mark.parametrize("bad", [(), (0,), (299,), (7, 8, 150), range(0, 300, 3), range(300)], ids=lambda bad: len(bad))
def test_rows_that_fail_are_errors_and_all_others_have_their_values(bad: Sequence[int]) -> None:
    texts = ["x" if row in bad else str(row) for row in range(300)]
    wanted = [None if row in bad else float(row) for row in range(300)]
    for arrow in (False, True):
        assert of_texts(texts, arrow=arrow) == [(wanted, list(bad)), ([text + "!" for text in texts], [])]


def test_a_lookup_gives_up_where_too_many_rows_fail_and_a_training_set_does_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = 0
    run = polars_mode.evaluated

    def counted(*given: Any) -> Any:
        nonlocal tries
        tries += 1
        return run(*given)

    monkeypatch.setattr(polars_mode, "evaluated", counted)
    # The first quarter is good, and is found to be before the tries are used up.
    texts = ["1"] * 1_000 + ["x", "x", "1"] * 1_000
    with caplog.at_level(logging.WARNING):
        (values, errors), (again, none) = of_texts(texts)
    assert tries <= TRIES + 2
    assert (values[:1_000], again, none) == ([1.0] * 1_000, ["1!"] * 1_000 + ["x!", "x!", "1!"] * 1_000, [])
    assert set(errors) > {row for row, text in enumerate(texts) if text == "x"}
    assert [row for row, value in enumerate(values) if value is None] == errors
    assert sum("to tell them apart" in record.getMessage() for record in caplog.records) == 1
    assert of_texts(texts, arrow=True)[0][1] == [row for row, text in enumerate(texts) if text == "x"]


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", VECTORS, ids=repr)
def test_columns_of_a_lookup_are_those_of_a_training_set(kind: DataType, rows: int) -> None:
    source = RequestSource("source", schema=[Field("given", kind)])

    @on_demand_feature_view(sources=[source], schema=[Field("same", kind), Field("one", Int64)], mode="polars")
    def same(given: pl.Expr) -> Any:
        return {"same": given, "one": 1}

    values = [*VECTORS[kind], None][:rows]
    same_values, ones = evaluator(same).of_lists([values], rows)
    assert repr(same_values.values) == repr(values)
    assert (ones.values, list(ones.errors)) == ([1] * rows, [])


def test_whatever_a_function_raises_is_a_function_error() -> None:
    @on_demand_feature_view(sources=[SOURCE], schema=[Field("y", Float64)], mode="polars")
    def failing(x: pl.Expr) -> pl.Expr:
        raise asyncio.CancelledError

    with pytest.raises(FunctionError, match="raises CancelledError"):
        evaluator(failing)


MIXING: dict[str, tuple[DataType, Callable[..., Any]]] = {
    "forward_fill": (Float64, lambda x, k, n, at: x.forward_fill()),
    "backward_fill": (Float64, lambda x, k, n, at: x.backward_fill()),
    "fill_null": (Float64, lambda x, k, n, at: x.fill_null(strategy="forward")),
    "fill_mean": (Float64, lambda x, k, n, at: x.fill_null(x.mean())),
    "interpolate": (Float64, lambda x, k, n, at: x.interpolate()),
    "over": (Float64, lambda x, k, n, at: x.mean().over(k)),
    "over_max": (Float64, lambda x, k, n, at: x.max().over(k)),
    "share": (Float64, lambda x, k, n, at: x / x.mean().over(k)),
    "first": (Bool, lambda x, k, n, at: k.is_first_distinct()),
    "last": (Bool, lambda x, k, n, at: n.is_last_distinct()),
    "unique": (Bool, lambda x, k, n, at: k.is_unique()),
    "threshold": (Bool, lambda x, k, n, at: (x >= 0) & (x.max() > 1000)),
    "large": (Float64, lambda x, k, n, at: pl.when(x > 100).then(x.max()).otherwise(x)),
    "rank": (Int64, lambda x, k, n, at: n.rank("ordinal").cast(pl.Int64)),
    "shift": (String, lambda x, k, n, at: k.shift(1)),
    "sum": (Int64, lambda x, k, n, at: n.cum_sum()),
    "latest": (Bool, lambda x, k, n, at: at == at.max()),
    "shuffle": (Float64, lambda x, k, n, at: x.shuffle(seed=1)),
    "sort": (Float64, lambda x, k, n, at: x.sort()),
    "lists": (List(Float64), lambda x, k, n, at: pl.concat_list(x, x.max())),
    "in_batches": (
        Float64,
        lambda x, k, n, at: x.map_batches(lambda some: some - some.min() if len(some) > 5 else some * 0),
    ),
}
APART: dict[str, tuple[DataType, Callable[..., Any]]] = {
    "divided": (Float64, lambda x, k, n, at: x / 3 + n / 7),
    "constant": (Float64, lambda x, k, n, at: pl.lit(1.5)),
    "text": (String, lambda x, k, n, at: k.str.to_uppercase() + n.cast(pl.String)),
    "time": (Float64, lambda x, k, n, at: (at - datetime(2020, 1, 1, tzinfo=UTC)).dt.total_seconds() / 60.0),
    "case": (Bool, lambda x, k, n, at: pl.when(x > 1).then(n > 1).otherwise(k == "a")),
    "functions": (Float64, lambda x, k, n, at: x.exp().log1p().sqrt() + x.sin() + x.pow(0.3)),
    "lists": (List(Float64), lambda x, k, n, at: pl.concat_list(x, n.cast(pl.Float64))),
    "widest": (Float64, lambda x, k, n, at: pl.max_horizontal(x, n.cast(pl.Float64))),
    "own": (Float64, lambda x, k, n, at: x.map_elements(lambda one: float(str(one)), return_dtype=pl.Float64)),
    "fails": (Float64, lambda x, k, n, at: k.cast(pl.Float64)),
}


def found_in(kind: DataType, make: Callable[..., Any]) -> list[str]:
    @on_demand_feature_view(sources=[SOURCE], schema=[Field("y", kind)], mode="polars")
    def tried(x: pl.Expr, k: pl.Expr, n: pl.Expr, at: pl.Expr) -> Any:
        return make(x, k, n, at)

    assert tried.function is not None
    return list(misfits(tried, tried.function))


@pytest.mark.parametrize("name", MIXING)
def test_expressions_that_mix_rows_are_found(name: str) -> None:
    (found,) = found_in(*MIXING[name])
    assert "another value when other rows stand beside it" in found


@pytest.mark.parametrize("name", APART)
def test_expressions_that_keep_rows_apart_are_not_accused(name: str) -> None:
    assert found_in(*APART[name]) == []


def test_a_row_has_the_same_bits_alone_and_among_others_whichever_way_it_comes() -> None:
    @on_demand_feature_view(sources=[SOURCE], schema=[Field("y", Float64)], mode="polars")
    def divided(x: pl.Expr, t: pl.Expr) -> pl.Expr:
        return x / 7 + t.cast(pl.Float64)

    one, numbers = evaluator(divided), [2003.0, 7.0, 0.1, 1.0]
    (wanted,) = one.of_lists([numbers, ["0"] * 4], 4)
    for row, number in enumerate(numbers):
        (alone,) = one.of_lists([[number], ["0"]], 1)
        (trained,) = one.of_arrow([pa.array([number]), pa.array(["0"])], 1)
        # Beside one that fails: it is alone only once the rows have been told apart.
        (beside,) = one.of_lists([[number, 1.0], ["0", "x"]], 2)
        assert alone.values == trained.values.to_pylist() == beside.values[:1] == [wanted.values[row]]
