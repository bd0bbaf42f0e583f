"""A client that takes nothing of its answers: what it sends meanwhile waits with it, and is served when it reads again."""

from __future__ import annotations

import asyncio
import socket

import pytest

from dronedispatch.lb.downstream import PIPELINED_BYTES_MAX, Downstream
from dronedispatch.testing.door import OpenDoor
from dronedispatch.testing.peer import always
from support.lb_wire import GET, door_before
from support.waiting import in_time, until

pytestmark = pytest.mark.virtual_time

PADDED = b"GET /x HTTP/1.1\r\nHost: a\r\nX-Pad: " + 12_000 * b"x" + b"\r\n\r\n"
MANY = 10 * PIPELINED_BYTES_MAX // len(PADDED)  # more than twice of what one look at a socket brings
BODY = 60_000 * b"y"
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


async def not_reading(door: OpenDoor) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Downstream]:
    """A client that was answered and has not taken the answer; and the door's side of it."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", door.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=1)
    await until(lambda: door.core.connections.members, "it is connected")
    (client,) = door.core.connections.members
    client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client.transport.set_write_buffer_limits(0)
    writer.write(GET)
    await until(lambda: door.core.books.statuses[2] == 1, "it is answered")
    assert client.write_paused
    return reader, writer, client


async def read_answers(reader: asyncio.StreamReader, count: int) -> None:
    got = 0
    while got < count * len(BODY):
        piece = await in_time(reader.read(65_536))
        assert piece, "the door has closed"
        got += piece.count(b"y")


async def test_what_it_sends_is_bounded_and_answered_later() -> None:
    async with door_before(always(LARGE)) as door:
        reader, writer, client = await not_reading(door)
        writer.write(MANY * PADDED)
        await until(lambda: not client._reading, "the door reads no more of it")
        assert len(client._buffer) < MANY * len(PADDED)
        await read_answers(reader, 1 + MANY)
        writer.close()
