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
<<<<<<< HEAD
=======
    "Repo",
>>>>>>> 0b55d7a (feat: hitherto.testing.Repo runs a feature repo in memory with a clock of its own; the example has tests)
    "Row",
    "RunCounts",
    "Status",
    "Stored",
<<<<<<< HEAD
    "WindowRow",
    "aggregate",
    "read_row",
    "rows_of_window",
=======
    "read_row",
>>>>>>> 0b55d7a (feat: hitherto.testing.Repo runs a feature repo in memory with a clock of its own; the example has tests)
]
