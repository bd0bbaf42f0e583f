"""The loop runner: a loop never ends but by cancellation; half a process is worse than none."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

import pytest
from structlog.testing import capture_logs

from dronedispatch.runtime.backoff import full_jitter
from dronedispatch.runtime.loops import END_S, Loop, Tasks, end
from support.virtual_time import now_s
from support.waiting import deadline

pytestmark = pytest.mark.virtual_time


async def run_until(loop: Loop, done: asyncio.Event) -> None:
    task = asyncio.create_task(loop.run())
    async with deadline():
        await done.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_an_exception_is_no_end() -> None:
    runs = 0
    done = asyncio.Event()

    async def once() -> str:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise ValueError("boom")
        done.set()
        return "well again"

    await run_until(Loop("t", once, 60.0, error_cap_s=0.01), done)
    assert runs == 3


async def test_a_cancelled_future_that_it_waited_for_is_no_end_either() -> None:
    runs = 0
    done = asyncio.Event()

    async def once() -> str:
        nonlocal runs
        runs += 1
        if runs == 1:
            given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            given_up.cancel()
            await given_up
        done.set()
        return "well again"

    await run_until(Loop("t", once, 60.0, error_cap_s=0.01), done)
    assert runs == 2


async def test_a_wake_runs_it_before_its_interval() -> None:
    wake, done = asyncio.Event(), asyncio.Event()
    runs = 0

    async def once() -> str:
        nonlocal runs
        runs += 1
        if runs == 2:
            done.set()
        asyncio.get_running_loop().call_soon(wake.set)
        return "ran"

    await run_until(Loop("t", once, 3600.0, wake=wake), done)
    assert runs >= 2


async def test_a_dead_task_is_told_and_a_cancelled_one_is_not() -> None:
    dead: list[str] = []
    told = asyncio.Event()

    def on_death(name: str) -> None:
        dead.append(name)
        told.set()

    tasks = Tasks(on_death)

    async def dies() -> None:
        raise ValueError("boom")

    tasks.start("dies", dies())
    tasks.start("lives", asyncio.Event().wait())  # type: ignore[arg-type]
    async with deadline():
        await told.wait()
    await tasks.stop()
    assert dead == ["dies"]


@pytest.mark.parametrize("way", ["returns", "is cancelled from within"])
async def test_a_task_that_ends_by_itself_without_an_error_ends_the_process_too(way: str) -> None:
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    tasks = Tasks(told.set_result)

    async def ends() -> None:
        if way != "returns":
            raise asyncio.CancelledError

    tasks.start("ends", ends())
    async with asyncio.timeout(5):
        assert await told == "ends"
    await tasks.stop()


def test_full_jitter_stays_below_its_cap_and_doubles_before_it() -> None:
    rng = Random(1)
    first = [full_jitter(0, base_s=0.1, cap_s=1.0, rng=rng) for _ in range(500)]
    late = [full_jitter(50, base_s=0.1, cap_s=1.0, rng=rng) for _ in range(500)]
    assert min(first) >= 0.0 and 0.09 < max(first) <= 0.1
    assert min(late) >= 0.0 and 0.9 < max(late) <= 1.0


async def deaf(times: int, began: asyncio.Event) -> None:
    """Swallows so many cancellations, as asyncio.wait_for may before Python 3.12."""
    for _ in range(times):
        with contextlib.suppress(asyncio.CancelledError):
            began.set()
            await asyncio.Event().wait()
    await asyncio.Event().wait()


async def test_a_cancellation_that_is_swallowed_is_said_again() -> None:
    began = asyncio.Event()
    tasks = Tasks(on_death=pytest.fail)
    task = tasks.start("deaf", deaf(1, began))
    await began.wait()
    async with deadline():
        await tasks.stop()
    assert task.cancelled()


async def test_a_task_that_does_not_end_holds_nobody_up_for_ever() -> None:
    began = asyncio.Event()
    task = asyncio.create_task(deaf(100, began), name="deaf")
    await began.wait()
    before = now_s()
    with capture_logs() as logs:
        await end([task])
    assert now_s() - before == END_S
    assert [one["tasks"] for one in logs] == [["deaf"]]
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
