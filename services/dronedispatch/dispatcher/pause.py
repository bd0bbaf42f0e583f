"""The pause between two rounds: orders that come close together share one, and planning leaves time for all else.

What a round costs whatever is in it is shared by its orders: where they come fast, it need not wait for more of them.
"""

from __future__ import annotations

import asyncio
import contextlib

from dronedispatch.runtime.clock import Clock

MANY = 25  # orders: a round of them costs each hardly more than one of twice as many
LEAST_SHARE = 0.25  # of the pause: what many orders wait all the same
REST = 3.0  # times the length of planning, which so takes a quarter of the time; half of it when many orders wait
REST_MAX_S = 0.5


class Pause:
    """`gather_s` from the end of a round, or until MANY orders wait; 0: none."""

    def __init__(self, clock: Clock, gather_s: float) -> None:
        self._clock = clock
        self._gather_s = gather_s
        self._many = asyncio.Event()
        self._least_until_s = self._until_s = clock.monotonic_s()

    def wait_for(self, orders: int) -> None:
        """So many have come since the last round looked."""
        if orders >= MANY:
            self._many.set()
        else:
            self._many.clear()

    def begin(self, planned_s: float) -> None:
        """A round has ended; it has planned for so long."""
        now_s = self._clock.monotonic_s()
        self._until_s = now_s + min(REST_MAX_S, max(self._gather_s, REST * planned_s))
        self._least_until_s = now_s + min(REST_MAX_S, max(LEAST_SHARE * self._gather_s, planned_s))

    async def over(self) -> None:
        """Return when the next round may begin."""
        if not self._gather_s:
            return
        await asyncio.sleep(max(0.0, self._least_until_s - self._clock.monotonic_s()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._until_s - self._clock.monotonic_s())):
                await self._many.wait()
