"""Orders that come close together are told to the dispatcher together; one alone is told at once."""

from __future__ import annotations

import pytest

from dronedispatch.fleet.documents import decode
from dronedispatch.fleet.messages import DELIVERY_REQUESTS, DeliveryRequested
from dronedispatch.gateway.delivery_requests import GATHER_S, TOGETHER_MAX, DeliveryRequests
from dronedispatch.kv.version import Version
from dronedispatch.testing.broker import MemoryPublisher
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import a_delivery
from support.ids import new_id
from support.virtual_time import pass_time

pytestmark = pytest.mark.virtual_time


class Desk:
    """Tells of deliveries of its own."""

    def __init__(self) -> None:
        self.publisher = MemoryPublisher()
        self.announced: list[str] = []
        self.requests = DeliveryRequests(
            self.publisher, FakeClock(), lambda one, _version: self.announced.append(one.id)
        )

    def tell(self, count: int = 1) -> list[str]:
        told = [a_delivery(id=new_id()) for _ in range(count)]
        for one in told:
            self.requests.tell(one, Version(1, 1), "r")
        return [one.id for one in told]

    @property
    def messages(self) -> list[list[str]]:
        """The deliveries that each message tells of."""
        found = [decode(DeliveryRequested, body) for body in self.publisher.bodies(DELIVERY_REQUESTS)]
        return [[one.delivery_id for one in (event, *event.more)] for event in found]


async def test_one_alone_is_told_at_once_and_what_comes_close_behind_goes_together() -> None:
    desk = Desk()
    first = desk.tell()
    assert desk.messages == [first]
    others = desk.tell(3)
    assert desk.messages == [first]
    assert desk.announced == first + others  # our own readers wait for nothing
    await pass_time(GATHER_S)
    assert desk.messages == [first, others]


async def test_after_a_while_without_any_the_next_is_told_at_once() -> None:
    desk = Desk()
    told = [desk.tell()]
    await pass_time(2 * GATHER_S)
    told.append(desk.tell())
    assert desk.messages == told


async def test_many_wait_for_no_moment_and_a_gateway_that_stops_keeps_none_back() -> None:
    desk = Desk()
    first, many, last = desk.tell(), desk.tell(TOGETHER_MAX), desk.tell(2)
    assert desk.messages == [first, many]
    desk.requests.flush()
    assert desk.messages == [first, many, last]
