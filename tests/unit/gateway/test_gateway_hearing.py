"""A gateway that was not at the broker says so to its readers: what was told meanwhile is in the store only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dronedispatch.fleet.documents import encode
from dronedispatch.fleet.messages import (
    DELIVERY_CHANGES,
    DELIVERY_STATUS,
    DRONE_UPDATES,
    SILENCE_S,
    DroneUpdates,
    RecordTold,
)
from dronedispatch.gateway.consumers import POSITIONS_KEPT_S, RENEW_MAX_S, Handler, Hearing
from dronedispatch.gateway.core.stream import DELIVERY, DRONES, Reader
from dronedispatch.gateway.feed import Feed
from dronedispatch.runtime.amqp import Message, Undecodable
from dronedispatch.testing.broker import MemoryBus
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import AT, a_batch, a_change
from dronedispatch.testing.kv import MemoryKV
from support.rule_switches import Switch, always, put, turns_red


class Watched:
    """A gateway's feed with one reader on it, not yet at the broker."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.bus = MemoryBus()
        self.feed = Feed(MemoryKV(self.clock), self.clock, 100, lambda: 1.0)
        self.hearing = Hearing(self.bus, self.feed, self.clock, "gateway-1")
        self._reader = Reader(self.feed.board, {DELIVERY}, None)

    async def news(self) -> list[str]:
        """Names and ids of the events that the reader gets now."""
        await self.bus.settled()
        lines = self._reader.next_bytes(0.0).decode().splitlines()
        return [line.partition(": ")[2] for line in lines if line.startswith(("event: reset", "id: "))]

    def tell(self, first: int, last: int | None = None, term: int = 1) -> None:
        self.bus.to_fanout(DELIVERY_CHANGES, encode(a_batch(first, last, term=term)))

    async def flown(self) -> bool:
        """Whether a tick of a drone_sim is told to anybody."""
        await asyncio.sleep(0)  # what has been taken back goes with the loop's next turn
        await asyncio.sleep(0)
        tick = DroneUpdates(id="t", at=AT, request_id="r", source="s", tick=1, slots=(), drones=())
        self.bus.to_fanout(DRONE_UPDATES, encode(tick))
        await self.bus.settled()
        return self.bus.heard(DRONE_UPDATES)

    async def listening(self) -> Watched:
        """At the broker; the readers have been told of the beginning."""
        self.hearing.start()
        assert await self.news() == ["reset"]
        return self

    async def after(self, seconds: float) -> str:
        """The hearing's loop, so much later."""
        self.clock.advance(seconds)
        return await self.hearing.once()


@pytest.mark.parametrize(
    "parts",
    [
        {"events": (msgspec.Raw(b"{}"),)},
        {"deliveries": (RecordTold("1.2", msgspec.Raw(b"{}")),)},
        {"deliveries": (RecordTold("x", msgspec.Raw(b'{"id":"d"}')),)},
    ],
)
async def test_a_batch_with_a_part_that_cannot_be_read_never_comes_again(parts: dict[str, Any]) -> None:
    one = Watched()
    with pytest.raises(Undecodable):
        await one.hearing.changed(Message(encode(a_batch(1, **parts)), "m", "r"))


async def test_readers_of_a_gateway_that_comes_late_to_the_broker_are_told_to_read_again() -> None:
    one = Watched()
    one.tell(1)
    assert await one.news() == []
    one.hearing.start()
    assert one.feed.wake.is_set()
    assert await one.news() == ["reset"]
    one.tell(2)
    assert await one.news() == ["1-2"]


async def test_readers_of_a_gateway_that_comes_back_to_the_broker_are_told_to_read_again() -> None:
    one = await Watched().listening()
    one.tell(1)
    assert await one.news() == ["1-1"]
    one.bus.stop_broker()
    assert await one.news() == []
    one.bus.start_broker()
    assert await one.news() == ["reset"]
    one.tell(2)
    assert await one.news() == ["1-2"]


async def test_batches_without_a_hole_are_told_in_order_and_beats_are_no_news() -> None:
    one = await Watched().listening()
    one.tell(1, 3)
    one.tell(4, 3)
    one.tell(4)
    assert await one.news() == ["1-1", "1-2", "1-3", "1-4"]


async def test_a_hole_between_two_batches_is_a_reset_before_what_comes_after_it() -> None:
    one = await Watched().listening()
    one.tell(1)
    assert await one.news() == ["1-1"]
    one.tell(3)
    assert await one.news() == ["reset"]
    assert one.feed.wake.is_set()
    one.tell(4)
    assert await one.news() == ["1-4"]


async def test_a_lost_end_of_a_term_is_found_by_the_next_beat() -> None:
    one = await Watched().listening()
    one.tell(1)
    assert await one.news() == ["1-1"]
    one.tell(3, 2)
    assert await one.news() == ["reset"]


