"""A swap is undone while its drone may come to the parcel: who has fetched it keeps it (docs/decisions/012)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dronedispatch.dispatcher.carry_out import CarryOut
from dronedispatch.dispatcher.core.fleet_arrays import lookahead_fleet
from dronedispatch.dispatcher.core.fleet_cache import ReadyDrones, cache_of
from dronedispatch.dispatcher.core.intents import stops_for
from dronedispatch.dispatcher.core.plan import Free, Plan, Undo
from dronedispatch.dispatcher.core.recall import letting_go
from dronedispatch.dispatcher.core.round import plan_round
from dronedispatch.dispatcher.core.state_cache import StateCache
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.core.world import delivery_snapshot, drone_snapshot
from dronedispatch.dispatcher.locks import NoLocks
from dronedispatch.dispatcher.recalls import Recalls
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import decode, delivery_key, drone_key, encode, telemetry_key
from dronedispatch.fleet.drones import Commands, Drone, DroneStatus, Telemetry
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.kv.client import Cas, Get, Op, OpResult
from dronedispatch.kv.version import Version
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import PLANE, a_delivery, a_drone, at_km, telemetry_for
from dronedispatch.testing.kv import MemoryKV
from dronedispatch.testing.views import world
from support.towns import cache_of as read_cache
from support.towns import stored

pytestmark = pytest.mark.virtual_time
VERSION = Version(1, 1)


NAME = "drone-00001"


def on_its_way() -> tuple[Delivery, Drone]:
    """An order, and its drone that flies by its second orders."""
    order = a_delivery(status=DeliveryStatus.ASSIGNED, drone_id=NAME, orders_seq=2)
    orders = Commands(seq=2, stops=stops_for(order))
    return order, a_drone(status=DroneStatus.BUSY, delivery_id=order.id, orders=orders)


async def pair(kv: MemoryKV) -> tuple[StateCache, Delivery, Drone]:
    """Both, as the store and the cache have them."""
    order, drone = on_its_way()
    told = telemetry_for(orders_seq=2, tick=9)
    records = {delivery_key(order.id): order, drone_key(NAME): drone, telemetry_key(NAME): told}
    return await read_cache(kv, records), order, drone


class FetchingKV(MemoryKV):
    """The drone fetches the parcel just before the operation that `before_that` is true of, and nobody hears of it."""

    def __init__(self, clock: FakeClock, before_that: Callable[[Op], bool]) -> None:
        super().__init__(clock)
        self.before_that = before_that
        self.fetched = False

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        if not self.fetched and any(map(self.before_that, ops)):
            self.fetched = True
            told = telemetry_for(orders_seq=2, stops_done=1, tick=10)
            await self.put(telemetry_key(told.id), encode(told))
        return await super().batch(ops)


def looks(op: Op) -> bool:
    return isinstance(op, Get) and op.key == telemetry_key(NAME)


def marks(op: Op) -> bool:
    return isinstance(op, Cas) and op.key == telemetry_key(NAME)


@pytest.mark.parametrize(
    ("fetches_before", "delivery_is", "drone_is"),
    [
        (lambda _op: False, DeliveryStatus.PENDING, DroneStatus.IDLE),
        (looks, DeliveryStatus.ASSIGNED, DroneStatus.BUSY),
        (marks, DeliveryStatus.ASSIGNED, DroneStatus.BUSY),
    ],
    ids=["never", "before the recall looks", "between its look and its mark"],
)
async def test_a_drone_that_has_fetched_the_parcel_keeps_it(
    fetches_before: Callable[[Op], bool], delivery_is: DeliveryStatus, drone_is: DroneStatus
) -> None:
    clock = FakeClock()
    kv = FetchingKV(clock, lambda _op: False)
    cache, order, drone = await pair(kv)
    kv.before_that = fetches_before
    undo = Undo(order.id, cache.deliveries[order.id].version, drone.id, "better placed")
    free = Free(drone.id, cache.drones[drone.id].version, "better placed", after_delivery=order.id)
    plan = Plan(undos=(undo,), frees=(free,))
    await CarryOut(kv, cache, clock, lambda record, version: None).carry_out(plan, NoLocks())

    assert decode(Delivery, (await stored(kv, delivery_key(order.id))).value).status is delivery_is
    assert decode(Drone, (await stored(kv, drone_key(drone.id))).value).status is drone_is
    told = decode(Telemetry, (await stored(kv, telemetry_key(drone.id))).value)
    assert told.is_recalled(2) is (drone_is is DroneStatus.IDLE)


async def test_a_recall_whose_undo_was_never_written_is_finished_by_the_next_round() -> None:
    kv = MemoryKV(FakeClock())
    cache, order, drone = await pair(kv)
    cache.hear_telemetry(telemetry_for(orders_seq=2, recalled_seq=2, tick=10), 0.0)
    plan = plan_round(cache.world(0.0), 0.0)
    assert [undo.delivery_id for undo in plan.undos] == [order.id]
    assert [(free.drone_id, free.after_delivery) for free in plan.frees] == [(drone.id, order.id)]


@pytest.mark.parametrize(
    ("changes", "may_let_go"),
    [
        ({"drone_id": NAME, "status": DeliveryStatus.ASSIGNED}, False),  # another one has finished it
        ({"drone_id": "drone-00002", "status": DeliveryStatus.ASSIGNED}, True),
        ({"status": DeliveryStatus.CANCELLED}, True),
        ({}, True),
    ],
    ids=["assigned to it", "with another drone", "cancelled", "pending"],
)
async def test_a_drone_lets_go_of_an_intent_unless_its_delivery_is_assigned_to_it(
    changes: dict[str, Any], may_let_go: bool
) -> None:
    kv = MemoryKV(FakeClock())
    order = a_delivery(**changes)
    version = await kv.put(delivery_key(order.id), encode(order))
    await kv.put(telemetry_key(NAME), encode(telemetry_for(orders_seq=1)))
    held = {"status": DroneStatus.BUSY, "delivery_id": order.id, "delivery_version": str(version)}
    drone = a_drone(orders=Commands(seq=2, stops=stops_for(order)), **held)
    granted = await Recalls(kv).granted([letting_go(drone)])
    assert granted == ({(drone.id, order.id)} if may_let_go else set())
    told = decode(Telemetry, (await stored(kv, telemetry_key(drone.id))).value)
    assert told.is_recalled(2) is (changes == {}), "what may still be finished is marked"


def test_telemetry_without_a_recall_has_the_members_that_older_versions_know() -> None:
    assert b"recalled_seq" not in encode(telemetry_for(orders_seq=3))
    assert b'"recalled_seq":3' in encode(telemetry_for(orders_seq=3, recalled_seq=3))


@pytest.mark.parametrize(("heard", "may_go"), [(True, True), (False, False)])
def test_a_drone_of_which_only_the_record_tells_may_be_nearer_than_it_seems(
    heard: bool, may_go: bool
) -> None:
    order, drone = on_its_way()
    told = telemetry_for(pos=at_km(2.0, -2.1), orders_seq=2)  # 100 m away: six seconds
    flying = drone_snapshot(drone, VERSION, told, PLANE, heard=heard)
    held = delivery_snapshot(order, VERSION, PLANE)
    seen = world(flying, held, city=default_city())
    fleet = lookahead_fleet(seen, ReadyDrones(cache_of(seen), ()), {order.id: held})
    assert bool(fleet.holding) is may_go


def test_the_lag_of_a_slow_round_is_remembered_for_a_while() -> None:
    cache = StateCache(FlightModel(), Tuning())
    for round_s in (5.0, 0.1, 0.1):
        cache.took(round_s)
    assert 4.0 < cache.world(0.0).lag_s < 5.0
