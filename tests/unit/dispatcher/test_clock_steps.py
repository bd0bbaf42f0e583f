"""A dispatcher whose wall clock is set, an hour on or back: no order is lost, doubled or given up for it."""

from __future__ import annotations

import pytest

from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.testing.fleet import a_delivery, at_km
from dronedispatch.testing.flow_checker import FlowChecker
from dronedispatch.testing.views import CALM
from support.towns import OpenTown, verdict

HOUR_S = 3600.0


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_an_order_that_nobody_can_fly_yet_is_not_given_up_by_a_step(
    open_town: OpenTown, step_s: float
) -> None:
    town = await open_town(tuning=CALM)
    order = await town.order(a_delivery(origin=at_km(1.0, 1.0), destination=at_km(-1.0, 1.0)))
    await town.ticks(3)
    town.clock.jump_wall(step_s)
    await town.ticks(3)
    assert (await town.delivery(order.id)).status is DeliveryStatus.PENDING


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_orders_under_way_end_once_whatever_the_clock_does(open_town: OpenTown, step_s: float) -> None:
    town, checker = await open_town(4), FlowChecker()
    for north in (1.0, 2.0, 3.0):
        order = await town.order(a_delivery(origin=at_km(2.0, north), destination=at_km(-2.0, north)))
        checker.accept(order.id)
    await town.ticks(3)
    town.clock.jump_wall(step_s)
    await town.ticks(25)
    town.clock.jump_wall(-step_s)
    await town.ticks(25)
    judged = await verdict(town, checker)
    assert (judged.delivered, judged.violations) == (3, {})
