"""Silent drones, lost and doubled messages, a store that fails, cancelled orders, records that nobody can read."""

from __future__ import annotations

import asyncio
from random import Random

import msgspec
import pytest

from dronedispatch.drone_sim.core.slots import slot_of
from dronedispatch.drone_sim.faults import Fault, FaultKind
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, delivery_tags, move_delivery
from dronedispatch.fleet.dispatch_state import DESIRED_STATE_TAG, DesiredState, DispatchState, Wanted
from dronedispatch.fleet.documents import (
    DISPATCH_STATE_KEY,
    DRONE_PREFIX,
    decode,
    delivery_key,
    desired_state_key,
    drone_key,
    encode,
)
from dronedispatch.fleet.drones import DroneStatus
from dronedispatch.fleet.messages import (
    DELIVERY_CHANGES,
    DELIVERY_REQUESTS,
    DELIVERY_STATUS,
    DRONE_UPDATES,
    DeliveryChanges,
    DeliveryStatusChanged,
    DroneUpdates,
)
from dronedispatch.kv.client import Get, Op
from dronedispatch.kv.errors import OutcomeUnknown, Unavailable, VersionConflict
from dronedispatch.runtime.amqp import Message
from dronedispatch.testing.fleet import AT, a_delivery
from dronedispatch.testing.flow_checker import FlowChecker
from dronedispatch.testing.town import Town
from dronedispatch.testing.views import CALM
from support.towns import BEAT, OpenTown, far_order, stored, ticks_until, verdict, watch


def silence(town: Town, drone_id: str | None, seconds: float = 600.0) -> None:
    assert drone_id is not None
    assert town.fleets[0].faults.strike(Fault(drone_id=drone_id, kind=FaultKind.SILENT, seconds=seconds))


async def test_a_silent_drone_loses_what_it_has_not_picked_up_within_three_ticks(town: Town) -> None:
    order = await town.order(far_order())
    first = await ticks_until(town, order.id, DeliveryStatus.ASSIGNED)
    silence(town, first.drone_id)
    await town.ticks(4)
    again = await town.delivery(order.id)
    assert again.status is DeliveryStatus.ASSIGNED
    assert again.drone_id != first.drone_id
    assert (await ticks_until(town, order.id, DeliveryStatus.DELIVERED)).drone_id == again.drone_id


async def test_a_parcel_on_board_of_a_silent_drone_is_failed_with_its_last_position(town: Town) -> None:
    order = await town.order(far_order())
    carried = await ticks_until(town, order.id, DeliveryStatus.IN_PROGRESS)
    silence(town, carried.drone_id)
    await town.ticks(5)
    failed = await town.delivery(order.id)
    assert failed.status is DeliveryStatus.FAILED
    assert failed.last_pos is not None
    assert "silent" in failed.history[-1].cause


async def test_a_drone_sim_that_says_nothing_makes_no_drone_silent_for_a_minute(town: Town) -> None:
    order = await town.order(far_order())
    first = await ticks_until(town, order.id, DeliveryStatus.ASSIGNED)
    fleet = town.fleets.pop()
    await town.ticks(50)
    kept = await town.delivery(order.id)
    assert (kept.drone_id, kept.history) == (first.drone_id, first.history)
    town.fleets.append(fleet)
    await ticks_until(town, order.id, DeliveryStatus.DELIVERED)


async def test_a_drone_whose_battery_drops_to_nothing_loses_its_order_and_flies_again_with_a_new_battery(
    town: Town,
) -> None:
    order = await town.order(far_order())
    first = await ticks_until(town, order.id, DeliveryStatus.ASSIGNED)
    name = first.drone_id or ""
    town.fleets[0].faults.strike(Fault(drone_id=name, kind=FaultKind.BATTERY, battery_pct=0.0))
    await town.ticks(6)
    again = await town.delivery(order.id)
    assert again.drone_id not in (None, name)
    assert (await town.telemetry())[name].battery_pct == 0.0
    town.fleets[0].faults.strike(Fault(drone_id=name, kind=FaultKind.HEAL))
    await ticks_until(town, order.id, DeliveryStatus.DELIVERED)
    assert (await town.telemetry())[name].battery_pct > 0.0


async def test_a_drone_between_two_drone_sims_keeps_its_order_while_the_old_one_goes_on_to_tell(
    town: Town,
) -> None:
    order = await town.order(far_order())
    first = await ticks_until(town, order.id, DeliveryStatus.ASSIGNED)
    fleet = town.fleets[0]
    await fleet.claims.lose([slot_of(first.drone_id or "", 16)])
    for _ in range(12):  # later ticks of its drone_sim, which no longer has its slot
        town.clock.advance(1.0)
        await fleet.tick(BEAT)
        await town.bus.settled()
        await town.desks[0].rounds.once()
    kept = await town.delivery(order.id)
    assert (kept.drone_id, kept.history) == (first.drone_id, first.history)
    assert (await ticks_until(town, order.id, DeliveryStatus.DELIVERED)).drone_id == first.drone_id


