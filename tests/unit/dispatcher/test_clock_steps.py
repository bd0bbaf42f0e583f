"""A dispatcher whose wall clock is set, an hour on or back: no order is lost, doubled or given up for it."""

from __future__ import annotations

import pytest

from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.testing.fleet import a_delivery, at_km
from dronedispatch.testing.flow_checker import FlowChecker
from dronedispatch.testing.town import Town

HOUR_S = 3600.0


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_an_order_that_nobody_can_fly_yet_is_not_given_up_by_a_step(step_s: float) -> None:
    town = Town(tuning=Tuning(autoscale=False))
    town.open_desk()
    await town.ticks(2)
    order = await town.order(a_delivery(origin=at_km(1.0, 1.0), destination=at_km(-1.0, 1.0)))
    await town.ticks(3)
    town.clock.jump_wall(step_s)
    await town.ticks(3)
    assert (await town.delivery(order.id)).status is DeliveryStatus.PENDING
    await town.close()


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_orders_under_way_end_once_whatever_the_clock_does(step_s: float) -> None:
    town, checker = Town(), FlowChecker()
    town.add_fleet(4)
    town.open_desk()
    await town.ticks(2)
    orders = [
        await town.order(a_delivery(origin=at_km(2.0, north), destination=at_km(-2.0, north)))
        for north in (1.0, 2.0, 3.0)
    ]
    await town.ticks(3)
    town.clock.jump_wall(step_s)
    await town.ticks(25)
    town.clock.jump_wall(-step_s)
    await town.ticks(25)
    for order in orders:
        checker.accept(order.id)
    stored = {one.id: one for one in await town.deliveries()}
    assert not checker.verdict(stored, await town.drones()).violations
    assert {one.status for one in stored.values()} == {DeliveryStatus.DELIVERED}
    await town.close()
