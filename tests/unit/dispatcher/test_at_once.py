"""With a good part of the fleet idle an order gets a drone in the next round, and rounds come to rest all the same."""

from __future__ import annotations

from random import Random

import pytest

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import stamp, unstamp
from dronedispatch.testing.fleet import a_delivery, a_place
from dronedispatch.testing.town import Town
from support.towns import OpenTown


@pytest.fixture
async def town(open_town: OpenTown) -> Town:
    return await open_town(120, speed=15.0, locks=False)


def first_assigned_s(delivery: Delivery) -> float:
    line = next(line for line in delivery.history if line.to is DeliveryStatus.ASSIGNED)
    return unstamp(line.at) - unstamp(delivery.created_at)


async def test_no_order_waits_for_its_first_drone_while_many_are_idle(town: Town) -> None:
    rng = Random(3)
    for _ in range(60):
        created_at = stamp(town.clock.wall_s())
        await town.order(
            a_delivery(origin=a_place(rng, 8.0), destination=a_place(rng, 8.0), created_at=created_at)
        )
        await town.tick()
    deliveries = await town.deliveries()
    busy = sum(drone.delivery_id is not None for drone in (await town.drones()).values())
    assert 15 < busy < 96  # many fly, and a fifth is spare
    assert max(map(first_assigned_s, deliveries)) <= 1.0


async def test_rounds_come_to_rest_when_orders_are_given_at_once_and_swapped_later(town: Town) -> None:
    rng = Random(4)
    for _ in range(80):
        await town.order(a_delivery(origin=a_place(rng, 8.0), destination=a_place(rng, 8.0)))
    await town.ticks(2)
    said = await town.desks[0].rounds.once()
    assert said == "nothing to do"
    assert max(len(delivery.history) for delivery in await town.deliveries()) <= 2 + 2 * town.tuning.swaps_max
