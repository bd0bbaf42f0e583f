"""Fast back ends on given ports: a small answer, 64 KiB, or server-sent events that carry the time they were sent.

`python -m loadtests.bench.lb_backend PORT...`; /body answers 64 KiB, /events?every=MS streams, all else is small.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import uvloop

SMALL = b'{"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","status":"pending"}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
SMALL_ANSWER = HEAD % len(SMALL) + SMALL
BODY_ANSWER = HEAD % 65_536 + b"x" * 65_536
EVENTS_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-accel-buffering: no\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


class FastBackend(asyncio.Protocol):
    """Reads heads by their end and bodies by Content-Length; no more is sent here."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            at = buffer.find(b"content-length: ", 0, end)
            if at < 0:
                at = buffer.find(b"Content-Length: ", 0, end)
            size = int(buffer[at + 16 : buffer.index(b"\r\n", at)]) if at >= 0 else 0
            if len(buffer) < end + 4 + size:
                break
            self._answer(buffer[:60])
            buffer = buffer[end + 4 + size :]
        self._buffer = buffer

    def _answer(self, start: bytes) -> None:
        assert self._transport is not None
        if b" /body" in start:
            self._transport.write(BODY_ANSWER)
        elif b" /events" in start:
            every_s = int(start.partition(b"every=")[2].partition(b" ")[0]) / 1000
            self._transport.write(EVENTS_HEAD)
            self._emit(every_s)
        else:
            self._transport.write(SMALL_ANSWER)

    def _emit(self, every_s: float) -> None:
        assert self._transport is not None
        event = b"id: 1-%d\ndata: {}\n\n" % time.monotonic_ns()
        self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        self._timer = asyncio.get_running_loop().call_later(every_s, self._emit, every_s)


async def serve(ports: list[int]) -> None:
    loop = asyncio.get_running_loop()
    for port in ports:
        await loop.create_server(FastBackend, "127.0.0.1", port, backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve([int(port) for port in sys.argv[1:]]))
