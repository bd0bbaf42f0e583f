"""The one clock of all deadlines of the data plane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from dronedispatch.lb.connections import Connections

TICK_S: Final = 0.1


class Deadlines:
    """Looked over ten times a second: a timer for each request costs more than its parsing, and a timeout of seconds
    may be late by a tenth.
    """

    def __init__(self, connections: Connections, *also: Callable[[float], None]) -> None:
        """`also`: called with the loop's time at each tick."""
        self._connections = connections
        self._also = also
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(
            TICK_S, self._tick
        )  # first: an error below must not be the last tick
        now_s = self._loop.time()
        for call in self._also:
            call(now_s)
        for connection in [one for one in self._connections.members if one.deadline_s <= now_s]:
            connection.expired()

    def close(self) -> None:
        self._timer.cancel()
