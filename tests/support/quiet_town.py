"""A gateway on memory twins for a browser: three drones that nobody flies, and no dispatcher, so every order waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dronedispatch.testing.gateway import MemoryGateway
from dronedispatch.testing.serving import serving
from support.crowd import Crowd

PLACE = """async (number) => {
    const { placeOrder } = await import("/dashboard/js/api.js");
    const order = { origin: { lat: 41.89, lon: 12.49 }, destination: { lat: 41.91, lon: 12.53 }, weight: 1 };
    const placed = [];
    for (let n = 0; n < number; n += 1) placed.push((await placeOrder(order)).id);
    return placed;
}"""
"""Page script: so many orders; their ids."""


@asynccontextmanager
async def quiet_town() -> AsyncIterator[tuple[MemoryGateway, str]]:
    """The gateway and its address."""
    gateway = MemoryGateway()
    await Crowd(gateway, 3).register()
    async with serving(gateway.app) as port:
        yield gateway, f"http://127.0.0.1:{port}"
