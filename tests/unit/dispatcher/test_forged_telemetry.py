"""No delivery moves on the word of a message: the drone's own record must say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from dronedispatch.dispatcher import rounds as rounds_of_dispatch
from dronedispatch.dispatcher.core.fleet_cache import FleetCache
from dronedispatch.dispatcher.core.plan import Plan
from dronedispatch.dispatcher.core.round import plan_round
from dronedispatch.dispatcher.core.state_cache import HEARSAY_S, TICKS_AHEAD_MAX
from dronedispatch.dispatcher.core.world import World
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.documents import encode, telemetry_key
from dronedispatch.fleet.drones import Drone, Telemetry
from dronedispatch.fleet.messages import DRONE_UPDATES, DroneUpdates
from dronedispatch.kv.client import Get, Op, OpResult
from dronedispatch.testing.fleet import AT, a_delivery, at_km
from dronedispatch.testing.town import Town
from support.rule_switches import Switch, always, put, turns_red
from support.towns import OpenTown


@pytest.fixture
async def town(open_town: OpenTown) -> Town:
    return await open_town(6, speed=20.0)


async def assigned(town: Town) -> tuple[str, Drone, Telemetry]:
    """An order whose drone is on its way."""
    order = await town.order(a_delivery(origin=at_km(6.0, -6.0), destination=at_km(-6.0, -6.0)))
    while (delivery := await town.delivery(order.id)).status is not DeliveryStatus.ASSIGNED:
        await town.tick()
    assert delivery.drone_id is not None
    return order.id, (await town.drones())[delivery.drone_id], (await town.telemetry())[delivery.drone_id]


def tell(town: Town, tick: int, **told: Any) -> None:
    event = DroneUpdates(id=f"q{tick}", at=AT, request_id="r", source="sim-1", tick=tick, slots=(), **told)
    town.bus.to_fanout(DRONE_UPDATES, encode(event))


def forge(town: Town, told: Telemetry, drone: Drone, *, ahead: int, stops_done: int) -> None:
    """Somebody else says of the drone what it has not done."""
    done = {"orders_seq": drone.orders.seq, "stops_done": stops_done, "pos": at_km(-6.0, -6.0)}
    false = msgspec.structs.replace(told, tick=told.tick + ahead, **done)
    tell(town, false.tick, drones=(false,))


async def rounds(town: Town) -> None:
    """The dispatcher's rounds alone: the fleet stands still meanwhile."""
    await town.bus.settled()
    for desk in town.desks:
        await desk.rounds.once()
        await desk.rounds.once()


@pytest.mark.parametrize("ahead", [1, 50, TICKS_AHEAD_MAX, TICKS_AHEAD_MAX + 1, 10**12])
@pytest.mark.parametrize("stops_done", [1, 2])
async def test_a_delivery_does_not_move_on_by_a_message_that_the_record_does_not_bear_out(
    town: Town, ahead: int, stops_done: int
) -> None:
    order_id, drone, told = await assigned(town)
    forge(town, told, drone, ahead=ahead, stops_done=stops_done)
    await rounds(town)
    delivery = await town.delivery(order_id)
    assert delivery.status is DeliveryStatus.ASSIGNED
    assert delivery.picked_up_at is None


@pytest.mark.parametrize("ahead", [2, 50, TICKS_AHEAD_MAX + 1, 10**12])
async def test_what_the_drone_truly_does_is_believed_again_at_once(town: Town, ahead: int) -> None:
    order_id, drone, told = await assigned(town)
    forge(town, told, drone, ahead=ahead, stops_done=0)
    await town.ticks(int(HEARSAY_S) + 8)
    cache, stored = town.desks[0].rounds.cache, await town.telemetry()
    assert cache.telemetry[drone.id].tick >= stored[drone.id].tick - 1
    assert cache.telemetry[drone.id].tick <= stored[drone.id].tick
    await town.ticks(120)
    assert (await town.delivery(order_id)).status is DeliveryStatus.DELIVERED


@pytest.mark.parametrize("jump", [2, 1000, 10**6])
async def test_a_drone_that_a_message_calls_silent_keeps_its_order_while_its_record_moves(
    town: Town, jump: int
) -> None:
    order_id, drone, told = await assigned(town)
    for later in range(1, 8):
        tell(town, told.tick + jump * later, drones=(), quiet=(drone.id,))
        await town.tick()
    delivery = await town.delivery(order_id)
    assert delivery.drone_id == drone.id
    assert delivery.status in (DeliveryStatus.ASSIGNED, DeliveryStatus.IN_PROGRESS)


async def test_without_the_reading_a_test_turns_red(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = ("hearsay_of", "steps_heard")
    off = put(
        {f"dispatcher.core.state_cache.StateCache.{name}": always([]) for name in reads}, "dronedispatch"
    )
    proof = test_a_delivery_does_not_move_on_by_a_message_that_the_record_does_not_bear_out
    await turns_red(
        monkeypatch, Switch("the record is read before a delivery moves", off, proof, (town, 1, 1))
    )


async def test_a_round_reads_what_its_moves_rest_on_before_it_plans(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    done: list[str] = []
    batch = town.kv.batch

    async def heard_batch(ops: Sequence[Op]) -> list[OpResult]:
        done.extend(op.key.partition(":")[0] for op in ops if isinstance(op, Get))
        return await batch(ops)

    def heard_plan(world: World, now_s: float, fleet: FleetCache) -> Plan:
        done.append("plan")
        return plan_round(world, now_s, fleet)

    order_id, drone, _ = await assigned(town)
    town.fleets.clear()  # what the test reads and writes is all that happens
    told = (await town.telemetry())[drone.id]
    fetched = msgspec.structs.replace(
        told, tick=told.tick + 1, orders_seq=drone.orders.seq, stops_done=told.stops_done + 1
    )
    await town.kv.put(telemetry_key(drone.id), encode(fetched))
    monkeypatch.setattr(town.kv, "batch", heard_batch)
    monkeypatch.setattr(rounds_of_dispatch, "plan_round", heard_plan)

    # when
    forge(town, fetched, drone, ahead=0, stops_done=fetched.stops_done)
    await town.bus.settled()
    await town.desks[0].rounds.once()

    # then
    assert (await town.delivery(order_id)).status is DeliveryStatus.IN_PROGRESS
    assert done[: done.index("plan")] == ["telemetry"]
    assert "telemetry" not in done[done.index("plan") :]
