"""Who is connected: room for newcomers, deadlines, and the end of all of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from dronedispatch.lb.core.crowd import Crowd

if TYPE_CHECKING:
    from dronedispatch.lb.accounting import Accounting
    from dronedispatch.lb.downstream import Downstream

TICK_S: Final = 0.1


class Connections:
    """The clients' connections. While `draining`, each is told to close with its next answer."""

    def __init__(self, books: Accounting, *, at_most: int) -> None:
        self.members: set[Downstream] = set()
        self.crowd: Crowd[Downstream] = Crowd()
        self.draining = False
        self.at_most = at_most
        self._books = books
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self.members)

    def came(self, connection: Downstream) -> bool:
        """A client has connected; False when there is no room for it, and nobody who could make some."""
        self.members.add(connection)
        self.crowd.came(connection, connection.party)
        self._books.connections += 1
        if len(self.members) <= self.at_most:
            return True
        idler = self.crowd.who_must_go(connection)
        if idler is None:
            return False
        self._books.evicted += 1
        self.left(idler)
        idler.cut()
        return True

    def left(self, connection: Downstream) -> None:
        """A client's connection is over. Asked twice, it does nothing the second time."""
        if connection in self.members:
            self.members.discard(connection)
            self.crowd.left(connection, connection.party)
        if self.draining and not self.members:
            self._empty.set()

    async def drain(self, limit_s: float) -> int:
        """Answer what comes with `Connection: close`, and wait for the end of what is in flight.

        A connection that has been quiet for a second is closed; one that still sends gets its answer first. Returns
        how many were cut at the limit.
        """
        self.draining = True
        now_s = asyncio.get_running_loop().time()
        for connection in self.members:
            if connection.request is None:
                connection.deadline_s = min(connection.deadline_s, now_s + min(1.0, limit_s / 2))
        if self.members:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self._empty.wait()
        left = list(self.members)
        for connection in left:
            connection.cut()
        return len(left)


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
        now_s = self._loop.time()
        for call in self._also:
            call(now_s)
        for connection in [one for one in self._connections.members if one.deadline_s <= now_s]:
            connection.expired()
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def close(self) -> None:
        self._timer.cancel()
