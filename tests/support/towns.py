"""Given and then of the stories that play in a town (dronedispatch.testing.town)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from dronedispatch.dispatcher.core.state_cache import StateCache
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.drone_sim.core.schedule import Beat
from dronedispatch.drone_sim.fleet_flight import FleetFlight
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import ZONES_KEY, encode
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.kv.client import Item, KVClient
from dronedispatch.testing.fleet import a_delivery, at_km
from dronedispatch.testing.flow_checker import FlowChecker, FlowVerdict
from dronedispatch.testing.town import Town
from support.generated_cities import Document

BEAT = Beat(late_s=0.0, elapsed_s=1.0, skipped=0, next_due_s=0.0)
OpenTown = Callable[..., Awaitable[Town]]


@pytest.fixture
async def open_town() -> AsyncIterator[OpenTown]:
    """Opens towns with so many drones, mostly a dispatcher, and some ticks behind them; all end with the test."""
    towns: list[Town] = []

    async def opened(drones: int = 0, *, desk: bool = True, ticks: int = 2, **changes: Any) -> Town:
        town = Town(**changes)
        towns.append(town)
        if drones:
            town.add_fleet(drones)
        if desk:
            town.open_desk()
        await town.ticks(ticks)
        return town

    yield opened
    for town in towns:
        await town.close()


@pytest.fixture
async def town(open_town: OpenTown) -> Town:
    """Six drones and a dispatcher, two ticks old."""
    return await open_town(6)


async def stored(kv: KVClient, key: str) -> Item:
    """The record of `key`, which is there."""
    found = await kv.get(key)
    assert found is not None
    return found


async def cache_of(kv: KVClient, records: Mapping[str, object]) -> StateCache:
    """A dispatcher's cache that has read these records, which are in the store now."""
    cache = StateCache(FlightModel(), Tuning())
    for key, record in records.items():
        await kv.put(key, encode(record))
        assert cache.take(await stored(kv, key), 0.0) is None
    return cache


def far_order() -> Delivery:
    """Far enough that some ticks pass before the pick-up and before the drop-off."""
    return a_delivery(origin=at_km(8.0, 8.0), destination=at_km(-8.0, 8.0))


async def ticks_until(town: Town, delivery_id: str, *wanted: DeliveryStatus) -> Delivery:
    """The delivery, as soon as it has one of the states."""
    for _ in range(120):
        delivery = await town.delivery(delivery_id)
        if delivery.status in wanted:
            return delivery
        await town.tick()
    pytest.fail(f"{delivery_id} is {delivery.status} after 120 ticks")


async def watch(town: Town, checker: FlowChecker) -> None:
    """Show the checker what the store holds now."""
    for drone in (await town.drones()).values():
        checker.see_drone(drone)
    for told in (await town.telemetry()).values():
        checker.see_telemetry(told)
    checker.confirm(await town.deliveries())


async def verdict(town: Town, checker: FlowChecker) -> FlowVerdict:
    """What the checker says in the end."""
    return checker.verdict({one.id: one for one in await town.deliveries()}, await town.drones())


async def a_fleet(town: Town, drones: int, name: str = "sim-1") -> FleetFlight:
    """A drone_sim whose drones are registered."""
    fleet = town.add_fleet(drones, name)
    await town.ticks(2)
    return fleet


async def beats(fleet: FleetFlight, count: int = 1) -> None:
    """So many of the fleet's ticks, and nobody else's."""
    for _ in range(count):
        await fleet.tick(BEAT)


async def becomes(town: Town, document: Document) -> None:
    """This is the city from now on, and every fleet has read it."""
    await town.kv.put(ZONES_KEY, encode(document))
    for fleet in town.fleets:
        await fleet.zones.once()
