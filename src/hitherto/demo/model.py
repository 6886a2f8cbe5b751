"""A small model of the example: how well it tells late flights apart, by what it is given.

It is additive: the values of each feature fall into bins, each bin has a weight, and a flight's score is the sum of its weights. It needs
NumPy alone and takes what it is given as it is: nulls have a bin of their own, and nothing has to be scaled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as at

from hitherto.demo.leak import LABEL
from hitherto.demo.telling import Grid, Section, Words
from hitherto.training.leakage import as_numbers, auc
from hitherto.training.training_set import TrainingSet

SPLIT = datetime(2013, 10, 1)  # noqa: DTZ001  (naive is UTC in data, and the labels' times are)
"""The model learns from the flights before it and is measured on those after it."""
TIME = "event_timestamp"
WINDOWED = ("airport_traffic", "aircraft_delays", "usual_delay")
REQUESTED = ("departure",)
_BINS = 24
_ROUNDS = 6
# Newton's steps are shortened, and held back where a bin has few flights.
_STEP, _PRIOR = 0.7, 20.0


@dataclass(frozen=True)
class Quality:
    """A model, and how well it tells late flights from others: the area under the curve."""

    words: str
    """What it is given."""
    features: int
    auc: float
    """Over the flights that it has not seen."""


@dataclass(frozen=True)
class Models:
    """The same model with more and more features."""

    qualities: Sequence[Quality]
    flights: int
    """On how many it was measured."""


def train(training: TrainingSet) -> Models:
    """Models of the example's training set: without windows and the request, then with them."""
    table = training.to_arrow()
    views = {
        name: name.partition("__")[0] for name in training.features if not at.is_nested(table.schema.field(name).type)
    }
    given = {
        "weather, congestion, aircraft": [one for one, view in views.items() if view not in (*WINDOWED, *REQUESTED)],
        "and windows over flights": [one for one, view in views.items() if view in WINDOWED],
        "and the request": [one for one, view in views.items() if view in REQUESTED],
    }
    seen = pc.greater_equal(table.column(TIME), pa.scalar(SPLIT, table.column(TIME).type))
    return Models(compare(table, given), int(pc.sum(seen).as_py()))


def tell_models(models: Models) -> Section:
    """What each gain is worth."""
    rows = []
    before: float | None = None
    for one in models.qualities:
        gain = (
            Words("") if before is None else Words(f"{one.auc - before:+.3f}", "good" if one.auc > before else "warn")
        )
        rows.append((one.words, f"{one.features}", f"{one.auc:.3f}", gain))
        before = one.auc
    return Section(
        "What windows and the request bring to a model",
        f"Learned from the flights before {SPLIT:%Y-%m-%d}, measured on the {models.flights:,} after it.",
        (Grid(rows, ("an additive model, given", ">features", ">AUC", ">gain")),),
    )


def compare(table: pa.Table, given: Mapping[str, Sequence[str]]) -> list[Quality]:
    """The same model with more and more features.

    Args:
        table: A training set with a label and times.
        given: Words for what each model is given in addition, and the columns.
    """
    late = as_numbers(table.column(LABEL))
    assert late is not None
    learned = np.asarray(pc.less(table.column(TIME), pa.scalar(SPLIT, table.column(TIME).type)))
    columns: list[np.ndarray] = []
    found = []
    for words, names in given.items():
        columns += [bins(table.column(name), learned) for name in names]
        weights = fit([column[learned] for column in columns], late[learned])
        score = sum(one[column[~learned]] for one, column in zip(weights, columns, strict=True))
        area = auc(pa.chunked_array([pa.array(score)]), table.column(LABEL).filter(pa.array(~learned)))
        found.append(Quality(words, len(columns), area or 0.5))
    return found


def bins(column: pa.ChunkedArray, learned: np.ndarray) -> np.ndarray:
    """The bin of each value: numbers by quantiles of those that the model learns from, texts by what they are, nulls by themselves."""
    if at.is_string(column.type):
        codes = column.combine_chunks().dictionary_encode().indices
        return np.asarray(
            codes.cast(pa.int32()).fill_null(pc.max(codes).as_py() + 1 if len(codes) > codes.null_count else 0)
        )
    numbers = as_numbers(column)
    assert numbers is not None
    known = ~np.isnan(numbers)
    sample = numbers[known & learned]
    edges = np.unique(np.quantile(sample, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(sample) else sample
    return np.where(known, np.searchsorted(edges, numbers, side="right"), len(edges) + 1).astype(np.int32)


def fit(columns: Sequence[np.ndarray], label: np.ndarray) -> list[np.ndarray]:
    """The weight of each bin of each column, by Newton's steps of the logistic loss, one column after the other."""
    score = np.zeros(len(label))
    weights = [np.zeros(int(column.max()) + 1) for column in columns]
    for _ in range(_ROUNDS):
        for weight, column in zip(weights, columns, strict=True):
            chance = 1 / (1 + np.exp(-score))
            slope = np.bincount(column, label - chance, len(weight))
            step = _STEP * slope / (np.bincount(column, chance * (1 - chance), len(weight)) + _PRIOR)
            weight += step
            score += step[column]
    return weights
