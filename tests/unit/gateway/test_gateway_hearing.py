"""A gateway that was not at the broker says so to its readers: what was told meanwhile is in the store only."""

from __future__ import annotations

import pytest

from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.documents import encode
from dronedispatch.fleet.messages import DELIVERY_STATUS, DeliveryStatusChanged
from dronedispatch.gateway.consumers import subscribe
from dronedispatch.gateway.core.stream import DELIVERY, Reader
from dronedispatch.gateway.feed import Feed
from dronedispatch.runtime.clock import SystemClock
from dronedispatch.testing.broker import MemoryBus
from dronedispatch.testing.kv import MemoryKV
from support.ids import new_id
from support.rule_switches import Switch, always, must_turn_red, put


def assigned(seq: int) -> bytes:
    return encode(
        DeliveryStatusChanged(
            id=new_id(),
            at="2026-01-01T00:00:00.000Z",
            request_id="r",
            delivery_id=new_id(),
            status=DeliveryStatus.ASSIGNED,
            drone_id="d1",
            cause="assigned",
            term=1,
            seq=seq,
        )
    )


class Watched:
    """A gateway's feed with one reader on it, not yet at the broker."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.bus = MemoryBus()
        self.feed = Feed(MemoryKV(clock), clock, 100, lambda: 1.0)
        self._reader = Reader(self.feed.board, {DELIVERY}, None)

    async def news(self) -> list[str]:
        """Names and ids of the events that the reader gets now."""
        await self.bus.settled()
        lines = self._reader.next_bytes(0.0).decode().splitlines()
        return [line.partition(": ")[2] for line in lines if line.startswith(("event: reset", "id: "))]

    def tell(self, seq: int) -> None:
        self.bus.to_fanout(DELIVERY_STATUS, assigned(seq))


async def test_readers_of_a_gateway_that_comes_late_to_the_broker_are_told_to_read_again() -> None:
    one = Watched()
    one.tell(1)
    assert await one.news() == []
    subscribe(one.bus, one.feed, "gateway-1")
    assert one.feed.wake.is_set()
    assert await one.news() == ["reset"]
    one.tell(2)
    assert await one.news() == ["1-2"]


async def test_readers_of_a_gateway_that_comes_back_to_the_broker_are_told_to_read_again() -> None:
    one = Watched()
    subscribe(one.bus, one.feed, "gateway-1")
    assert await one.news() == ["reset"]
    one.tell(1)
    assert await one.news() == ["1-1"]
    one.bus.stop_broker()
    assert await one.news() == []
    one.bus.start_broker()
    assert await one.news() == ["reset"]
    one.tell(2)
    assert await one.news() == ["1-2"]


@pytest.mark.parametrize(
    "proof",
    [
        test_readers_of_a_gateway_that_comes_late_to_the_broker_are_told_to_read_again,
        test_readers_of_a_gateway_that_comes_back_to_the_broker_are_told_to_read_again,
    ],
    ids=["late", "back"],
)
async def test_without_the_gap_a_test_turns_red(proof: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(proof)
    switch = Switch(
        "a gap is admitted", put({"gateway.core.ring.Ring.gap": always(None)}, "dronedispatch"), proof
    )
    switch.off(monkeypatch)
    await must_turn_red(switch)
