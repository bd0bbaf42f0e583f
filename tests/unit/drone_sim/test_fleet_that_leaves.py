"""A drone_sim that is stopped gives its slots back, though one of its loops swallows the first cancellation."""

from __future__ import annotations

import asyncio

import pytest

from dronedispatch.drone_sim.app import DroneSim
from dronedispatch.testing.town import Town
from support.towns import a_fleet
from support.virtual_time import pass_time, stubborn

pytestmark = pytest.mark.virtual_time


async def test_a_loop_that_swallows_a_cancellation_holds_up_no_stop(town: Town) -> None:
    sim = object.__new__(DroneSim)  # the parts that leave uses, and no process
    sim.fleet = await a_fleet(town, 3)
    sim._flying = [asyncio.create_task(stubborn())]
    await pass_time(0.1)
    async with asyncio.timeout(60.0):
        await sim.leave()
    assert sim.fleet.claims.held() == ()
