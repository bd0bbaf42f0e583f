"""Replicas that another coordinator has reached and this one has not: while there is one, clients are sent to the other.

A coordinator that is cut off from a replica must not serve, and one that is merely slower than its own patience must: its
silence ends by itself, and if each of them stood aside for it the store would be away though all its replicas are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from dronedispatch.replication.effects import Pulse
from dronedispatch.runtime.clock import Clock

PAUSE_S: Final = 0.1
"""Between two pings of a disputed replica."""


class Disputes:
    """`begin` one; run `once` when `wake` is set. Each ends when the replica answers this coordinator, or after `last_s`."""

    def __init__(self, ping: Callable[[str], Awaitable[Pulse]], clock: Clock, last_s: float) -> None:
        self.wake = asyncio.Event()
        self._ping = ping
        self._clock = clock
        self._last_s = last_s
        self._until_s: dict[str, float] = {}

    def begin(self, replica: str) -> None:
        """Another coordinator reaches `replica`, this one has just not."""
        self._until_s[replica] = self._clock.monotonic_s() + self._last_s
        self.wake.set()

    def open(self) -> list[str]:
        """The disputed replicas."""
        if not self._until_s:
            return []
        now_s = self._clock.monotonic_s()
        return [name for name, until_s in self._until_s.items() if now_s < until_s]

    async def once(self) -> str:
        """Ping what is disputed until nothing is; says who has answered."""
        answered: set[str] = set()
        while names := self.open():
            for name, pulse in zip(names, await asyncio.gather(*map(self._ping, names)), strict=True):
                if pulse is Pulse.ALIVE:
                    self._until_s.pop(name, None)
                    answered.add(name)
            if self.open():
                await asyncio.sleep(PAUSE_S)
        self._until_s.clear()
        return f"answered after all: {', '.join(sorted(answered)) or 'none'}"
