"""What goes out: for people text and tables on the terminal, for programs one JSON document. Engines are not needed here."""

from __future__ import annotations

import base64
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

PIPE_WIDTH = 240
"""Columns where there is no terminal: lines for grep stay whole."""
LONGEST_CELL = 60
BROKEN_PIPE = 141
"""Exit code when the reader of a pipe went away, as other programs have it (128 + SIGPIPE)."""


class Output:
    """Where a command's answer goes. With `as_json` standard output carries one JSON document and nothing else."""

    def __init__(self, *, as_json: bool = False, debug: bool = False) -> None:
        self.as_json, self.debug = as_json, debug

    @cached_property
    def console(self) -> Console:
        """Standard output."""
        return console(sys.stdout)

    @cached_property
    def messages(self) -> Console:
        """Standard error: progress, warnings and errors."""
        return console(sys.stderr)

    def show(self, document: Mapping[str, Any], render: Callable[[Console], None]) -> None:
        """Answer: the document as JSON, or what `render` prints for people."""
        if not self.as_json:
            render(self.console)
            return
        try:
            sys.stdout.write(json.dumps(plain(document), indent=2) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            self.console.on_broken_pipe()


def console(stream: IO[str]) -> Console:
    """A console that prints what it is given: no markup, no guessing at colours, nothing cut where there is no terminal."""
    from rich.console import Console

    class PlainConsole(Console):
        def on_broken_pipe(self) -> None:
            """End quietly; what is still buffered goes nowhere."""
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (lives as long as the process, which is about to end)
            raise SystemExit(BROKEN_PIPE)

    there = stream.isatty()
    width = None if there or os.environ.get("COLUMNS") else PIPE_WIDTH
    return PlainConsole(file=stream, markup=False, highlight=False, emoji=False, soft_wrap=not there, width=width)


def table(*columns: str) -> Table:
    """An empty table. A column whose name begins with ">" is of numbers; one with "!" is never broken."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", show_edge=False)
    for column in columns:
        whole = column.startswith((">", "!"))
        made.add_column(
            column.lstrip(">!"), justify="right" if column.startswith(">") else "left", no_wrap=whole, overflow="fold"
        )
    return made


def facts(pairs: Iterable[tuple[str, Any]]) -> Table:
    """Names and values, one pair a line; pairs without a value are left out."""
    from rich.table import Table

    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        if value not in (None, ""):
            made.add_row(name, value if not isinstance(value, str) else printable(value))
    return made


def styled(text: str, style: str = "") -> Text:
    """Text as it is, whatever brackets it holds."""
    from rich.text import Text

    return Text(text, style=style)


STATE_STYLES = {"published": "green", "rejected": "red", "failed": "red", "PRESENT": "green"}


def state(text: str) -> Text:
    """A run's state or a value's status, in its colour."""
    return styled(text, STATE_STYLES.get(text, "yellow"))


def plain(value: Any) -> Any:
    """A value as JSON has it (semantics 8): Bytes base64, times RFC 3339, Decimal as text, NaN and infinities named.

    >>> plain({"x": [Decimal("1.10"), float("nan"), b"a"]})
    {'x': ['1.10', 'NaN', 'YQ==']}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value / timedelta(seconds=1)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Decimal | Path):
        return str(value)
    if isinstance(value, Iterable):
        return [plain(one) for one in value]
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def cell(value: Any) -> str:
    """A value as a table shows it: short, and without what would steer the terminal.

    >>> cell(None), cell(12.5), cell("\\x1b[31mred")
    ('null', '12.5', '\\\\x1b[31mred')
    """
    if value is None:
        return "null"
    form = plain(value)
    text = form if isinstance(form, str) else json.dumps(form, ensure_ascii=False)
    shown = printable(text).replace("\n", "\\n")
    return shown if len(shown) <= LONGEST_CELL else shown[: LONGEST_CELL - 3] + "..."


def printable(text: str) -> str:
    """Text from data, with its control characters escaped; line ends stay.

    >>> printable("a\\tb\\x07")
    'a\\\\tb\\\\x07'
    """
    return "".join(one if one == "\n" or one.isprintable() else repr(one)[1:-1] for one in text)


def moment(value: datetime | int | None) -> str:
    """An instant for people, to the second, as short as it can be said: days without a time, minutes without seconds.

    >>> moment(1357041600000000), moment(1356998400000000), moment(None)
    ('2013-01-01T12:00Z', '2013-01-01', '-')
    """
    from hitherto.timeline import instant, rfc3339

    if value is None:
        return "-"
    micros = value if isinstance(value, int) else instant(value)
    text = rfc3339(micros - micros % 1_000_000)
    return text.removesuffix("T00:00:00Z") if text.endswith("T00:00:00Z") else text.replace(":00Z", "Z")


def count(number: int, word: str, plural: str = "") -> str:
    """A number and its word.

    >>> count(1, "row"), count(1200, "row"), count(0, "entity", "entities")
    ('1 row', '1,200 rows', '0 entities')
    """
    return f"{number:,} {word if number == 1 else plural or word + 's'}"
