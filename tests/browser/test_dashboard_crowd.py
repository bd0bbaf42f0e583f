"""A thousand drones on the page."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from browser_visit import Visit
from dronedispatch.testing.crowd import Crowd
from dronedispatch.testing.gateway import MemoryGateway
from dronedispatch.testing.serving import serving

pytestmark = pytest.mark.real

DRONES = 1000


@pytest.fixture
def crowded() -> Iterator[str]:
    """The address of a gateway that shows a thousand drones in the air, a tick each second."""
    ready, stopped, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()
    ports: list[int] = []

    async def live() -> None:
        gateway = MemoryGateway()
        crowd = Crowd(gateway, DRONES)
        await crowd.register()
        async with serving(gateway.app) as port:
            ports.append(port)
            ready.set()
            await crowd.fly(1.0, stopped)

    thread = threading.Thread(target=lambda: loop.run_until_complete(live()), daemon=True)
    thread.start()
    assert ready.wait(30)
    yield f"http://127.0.0.1:{ports[0]}"
    loop.call_soon_threadsafe(stopped.set)
    thread.join(20)
    loop.close()


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
