"""Public, for tests: a repo in memory with a fake clock; for feature stores themselves, the reference of the semantics."""

from hitherto.testing.aggregates import WindowRow, aggregate, rows_of_window
from hitherto.testing.clock import FakeClock
from hitherto.testing.reference import Answer, Publication, ReferenceStore, Row, RunCounts, Status, Stored, read_row
from hitherto.testing.repo import Repo

__all__ = [
    "Answer",
    "FakeClock",
    "Publication",
    "ReferenceStore",
    "Repo",
    "Row",
    "RunCounts",
    "Status",
    "Stored",
    "WindowRow",
    "aggregate",
    "read_row",
    "rows_of_window",
]
