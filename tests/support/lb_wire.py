"""What tests of the door send and their gateways answer, and a door before gateways that run scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from dronedispatch.lb.settings import Settings
from dronedispatch.testing.door import OpenDoor, open_door
from dronedispatch.testing.peer import Script, peer

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
KEYED = POST.replace(b"/x", b"/deliveries").replace(b"Host: a\r\n", b"Host: a\r\nIdempotency-Key: k1\r\n")
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
UNKNOWN = b"HTTP/1.1 504 Gateway Timeout\r\nX-Outcome: unknown\r\nContent-Length: 4\r\n\r\nlate"
Seen = list[tuple[bytes, bytes]]
"""(head, body) of each request that a gateway has read."""


def status_of(answer: bytes) -> int:
    return int(answer.split()[1]) if answer else 0


@asynccontextmanager
async def door_before(*scripts: Script, settings: Settings | None = None) -> AsyncIterator[OpenDoor]:
    """A door before gateways g0, g1, ... that run these scripts."""
    async with AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(peer(script)) for script in scripts]
        yield await stack.enter_async_context(open_door([one.port for one in gateways], settings))
