"""A swap is undone while its drone may come to the parcel: who has fetched it keeps it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dronedispatch.dispatcher.carry_out import CarryOut, PairLocks
from dronedispatch.dispatcher.core.fleet_arrays import lookahead_fleet
from dronedispatch.dispatcher.core.fleet_cache import ReadyDrones, cache_of
from dronedispatch.dispatcher.core.intents import stops_for
from dronedispatch.dispatcher.core.plan import Free, Plan, Undo
from dronedispatch.dispatcher.core.state_cache import StateCache
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.core.world import World, delivery_snapshot, drone_snapshot
from dronedispatch.dispatcher.locks import NoLocks
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import delivery_key, drone_key, encode
from dronedispatch.fleet.drones import Commands, Drone, DroneStatus
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.kv.client import Item, Op, OpResult
from dronedispatch.kv.version import Version
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import PLANE, a_delivery, a_drone, at_km, telemetry_for
from dronedispatch.testing.kv import MemoryKV

pytestmark = pytest.mark.virtual_time
VERSION = Version(1, 1)


async def stored(kv: MemoryKV, key: str) -> Item:
    found = await kv.get(key)
    assert found is not None
    return found


async def pair(kv: MemoryKV, *, stops_done: int) -> tuple[StateCache, Delivery, Drone]:
    """A drone on its way with two orders, as the store and the newest telemetry have it."""
    order = a_delivery(status=DeliveryStatus.ASSIGNED, drone_id="drone-00001", orders_seq=2)
    drone = a_drone(
        status=DroneStatus.BUSY, delivery_id=order.id, orders=Commands(seq=2, stops=stops_for(order))
    )
    cache = StateCache(FlightModel(), Tuning())
    records: tuple[tuple[str, Any], ...] = ((delivery_key(order.id), order), (drone_key(drone.id), drone))
    for key, record in records:
        await kv.put(key, encode(record))
        assert cache.take(await stored(kv, key), 0.0) is None
    cache.hear_telemetry(telemetry_for(orders_seq=2, stops_done=stops_done, tick=9), 0.0)
    return cache, order, drone


class TellingKV(MemoryKV):
    """The drone is heard while a delivery is written."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.when_written: Callable[[], object] = lambda: None

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        results = await super().batch(ops)
        self.when_written()
        return results


@pytest.mark.parametrize(
    ("fetched", "delivery_is", "drone_is"),
    [
        ("never", DeliveryStatus.PENDING, DroneStatus.IDLE),
        ("before the undo", DeliveryStatus.ASSIGNED, DroneStatus.BUSY),
        ("while the undo is written", DeliveryStatus.PENDING, DroneStatus.BUSY),
    ],
)
async def test_a_drone_that_has_fetched_the_parcel_is_not_freed(
    fetched: str, delivery_is: DeliveryStatus, drone_is: DroneStatus
) -> None:
    clock = FakeClock()
    kv = TellingKV(clock)
    cache, order, drone = await pair(kv, stops_done=int(fetched == "before the undo"))
    if fetched == "while the undo is written":
        told = telemetry_for(orders_seq=2, stops_done=1, tick=10)
        kv.when_written = lambda: cache.hear_telemetry(told, 0.0)
    locks: PairLocks = NoLocks()
    plan = Plan(
        undos=(Undo(order.id, cache.deliveries[order.id].version, drone.id, "better placed"),),
        frees=(Free(drone.id, cache.drones[drone.id].version, "better placed", after_delivery=order.id),),
    )
    await CarryOut(kv, cache, clock, lambda record, version: None).carry_out(plan, locks)

    assert cache.deliveries[order.id].record.status is delivery_is
    assert cache.drones[drone.id].record.status is drone_is


@pytest.mark.parametrize(("heard", "may_go"), [(True, True), (False, False)])
def test_a_drone_of_which_only_the_record_tells_may_be_nearer_than_it_seems(
    heard: bool, may_go: bool
) -> None:
    order = a_delivery(status=DeliveryStatus.ASSIGNED, drone_id="drone-00001", orders_seq=2)
    drone = a_drone(
        status=DroneStatus.BUSY, delivery_id=order.id, orders=Commands(seq=2, stops=stops_for(order))
    )
    told = telemetry_for(pos=at_km(2.0, -2.1), orders_seq=2)  # 100 m away: six seconds
    flying = drone_snapshot(drone, VERSION, told, PLANE, heard=heard)
    held = delivery_snapshot(order, VERSION, PLANE)
    world = World((flying,), (held,), default_city())
    ready = ReadyDrones(cache_of(world), ())
    fleet = lookahead_fleet(world, ready, {order.id: held})
    assert bool(fleet.holding) is may_go


def test_the_lag_of_a_slow_round_is_remembered_for_a_while() -> None:
    cache = StateCache(FlightModel(), Tuning())
    for round_s in (5.0, 0.1, 0.1):
        cache.took(round_s)
    assert 4.0 < cache.world(0.0).lag_s < 5.0
