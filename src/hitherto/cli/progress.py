"""Progress of runs on standard error: a bar per view in a terminal, a line per run elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hitherto.cli.output import Output, count, styled
from hitherto.events import Event, Observer, RunFinished, RunProgressed, RunStarted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

# How far a run is after each stage: staging and writing take most of the time.
STEPS = {"checked": 40, "written": 75, "pushing": 85, "pushed": 95}
DONE = 100


class Bars:
    """One bar per run; each stage moves it on and says how many rows it has seen."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, Any] = {}

    def observe(self, event: Event) -> None:
        """Move the bar of the event's run."""
        if isinstance(event, RunStarted):
            self._tasks[event.run_id] = self._bars.add_task(event.view, total=DONE, stage="reading and checking")
        elif isinstance(event, RunProgressed) and event.run_id in self._tasks:
            self._bars.update(
                self._tasks[event.run_id],
                completed=STEPS.get(event.stage, 0),
                stage=f"{count(event.rows, 'key' if event.stage.startswith('push') else 'row')} {event.stage}",
            )
        elif isinstance(event, RunFinished) and event.run_id in self._tasks:
            self._bars.update(self._tasks[event.run_id], completed=DONE, stage=_end(event))


class Lines:
    """A line when a run begins and when it ends: what a log needs."""

    def __init__(self, messages: Console) -> None:
        self._messages = messages

    def observe(self, event: Event) -> None:
        """Say where the run is."""
        if isinstance(event, RunStarted):
            self._messages.print(styled(f"{event.view}@{event.version}: run {event.run_id} over {event.interval}"))
        elif isinstance(event, RunFinished):
            self._messages.print(styled(f"{event.view}@{event.version}: run {event.run_id} {_end(event)}"))


@contextmanager
def progress(output: Output) -> Iterator[Observer]:
    """An observer that shows progress while the block runs."""
    messages = output.messages
    if not messages.is_terminal or messages.is_dumb_terminal:
        yield Lines(messages)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[stage]}"),
    )
    # The report that follows says all of it again, so the bars go when they are done.
    with Progress(*columns, console=messages, transient=True) as bars:
        yield Bars(bars)


def _end(event: RunFinished) -> str:
    return f"{event.state}, {count(event.rows_written, 'row')}" if event.state == "published" else event.state
