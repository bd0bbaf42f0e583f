"""An event loop whose time stands still while anybody in the process has something to do.

For tests of one process that talks to itself over the loopback. Real sockets, but timers fire by a clock that moves
only when nothing is ready, and then straight to the next timer: a deadline of 0.3 s is kept to the microsecond on a
machine that is ten times slower, and a wait of 60 s costs little. Mark a module or a test with `virtual_time`.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

START_S = 1000.0
SPEED_MAX = 10.0
"""Before time moves by so many seconds, nothing was ready for a real second: the kernel hands over what was sent."""
SETTLE_S = 0.002


class _Selector(selectors.DefaultSelector):
    """Waits for the sockets first, and only then lets time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = START_S
        self.in_threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if self.in_threads:  # a thread works, and its time is the machine's
            began_s = time.monotonic()
            ready = super().select(timeout)
            self.now_s += min(timeout, time.monotonic() - began_s)
            return ready
        ready = super().select(min(timeout, max(SETTLE_S, timeout / SPEED_MAX)))
        if not ready:
            self.now_s += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual; all else is asyncio's."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As asyncio's; until `func` has ended, time passes as on the wall."""
        future = super().run_in_executor(executor, func, *args)
        self._virtual.in_threads += 1
        future.add_done_callback(self._back)
        return future

    def _back(self, _future: asyncio.Future[Any]) -> None:
        self._virtual.in_threads -= 1


class LoopClock:
    """What runtime/clock.py asks of a clock, by the running loop's virtual time."""

    def monotonic_s(self) -> float:
        return now_s()

    def wall_s(self) -> float:
        return now_s()


def now_s() -> float:
    """What the running loop's clock says. AssertionError where that is the machine's clock: that one is not measured."""
    return _loop().time()


async def pass_time(seconds: float) -> None:
    """Let `seconds` pass, on the virtual clock only."""
    _loop()
    await asyncio.sleep(seconds)


async def stubborn() -> None:
    """Swallows its first cancellation."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()


def _loop() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop), "mark the test with virtual_time"
    return loop
