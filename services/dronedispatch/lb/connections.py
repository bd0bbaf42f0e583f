"""Who is connected: room for newcomers, and the end of all of them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from dronedispatch.lb.core.crowd import Crowd

if TYPE_CHECKING:
    from dronedispatch.lb.accounting import Accounting
    from dronedispatch.lb.downstream import Downstream


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
