"""The data plane's parts in one hand. `lb/app.py:compose` puts them together; nothing is decided here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

from dronedispatch.lb.accounting import Accounting
from dronedispatch.lb.admission import Admission
from dronedispatch.lb.backends import BackendPool
from dronedispatch.lb.connections import Connections
from dronedispatch.lb.core.identity import Network
from dronedispatch.lb.core.retry import RetryBudget
from dronedispatch.lb.deadlines import Deadlines
from dronedispatch.lb.settings import Settings, Timeouts


@dataclass(slots=True)
class ProxyCore:
    """One of these a process. `now` is the loop's time in s; `trusted` are the networks of our own proxies."""

    settings: Settings
    timeouts: Timeouts
    body_bytes_max: int
    backends: BackendPool
    admission: Admission
    books: Accounting
    connections: Connections
    deadlines: Deadlines
    budget: RetryBudget
    trusted: tuple[Network, ...]
    loop: asyncio.AbstractEventLoop
    now: Callable[[], float]
    rng: Random
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it; the set keeps it from being collected."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        self.deadlines.close()
        await self.backends.close()
