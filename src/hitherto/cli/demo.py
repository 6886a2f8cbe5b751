"""The command demo: the example, run for real and told in about a screen."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitherto.cli import faults
from hitherto.cli.output import Output, printable, styled
from hitherto.cli.session import session

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status
    from rich.text import Text

    from hitherto.demo.telling import Cell, Grid, Section

FOLDER = Path("hitherto-demo")
TONES = {"good": "green", "bad": "red", "warn": "yellow", "dim": "dim", "": ""}
INDENT = 3


def demo(
    context: typer.Context,
    *,
    online: Annotated[
        str,
        typer.Option(
            metavar="lmdb|valkey|URL",
            help="What answers lookups: LMDB in the folder, a Valkey that is started for it, or the Redis or Valkey of a URL.",
        ),
    ] = "lmdb",
    keep: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder to work in. It is made anew by each demo, and stays.")
    ] = FOLDER,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write the HTML report; else report.html in the folder.")
    ] = None,
) -> None:
    """Show it all on a year of flights, in about 15 seconds.

    A leak and the honest join, checks and a broken delivery, a training set, lookups over HTTP and their parity with training. It
    works in a folder of its own, on a copy of the example, with its own clock: --repo, --env, --now and HITHERTO_* mean nothing
    to it. The exit code is 1 if a lookup differs from training.
    """
    from hitherto.demo import report as page
    from hitherto.demo.stage import stage
    from hitherto.demo.story import play, tell_closing

    output = session(context).output
    teller = Teller(output)
    try:
        with stage(keep, online=online, progress=teller.step) as made:
            findings = play(made, teller.tell)
            written = page.write_report(report or keep / "report.html", made, findings)
            teller.tell(tell_closing(made, findings, report=written, program=program()))
    finally:
        teller.pause()
    output.show(findings.to_json(), lambda console: None)
    if not findings.parity.whole.ok:
        raise typer.Exit(faults.SAID_NO)


class Teller:
    """Prints sections as they come, and what is being done meanwhile: a spinner in a terminal, lines elsewhere."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._status: Status | None = None
        self._sections = 0

    def step(self, text: str) -> None:
        """Say on standard error what is being done."""
        messages = self._output.messages
        if not messages.is_terminal or messages.is_dumb_terminal:
            messages.print(styled(f"{text} ..."))
        elif self._status is None:
            self._status = messages.status(styled(f"{text} ..."))
            self._status.start()
        else:
            self._status.update(styled(f"{text} ..."))

    def pause(self) -> None:
        """Take the spinner away, so that nothing is printed into it."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def tell(self, section: Section) -> None:
        """Print a section; nothing as JSON."""
        if self._output.as_json:
            return
        self.pause()
        self._sections += 1
        print_section(self._output.console, section, self._sections)


def print_section(console: Console, section: Section, number: int) -> None:
    """A title, the line that says why, and what was measured."""
    from rich.padding import Padding

    from hitherto.demo.telling import Grid

    console.print(styled(f"{number}  {printable(section.title)}", "bold cyan"))
    console.print(styled(" " * INDENT + printable(section.why), "dim"))
    for part in section.body:
        if isinstance(part, Grid):
            console.print(Padding(_grid(part), (0, 0, 0, INDENT), expand=False))
        elif part.text:
            # Commands are copied from here, so no line is broken.
            console.print(Padding(_text(part), (0, 0, 0, INDENT), expand=False), soft_wrap=True)
    console.print()


def _grid(grid: Grid) -> Any:
    from rich.table import Table

    made = Table.grid(padding=(0, 2))
    for head in grid.heads or [""] * len(grid.rows[0]):
        made.add_column(justify="right" if head.startswith(">") else "left", overflow="fold")
    if grid.heads:
        made.add_row(*(styled(head.removeprefix(">"), "dim") for head in grid.heads))
    for row in grid.rows:
        made.add_row(*(_text(cell) for cell in row))
    return made


def _text(cell: Cell) -> Text:
    return styled(printable(cell)) if isinstance(cell, str) else styled(printable(cell.text), TONES[cell.tone])


def program() -> str:
    """How this program is called from here: by its name where the shell finds it, else by its path."""
    called = Path(sys.argv[0])
    if shutil.which("hitherto") or called.name != "hitherto":
        return "hitherto"
    return str(called)
