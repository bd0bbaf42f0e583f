"""What drone_sim does by the clock: the tick."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from dronedispatch.drone_sim.core.schedule import Beat, beat
from dronedispatch.runtime.clock import Clock

log = structlog.get_logger()


class Ticker:
    """Calls `tick` on a monotonic schedule; a clock that jumps moves nothing."""

    def __init__(self, tick: Callable[[Beat], Awaitable[str]], clock: Clock, period_s: float) -> None:
        self._tick = tick
        self._clock = clock
        self._period_s = period_s
        self._due_s: float | None = None
        self._previous_s: float | None = None

    async def once(self) -> str:
        """Wait until the next tick is due, then do it."""
        if self._due_s is None:
            self._due_s = self._clock.monotonic_s()
        await asyncio.sleep(max(0.0, self._due_s - self._clock.monotonic_s()))
        now = beat(
            due_s=self._due_s,
            began_s=max(self._due_s, self._clock.monotonic_s()),
            previous_s=self._previous_s,
            period_s=self._period_s,
        )
        self._previous_s = self._due_s + now.late_s
        self._due_s = now.next_due_s
        return await self._tick(now)
