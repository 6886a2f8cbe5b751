"""Leakage report: features that look as if they had seen the label (semantics 3)."""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.types as at

SUSPICIOUS_AUC = 0.9
"""Above it (or below its mirror) one feature alone all but decides the label."""


@dataclass(frozen=True)
class FeatureLeakage:
    """One feature beside the label."""

    feature: str
    view: str
    age_zero_share: float
    """Share of found rows whose event time is the entity row's own instant."""
    auc: float | None
    """Area under the ROC curve of this feature alone, ties counted half, nulls left out; None where it has no meaning."""
    same_table: bool
    """Whether the feature is computed from the table that the label comes from."""

    @property
    def suspicious(self) -> bool:
        """Whether a person should look."""
        return self.auc is not None and max(self.auc, 1 - self.auc) >= SUSPICIOUS_AUC


@dataclass(frozen=True)
class LeakageReport:
    """All features of a training set, the most telling first."""

    label: str
    features: tuple[FeatureLeakage, ...]

    @property
    def suspicious(self) -> tuple[FeatureLeakage, ...]:
        """The features that a person should look at."""
        return tuple(one for one in self.features if one.suspicious)

    def __str__(self) -> str:
        lines = [f"{'feature':<40} {'AUC':>6} {'age zero':>9}  notes"]
        for one in self.features:
            auc = "-" if one.auc is None else f"{one.auc:.3f}"
            notes = [
                note
                for note, said in (
                    ("SUSPICIOUS: alone it all but decides the label", one.suspicious),
                    ("of the label's own table", one.same_table),
                )
                if said
            ]
            lines.append(f"{one.feature:<40} {auc:>6} {one.age_zero_share:>9.1%}  {'; '.join(notes)}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def auc(values: pa.ChunkedArray, label: pa.ChunkedArray) -> float | None:
    """Area under the ROC curve of numbers against a two-valued label, by ranks; None where it has no meaning.

    >>> auc(pa.chunked_array([[1.0, 2.0, 3.0, 4.0]]), pa.chunked_array([[0, 0, 1, 1]]))
    1.0
    """
    numbers, labels = as_numbers(values), as_numbers(label)
    if numbers is None or labels is None:
        return None
    known = ~(np.isnan(numbers) | np.isnan(labels))
    numbers, labels = numbers[known], labels[known]
    classes = np.unique(labels)
    if len(classes) != 2:
        return None
    positive = labels == classes[1]
    _, place, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    # The middle rank of each group of equal values: ties count half.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    hits, misses = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def as_numbers(column: pa.ChunkedArray) -> np.ndarray | None:
    """Numbers and truth values as float64 with NaN for null; None for other types."""
    kind = column.type
    if at.is_boolean(kind):
        column = column.cast(pa.int8())
    elif at.is_decimal(kind):
        column = column.cast(pa.float64())
    elif not (at.is_integer(kind) or at.is_floating(kind)):
        return None
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
