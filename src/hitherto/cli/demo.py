"""The command demo: the example, run for real and told in about a screen."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hitherto.cli import faults
from hitherto.cli.output import Output, printable, styled
from hitherto.cli.session import session

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status
    from rich.text import Text

    from hitherto.demo.telling import Cell, Grid, Section, Words

FOLDER = Path("hitherto-demo")
TONES = {"good": "green", "bad": "red", "warn": "yellow", "dim": "dim", "strong": "bold", "": ""}
INDENT, COLUMN_GAP = 3, 2


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
        Path | None,
        typer.Option(metavar="FILE", help="Where to write the HTML report; else report.html in the folder."),
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

    def tell(self, part: Section | Words) -> None:
        """Print a section, or a line before the first; nothing as JSON."""
        from hitherto.demo.telling import Words

        if self._output.as_json:
            return
        self.pause()
        if isinstance(part, Words):
            self._output.console.print(_text(part), "\n", sep="")
            return
        self._sections += 1
        print_section(self._output.console, part, self._sections)


def print_section(console: Console, section: Section, number: int) -> None:
    """A title, the line that says why, and what was measured. No line is broken: commands are copied from here."""
    from hitherto.demo.telling import Grid

    console.print(styled(f"{number}  {printable(section.title)}", "bold cyan"))
    lines = [styled(printable(section.why), "dim")]
    for part in section.body:
        lines += _lines(part) if isinstance(part, Grid) else [_text(part)]
    for line in lines:
        console.print(styled(" " * INDENT).append_text(line), soft_wrap=True)
    console.print()


def _lines(grid: Grid) -> list[Text]:
    """The rows as lines, in columns as wide as their widest cell; nothing trails behind the last one."""
    heads = [styled(head.removeprefix(">"), "dim") for head in grid.heads]
    rows = [*([heads] if heads else []), *([_text(cell) for cell in row] for row in grid.rows)]
    right = [head.startswith(">") for head in grid.heads] or [False] * len(rows[0])
    widths = [max(cells[place].cell_len for cells in rows) for place in range(len(rows[0]))]
    lines = []
    for cells in rows:
        line = styled("")
        for cell, width, to_the_right in zip(cells, widths, right, strict=True):
            blank = " " * (width - cell.cell_len)
            line = line.append(blank).append_text(cell) if to_the_right else line.append_text(cell).append(blank)
            line.append(" " * COLUMN_GAP)
        line.rstrip()
        lines.append(line)
    return lines


def _text(cell: Cell) -> Text:
    return styled(printable(cell)) if isinstance(cell, str) else styled(printable(cell.text), TONES[cell.tone])


def program() -> str:
    """How this program is called from here: by its name where the shell finds it, else by its path."""
    called = Path(sys.argv[0])
    if shutil.which("hitherto") or called.name != "hitherto":
        return "hitherto"
    return str(called)
