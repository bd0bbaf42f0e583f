"""Where a drone is, and with what battery, is old by the time that it hears of an order: no drone is stranded by that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from dronedispatch.dispatcher.carry_out import CarryOut
from dronedispatch.dispatcher.core.fleet_arrays import lookahead_fleet
from dronedispatch.dispatcher.core.fleet_cache import ReadyDrones, cache_of
from dronedispatch.dispatcher.core.plan import Assign, Plan
from dronedispatch.dispatcher.core.round import plan_round
from dronedispatch.dispatcher.core.state_cache import StateCache
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.core.world import World, delivery_snapshot, drone_snapshot
from dronedispatch.dispatcher.locks import NoLocks
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import decode, delivery_key, drone_key, telemetry_key
from dronedispatch.fleet.drones import Commands, Drone, DroneStatus, Stop, StopKind, Telemetry
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.kv.client import Cas, Op, OpResult
from dronedispatch.kv.version import Version
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import PLANE, a_delivery, a_drone, at_km, telemetry_for
from dronedispatch.testing.kv import MemoryKV
from dronedispatch.testing.views import world
from support.towns import cache_of as read_cache
from support.towns import stored

VERSION = Version(1, 1)
CITY = default_city()
NAME = "drone-00001"
TO_CHARGE = Stop(kind=StopKind.CHARGE, pos=at_km(0.0, 2.0), station=CITY.charge_points[0].id)
FLIES = {"status": DroneStatus.CHARGING, "orders": Commands(seq=2, stops=(TO_CHARGE,))}


def world_of(
    drone: dict[str, Any], told: dict[str, Any], *, unheard_s: float, lag_s: float = 0.0, heard: bool = True
) -> World:
    """One drone and one order."""
    view = drone_snapshot(a_drone(NAME, **drone), VERSION, telemetry_for(NAME, **told), PLANE, heard=heard)
    order = delivery_snapshot(a_delivery(), VERSION, PLANE)
    return world(view, order, city=CITY, unheard_s={NAME: unheard_s}, lag_s=lag_s)


def battery_of(world: World) -> float:
    """What the round counts with."""
    fleet = lookahead_fleet(world, ReadyDrones(cache_of(world), ()), {})
    return float(fleet.battery_pct[0] - fleet.unseen_pct[0])


@pytest.mark.parametrize(
    ("age", "seconds"),
    [
        ({"unheard_s": 30.0}, 30.0),
        ({"unheard_s": 0.0, "lag_s": 4.0}, 8.0),
        ({"unheard_s": 0.0, "heard": False}, 5.0),
    ],
    ids=["nothing was heard", "rounds are slow", "only the record tells"],
)
def test_a_drone_that_flies_has_less_left_by_what_it_may_have_flown_unseen(
    age: dict[str, Any], seconds: float
) -> None:
    flight = FlightModel()
    unseen_pct = flight.planned_pct(2 * seconds * flight.cruise_mps)
    assert battery_of(world_of(FLIES, {"orders_seq": 2}, **age)) == pytest.approx(100.0 - unseen_pct)


@pytest.mark.parametrize(
    ("drone", "told"),
    [
        ({}, {}),
        ({"orders": Commands(seq=2, stops=(TO_CHARGE,))}, {"orders_seq": 2, "stops_done": 1}),
        (FLIES, {"orders_seq": 2, "queued_at": TO_CHARGE.station}),
        (FLIES, {"orders_seq": 2, "at_charge": TO_CHARGE.station}),
    ],
    ids=["it was sent nowhere", "it has done all", "it waits at a charge point", "it charges"],
)
def test_a_drone_that_stands_has_what_it_said_however_long_ago(
    drone: dict[str, Any], told: dict[str, Any]
) -> None:
    assert battery_of(world_of(drone, told, unheard_s=3_600.0)) == 100.0


def test_a_drone_that_has_not_heard_its_newest_orders_may_be_elsewhere() -> None:
    assert battery_of(world_of({"orders": Commands(seq=3)}, {"orders_seq": 2}, unheard_s=30.0)) < 100.0


@pytest.mark.parametrize(("unheard_s", "takes_it"), [(0.0, True), (1_500.0, False)])
def test_an_order_that_old_news_may_not_bear_goes_to_nobody(unheard_s: float, takes_it: bool) -> None:
    freed = {"orders": Commands(seq=3)}
    plan = plan_round(world_of(freed, {"orders_seq": 2, "battery_pct": 80.0}, unheard_s=unheard_s), 0.0)
    assert bool(plan.assigns) is takes_it


def test_news_are_as_old_as_the_last_word_of_the_drone() -> None:
    cache = StateCache(FlightModel(), Tuning())
    drone, told = a_drone(NAME), telemetry_for(NAME)
    cache.put_drone(drone, VERSION)
    cache.hear_telemetry(told, 10.0)
    assert cache.world(14.0).unheard_s == {NAME: 4.0}
    cache.hear_telemetry(telemetry_for(NAME, tick=2), 15.0)
    assert cache.world(15.0).unheard_s == {NAME: 0.0}
    cache.forget(telemetry_key(NAME))
    assert cache.world(16.0).unheard_s == {}


class SlowKV(MemoryKV):
    """A batch that writes the drone takes `takes_s` of the clock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.takes_s = 0.0

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        results = await super().batch(ops)
        if any(isinstance(op, Cas) and op.key == drone_key(NAME) for op in ops):
            self.clock.advance(self.takes_s)
        return results


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("old_s", "takes_s", "status", "written"),
    [
        (0.0, 0.0, DeliveryStatus.ASSIGNED, True),
        (2.0, 0.0, DeliveryStatus.PENDING, False),
        (0.0, 2.0, DeliveryStatus.PENDING, True),
    ],
    ids=["a fresh plan", "old before the first write", "old after it: taken back"],
)
async def test_a_plan_that_has_grown_old_assigns_nothing(
    old_s: float, takes_s: float, status: DeliveryStatus, written: bool
) -> None:
    clock, order = FakeClock(), a_delivery()
    kv = SlowKV(clock)
    records = {drone_key(NAME): a_drone(NAME), telemetry_key(NAME): telemetry_for(NAME)}
    cache = await read_cache(kv, {delivery_key(order.id): order, **records})
    of_drone, of_order = cache.drones[NAME].version, cache.deliveries[order.id].version
    plan = Plan(assigns=(Assign(NAME, of_drone, order.id, of_order, 1.0, 2.0, 1.0),))
    until_s = clock.monotonic_s() + 1.0
    clock.advance(old_s)
    kv.takes_s = takes_s
    before = (await stored(kv, drone_key(NAME))).version
    carry_out = CarryOut(kv, cache, clock, lambda record, version: None).carry_out
    await carry_out(plan, NoLocks(), assign_until_s=until_s)
    assert decode(Delivery, (await stored(kv, delivery_key(order.id))).value).status is status
    after = await stored(kv, drone_key(NAME))
    assert (decode(Drone, after.value).status is DroneStatus.BUSY) is (status is DeliveryStatus.ASSIGNED)
    assert (after.version != before) is written
    told = decode(Telemetry, (await stored(kv, telemetry_key(NAME))).value)
    assert told.is_recalled(1) is (written and status is DeliveryStatus.PENDING)
