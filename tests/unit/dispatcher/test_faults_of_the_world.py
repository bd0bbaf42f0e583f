"""Silent drones, lost and doubled messages, a store that fails, cancelled orders, records that nobody can read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import msgspec
import pytest

from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.drone_sim.core.schedule import Beat
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
from dronedispatch.testing.fleet import AT, a_delivery, at_km
from dronedispatch.testing.flow_checker import FlowChecker
from dronedispatch.testing.town import Town


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    town = Town(speed=60.0)
    town.add_fleet(6)
    town.open_desk()
    await town.ticks(2)
    yield town
    await town.close()


async def until(town: Town, delivery_id: str, *wanted: DeliveryStatus, ticks: int = 120) -> Delivery:
    for _ in range(ticks):
        delivery = await town.delivery(delivery_id)
        if delivery.status in wanted:
            return delivery
        await town.tick()
    pytest.fail(f"{delivery_id} is {delivery.status} after {ticks} ticks")


def far_order() -> Delivery:
    """Far enough that some ticks pass before the pick-up and before the drop-off."""
    return a_delivery(origin=at_km(8.0, 8.0), destination=at_km(-8.0, 8.0))


def silence(town: Town, drone_id: str | None, seconds: float = 600.0) -> None:
    assert drone_id is not None
    assert town.fleets[0].faults.strike(Fault(drone_id=drone_id, kind=FaultKind.SILENT, seconds=seconds))


async def test_a_silent_drone_loses_what_it_has_not_picked_up_within_three_ticks(town: Town) -> None:
    order = await town.order(far_order())
    first = await until(town, order.id, DeliveryStatus.ASSIGNED)
    silence(town, first.drone_id)
    await town.ticks(4)
    again = await town.delivery(order.id)
    assert again.status is DeliveryStatus.ASSIGNED
    assert again.drone_id != first.drone_id
    assert (await until(town, order.id, DeliveryStatus.DELIVERED)).drone_id == again.drone_id


async def test_a_parcel_on_board_of_a_silent_drone_is_failed_with_its_last_position(town: Town) -> None:
    order = await town.order(far_order())
    carried = await until(town, order.id, DeliveryStatus.IN_PROGRESS)
    silence(town, carried.drone_id)
    await town.ticks(5)
    failed = await town.delivery(order.id)
    assert failed.status is DeliveryStatus.FAILED
    assert failed.last_pos is not None
    assert "silent" in failed.history[-1].cause


async def test_a_drone_sim_that_says_nothing_makes_no_drone_silent_for_a_minute(town: Town) -> None:
    order = await town.order(far_order())
    first = await until(town, order.id, DeliveryStatus.ASSIGNED)
    fleet = town.fleets.pop()
    for _ in range(50):
        await town.tick()
    kept = await town.delivery(order.id)
    assert (kept.drone_id, kept.history) == (first.drone_id, first.history)
    town.fleets.append(fleet)
    await until(town, order.id, DeliveryStatus.DELIVERED)


async def test_a_drone_whose_battery_drops_to_nothing_loses_its_order_and_flies_again_with_a_new_battery(
    town: Town,
) -> None:
    order = await town.order(far_order())
    first = await until(town, order.id, DeliveryStatus.ASSIGNED)
    name = first.drone_id or ""
    town.fleets[0].faults.strike(Fault(drone_id=name, kind=FaultKind.BATTERY, battery_pct=0.0))
    await town.ticks(6)
    again = await town.delivery(order.id)
    assert again.drone_id not in (None, name)
    assert (await town.telemetry())[name].battery_pct == 0.0
    town.fleets[0].faults.strike(Fault(drone_id=name, kind=FaultKind.HEAL))
    await until(town, order.id, DeliveryStatus.DELIVERED)
    assert (await town.telemetry())[name].battery_pct > 0.0


async def test_a_drone_between_two_drone_sims_keeps_its_order_while_the_old_one_goes_on_to_tell(
    town: Town,
) -> None:
    order = await town.order(far_order())
    first = await until(town, order.id, DeliveryStatus.ASSIGNED)
    fleet = town.fleets[0]
    await fleet.claims.lose([slot_of(first.drone_id or "", 16)])
    for _ in range(12):  # later ticks of its drone_sim, which no longer has its slot
        town.clock.advance(1.0)
        await fleet.tick(Beat(late_s=0.0, elapsed_s=1.0, skipped=0, next_due_s=0.0))
        await town.bus.settled()
        await town.desks[0].rounds.once()
    kept = await town.delivery(order.id)
    assert (kept.drone_id, kept.history) == (first.drone_id, first.history)
    assert (await until(town, order.id, DeliveryStatus.DELIVERED)).drone_id == first.drone_id


async def test_a_drone_that_comes_back_from_silence_flies_again(town: Town) -> None:
    name = next(iter(await town.drones()))
    silence(town, name, seconds=10.0)
    await town.ticks(40)
    told = (await town.telemetry())[name]
    assert told.tick > 20


@pytest.mark.parametrize("seed", range(8))
async def test_lost_doubled_and_late_messages_change_nothing_but_the_time(seed: int) -> None:
    rng = Random(seed)
    town = Town(speed=100.0)
    late: list[tuple[str, Message]] = []

    def fate(target: str, message: Message) -> list[Message]:
        if rng.random() < 0.3:
            late.append((target, message))
            return []
        return [message] * rng.choice((1, 1, 2))

    town.bus.fate = fate
    town.add_fleet(6)
    town.open_desk()
    checker = FlowChecker()
    for _ in range(10):
        checker.accept((await town.order(a_delivery())).id)
    for _ in range(200):
        await town.tick()
        if late and rng.random() < 0.5:  # an old message comes after newer ones
            target, message = late.pop(rng.randrange(len(late)))
            town.bus.deliver(target, message)
        for drone in (await town.drones()).values():
            checker.see_drone(drone)
        for told in (await town.telemetry()).values():
            checker.see_telemetry(told)
    await town.close()
    verdict = checker.verdict({d.id: d for d in await town.deliveries()}, await town.drones())
    assert (verdict.delivered, verdict.violations) == (10, {})
    assert {len(d.history) for d in await town.deliveries()} == {4}


@pytest.mark.parametrize("seed", range(8))
async def test_a_store_that_fails_and_does_not_say_whether_it_wrote_loses_and_doubles_nothing(
    seed: int,
) -> None:
    rng = Random(seed)
    town = Town(speed=100.0)
    town.add_fleet(6)
    desk = town.open_desk()
    checker = FlowChecker()
    orders = [await town.order(a_delivery()) for _ in range(10)]

    def before(op: Op) -> None:
        if not isinstance(op, Get) and rng.random() < 0.1:
            raise Unavailable("not now")

    def after(op: Op) -> None:
        if not isinstance(op, Get) and rng.random() < 0.1:
            raise OutcomeUnknown("it may have been")

    await town.ticks(2)
    town.kv.before, town.kv.after = before, after
    for order in orders:
        checker.accept(order.id)
    for _ in range(150):
        await town.tick()
    town.kv.before = town.kv.after = lambda _op: None
    await town.ticks(50)
    verdict = checker.verdict({d.id: d for d in await town.deliveries()}, await town.drones())
    assert (verdict.delivered, verdict.violations) == (10, {})
    assert desk.rounds.complete
    await town.close()


@pytest.mark.parametrize("ticks", range(0, 14, 2))
async def test_a_cancelled_order_ends_in_one_terminal_state_and_frees_its_drone(
    town: Town, ticks: int
) -> None:
    order = await town.order(far_order())
    await town.ticks(ticks)
    item = await town.kv.get(delivery_key(order.id))
    assert item is not None
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
    """What was told in batches; that these follow each other without a hole is checked on the way."""
    events: list[DeliveryStatusChanged] = []
    for target, message in town.bus.published:
        if target == DELIVERY_CHANGES:
            batch = decode(DeliveryChanges, message.body)
            assert batch.first == len(events) + 1
            events += [decode(DeliveryStatusChanged, bytes(body)) for body in batch.events]
            assert batch.last == len(events)
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


async def test_status_events_are_numbered_without_gaps_in_their_term(town: Town) -> None:
    for _ in range(3):
        await town.order(a_delivery())
    await town.ticks(60)
    events = events_of(town)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert {event.term for event in events} == {1}
    assert [event.status for event in events].count(DeliveryStatus.DELIVERED) == 3


async def test_a_wish_is_carried_out_by_the_one_writer_of_the_drone_and_then_deleted() -> None:
    town = Town(tuning=Tuning(autoscale=False))
    town.add_fleet(6)
    town.open_desk()
    await town.ticks(2)
    name = next(iter(await town.drones()))
    for wanted, seen in ((Wanted.DECOMMISSIONED, True), (Wanted.COMMISSIONED, False)):
        desired = DesiredState(wanted=wanted, at=AT, request_id="r")
        await town.kv.put(desired_state_key(name), encode(desired), tags=(DESIRED_STATE_TAG,))
        await town.ticks(40)
        drone = (await town.drones())[name]
        assert drone.decommissioned is seen
        assert (drone.status in (DroneStatus.RETIRING, DroneStatus.INACTIVE)) is seen
        assert await town.kv.get(desired_state_key(name)) is None
    await town.close()


async def test_a_record_that_cannot_be_read_is_reported_skipped_and_never_overwritten(town: Town) -> None:
    await town.kv.put(delivery_key("broken"), b'{"id": 7}', tags=("open=1",))
    await town.kv.put(drone_key("drone-99999"), b"\xff\xfe")
    order = await town.order(a_delivery())
    await until(town, order.id, DeliveryStatus.DELIVERED)
    await town.ticks(10)
    for key, value in ((delivery_key("broken"), b'{"id": 7}'), (drone_key("drone-99999"), b"\xff\xfe")):
        item = await town.kv.get(key)
        assert item is not None
        assert item.value == value
    assert sorted(town.desks[0].rounds.cache.unreadable) == ["delivery:broken", "drone:drone-99999"]


async def test_a_drone_whose_record_became_unreadable_keeps_its_delivery_untouched(town: Town) -> None:
    order = await town.order(far_order())
    held = await until(town, order.id, DeliveryStatus.ASSIGNED)
    await town.kv.put(drone_key(held.drone_id or ""), b"garbage")
    await town.ticks(30)
    assert (await town.delivery(order.id)).drone_id == held.drone_id
    item = await town.kv.get(drone_key(held.drone_id or ""))
    assert item is not None
    assert item.value == b"garbage"


@pytest.mark.parametrize("queue", [DELIVERY_REQUESTS, DRONE_UPDATES])
async def test_a_message_that_cannot_be_decoded_goes_to_the_dead_letters_with_the_reason(
    town: Town, queue: str
) -> None:
    town.bus.to_queue(queue, b'{"id": ')
    town.bus.to_queue(queue, b'{"id": 3}')
    order = await town.order(a_delivery())
    await until(town, order.id, DeliveryStatus.DELIVERED)
    assert len(town.bus.dead_letters) == 2
    assert all(reason for _, reason in town.bus.dead_letters)


async def test_the_state_for_the_gateways_tells_fleet_and_backlog(town: Town) -> None:
    await town.order(far_order())
    await town.ticks(4)
    item = await town.kv.get(DISPATCH_STATE_KEY)
    assert item is not None
    state = decode(DispatchState, item.value)
    assert sum(state.drones.values()) == 6
    assert (state.pending, state.assigned + state.in_progress) == (0, 1)
    assert {free.free_in_s > 0 for free in state.free} == {False, True}


async def test_old_telemetry_that_comes_late_moves_no_delivery_back(town: Town) -> None:
    order = await town.order(far_order())
    held = await until(town, order.id, DeliveryStatus.IN_PROGRESS)
    told = (await town.telemetry())[held.drone_id or ""]
    old = msgspec.structs.replace(told, stops_done=0, tick=told.tick - 3)
    event = DroneUpdates(
        id="x", at=AT, request_id="r", source="sim-1", tick=old.tick, slots=(), drones=(old,)
    )
    town.bus.to_queue(DRONE_UPDATES, encode(event))
    await town.ticks(2)
    assert (await town.delivery(order.id)).status is DeliveryStatus.IN_PROGRESS


async def test_ten_cancels_at_once_and_a_dispatcher_leave_one_end() -> None:
    town = Town(speed=100.0)
    town.add_fleet(3)
    town.open_desk()
    await town.ticks(2)
    order = await town.order(a_delivery())

    async def cancel() -> bool:
        for _ in range(20):
            item = await town.kv.get(delivery_key(order.id))
            assert item is not None
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
    await town.close()
