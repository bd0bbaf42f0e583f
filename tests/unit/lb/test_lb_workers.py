"""The parent of several doors: it keeps each of them running, and leaves none behind."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from dronedispatch.lb import workers
from dronedispatch.lb.settings import from_environment
from dronedispatch.lb.workers import Workers
from dronedispatch.runtime.settings import ProcessSettings
from support.virtual_time import pass_time
from support.waiting import in_time, until

pytestmark = pytest.mark.virtual_time


class Worker:
    """A process that lives until it is signalled."""

    pid = 1

    def __init__(self) -> None:
        self.returncode: int | None = None
        self._over = asyncio.Event()

    def send_signal(self, number: int) -> None:
        if self.returncode is not None:
            raise ProcessLookupError
        self.end(-number)

    def end(self, status: int) -> None:
        self.returncode = status
        self._over.set()

    async def wait(self) -> int:
        await self._over.wait()
        assert self.returncode is not None
        return self.returncode


class Machine:
    """Starts workers while `may_start` is set; the first `refusals` of them it cannot start."""

    def __init__(self, refusals: int = 0) -> None:
        self.started: list[Worker] = []
        self.asked = 0
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.signals: dict[int, Callable[[], None]] = {}
        self.kind: type[Worker] = Worker
        self._refusals = refusals

    async def start(self, *_command: object, **_options: object) -> Worker:
        self.asked += 1
        await self.may_start.wait()
        if self._refusals:
            self._refusals -= 1
            raise OSError(errno.EAGAIN, "resource temporarily unavailable")
        self.started.append(self.kind())
        return self.started[-1]

    def on_signal(self, number: int, act: Callable[..., None], *arguments: Any) -> None:
        self.signals[number] = partial(act, *arguments)


@asynccontextmanager
async def parent(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, processes: int, **given: str
) -> AsyncIterator[asyncio.Task[None]]:
    async def ready(*_: object) -> bool:
        return True

    monkeypatch.setattr(asyncio, "create_subprocess_exec", machine.start)
    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", machine.on_signal)
    monkeypatch.setattr(Workers, "_ready", ready)
    settings = from_environment({"LB_PROCESSES": str(processes), **given})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(Workers(settings, {}, listener).run())
        yield running
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_worker_that_could_not_be_started_is_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(refusals=1)
    async with parent(monkeypatch, machine, 1) as running:
        await until(lambda: len(machine.started) == 1, "it is started")
        machine.signals[signal.SIGTERM]()
        await in_time(running)


async def test_a_worker_that_starts_while_the_parent_stops_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine()
    machine.may_start.clear()
    async with parent(monkeypatch, machine, 1) as running:
        await until(lambda: machine.asked == 1, "it is being started")
        machine.signals[signal.SIGTERM]()
        machine.may_start.set()
        await in_time(running)
    assert [worker.returncode for worker in machine.started] == [-signal.SIGTERM]


async def test_a_worker_that_is_dead_already_ends_no_exchange_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine()
    async with parent(monkeypatch, machine, 2):
        await until(lambda: len(machine.started) == 2, "both run")
        machine.may_start.clear()
        dead, other = machine.started
        dead.end(1)
        await until(lambda: machine.asked == 3, "the dead one is being started again")
        machine.signals[signal.SIGUSR2]()
        await until(lambda: other.returncode == -signal.SIGTERM, "the other one is exchanged")


class Frozen(Worker):
    """A process that was stopped (SIGSTOP): it hears of no signal but SIGKILL."""

    def send_signal(self, number: int) -> None:
        if number == signal.SIGKILL:
            super().send_signal(number)


async def test_a_worker_that_stands_still_holds_up_no_exchange_and_no_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "STOP_SPARE_S", 0.5)
    machine = Machine()
    async with parent(monkeypatch, machine, 2, LB_DRAIN_S="0", LB_DEREGISTER_LAG_S="0") as running:
        await until(lambda: len(machine.started) == 2, "both run")
        machine.kind = Frozen
        machine.signals[signal.SIGUSR2]()
        await until(lambda: len(machine.started) == 4, "both are exchanged")
        machine.signals[signal.SIGUSR2]()
        await until(lambda: len(machine.started) == 6, "those that stand still, too")
        machine.signals[signal.SIGTERM]()
        await in_time(running)
    assert [worker.returncode for worker in machine.started] == 2 * [-signal.SIGTERM] + 4 * [-signal.SIGKILL]


async def test_a_worker_that_takes_its_time_to_leave_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    machine.kind = Frozen
    async with parent(monkeypatch, machine, 1) as running:
        await until(lambda: len(machine.started) == 1, "it runs")
        machine.signals[signal.SIGTERM]()
        await pass_time(ProcessSettings().drain_s + 1.0)
        machine.started[0].end(0)
        await in_time(running)
    assert machine.started[0].returncode == 0
