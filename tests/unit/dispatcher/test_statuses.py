"""What the dispatcher tells: each change once, in the order of the record's own history, in batches without a hole."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from dronedispatch.dispatcher.consumers import Consumers
from dronedispatch.dispatcher.rounds import ROUND_WITHIN_S
from dronedispatch.dispatcher.statuses import BATCH_MAX, GATHER_S, OLD_NEWS_S, PROBE_S, Statuses
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, move_delivery
from dronedispatch.fleet.documents import DELIVERY_PREFIX, decode, delivery_key, encode, stamp
from dronedispatch.fleet.messages import (
    BEAT_S,
    DELIVERY_CHANGES,
    DELIVERY_REQUESTS,
    DELIVERY_STATUS,
    DeliveryChanges,
    DeliveryRequested,
    DeliveryStatusChanged,
    RecordTold,
)
from dronedispatch.kv.client import Cas, Op, OpResult
from dronedispatch.kv.version import Version
from dronedispatch.runtime.amqp import Message
from dronedispatch.testing.broker import MemoryBus
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import AT, a_delivery
from dronedispatch.testing.town import Town
from support.rule_switches import Switch, put, turns_red
from support.towns import OpenTown
from support.virtual_time import pass_time
from support.waiting import until


class Desk:
    def __init__(self) -> None:
        self.clock, self.bus = FakeClock(), MemoryBus()
        self.statuses = Statuses(self.bus, self.clock)
        self.statuses.begin(3)

    def moved(self, delivery: Delivery, *moves: DeliveryStatus) -> Delivery:
        for to in moves:
            drone, at = "d1" if to is DeliveryStatus.ASSIGNED else None, stamp(self.clock.wall_s())
            delivery = move_delivery(delivery, to, at=at, cause="test", drone_id=drone)
        return delivery

    def batches(self) -> list[DeliveryChanges]:
        told = [message.body for target, message in self.bus.published if target == DELIVERY_CHANGES]
        return [decode(DeliveryChanges, body) for body in told]

    def told(self) -> list[str]:
        told = [one for batch in self.batches() for one in batch.events]
        events = [decode(DeliveryStatusChanged, bytes(one)) for one in told]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        return [event.status.value for event in events]


@pytest.fixture
async def desk() -> Desk:
    return Desk()


async def test_what_two_looks_have_between_them_is_told_in_the_order_of_the_record(desk: Desk) -> None:
    order = a_delivery()
    desk.statuses.look(order, Version(1, 1))
    later = desk.moved(order, DeliveryStatus.ASSIGNED, DeliveryStatus.IN_PROGRESS, DeliveryStatus.DELIVERED)
    desk.statuses.look(later, Version(1, 4))
    desk.statuses.flush()
    assert desk.told()[-3:] == ["assigned", "in-progress", "delivered"]


async def test_an_older_version_that_is_read_late_is_no_news(desk: Desk) -> None:
    order = a_delivery()
    assigned = desk.moved(order, DeliveryStatus.ASSIGNED)
    desk.statuses.look(assigned, Version(1, 2))
    desk.statuses.look(order, Version(1, 1))
    desk.statuses.flush()
    assert desk.told()[-1] == "assigned"
    assert bytes(desk.batches()[0].deliveries[0].record).count(b'"status":"assigned"') == 1


async def test_without_the_version_a_test_turns_red(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(self: Statuses, delivery: Delivery, _version: Version) -> None:
        self._told.pop(delivery.id, None)

    off = put({"dispatcher.statuses.Statuses.know": forgetful}, "dronedispatch")
    proof = test_an_older_version_that_is_read_late_is_no_news
    await turns_red(monkeypatch, Switch("a look remembers the version", off, proof, (desk,)))


async def test_a_beat_says_that_there_is_nothing_to_say(desk: Desk) -> None:
    desk.statuses.beat()
    desk.clock.advance(BEAT_S)
    desk.statuses.beat()
    assert [(one.first, one.last, one.events) for one in desk.batches()] == [(1, 0, ())] * 2


async def test_a_round_with_much_news_is_told_in_several_messages_without_a_hole(desk: Desk) -> None:
    for _ in range(2 * BATCH_MAX + 1):
        desk.statuses.look(desk.moved(a_delivery(), DeliveryStatus.ASSIGNED), Version(1, 2))
    desk.statuses.flush()
    told = [(one.first, one.last) for one in desk.batches()]
    assert [first for first, _ in told] == [1, *(last + 1 for _, last in told[:-1])]
    assert max(len(one.events) for one in desk.batches()) <= BATCH_MAX


async def test_old_news_met_for_the_first_time_is_told_by_its_last_line_alone(desk: Desk) -> None:
    assigned = desk.moved(a_delivery(), DeliveryStatus.ASSIGNED)
    desk.clock.advance(OLD_NEWS_S + 1)
    desk.statuses.look(assigned, Version(1, 2))
    desk.statuses.flush()
    assert desk.told() == ["assigned"]


async def test_what_its_writer_says_is_shown_at_once_and_told_as_an_event_when_it_has_been_read(
    desk: Desk,
) -> None:
    order = a_delivery()
    desk.statuses.hear(order, Version(1, 1))
    assert desk.statuses.seen.is_set()
    desk.statuses.flush()
    desk.statuses.look(order, Version(1, 1))
    desk.statuses.flush()
    shown, told = desk.batches()
    assert ([one.version for one in shown.deliveries], shown.events) == (["1.1"], ())
    assert len(told.events) == 1


@pytest.mark.parametrize("read_first", [True, False])
async def test_an_older_word_takes_back_nothing_that_was_seen(desk: Desk, read_first: bool) -> None:
    order = a_delivery()
    look, hear = desk.statuses.look, desk.statuses.hear
    newer, older = (look, hear) if read_first else (hear, look)
    newer(desk.moved(order, DeliveryStatus.ASSIGNED), Version(1, 2))
    older(order, Version(1, 1))
    desk.statuses.flush()
    assert [one.version for one in desk.batches()[0].deliveries] == ["1.2"]


def told_of(delivery: Delivery, version: str = "1.1") -> RecordTold:
    return RecordTold(version, msgspec.Raw(encode(delivery)))


@pytest.mark.parametrize(
    "told",
    [told_of(a_delivery(), "one.two"), RecordTold("1.1", msgspec.Raw(b'{"id":7}')), told_of(a_delivery())],
    ids=["no version", "no delivery", "another delivery than the message names"],
)
async def test_a_request_that_tells_what_cannot_be_shown_is_set_aside_and_its_order_flown_all_the_same(
    town: Town, told: RecordTold
) -> None:
    order = await town.order(a_delivery(), tell=False)
    event = DeliveryRequested(id="x", at=AT, request_id="r", delivery_id=order.id, told=told)
    town.bus.to_queue(DELIVERY_REQUESTS, encode(event))
    await town.ticks(60)
    assert (await town.delivery(order.id)).status is DeliveryStatus.DELIVERED
    assert ["told" in reason for _, reason in town.bus.dead_letters] == [True]


async def test_orders_that_are_told_together_are_all_looked_at() -> None:
    pointed: list[str] = []
    heard: list[Delivery] = []
    rounds: Any = SimpleNamespace(
        point_at=lambda *keys: pointed.extend(keys),
        statuses=SimpleNamespace(hear=lambda delivery, _version: heard.append(delivery)),
    )
    orders = [a_delivery() for _ in range(3)]
    first, *others = [
        DeliveryRequested(id=one.id, at=AT, request_id="r", delivery_id=one.id, told=told_of(one))
        for one in orders
    ]
    together = msgspec.structs.replace(first, more=tuple(others))
    await Consumers(rounds, FakeClock()).delivery_requested(Message(encode(together), "m", "r"))
    assert pointed == [delivery_key(one.id) for one in orders]
    assert heard == orders


@pytest.mark.virtual_time
async def test_what_a_round_reads_and_writes_travels_in_one_batch(
    open_town: OpenTown, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = await open_town(6, ticks=3, locks=False)
    rounds = town.desks[0].rounds
    done_at_once, gate = town.kv.batch, asyncio.Event()

    async def batch(ops: Sequence[Op]) -> list[OpResult]:
        if any(isinstance(op, Cas) and op.key.startswith(DELIVERY_PREFIX) for op in ops):
            await gate.wait()
        return await done_at_once(ops)

    order = await town.order(a_delivery())
    await town.bus.settled()
    told = len(town.bus.published)
    monkeypatch.setattr(town.kv, "batch", batch)
    asyncio.get_running_loop().call_later(1.5 * GATHER_S, gate.set)
    round_ = asyncio.create_task(rounds.once())
    await until(lambda: rounds.statuses.waiting, "the round has read the order")
    await asyncio.gather(round_, rounds.beat())
    assert (await town.delivery(order.id)).status is DeliveryStatus.ASSIGNED
    assert [target for target, _ in town.bus.published[told:]].count(DELIVERY_CHANGES) == 1


@pytest.mark.virtual_time
@pytest.mark.parametrize("round_comes", [True, False])
async def test_what_a_gateway_tells_waits_for_the_round_that_tells_it_but_not_long(round_comes: bool) -> None:
    # given
    town = Town(speed=60.0, locks=False)
    town.add_fleet(6)
    rounds = town.open_desk().rounds
    await town.ticks(3)
    told = len(town.bus.published)

    def batches() -> int:
        return [target for target, _ in town.bus.published[told:]].count(DELIVERY_CHANGES)

    # when
    order = await town.order(a_delivery(), tell=False)
    rounds.statuses.hear(order, Version(1, 1))
    rounds.point_at(delivery_key(order.id))
    telling = asyncio.create_task(rounds.beat())
    await pass_time(GATHER_S + ROUND_WITHIN_S / 2)

    # then
    assert batches() == 0
    if round_comes:
        await rounds.once()
        assert (await town.delivery(order.id)).status is DeliveryStatus.ASSIGNED
    await pass_time(ROUND_WITHIN_S)
    assert telling.done()
    assert batches() == 1
    await town.close()


async def test_whether_somebody_listens_for_single_changes_is_tried_with_one_of_them(desk: Desk) -> None:
    for _ in range(3):
        for _ in range(4):
            desk.statuses.look(a_delivery(), Version(1, 1))
        desk.statuses.flush()
        desk.clock.advance(PROBE_S)
    tried = [target for target, _ in desk.bus.published].count(DELIVERY_STATUS)
    assert tried == 4 + 1 + 1  # at first nobody knows
