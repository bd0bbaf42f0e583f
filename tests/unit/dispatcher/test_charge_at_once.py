"""A drone that has delivered is freed and sent to charge by one write, unless an order may want it, and never too early."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from dronedispatch.dispatcher.carry_out import CarryOut
from dronedispatch.dispatcher.core.plan import Advance, Charge, Plan
from dronedispatch.dispatcher.core.state_cache import StateCache
from dronedispatch.dispatcher.core.tuning import Policy, Tuning
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot
from dronedispatch.dispatcher.locks import NoLocks
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, move_delivery
from dronedispatch.fleet.documents import decode, delivery_key, drone_key, encode
from dronedispatch.fleet.drones import Drone, DroneStatus
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import AT, a_delivery, a_drone
from dronedispatch.testing.kv import MemoryKV
from dronedispatch.testing.views import CALM, drone_at, flying, km, order, plan
from support.towns import stored

FLOWN = order("o", km(1, 1), km(3, 3), status=DeliveryStatus.IN_PROGRESS, drone_id="d")


def arrived(**changes: object) -> DroneSnapshot:
    return flying("d", "o", km(3, 3), done=2, **({"battery_pct": 60.0} | changes))


def made_of(*parts: DroneSnapshot | DeliverySnapshot, **tuned: Any) -> Plan:
    return plan(*parts, FLOWN, tuning=replace(CALM, **tuned))


def assert_only_freed(made: Plan, *drones: str) -> None:
    assert {free.drone_id for free in made.frees} == {"d", *drones}
    assert not made.charges


def test_who_has_delivered_is_sent_to_charge_by_the_write_that_frees_it() -> None:
    made = made_of(arrived())
    assert [advance.to for advance in made.advances] == [DeliveryStatus.DELIVERED]
    assert not made.frees
    (charge,) = made.charges
    assert (charge.drone_id, charge.after_delivery) == ("d", "o")
    assert charge.cause == "delivered; nothing waits for it"


def test_the_charge_point_is_the_one_that_a_round_later_would_have_chosen() -> None:
    at_once = made_of(arrived()).charges[0]
    later = plan(drone_at("d", km(3, 3), battery_pct=60.0)).charges[0]
    assert (at_once.charge_point, at_once.until_pct) == (later.charge_point, later.until_pct)


def test_where_an_order_waits_it_is_only_freed() -> None:
    made = made_of(arrived(), order("waits", km(3, 3.1), km(4, 4)))
    assert [hold.delivery_id for hold in made.holds] == ["waits"]
    assert_only_freed(made)


def test_an_order_that_another_drone_takes_keeps_nobody_from_charging() -> None:
    made = made_of(arrived(), drone_at("e", km(2, 2)), order("new", km(2, 2.1), km(4, 4)))
    assert [assign.drone_id for assign in made.assigns] == ["e"]
    assert [charge.drone_id for charge in made.charges] == ["d"]


def test_where_an_order_is_taken_from_a_drone_it_is_only_freed() -> None:
    swapped = order("held", km(8, 8), km(8, 5), status=DeliveryStatus.ASSIGNED, drone_id="far")
    made = made_of(arrived(), flying("far", "held", km(-8, -8)), drone_at("near", km(8, 7)), swapped)
    assert [undo.delivery_id for undo in made.undos] == ["held"]
    assert_only_freed(made, "far")


@pytest.mark.parametrize(
    "changes", [{"battery_pct": 97.0}, {"decommissioned": True}], ids=["full enough", "taken out of service"]
)
def test_who_would_not_charge_is_only_freed(changes: dict[str, object]) -> None:
    assert_only_freed(made_of(arrived(**changes)))


@pytest.mark.parametrize("policy", [policy for policy in Policy if policy is not Policy.LOOKAHEAD])
def test_the_other_policies_only_free_it(policy: Policy) -> None:
    assert_only_freed(made_of(arrived(), policy=policy))


@pytest.mark.parametrize("lost", [False, True], ids=["written", "lost to another writer"])
async def test_the_drone_goes_to_charge_only_when_its_delivery_has_been_written(lost: bool) -> None:
    clock = FakeClock()
    kv = MemoryKV(clock)
    drone = a_drone(status=DroneStatus.BUSY, delivery_id="o")
    flown = a_delivery(id="o", status=DeliveryStatus.IN_PROGRESS, drone_id=drone.id)
    versions = [
        await kv.cas(drone_key(drone.id), None, encode(drone)),
        await kv.cas(delivery_key("o"), None, encode(flown)),
    ]
    cache = StateCache(FlightModel(), Tuning())
    cache.put_drone(drone, versions[0])
    cache.put_delivery(flown, versions[1])
    if lost:
        await kv.cas(delivery_key("o"), versions[1], encode(msgspec.structs.replace(flown, priority=1)))
    point = cache.city.charge_points[0].id
    plan = Plan(
        advances=(Advance("o", versions[1], DeliveryStatus.DELIVERED, drone.id, "dropped off"),),
        charges=(Charge(drone.id, versions[0], point, 100.0, "delivered", after_delivery="o"),),
    )

    await CarryOut(kv, cache, clock, lambda record, version: None).carry_out(plan, NoLocks())

    after = decode(Drone, (await stored(kv, drone_key(drone.id))).value)
    order_after = decode(Delivery, (await stored(kv, delivery_key("o"))).value)
    if lost:
        assert (after.status, after.delivery_id) == (DroneStatus.BUSY, "o")
        assert order_after.status is DeliveryStatus.IN_PROGRESS
    else:
        assert (after.status, after.delivery_id) == (DroneStatus.CHARGING, None)
        assert [stop.station for stop in after.orders.stops] == [point]
        assert order_after == move_delivery(flown, DeliveryStatus.DELIVERED, at=AT, cause="dropped off")
