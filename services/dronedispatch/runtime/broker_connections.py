"""Whether the connections that a process wants of the broker are up (dd_amqp_connected), and their end."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aio_pika.abc import AbstractConnection
from prometheus_client import Gauge

from dronedispatch.runtime.loops import is_cancelled

CLOSE_TIMEOUT_S = 5.0

CONNECTED = Gauge("dd_amqp_connected", "Whether every connection that is wanted is up", ["direction"])


class BrokerConnections:
    """A direction ("publish", "consume") is up while each of its connections is, however many there are."""

    def __init__(self) -> None:
        self._up: defaultdict[str, dict[object, bool]] = defaultdict(dict)

    @contextmanager
    def wanted(self, direction: str) -> Iterator[Callable[[bool], None]]:
        """One more, down at first; say through what this gives when it comes up and goes down.

        Cancelling takes it back: it counts no longer. One that ends in any other way is still wanted.
        """
        up, this = self._up[direction], object()

        def tell(is_up: bool) -> None:
            up[this] = is_up
            CONNECTED.labels(direction).set(all(up.values()))

        tell(False)
        try:
            yield tell
        except asyncio.CancelledError:
            del up[this]
            CONNECTED.labels(direction).set(all(up.values()))
            raise


async def close_in_time(connection: AbstractConnection) -> None:
    """Close it, whatever comes of that: a stopped broker does not answer."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await connection.close()
    except (Exception, asyncio.CancelledError) as exc:
        if isinstance(exc, asyncio.CancelledError) and is_cancelled():
            raise
