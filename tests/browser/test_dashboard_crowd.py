"""A thousand drones on the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from browser_visit import Visit
from dronedispatch.testing.aside import aside
from dronedispatch.testing.crowd import Crowd
from dronedispatch.testing.gateway import MemoryGateway
from dronedispatch.testing.serving import serving

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


def test_a_thousand_flying_drones_are_drawn_in_less_than_a_frame(visit: Visit, crowded: str) -> None:
    visit.page.goto(f"{crowded}/dashboard")
    visit.wait_for(f"droneDispatch.world.drones.size === {DRONES}", "the whole fleet is there")
    visit.wait_for(
        "[...droneDispatch.world.drones.values()].every(d => d.trail.length > 3)", "every drone has a trail"
    )
    cost_ms = visit.page.evaluate(
        """async () => {
            const costs = [];
            for (let frame = 0; frame < 30; frame += 1) {
                await new Promise(requestAnimationFrame);
                costs.push(droneDispatch.map.cost);
            }
            return costs.sort((a, b) => a - b)[15];
        }"""
    )
    visit.keep_picture("thousand")
    assert 0 < cost_ms < 16.7, f"{cost_ms} ms to prepare a frame"
    assert visit.faults == []