async def test_a_new_leader_is_a_reset_for_nobody_knows_what_the_old_one_left_untold() -> None:
    one = await Watched().listening()
    one.tell(1)
    assert await one.news() == ["1-1"]
    one.tell(1, 0, term=2)
    assert await one.news() == ["reset"]
    one.tell(1, term=2)
    assert await one.news() == ["2-1"]
    one.tell(2)
    assert await one.news() == []


async def test_three_seconds_without_a_beat_are_a_reset_and_the_subscription_is_renewed() -> None:
    one = await Watched().listening()
    one.tell(1)
    assert await one.news() == ["1-1"]
    assert await one.after(SILENCE_S - 0.1) == "heard"
    assert await one.news() == []
    assert await one.after(0.2) == "silent"
    assert await one.news() == ["reset"]
    one.tell(2)
    assert await one.news() == ["1-2"]
    assert await one.after(1.0) == "heard"


async def test_while_nobody_leads_renewals_become_rare() -> None:
    one = await Watched().listening()
    renewed = [await one.after(1.0) == "silent" for _ in range(300)]
    assert 300 / RENEW_MAX_S <= sum(renewed) <= 10


async def test_an_older_dispatcher_is_heard_one_change_at_a_time_until_a_newer_one_leads() -> None:
    one = await Watched().listening()
    one.bus.to_fanout(DELIVERY_STATUS, encode(a_change(1)))
    assert await one.news() == []
    await one.after(SILENCE_S)
    assert await one.news() == ["reset"]
    one.bus.to_fanout(DELIVERY_STATUS, encode(a_change(2)))
    assert await one.news() == ["1-2"]
    assert one.bus.heard(DELIVERY_STATUS)
    one.tell(1, term=2)
    assert await one.news() == ["2-1"]
    one.bus.to_fanout(DELIVERY_STATUS, encode(a_change(2, term=2)))
    assert not one.bus.heard(DELIVERY_STATUS)
    assert await one.news() == []


async def test_positions_come_to_a_gateway_while_somebody_looks_at_drones_and_a_while_longer() -> None:
    one = await Watched().listening()
    assert not await one.flown()
    one.feed.enter({DELIVERY})
    await one.after(0.1)
    assert not await one.flown()
    one.feed.enter({DRONES})
    assert one.feed.entered.is_set()
    await one.after(0.1)
    assert await one.flown()
    one.feed.leave({DRONES})
    await one.after(POSITIONS_KEPT_S - 1.0)
    assert await one.flown()
    await one.after(1.0)
    assert not await one.flown()
    one.feed.enter({DRONES})
    await one.after(0.1)
    assert await one.flown()


class SlowBroker:
    """Its subscriptions take until `answers` is set to be taken back in good order."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def subscribe(
        self, exchange: str, queue: str, handler: Handler, attached: Callable[[], None] | None = None
    ) -> asyncio.Task[None]:
        self.tasks[exchange] = asyncio.create_task(self._subscribed())
        return self.tasks[exchange]

    async def _subscribed(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await self.answers.wait()


async def test_a_subscription_that_is_being_taken_back_is_not_hurried() -> None:
    one, broker = Watched(), SlowBroker()
    one.hearing = Hearing(broker, one.feed, one.clock, "gateway-1")
    one.feed.enter({DRONES})
    one.hearing.start()
    await asyncio.sleep(0)
    positions = broker.tasks[DRONE_UPDATES]
    one.feed.leave({DRONES})
    one.clock.advance(POSITIONS_KEPT_S)
    for seq in range(1, 4):
        await one.hearing.changed(Message(encode(a_batch(seq)), "m", "r"))
        await one.after(1.0)
        await asyncio.sleep(0)
    asked, ended = positions.cancelling(), positions.done()
    broker.answers.set()
    await asyncio.wait([positions])
    one.feed.enter({DRONES})
    await one.after(1.0)
    assert (asked, ended) == (1, False)
    assert broker.tasks[DRONE_UPDATES] is not positions


@pytest.mark.parametrize(
    "proof",
    [
        test_readers_of_a_gateway_that_comes_late_to_the_broker_are_told_to_read_again,
        test_readers_of_a_gateway_that_comes_back_to_the_broker_are_told_to_read_again,
        test_a_hole_between_two_batches_is_a_reset_before_what_comes_after_it,
        test_a_new_leader_is_a_reset_for_nobody_knows_what_the_old_one_left_untold,
        test_three_seconds_without_a_beat_are_a_reset_and_the_subscription_is_renewed,
    ],
    ids=["late", "back", "hole", "term", "silence"],
)
async def test_without_the_gap_a_test_turns_red(
    proof: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    off = put({"gateway.core.ring.Ring.gap": always(None)}, "dronedispatch")
    await turns_red(monkeypatch, Switch("a gap is admitted", off, proof))
