"""An order from the gateway's write to the drop-off, on the memory twins of store and broker."""

from __future__ import annotations

import pytest

from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus
from dronedispatch.testing.fleet import a_delivery
from dronedispatch.testing.town import Town
from support.towns import OpenTown


@pytest.fixture(params=[True, False], ids=["locks", "no locks"])
async def town(open_town: OpenTown, request: pytest.FixtureRequest) -> Town:
    return await open_town(6, locks=request.param)


async def test_an_order_goes_through_all_states_with_its_stamps_and_history(town: Town) -> None:
    order = await town.order(a_delivery())
    await town.ticks(60)
    delivery = await town.delivery(order.id)
    assert delivery.status is DeliveryStatus.DELIVERED
    assert [line.to for line in delivery.history] == ["pending", "assigned", "in-progress", "delivered"]
    stamps = [delivery.created_at, delivery.assigned_at, delivery.picked_up_at, delivery.delivered_at]
    assert stamps == sorted(stamp for stamp in stamps if stamp)
    drone = (await town.drones())[delivery.drone_id or ""]
    assert drone.delivery_id is None
    assert drone.status is not DroneStatus.BUSY


async def test_without_the_broker_the_same_order_is_delivered_by_rounds_and_scans(town: Town) -> None:
    town.bus.stop_broker()
    order = await town.order(a_delivery())
    await town.ticks(80)
    assert (await town.delivery(order.id)).status is DeliveryStatus.DELIVERED


async def test_thirty_orders_are_each_flown_once_and_no_drone_is_on_two(town: Town) -> None:
    orders = [await town.order(a_delivery()) for _ in range(30)]
    for _ in range(500):
        await town.tick()
        held = [drone.delivery_id for drone in (await town.drones()).values() if drone.delivery_id]
        assert len(held) == len(set(held))
    statuses = [(await town.delivery(order.id)).status for order in orders]
    assert statuses == [DeliveryStatus.DELIVERED] * 30
    assert min(told.battery_pct for told in (await town.telemetry()).values()) > 0