async def test_a_drone_that_comes_back_from_silence_flies_again(town: Town) -> None:
    name = next(iter(await town.drones()))
    silence(town, name, seconds=10.0)
    await town.ticks(40)
    told = (await town.telemetry())[name]
    assert told.tick > 20


@pytest.mark.parametrize("seed", range(8))
async def test_lost_doubled_and_late_messages_change_nothing_but_the_time(
    open_town: OpenTown, seed: int
) -> None:
    rng, checker = Random(seed), FlowChecker()
    town = await open_town(6, ticks=0, speed=100.0)
    late: list[tuple[str, Message]] = []

    def fate(target: str, message: Message) -> list[Message]:
        if rng.random() < 0.3:
            late.append((target, message))
            return []
        return [message] * rng.choice((1, 1, 2))

    town.bus.fate = fate
    for _ in range(10):
        checker.accept((await town.order(a_delivery())).id)
    for _ in range(200):
        await town.tick()
        if late and rng.random() < 0.5:  # an old message comes after newer ones
            target, message = late.pop(rng.randrange(len(late)))
            town.bus.deliver(target, message)
        await watch(town, checker)
    judged = await verdict(town, checker)
    assert (judged.delivered, judged.violations) == (10, {})
    assert {len(d.history) for d in await town.deliveries()} == {4}


@pytest.mark.parametrize("seed", range(8))
async def test_a_store_that_fails_and_does_not_say_whether_it_wrote_loses_and_doubles_nothing(
    open_town: OpenTown, seed: int
) -> None:
    rng, checker = Random(seed), FlowChecker()
    town = await open_town(6, ticks=0, speed=100.0)
    for _ in range(10):
        checker.accept((await town.order(a_delivery())).id)

    def before(op: Op) -> None:
        if not isinstance(op, Get) and rng.random() < 0.1:
            raise Unavailable("not now")

    def after(op: Op) -> None:
        if not isinstance(op, Get) and rng.random() < 0.1:
            raise OutcomeUnknown("it may have been")

    await town.ticks(2)
    town.kv.before, town.kv.after = before, after
    await town.ticks(150)
    town.kv.before = town.kv.after = lambda _op: None
    await town.ticks(50)
    judged = await verdict(town, checker)
    assert (judged.delivered, judged.violations) == (10, {})
    assert town.desks[0].rounds.complete


@pytest.mark.parametrize("ticks", range(0, 14, 2))
async def test_a_cancelled_order_ends_in_one_terminal_state_and_frees_its_drone(
    town: Town, ticks: int
) -> None:
    order = await town.order(far_order())
    await town.ticks(ticks)
    item = await stored(town.kv, delivery_key(order.id))
    delivery = decode(Delivery, item.value)
    if delivery.status in (DeliveryStatus.PENDING, DeliveryStatus.ASSIGNED):
        cancelled = move_delivery(delivery, DeliveryStatus.CANCELLED, at=AT, cause="cancelled")
        await town.kv.cas(item.key, item.version, encode(cancelled), tags=delivery_tags(cancelled))
        town.ask_for(order.id)
    await town.ticks(90)
    ended = await town.delivery(order.id)
    assert ended.status in (DeliveryStatus.CANCELLED, DeliveryStatus.DELIVERED)
    assert all(drone.delivery_id is None for drone in (await town.drones()).values())
    told = [event.status for event in events_of(town) if event.delivery_id == order.id]
    assert told[-1] is ended.status
    assert len(told) == len(set(told))


def events_of(town: Town) -> list[DeliveryStatusChanged]:
    """What was told in batches; that their events are of one term and numbered without a gap is checked on the way."""
    events: list[DeliveryStatusChanged] = []
    for target, message in town.bus.published:
        if target == DELIVERY_CHANGES:
            batch = decode(DeliveryChanges, message.body)
            assert batch.first == len(events) + 1
            events += [decode(DeliveryStatusChanged, bytes(body)) for body in batch.events]
            assert batch.last == len(events)
    assert [(event.term, event.seq) for event in events] == [(1, n + 1) for n in range(len(events))]
    return events


