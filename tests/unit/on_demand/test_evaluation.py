"""Functions over rows: what they raise, what they change, what they give that nothing was prepared for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from hitherto import Field, OnDemandFeatureView, RequestSource, on_demand_feature_view
from hitherto.on_demand.evaluation import Causes, PythonEvaluator
from hitherto.types import DataType, Float64, Int64, List, String, Struct

NUMBERS = RequestSource("numbers", schema=[Field("n", Int64)])


class _OwnError(BaseException):
    pass


class _NoMapping(dict[str, Any]):
    def get(self, *_: Any) -> Any:
        raise RuntimeError

    def __iter__(self) -> Any:
        raise RuntimeError


class _NoValue:
    def __eq__(self, other: object) -> bool:
        raise _Strange

    __hash__ = None  # type: ignore[assignment]  # it is to have none


class _Strange(Exception):
    pass


def evaluator(view: OnDemandFeatureView) -> PythonEvaluator:
    assert view.function is not None
    return PythonEvaluator(view, view.function, view.parameters, Causes())


def giving(give: Callable[[int], Any], *schema: Field) -> PythonEvaluator:
    @on_demand_feature_view(sources=[NUMBERS], schema=list(schema))
    def given(n: int) -> Any:
        return give(n)

    return evaluator(given)


@pytest.mark.parametrize(
    "raised", [ValueError, SystemExit, GeneratorExit, asyncio.CancelledError, pl.exceptions.PanicException, _OwnError]
)
def test_whatever_a_function_raises_is_an_error_of_its_row(
    raised: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def give(n: int) -> int:
        if n == 2:
            raise raised("secret")
        return n

    one = giving(give, Field("y", Int64))
    with caplog.at_level(logging.WARNING):
        assert one.of_lists([[1, 2, 3]], 3) == [([1, None, 3], [1])]
    assert raised.__name__ in caplog.text
    assert "secret" not in caplog.text
    (column,) = one.of_arrow([pa.array([1, 2, 3])], 3)
    assert (column.values.to_pylist(), list(column.errors)) == ([1, None, 3], [1])


def test_ctrl_c_still_ends_the_program() -> None:
    def give(n: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        giving(give, Field("y", Int64)).of_lists([[1]], 1)


@pytest.mark.parametrize(
    "shape",
    [
        np.array([1, 2]),
        np.array([1]),
        pd.Series([1, 2]),
        pd.Series(["a", "b"]),
        pl.Series([1]),
        pa.array([1]),
        _NoValue(),
        pd.NaT,
        pd.NA,
        object(),
        [1],
    ],
    ids=lambda shape: type(shape).__name__,
)
@pytest.mark.parametrize("kind", [Int64, Float64, String], ids=repr)
def test_values_of_another_shape_are_errors_of_that_feature_and_row(kind: DataType, shape: Any) -> None:
    good = "x" if kind == String else 1
    for rows in ([1], [1, 2]):
        alone = giving(lambda n: shape if n == 1 else good, Field("y", kind))
        assert alone.of_lists([rows], len(rows)) == [([None, good][: len(rows)], [0])]
        beside = giving(lambda n: {"y": shape if n == 1 else good, "z": n}, Field("y", kind), Field("z", Int64))
        assert beside.of_lists([rows], len(rows)) == [([None, good][: len(rows)], [0]), (rows, [])]


def test_a_mapping_that_fails_is_an_error_of_its_row() -> None:
    def give(n: int) -> Any:
        return _NoMapping(y=1, z=1) if n == 1 else {"y": n, "z": n}

    two = giving(give, Field("y", Int64), Field("z", Int64))
    assert two.of_lists([[1, 2]], 2) == [([None, 2], [0])] * 2
    one = giving(lambda n: _NoMapping(y=1) if n == 1 else n, Field("y", Int64))
    assert one.of_lists([[1, 2]], 2) == [([None, 2], [0])]
    struct = giving(lambda n: _NoMapping(y=1) if n == 1 else {"a": n}, Field("y", Struct({"a": Int64})))
    assert struct.of_lists([[1, 2]], 2) == [([None, {"a": 2}], [0])]


def test_arrays_are_lists_where_lists_are_declared() -> None:
    one = giving(lambda n: np.array([n, 2]), Field("y", List(Int64)))
    assert one.of_lists([[1]], 1) == [([[1, 2]], [])]


def test_functions_have_their_own_lists_and_dicts() -> None:
    kinds = {"many": List(Int64), "deep": List(Struct({"a": List(Int64)})), "both": Struct({"a": List(Int64)})}
    source = RequestSource("source", schema=[Field(name, kind) for name, kind in kinds.items()])

    @on_demand_feature_view(sources=[source], schema=[Field("total", Int64)])
    def spoiling(many: list[int] | None, deep: list[Any], both: dict[str, Any]) -> int | None:
        if many is None:
            return None
        total = sum(many) + len(deep[0]["a"]) + len(both["a"])
        many.clear()
        deep[0]["a"].clear()
        deep.clear()
        both["a"].clear()
        both["b"] = 1
        return total

    columns: list[list[Any]] = [[[1, 2], None], [[{"a": [1]}, None], None], [{"a": [5, 6, None]}, None]]
    before = repr(columns)
    for _ in range(2):
        assert evaluator(spoiling).of_lists(columns, 2) == [([7, None], [])]
        assert repr(columns) == before
