"""Waiting by condition. The only room of the tests that sleeps or looks at the machine's clock.

A test says what it waits for and, where that takes long, how long on an ordinary machine; the deadline is several times
that. It is there to end a test that hangs: nothing may pass or fail by how fast the machine is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from support.virtual_time import VirtualTimeLoop

T = TypeVar("T")

PATIENCE = 15
"""So many times slower than ordinary a machine may be."""
DEADLINE_S = 180.0
"""Nothing is given up before."""
VIRTUAL_DEADLINE_S = 5.0
"""In virtual time, which no machine is too slow for."""
PAUSE_S = 0.02
BRIEF_PAUSE_S = 0.005
REST = 8.0
"""A look that costs something is taken less often: after it comes a pause of so many times its length."""
REST_MAX_S = 1.0


def rest_s(look_s: float, least_s: float) -> float:
    """The pause after a look that took `look_s`: what is waited for needs the machine more than who waits."""
    return max(least_s, min(REST * look_s, REST_MAX_S))


def patient_s(ordinary_s: float = 0.0) -> float:
    """The deadline of what takes `ordinary_s` on an ordinary machine."""
    return max(DEADLINE_S, PATIENCE * ordinary_s)


def deadline(ordinary_s: float = 0.0) -> asyncio.Timeout:
    """As `asyncio.timeout`, with patience."""
    return asyncio.timeout(_deadline_s(ordinary_s))


async def in_time(awaited: Awaitable[T], ordinary_s: float = 0.0) -> T:
    """What `awaited` gives. Raises TimeoutError when it never does."""
    async with deadline(ordinary_s):
        return await awaited


async def until(condition: Callable[[], object], what: str, ordinary_s: float = 0.0) -> None:
    """Return as soon as `condition()` is true. Raises AssertionError, naming `what`, when it never is."""

    async def holds() -> object:
        return condition()

    await until_true(holds, what, ordinary_s)


async def until_true(asked: Callable[[], Awaitable[object]], what: str, ordinary_s: float = 0.0) -> None:
    """Ask again and again until the answer is true. Raises AssertionError, naming `what`, when it never is."""
    loop = asyncio.get_running_loop()
    limit_s = _deadline_s(ordinary_s)
    end_s = loop.time() + limit_s
    looked_s = loop.time()
    while not await asked():
        now_s = loop.time()
        assert now_s < end_s, f"not within {limit_s:g} s: {what}"
        await asyncio.sleep(rest_s(now_s - looked_s, BRIEF_PAUSE_S))
        looked_s = loop.time()


async def until_true_or_over(asked: Callable[[], Awaitable[object]], at_most_s: float) -> None:
    """Ask again and again until the answer is true, or `at_most_s` is over: the length of a fault, no verdict."""
    loop = asyncio.get_running_loop()
    looked_s = loop.time()
    end_s = looked_s + at_most_s
    while not await asked() and loop.time() < end_s:
        await asyncio.sleep(rest_s(loop.time() - looked_s, PAUSE_S))
        looked_s = loop.time()


async def repeated_until(
    act: Callable[[], object], condition: Callable[[], object], what: str, ordinary_s: float = 0.0
) -> None:
    """Call `act` again and again until `condition()` is true: for what may be missed by who is not there yet."""

    async def holds() -> object:
        if not condition():
            act()
            await asyncio.sleep(PAUSE_S)
        return condition()

    await until_true(holds, what, ordinary_s)


class Patience:
    """A deadline for who tries again and again by himself."""

    def __init__(self, ordinary_s: float = 0.0) -> None:
        self._end_s = time.monotonic() + patient_s(ordinary_s)

    def at_end(self) -> bool:
        return time.monotonic() >= self._end_s


def wait_until(condition: Callable[[], object], what: str, ordinary_s: float = 0.0) -> None:
    """`until`, where there is no loop."""
    limit_s = patient_s(ordinary_s)
    looked_s = time.monotonic()
    end_s = looked_s + limit_s
    while not condition():
        now_s = time.monotonic()
        assert now_s < end_s, f"not within {limit_s:g} s: {what}"
        time.sleep(rest_s(now_s - looked_s, PAUSE_S))
        looked_s = time.monotonic()


async def let_run(seconds: float) -> None:
    """Let what runs beside the test go on. How much it gets done is the machine's affair: assert nothing of it."""
    await asyncio.sleep(seconds)


def _deadline_s(ordinary_s: float) -> float:
    virtual = isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
    return VIRTUAL_DEADLINE_S if virtual else patient_s(ordinary_s)
