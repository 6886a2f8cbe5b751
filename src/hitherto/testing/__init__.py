"""Public, for tests of feature stores: the reference implementation of the semantics, and a fake clock."""

from hitherto.testing.aggregates import WindowRow, aggregate, rows_of_window
from hitherto.testing.clock import FakeClock
from hitherto.testing.reference import Answer, Publication, ReferenceStore, Row, RunCounts, Status, Stored, read_row

__all__ = [
    "Answer",
    "FakeClock",
    "Publication",
    "ReferenceStore",
    "Row",
    "RunCounts",
    "Status",
    "Stored",
    "WindowRow",
    "aggregate",
    "read_row",
    "rows_of_window",
]
