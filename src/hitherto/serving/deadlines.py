"""A bound on how long a request may wait, for a tenth of what a timer per request costs: one timer looks after all of them."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Protocol

_PARTS = 20
"""A wait ends at most a twentieth of the bound late."""


class Ending(Protocol):
    """What has a bound."""

    def end(self) -> None:
        """The time is over."""


class Deadlines:
    """All waits of one event loop with the same bound.

    Args:
        seconds: The bound.

    A wait of a task: `with deadlines.wait(): await ...`. It raises TimeoutError; what is awaited is cancelled, and cleans up.
    A wait without a task: `deadlines.watch(one, loop)`, then `deadlines.forget(one)`; `one.end()` is called if that comes too late.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # In the order of beginning, which is that of ending: the bound is the same for all.
        self.waits: dict[Ending, float] = {}
        self._armed = False

    def wait(self) -> Wait:
        """The bound, from now on, of the current task."""
        begun = Wait(self)
        self.watch(begun, asyncio.get_running_loop())
        return begun

    def watch(self, one: Ending, loop: asyncio.AbstractEventLoop) -> None:
        """The bound, from now on. To ask for the running loop would be a system call in each lookup."""
        self.waits[one] = loop.time() + self._seconds
        if not self._armed:
            self._armed = True
            loop.call_later(self._seconds / _PARTS, self._sweep, loop)

    def forget(self, one: Ending) -> None:
        """It was in time."""
        self.waits.pop(one, None)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        try:
            for wait in [wait for wait, end in self.waits.items() if end <= now]:
                del self.waits[wait]
                wait.end()
        finally:
            # One that fails must not leave all others without a bound.
            self._armed = bool(self.waits)
            if self._armed:
                loop.call_later(self._seconds / _PARTS, self._sweep, loop)


class Wait:
    """One wait of the current task."""

    __slots__ = ("_deadlines", "_ended", "_task")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines, self._ended = deadlines, False
        self._task: asyncio.Task[Any] | None = asyncio.current_task()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.forget(self)
        if self._ended and self._task is not None:
            # Somebody else may have cancelled the task too; that one is heard.
            others = self._task.uncancel()
            if not others and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def end(self) -> None:
        """The time is over."""
        self._ended = True
        if self._task is not None:
            self._task.cancel()
