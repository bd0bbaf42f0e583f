"""A door of the load balancer in the test's own loop, in front of given ports."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from dronedispatch.lb.access_log import AccessLog
from dronedispatch.lb.app import compose
from dronedispatch.lb.backends import BackendPool
from dronedispatch.lb.downstream import Downstream
from dronedispatch.lb.proxy_core import ProxyCore
from dronedispatch.lb.settings import Settings, Timeouts
from dronedispatch.runtime.discovery import Endpoint

SHORT = Timeouts(
    head_s=0.5,
    keep_alive_s=5.0,
    body_idle_s=0.5,
    send_idle_s=0.5,
    queue_s=0.2,
    connect_s=2.0,
    try_s=0.3,
    response_s=1.0,
    read_s=1.0,
    total_s=4.0,
    stream_idle_s=0.8,
    linger_s=0.2,
)


def endpoints(ports: Sequence[int]) -> tuple[Endpoint, ...]:
    """Gateways g0, g1, ... on the loopback."""
    return tuple(Endpoint(f"g{number}", "127.0.0.1", port, {}) for number, port in enumerate(ports))


class OpenDoor:
    """Where it listens, and its inside."""

    def __init__(self, core: ProxyCore, port: int) -> None:
        self.core = core
        self.port = port

    async def exchange(self, request: bytes, *, timeout_s: float = 5.0, eof: bool = False) -> bytes:
        """Send bytes on a fresh connection; all that comes back until the door closes it, or has been quiet."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            if eof:
                writer.write_eof()
            return await read_until_quiet(reader, timeout_s)
        finally:
            writer.close()


async def read_until_quiet(reader: asyncio.StreamReader, timeout_s: float, quiet_s: float = 0.06) -> bytes:
    """Everything until EOF, or until nothing came for `quiet_s` after the first bytes; at most `timeout_s`."""
    received = b""
    wait_s = timeout_s
    while True:
        try:
            async with asyncio.timeout(wait_s):
                piece = await reader.read(1 << 20)
        except TimeoutError:
            return received
        except ConnectionError:
            return received
        if not piece:
            return received
        received += piece
        wait_s = quiet_s


@asynccontextmanager
async def open_door(
    ports: Sequence[int], settings: Settings | None = None, access_log: AccessLog | None = None
) -> AsyncIterator[OpenDoor]:
    """A door with short timeouts and no slow start, unless `settings` says otherwise."""
    settings = settings or Settings(timeouts=SHORT, slow_start_s=0.0)
    backends = BackendPool(settings)
    core = compose(settings, backends, access_log)
    backends.replace(endpoints(ports))
    sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = await asyncio.get_running_loop().create_server(lambda: Downstream(core), sock=sock)
    try:
        yield OpenDoor(core, sock.getsockname()[1])
    finally:
        server.close()
        for connection in list(core.connections.members):
            connection.cut()
        await core.connections.drain(0.5)
        await core.close()
        await server.wait_closed()


def with_settings(**changes: object) -> Settings:
    """The tests' settings with some changed."""
    return replace(Settings(timeouts=SHORT, slow_start_s=0.0), **changes)  # type: ignore[arg-type]
