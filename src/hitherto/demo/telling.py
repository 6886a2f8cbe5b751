"""What the demo says, as plain records: the command line gives them colour, the tests read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Tone = Literal["", "good", "bad", "warn", "dim", "strong"]


@dataclass(frozen=True)
class Words:
    """A few words, and how they are meant."""

    text: str
    tone: Tone = ""


Cell = str | Words


@dataclass(frozen=True)
class Grid:
    """Rows in columns. A head that begins with ">" is of a column of numbers."""

    rows: Sequence[Sequence[Cell]]
    heads: Sequence[str] = ()


@dataclass(frozen=True)
class Section:
    """One step of the demo: what it is, one line of why it matters, and what was measured."""

    title: str
    why: str
    body: Sequence[Words | Grid]


def minute(value: datetime | None) -> str:
    """An instant to the minute.

    >>> from datetime import UTC
    >>> minute(datetime(2013, 12, 27, 18, tzinfo=UTC))
    '2013-12-27T18:00Z'
    """
    return "-" if value is None else f"{value:%Y-%m-%dT%H:%M}Z"


def rate(rows: int, seconds: float) -> str:
    """Rows per second, to three digits.

    >>> rate(970_997, 2.41)
    '403,000 rows/s'
    """
    per_second = rows / max(seconds, 1e-9)
    step = 10 ** max(0, len(str(int(per_second))) - 3)
    return f"{round(per_second / step) * step:,} rows/s"
