"""A thousand drones on the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from dronedispatch.testing.gateway import MemoryGateway
from dronedispatch.testing.serving import serving
from support.aside import aside
from support.browser_visit import Visit
from support.crowd import Crowd

pytestmark = pytest.mark.real

DRONES = 1000


@asynccontextmanager
async def crowded_town() -> AsyncIterator[str]:
    """The address of a gateway that shows a thousand drones in the air, a tick each second."""
    gateway = MemoryGateway()
    crowd = Crowd(gateway, DRONES)
    await crowd.register()
    async with serving(gateway.app) as port:
        flight = asyncio.create_task(crowd.fly(1.0))
        yield f"http://127.0.0.1:{port}"
        flight.cancel()


@pytest.fixture
def crowded() -> Iterator[str]:
    with aside(crowded_town) as url:
        yield url


def test_a_thousand_flying_drones_are_drawn_frame_by_frame(visit: Visit, crowded: str) -> None:
    visit.page.goto(f"{crowded}/dashboard")
    visit.wait_for(f"droneDispatch.world.drones.size === {DRONES}", "the whole fleet is there")
    visit.wait_for(
        "[...droneDispatch.world.drones.values()].every(d => d.trail.length > 3)", "every drone has a trail"
    )
    drawn = visit.page.evaluate(
        """async () => {
            let drawn = 0;
            for (let frame = 0; frame < 30; frame += 1) {
                await new Promise(requestAnimationFrame);
                drawn += droneDispatch.map.cost > 0;
            }
            return drawn;
        }"""
    )
    visit.keep_picture("thousand")
    assert drawn == 30  # what a frame costs is the machine's affair, and told by droneDispatch.map.cost
    assert visit.faults == []
