"""A coordinator on a slow machine waits for whom it asks as long as its longest ping, over new connections, too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from dronedispatch.kvfront.app import Front
from dronedispatch.kvfront.settings import Settings
from dronedispatch.replication import view as views
from dronedispatch.replication.copies import Sighting
from dronedispatch.replication.effects import Pulse
from dronedispatch.replication.hashing import assignment
from dronedispatch.replication.patience import PING_MOST, PING_S
from dronedispatch.replication.view import Replica
from dronedispatch.runtime.discovery import Endpoint
from dronedispatch.runtime.health import Facts
from dronedispatch.runtime.settings import ProcessSettings
from dronedispatch.runtime.web import ServiceProcess
from dronedispatch.testing.peer import Peer, peer
from support.slow_service import SECRET, SlowService

pytestmark = pytest.mark.virtual_time

TAKES_S = 0.75 * PING_MOST * PING_S


@dataclass
class Slow:
    """A coordinator that has heard of slow answers, and another service that is as slow: a replica, or a peer."""

    front: Front
    other: Peer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.other.port}"


@pytest.fixture
async def slow() -> AsyncIterator[Slow]:
    process = ProcessSettings(registration="off", service_secret=SECRET)
    owner = ServiceProcess("kvfront", process, lambda: None, Facts)
    front = Front(Settings(process=process), owner)
    front.links.patience.took(front.clock.monotonic_s(), TAKES_S)
    async with peer(SlowService(TAKES_S, b'{"disk":"A1","replica":"A","reaches":true}')) as other:
        yield Slow(front, other)
        await front.stop()
    await owner.consul.close()


async def test_its_ping_of_a_replica_that_is_as_slow_says_alive(slow: Slow) -> None:
    slow.front.links.follow({"A": slow.url}, lambda _name: False)
    assert await slow.front.links.ping("A") is Pulse.ALIVE


async def test_it_waits_for_the_second_opinion_of_a_peer_that_is_as_slow(slow: Slow) -> None:
    slow.front.coordinators.value = (Endpoint("kvfront-2", "127.0.0.1", slow.other.port),)
    assert await slow.front.peers.opinion("A") is True


async def test_its_survey_hears_a_replica_that_is_as_slow(slow: Slow) -> None:
    replicas = {"A": Replica(slow.url, "A1")}
    slow.front.views.cached = views.bootstrap("c", replicas, 1, assignment(("A",), 1), "me")
    assert await slow.front.survey.once() == "1 of 1 replicas answer"
    assert slow.front.survey.seen == {"A": Sighting("A1")}
