from __future__ import annotations

import io

from rich.console import Console
from rich.progress import Progress, TextColumn

from hitherto.cli.output import Output
from hitherto.cli.progress import DONE, Bars, Lines, progress
from hitherto.events import RunFinished, RunProgressed, RunStarted, TrainingSetBuilt
from hitherto.timeline import Interval

STARTED = RunStarted("r000001", "weather", 1, Interval(0, 3_600_000_000))
FINISHED = RunFinished("r000001", "weather", 1, "published", 1_200)


def bars() -> tuple[Progress, Bars]:
    shown = Progress(TextColumn("{task.fields[stage]}"), console=Console(file=io.StringIO()))
    return shown, Bars(shown)


def test_a_bar_moves_on_with_each_stage_and_ends_full():
    shown, observer = bars()
    observer.observe(STARTED)
    seen = [shown.tasks[0].completed]
    for stage in ("checked", "written", "pushing"):
        observer.observe(RunProgressed("r000001", "weather", stage, 1_200))
        seen.append(shown.tasks[0].completed)
    assert shown.tasks[0].fields["stage"] == "1,200 keys pushing"
    observer.observe(FINISHED)
    assert seen == sorted(set(seen))
    assert shown.tasks[0].completed == DONE
    assert shown.tasks[0].fields["stage"] == "published, 1,200 rows"


def test_a_rejected_run_says_so():
    shown, observer = bars()
    observer.observe(STARTED)
    observer.observe(RunFinished("r000001", "weather", 1, "rejected", 0, "why"))
    assert shown.tasks[0].fields["stage"] == "rejected"


def test_events_of_other_things_move_no_bar():
    shown, observer = bars()
    observer.observe(RunProgressed("r000009", "weather", "checked", 1))
    observer.observe(TrainingSetBuilt(1, (), 0.1))
    assert not shown.tasks


def test_a_log_gets_a_line_when_a_run_begins_and_one_when_it_ends():
    written = io.StringIO()
    observer = Lines(Console(file=written, width=200))
    for event in (STARTED, RunProgressed("r000001", "weather", "checked", 1), FINISHED):
        observer.observe(event)
    assert written.getvalue().splitlines() == [
        "weather@1: run r000001 over [1970-01-01T00:00:00Z, 1970-01-01T01:00:00Z)",
        "weather@1: run r000001 published, 1,200 rows",
    ]


def test_a_terminal_gets_bars_and_everything_else_lines():
    output = Output()
    output.__dict__["messages"] = Console(file=io.StringIO(), force_terminal=True, width=100)
    with progress(output) as observer:
        assert isinstance(observer, Bars)
    output.__dict__["messages"] = Console(file=io.StringIO())
    with progress(output) as observer:
        assert isinstance(observer, Lines)
