"""Whether the coordinators reach a replica: asked as long as they may ping, and no longer than one says yes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from dronedispatch.kvstore.reachability import Reachability
from dronedispatch.replication.patience import PING_MOST, PING_S
from dronedispatch.replication.pings import ping_client
from dronedispatch.runtime.consul import ConsulClient
from dronedispatch.runtime.discovery import Endpoint, ServiceWatch
from dronedispatch.testing.peer import Script, peer
from support.virtual_time import now_s, pass_time

pytestmark = pytest.mark.virtual_time

PROVES_AND_PINGS_S = 2 * PING_MOST * PING_S
"""The longest that a coordinator takes for its opinion: a new connection to the replica, and the ping."""
Asked = Callable[..., Awaitable[bool | None]]


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    """Ask coordinators that run these scripts."""
    async with AsyncExitStack() as stack:

        async def ask(*scripts: Script) -> bool | None:
            consul, http = ConsulClient("127.0.0.1:1"), ping_client(None)
            stack.push_async_callback(consul.close)
            stack.push_async_callback(http.close)
            watch = ServiceWatch(consul, "kvfront")
            peers = [await stack.enter_async_context(peer(script)) for script in scripts]
            watch.value = tuple(Endpoint(f"c{one.port}", "127.0.0.1", one.port) for one in peers)
            return await Reachability("r", watch, http, None).reached()

        yield ask


def saying(reaches: str, after_s: float = 0.0) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await pass_time(after_s)
        body = f'{{"replica":"r","reaches":{reaches}}}'.encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    return script


async def still(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def test_a_coordinator_is_waited_for_while_it_may_ping(asked: Asked) -> None:
    assert await asked(saying("true", 0.95 * PROVES_AND_PINGS_S)) is True


async def test_one_that_reaches_it_is_enough_though_another_stands_still(asked: Asked) -> None:
    began_s = now_s()
    assert await asked(still, saying("false"), saying("true", 0.1)) is True
    assert now_s() - began_s == pytest.approx(0.1)


async def test_it_is_not_reached_when_no_coordinator_says_so(asked: Asked) -> None:
    assert await asked(still, saying("false"), saying("null")) is False


async def test_where_no_coordinator_is_known_nobody_can_say(asked: Asked) -> None:
    assert await asked() is None
