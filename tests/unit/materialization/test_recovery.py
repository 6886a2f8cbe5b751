"""What an interrupted run leaves, stage by stage, and how the next command closes it. The real kills are in journeys/test_kill.py."""

from __future__ import annotations

from typing import Any

import pytest

from hitherto.events import Event, RunFinished, RunProgressed, RunStarted
from hitherto.materialization.lock import view_lock
from hitherto.materialization.recovery import recover
from hitherto.registry.sqlite import Registry
from journeys.projects import Project, assert_parity, view

ROWS = [("a", 1, 1.0), ("b", 3, 3.0)]


class Interrupt:
    """Interrupts a run when an event of it comes, as Ctrl-C does."""

    def __init__(self, stage: str) -> None:
        self.stage, self.hit = stage, False

    def observe(self, event: Event) -> None:
        stages = {RunStarted: "begun", RunFinished: "finished"}
        stage = event.stage if isinstance(event, RunProgressed) else stages.get(type(event), "")
        if stage == self.stage and not self.hit:
            self.hit = True
            raise KeyboardInterrupt


def interrupt(project: Project, stage: str) -> None:
    watcher = Interrupt(stage)
    project.store.observe(watcher)
    with pytest.raises(KeyboardInterrupt):
        project.store.materialize_incremental()
    assert watcher.hit
    project.reopen()


@pytest.mark.parametrize("stage", ["begun", "checked", "written"])
def test_a_run_that_ended_before_pushing_is_rolled_back_by_the_next_command(project: Project, stage: str) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    interrupt(project, stage)
    assert project.states() == ["failed"]
    assert project.runs()[0].error == "Its process ended before anything was published; rolled back."
    assert (project.segment_files(), project.leftovers()) == ([], [])
    assert project.store.materialize_incremental().ok
    assert (project.lookup("a", "b"), project.history(("a", 9))) == ([1.0, 3.0], [1.0])


@pytest.mark.parametrize("first", [True, False])
def test_a_run_that_was_pushing_goes_forward(project: Project, first: bool) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    if not first:
        project.store.materialize()
        project.deliver([("a", 1, 1.5)])
    interrupt(project, "pushing")
    # Opening the registry was enough.
    assert project.states()[-1] == "published"
    assert project.lookup("a", "b") == ([1.0, 3.0] if first else [1.5, None])
    assert_parity(project.store, ["readings:value"])
    assert project.store.materialize_incremental().runs == ()


def test_what_a_killed_load_left_goes_when_its_run_goes_forward(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    interrupt(project, "pushing")
    # As kill -9 leaves it; opening the project would recover, so the registry is asked by itself.
    with Registry(project.store.config.registry_path, project="small") as registry:
        (run,) = registry.runs()
    left = project.folder / ".hitherto" / "online" / "small" / "readings" / f".loading-{run.token}-x"
    left.mkdir()
    assert project.states() == ["published"]
    assert project.lookup("a") == [1.0]
    assert not left.exists()


def test_a_published_run_is_not_touched_by_what_comes_after_it(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    interrupt(project, "finished")
    assert project.states() == ["published"]
    assert project.lookup("a") == [1.0]


def test_the_quarantine_of_a_run_that_is_rolled_back_goes_with_it(project: Project) -> None:
    project.deliver([*ROWS, (None, 5, 5.0)])
    project.store.apply([view()])
    interrupt(project, "written")
    assert project.states() == ["failed"]
    folder = project.store.config.offline_path / "readings"
    assert [path.name for path in folder.rglob("*.parquet")] == []


def test_a_run_whose_process_lives_is_left_alone(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    watcher = Interrupt("checked")
    project.store.observe(watcher)
    with pytest.raises(KeyboardInterrupt):
        project.store.materialize()
    with view_lock(project.store.config.offline_path, "readings"):
        assert recover(project.store.context) == ()
        project.reopen()
        assert project.states() == ["staging"]
    assert [run.state for run in recover(project.store.context)] == ["failed"]


def test_only_the_view_that_is_asked_for_is_recovered(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    project.store.observe(Interrupt("checked"))
    with pytest.raises(KeyboardInterrupt):
        project.store.materialize()
    assert recover(project.store.context, view="others") == ()
    (closed,) = recover(project.store.context, view="readings")
    assert closed.state == "failed"
    assert recover(project.store.context) == ()


def test_while_the_online_store_is_down_a_run_waits_in_pushing_and_training_goes_on(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    project.store.materialize()
    project.deliver([("a", 25, 25.0)], "b.parquet")
    project.at(26)
    watcher = Interrupt("pushing")
    project.store.observe(watcher)
    with pytest.raises(KeyboardInterrupt):
        project.store.materialize_incremental()
    project.store.close()
    online = project.folder / ".hitherto" / "online"
    online.rename(online.with_name("away"))
    online.write_text("in the way")
    project.reopen()
    assert project.history(("a", 25)) == [1.0]
    assert "could not be finished yet" in caplog.text
    assert project.states()[-1] == "pushing"
    report = project.store.materialize_incremental(on_error="report")
    assert report["readings"].state == "failed"
    assert project.states()[-1] == "pushing"
    online.unlink()
    online.with_name("away").rename(online)
    project.reopen()
    assert project.states()[-1] == "published"
    assert (project.history(("a", 25)), project.lookup("a", "b")) == ([25.0], [25.0, 3.0])


def test_an_online_store_that_fails_a_run_leaves_it_pushing_with_its_cause(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    project.store.materialize()
    project.deliver([("a", 25, 25.0)], "b.parquet")
    project.at(26)
    broken: list[Any] = []

    class Breaker:
        def observe(self, event: Event) -> None:
            if isinstance(event, RunProgressed) and event.stage == "written":
                # The store closes its files and finds something else in their place.
                project.store.online_store.close()
                (path,) = project.store.config.repo_path.glob(".hitherto/online/small/readings/1.1")
                path.rename(path.with_name("away"))
                path.write_text("in the way")
                broken.append(path)

    project.store.observe(Breaker())
    report = project.store.materialize_incremental(on_error="report")
    run = project.runs()[-1]
    assert (report.ok, run.state) == (False, "pushing")
    assert run.error
    broken[0].unlink()
    broken[0].with_name("away").rename(broken[0])
    project.reopen()
    assert (project.states()[-1], project.lookup("a")) == ("published", [25.0])
