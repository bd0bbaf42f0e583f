"""Slow is not dead: a sign of life may take as long as the longest ping, whatever its connection costs before."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dronedispatch.replication.effects import Pulse
from dronedispatch.replication.links import Links
from dronedispatch.replication.patience import PING_MOST, PING_S
from dronedispatch.replication.pings import ping_client
from dronedispatch.testing.peer import Peer, peer
from support.slow_service import SECRET, SlowService
from support.virtual_time import LoopClock, now_s

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def slow() -> SlowService:
    return SlowService(0.75 * PING_MOST * PING_S)


@pytest.fixture
async def there(slow: SlowService) -> AsyncIterator[Peer]:
    async with peer(slow) as made:
        yield made


@pytest.fixture
async def links(there: Peer) -> AsyncIterator[Links]:
    http = ping_client(SECRET)
    made = Links(http, "token", LoopClock(), call_timeout_s=0.5)
    made.follow({"r": f"http://127.0.0.1:{there.port}"}, lambda _name: False)
    yield made
    await made.close()
    await http.close()


def as_patient_as_can_be(links: Links) -> float:
    """The limit of its pings from now on."""
    links.patience.took(now_s(), PING_S * PING_MOST)
    return links.patience.ping_s(now_s())


async def test_a_slow_replica_is_alive_and_its_connection_is_kept(there: Peer, links: Links) -> None:
    as_patient_as_can_be(links)
    assert [await links.ping("r") for _ in range(3)] == [Pulse.ALIVE] * 3
    assert there.connections == 1


@pytest.mark.parametrize("known", [True, False])
async def test_a_replica_that_stands_still_is_found_out_within_one_ping(
    slow: SlowService, links: Links, known: bool
) -> None:
    if known:
        as_patient_as_can_be(links)
        await links.ping("r")
    slow.runs.clear()
    limit_s = as_patient_as_can_be(links)
    began_s = now_s()
    assert await links.ping("r") is Pulse.SILENT
    assert now_s() - began_s == pytest.approx(limit_s)
