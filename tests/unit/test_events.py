"""Observers: told in order, never able to break what they watch, and silent about values."""

from __future__ import annotations

import dataclasses
import logging
import typing

import pytest

from hitherto.events import Event, Observers, RowsPushed, RunFinished, RunStarted
from hitherto.timeline import Interval


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def observe(self, event: Event) -> None:
        self.events.append(event)


class Broken:
    def observe(self, event: Event) -> None:
        raise RuntimeError("key s3cret of JFK")


STARTED = RunStarted("r000001", "weather", 1, Interval(0, 10))
FINISHED = RunFinished("r000001", "weather", 1, "published", 10)


def test_everybody_is_told_everything_in_order():
    first, second = Recorder(), Recorder()
    observers = Observers().with_observer(first).with_observer(second)
    observers.notify(STARTED)
    observers.notify(FINISHED)
    assert first.events == second.events == [STARTED, FINISHED]


def test_an_observer_that_fails_breaks_neither_the_work_nor_the_others(caplog: pytest.LogCaptureFixture):
    recorder = Recorder()
    with caplog.at_level(logging.WARNING, logger="hitherto.events"):
        Observers((Broken(), recorder)).notify(STARTED)
    assert recorder.events == [STARTED]
    assert caplog.messages == ["Observer Broken failed on RunStarted: RuntimeError. The work goes on."]


def test_what_an_observer_fails_with_is_not_logged(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        Observers((Broken(),)).notify(STARTED)
    assert "s3cret" not in caplog.text
    assert "JFK" not in caplog.text


def test_an_interrupt_is_not_swallowed():
    class Interrupted:
        def observe(self, event: Event) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Observers((Interrupted(),)).notify(STARTED)


def test_adding_an_observer_leaves_the_others_as_they_were():
    nobody = Observers()
    nobody.with_observer(Recorder())
    assert nobody.observers == ()


@pytest.mark.parametrize("kind", typing.get_args(Event), ids=lambda kind: kind.__name__)
def test_every_event_is_a_frozen_record_with_a_meaning(kind: type):
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]  # every dataclass has it
    assert kind.__doc__
    assert kind.__doc__.endswith((".", '".', '"weather\'".'))


def test_events_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RowsPushed("weather", 1, 2).rows = 3  # type: ignore[misc]  # refused is what it must be
