"""A gateway on memory twins for a browser: three drones that nobody flies, and no dispatcher, so every order waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from playwright.sync_api import Browser

from dronedispatch.testing.gateway import MemoryGateway
from dronedispatch.testing.serving import serving
from support.aside import aside
from support.browser_visit import Visit, live
from support.crowd import Crowd

PLACE = """async (number) => {
    const { placeOrder } = await import("/dashboard/js/api.js");
    const order = { origin: { lat: 41.89, lon: 12.49 }, destination: { lat: 41.91, lon: 12.53 }, weight: 1 };
    const placed = [];
    for (let n = 0; n < number; n += 1) placed.push((await placeOrder(order)).id);
    return placed;
}"""
"""Page script: so many orders; their ids."""
TRIP = {"origin.lat": "41.89", "origin.lon": "12.49", "destination.lat": "41.91", "destination.lon": "12.53"}
"""The same trip, as the fields of the page's form have it."""


@asynccontextmanager
async def quiet_town() -> AsyncIterator[tuple[MemoryGateway, str]]:
    """The gateway and its address."""
    gateway = MemoryGateway()
    await Crowd(gateway, 3).register()
    async with serving(gateway.app) as port:
        yield gateway, f"http://127.0.0.1:{port}"


@contextmanager
def quiet_visit(browser: Browser, script: str = "") -> Iterator[Visit]:
    """A live page of a quiet town of its own; `script` goes before its own ones."""
    with aside(quiet_town) as (_, url):
        page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="light")
        page.add_init_script(script)
        visit = Visit(page)
        live(page, url)
        yield visit
        page.close()
