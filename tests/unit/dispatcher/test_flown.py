"""What a round leaves out of its look at orders that are flown says nothing: the rest decides as all of them would."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from dronedispatch.dispatcher.core.advance import advance_deliveries
from dronedispatch.dispatcher.core.fleet_cache import cache_of
from dronedispatch.dispatcher.core.flown import flown_of
from dronedispatch.dispatcher.core.reconcile import reconcile_stuck_busy
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus, DroneType
from dronedispatch.fleet.positions import Point
from dronedispatch.kv.version import Version

PAIRS = 60


def _world(rng: Random) -> World:
    """Pairs of which most are whole, and some broken or silent in every way that chance finds."""
    drones, deliveries = [], []
    for number in range(PAIRS):
        drone_id, delivery_id = f"drone-{number:05d}", f"delivery-{rng.random():.9f}"
        broken = rng.random() < 0.3
        held = delivery_id if not broken or rng.random() < 0.5 else rng.choice([None, "delivery-of-another"])
        drones.append(
            DroneSnapshot(
                id=drone_id,
                type=DroneType.LIGHT,
                status=rng.choice(list(DroneStatus)) if broken else DroneStatus.BUSY,
                version=Version(1, 1),
                at=Point(0.0, 0.0),
                battery_pct=50.0,
                delivery_id=held,
                delivery_version=rng.choice(["1.1", "1.2"]),
                orders_seq=1,
                stops=2,
                seen_seq=1,
                stops_done=rng.choice([0, 0, 1, 2]),
                ticks_missed=rng.choice([0, 0, 0, 9]),
                recalled=rng.random() < 0.1,
            )
        )
        named = rng.choice([None, drone_id, "drone-of-nobody"]) if broken else drone_id
        flown = (DeliveryStatus.ASSIGNED, DeliveryStatus.IN_PROGRESS)
        ground = (DeliveryStatus.PENDING, DeliveryStatus.DELIVERED, DeliveryStatus.FAILED)
        deliveries.append(
            DeliverySnapshot(
                id=delivery_id,
                status=rng.choice(flown if named is not None and rng.random() < 0.9 else ground),
                version=Version(1, 1),
                origin=Point(0.0, 0.0),
                destination=Point(1.0, 1.0),
                weight_kg=1.0,
                created_s=rng.random(),
                drone_id=named,
                orders_seq=1,
            )
        )
    return World(tuple(drones), tuple(deliveries), default_city())


@pytest.mark.parametrize("seed", range(40))
def test_orders_that_are_left_out_change_neither_moves_nor_cures(seed: int) -> None:
    # given
    world = _world(Random(seed))
    cached = cache_of(world)
    deliveries = {delivery.id: delivery for delivery in world.deliveries}

    # when
    flown = flown_of(deliveries, cached)
    odd, idle = flown.to_reconcile(cached, world.tuning), flown.idle_hands(cached)
    moves = advance_deliveries(flown.to_advance(cached), cached.drones)
    cures = reconcile_stuck_busy(deliveries, cached.drones, idle, world.tuning, odd)

    # then
    busy = cached.having(DroneStatus.BUSY)
    of_all = reconcile_stuck_busy(deliveries, cached.drones, busy, world.tuning)
    assert moves == advance_deliveries(deliveries, cached.drones)
    assert vars(cures) == vars(of_all)
    assert len(odd) < len(flown.orders)
    assert len(idle) < len(busy)


def test_a_fleet_that_is_gone_leaves_every_order_to_be_reconciled() -> None:
    world = _world(Random(1))
    cached = cache_of(replace(world, drones=()))
    flown = flown_of({delivery.id: delivery for delivery in world.deliveries}, cached)
    assert flown.to_reconcile(cached, world.tuning) == flown.orders
    assert (flown.to_advance(cached), flown.idle_hands(cached)) == ({}, [])