async def test_who_listens_for_single_changes_gets_them_and_nobody_else_costs_a_message(town: Town) -> None:
    single: list[bytes] = []

    async def heard(message: Message) -> None:
        single.append(message.body)

    task = town.bus.subscribe(DELIVERY_STATUS, "older-gateway", heard)
    await town.order(a_delivery())
    await town.ticks(60)
    assert [decode(DeliveryStatusChanged, body) for body in single] == events_of(town)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    before = sum(target == DELIVERY_STATUS for target, _ in town.bus.published)
    for _ in range(5):
        await town.order(a_delivery())
    await town.ticks(60)
    probes = sum(target == DELIVERY_STATUS for target, _ in town.bus.published) - before
    assert probes <= len(events_of(town)) - len(single)
    assert not town.bus.heard(DELIVERY_STATUS)


async def test_a_wish_is_carried_out_by_the_one_writer_of_the_drone_and_then_deleted(
    open_town: OpenTown,
) -> None:
    town = await open_town(6, tuning=CALM)
    name = next(iter(await town.drones()))
    for wanted, seen in ((Wanted.DECOMMISSIONED, True), (Wanted.COMMISSIONED, False)):
        desired = DesiredState(wanted=wanted, at=AT, request_id="r")
        await town.kv.put(desired_state_key(name), encode(desired), tags=(DESIRED_STATE_TAG,))
        await town.ticks(40)
        drone = (await town.drones())[name]
        assert drone.decommissioned is seen
        assert (drone.status in (DroneStatus.RETIRING, DroneStatus.INACTIVE)) is seen
        assert await town.kv.get(desired_state_key(name)) is None


async def test_a_drone_whose_record_became_unreadable_keeps_its_delivery_untouched(town: Town) -> None:
    order = await town.order(far_order())
    held = await ticks_until(town, order.id, DeliveryStatus.ASSIGNED)
    await town.kv.put(drone_key(held.drone_id or ""), b"garbage")
    await town.ticks(30)
    assert (await town.delivery(order.id)).drone_id == held.drone_id
    assert (await stored(town.kv, drone_key(held.drone_id or ""))).value == b"garbage"


@pytest.mark.parametrize("queue", [DELIVERY_REQUESTS, DRONE_UPDATES])
async def test_a_message_that_cannot_be_decoded_goes_to_the_dead_letters_with_the_reason(
    town: Town, queue: str
) -> None:
    town.bus.to_queue(queue, b'{"id": ')
    town.bus.to_queue(queue, b'{"id": 3}')
    order = await town.order(a_delivery())
    await ticks_until(town, order.id, DeliveryStatus.DELIVERED)
    assert len(town.bus.dead_letters) == 2
    assert all(reason for _, reason in town.bus.dead_letters)


async def test_the_state_for_the_gateways_tells_fleet_and_backlog(town: Town) -> None:
    await town.order(far_order())
    await town.ticks(4)
    state = decode(DispatchState, (await stored(town.kv, DISPATCH_STATE_KEY)).value)
    assert sum(state.drones.values()) == 6
    assert (state.pending, state.assigned + state.in_progress) == (0, 1)
    assert {free.free_in_s > 0 for free in state.free} == {False, True}


async def test_old_telemetry_that_comes_late_moves_no_delivery_back(town: Town) -> None:
    order = await town.order(far_order())
    held = await ticks_until(town, order.id, DeliveryStatus.IN_PROGRESS)
    told = (await town.telemetry())[held.drone_id or ""]
    old = msgspec.structs.replace(told, stops_done=0, tick=told.tick - 3)
    event = DroneUpdates(
        id="x", at=AT, request_id="r", source="sim-1", tick=old.tick, slots=(), drones=(old,)
    )
    town.bus.to_queue(DRONE_UPDATES, encode(event))
    await town.ticks(2)
    assert (await town.delivery(order.id)).status is DeliveryStatus.IN_PROGRESS


async def test_ten_cancels_at_once_and_a_dispatcher_leave_one_end(open_town: OpenTown) -> None:
    town = await open_town(3, speed=100.0)
    order = await town.order(a_delivery())

    async def cancel() -> bool:
        for _ in range(20):
            item = await stored(town.kv, delivery_key(order.id))
            delivery = decode(Delivery, item.value)
            if delivery.status not in (DeliveryStatus.PENDING, DeliveryStatus.ASSIGNED):
                return False
            await asyncio.sleep(0)
            after = move_delivery(delivery, DeliveryStatus.CANCELLED, at=AT, cause="cancelled")
            try:
                await town.kv.cas(item.key, item.version, encode(after), tags=delivery_tags(after))
            except VersionConflict:
                continue
            return True
        return False

    _, *won = await asyncio.gather(town.tick(), *(cancel() for _ in range(10)))
    await town.ticks(40)
    ended = await town.delivery(order.id)
    assert won.count(True) == 1
    assert ended.status is DeliveryStatus.CANCELLED
    assert sum(line.to in ("cancelled", "delivered", "failed") for line in ended.history) == 1
    assert not [item for item in (await town.kv.scan(prefix=DRONE_PREFIX)).items if b"busy" in item.value]
