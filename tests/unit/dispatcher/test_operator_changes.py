"""What operators change while orders fly: priority, deadline, zones; and what the cache makes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from dronedispatch.dispatcher.core.state_cache import StateCache
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, delivery_tags
from dronedispatch.fleet.documents import (
    ZONES_KEY,
    delivery_key,
    drone_key,
    encode,
    telemetry_key,
)
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.kv.client import Item
from dronedispatch.kv.version import Version
from dronedispatch.testing.fleet import a_delivery, a_drone, at_km, telemetry_for
from dronedispatch.testing.town import SCAN_EVERY, Town


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    town = Town(speed=60.0)
    town.add_fleet(3)
    town.open_desk()
    await town.ticks(2)
    yield town
    await town.close()


async def change(town: Town, delivery: Delivery, **changes: object) -> None:
    """As a gateway does: by CAS, then an event."""
    item = await town.kv.get(delivery_key(delivery.id))
    assert item is not None
    after = msgspec.structs.replace(await town.delivery(delivery.id), **changes)
    await town.kv.cas(item.key, item.version, encode(after), tags=delivery_tags(after))
    town.ask_for(delivery.id)


async def test_a_change_of_priority_in_flight_survives_the_dispatchers_next_writes(town: Town) -> None:
    order = await town.order(a_delivery(origin=at_km(6.0, 6.0)))
    await town.ticks(2)
    assert (await town.delivery(order.id)).status is DeliveryStatus.ASSIGNED
    await change(town, order, priority=7, deadline="2026-11-24T23:00:00.000Z")
    await town.ticks(60)
    ended = await town.delivery(order.id)
    assert (ended.status, ended.priority) == (DeliveryStatus.DELIVERED, 7)
    assert ended.deadline == "2026-11-24T23:00:00.000Z"


async def test_a_change_without_an_event_is_found_by_the_scan(town: Town) -> None:
    order = await town.order(a_delivery(weight_kg=99.0))  # nobody carries it: it stays pending
    await town.ticks(1)
    item = await town.kv.get(delivery_key(order.id))
    assert item is not None
    after = msgspec.structs.replace(order, weight_kg=1.0)
    await town.kv.cas(item.key, item.version, encode(after), tags=delivery_tags(after))
    await town.ticks(60)
    assert (await town.delivery(order.id)).status is DeliveryStatus.DELIVERED


async def test_new_zones_are_taken_from_the_store_while_orders_fly(town: Town) -> None:
    order = await town.order(a_delivery(origin=at_km(6.0, 6.0)))
    await town.ticks(2)
    version = await town.kv.put(ZONES_KEY, encode(default_city().open_sky().document))
    for fleet in town.fleets:
        await fleet.zones.once()
    await town.ticks(60)
    assert town.desks[0].rounds.cache.city.version == str(version)
    assert (await town.delivery(order.id)).status is DeliveryStatus.DELIVERED


def cache_with(*items: Item) -> StateCache:
    cache = StateCache(FlightModel(), Tuning())
    for item in items:
        assert cache.take(item, 0.0) is None
    return cache


def test_an_older_version_of_a_record_changes_nothing_in_the_cache() -> None:
    newer = Item(drone_key("d"), Version(1, 5), encode(a_drone("d", cause="new")))
    older = Item(drone_key("d"), Version(1, 4), encode(a_drone("d", cause="old")))
    cache = cache_with(newer, older)
    assert cache.drones["d"].record.cause == "new"


def test_a_record_that_was_repaired_is_read_again() -> None:
    cache = StateCache(FlightModel(), Tuning())
    assert cache.take(Item(drone_key("d"), Version(1, 1), b"?"), 0.0) is not None
    assert cache.unreadable.keys() == {drone_key("d")}
    assert cache.take(Item(drone_key("d"), Version(1, 2), encode(a_drone("d"))), 0.0) is None
    assert cache.unreadable == {}
    assert [view.id for view in cache.world(0.0).drones] == ["d"]


def test_a_delivery_whose_time_cannot_be_read_is_unreadable() -> None:
    cache = StateCache(FlightModel(), Tuning())
    broken = a_delivery(created_at="yesterday")
    assert cache.take(Item(delivery_key(broken.id), Version(1, 1), encode(broken)), 0.0) is not None
    assert cache.world(0.0).deliveries == ()


async def test_zones_that_are_no_city_are_reported_and_leave_the_city_as_it_was(town: Town) -> None:
    await town.kv.put(ZONES_KEY, encode({"type": "FeatureCollection", "features": []}))
    await town.ticks(SCAN_EVERY)
    cache = town.desks[0].rounds.cache
    assert cache.city == default_city()
    assert cache.unreadable.keys() == {ZONES_KEY}


def test_the_world_joins_a_drone_with_its_newest_telemetry_in_either_order() -> None:
    drone = Item(drone_key("d"), Version(1, 1), encode(a_drone("d")))
    told = [
        Item(telemetry_key("d"), Version(1, n), encode(telemetry_for("d", battery_pct=50.0 + n, tick=n)))
        for n in (1, 2)
    ]
    first, second = cache_with(drone, *told), cache_with(*reversed(told), drone)
    for cache in (first, second):
        (view,) = cache.world(0.0).drones
        assert (view.battery_pct, view.flying) == (52.0, True)


def test_what_has_ended_is_forgotten_once_no_drone_names_it() -> None:
    ended = a_delivery(status=DeliveryStatus.CANCELLED)
    held = Item(drone_key("d"), Version(1, 1), encode(a_drone("d", delivery_id=ended.id)))
    cache = cache_with(Item(delivery_key(ended.id), Version(1, 1), encode(ended)), held)
    cache.forget_ended()
    assert list(cache.deliveries) == [ended.id]
    freed = Item(drone_key("d"), Version(1, 2), encode(a_drone("d")))
    assert cache.take(freed, 0.0) is None
    cache.forget_ended()
    assert cache.deliveries == {}
