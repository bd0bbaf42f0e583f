"""A drone that runs empty away from a charge point: whatever ends because of it names the battery."""

from __future__ import annotations

import pytest

from dronedispatch.drone_sim.faults import Fault, FaultKind
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.messages import DRONE_UPDATES
from dronedispatch.testing.town import Town
from support.towns import OpenTown, far_order, ticks_until


@pytest.fixture
async def town(open_town: OpenTown) -> Town:
    return await open_town(2)


def empty(town: Town, drone_id: str | None) -> None:
    assert drone_id is not None
    assert town.fleets[0].faults.strike(Fault(drone_id=drone_id, kind=FaultKind.BATTERY, battery_pct=0.0))


async def test_an_order_that_an_empty_battery_has_ended_says_so(town: Town) -> None:
    order = await town.order(far_order())
    carried = await ticks_until(town, order.id, DeliveryStatus.IN_PROGRESS)
    empty(town, carried.drone_id)
    failed = await ticks_until(town, order.id, DeliveryStatus.FAILED)
    assert failed.history[-1].cause == f"{carried.drone_id} has an empty battery, with the parcel on board"
    freed = (await town.drones())[carried.drone_id or ""]
    assert freed.cause == f"{carried.drone_id} has an empty battery"


async def test_the_battery_is_named_though_nobody_heard_the_last_word(town: Town) -> None:
    order = await town.order(far_order())
    carried = await ticks_until(town, order.id, DeliveryStatus.IN_PROGRESS)
    heard, town.seconds = town.bus.fate, 0  # the next scan comes after the verdict
    town.bus.fate = lambda target, message: [] if target == DRONE_UPDATES else [message]
    empty(town, carried.drone_id)
    await town.tick()
    town.bus.fate = heard
    failed = await ticks_until(town, order.id, DeliveryStatus.FAILED)
    assert "has an empty battery" in failed.history[-1].cause
