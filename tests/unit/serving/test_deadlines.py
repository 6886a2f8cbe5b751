"""A wait ends at its bound, is told from a cancellation, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import time

import pytest

from hitherto.serving.deadlines import Deadlines


async def wait(deadlines: Deadlines, seconds: float) -> float:
    with deadlines.wait():
        await asyncio.sleep(seconds)
    return seconds


def test_what_is_in_time_is_not_touched():
    async def many() -> list[float]:
        deadlines = Deadlines(0.5)
        found = await asyncio.gather(*(wait(deadlines, number / 1_000) for number in range(50)))
        assert not deadlines.waits
        return found

    assert asyncio.run(many()) == [number / 1_000 for number in range(50)]


def test_what_is_late_ends_soon_after_the_bound_and_only_that():
    async def two() -> tuple[object, object, float]:
        deadlines = Deadlines(0.1)
        began = time.monotonic()
        late = asyncio.create_task(wait(deadlines, 5))
        quick = asyncio.create_task(wait(deadlines, 0.05))
        results = await asyncio.gather(late, quick, return_exceptions=True)
        # Armed again for the next.
        with pytest.raises(TimeoutError):
            await wait(deadlines, 5)
        return results[0], results[1], time.monotonic() - began

    late, quick, seconds = asyncio.run(two())
    assert isinstance(late, TimeoutError)
    assert quick == 0.05
    assert 0.2 <= seconds < 1


def test_a_cancellation_stays_one():
    async def cancel() -> None:
        deadlines = Deadlines(5)
        task = asyncio.create_task(wait(deadlines, 10))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not deadlines.waits

    asyncio.run(cancel())


def test_a_task_goes_on_after_its_wait_was_ended():
    async def again() -> str:
        deadlines = Deadlines(0.05)
        with pytest.raises(TimeoutError):
            await wait(deadlines, 5)
        await asyncio.sleep(0.01)
        return "alive"

    assert asyncio.run(again()) == "alive"


def test_a_wait_that_fails_to_end_leaves_the_bounds_of_others():
    class Failing:
        def end(self) -> None:
            raise ValueError

    async def both() -> None:
        deadlines = Deadlines(0.05)
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        deadlines.watch(Failing(), asyncio.get_running_loop())
        with pytest.raises(TimeoutError):
            await wait(deadlines, 5)

    asyncio.run(both())
