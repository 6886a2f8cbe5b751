"""Public, for tests: a repo in memory with a fake clock; for feature stores themselves, the reference of the semantics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hitherto.testing.aggregates import WindowRow, aggregate, rows_of_window
from hitherto.testing.clock import FakeClock
from hitherto.testing.reference import Answer, Publication, ReferenceStore, Row, RunCounts, Status, Stored, read_row

if TYPE_CHECKING:
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


def __getattr__(name: str) -> Any:
    """Repo needs the whole house, which a clock does not: it is loaded when it is asked for."""
    if name == "Repo":
        from hitherto.testing.repo import Repo

        return Repo
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
