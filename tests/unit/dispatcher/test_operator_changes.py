"""What operators change while orders fly: priority, deadline, zones; and what the cache makes of it."""

from __future__ import annotations

import msgspec
import pytest

from dronedispatch.dispatcher.core.state_cache import StateCache
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, delivery_tags
from dronedispatch.fleet.documents import ZONES_KEY, decode, delivery_key, drone_key, encode, telemetry_key
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.kv.client import Item
from dronedispatch.kv.version import Version
from dronedispatch.testing.fleet import a_delivery, a_drone, at_km, telemetry_for
from dronedispatch.testing.town import SCAN_EVERY, Town
from support.towns import OpenTown, stored


@pytest.fixture
async def town(open_town: OpenTown) -> Town:
    return await open_town(3)


async def change(town: Town, delivery: Delivery, **changes: object) -> None:
    item = await stored(town.kv, delivery_key(delivery.id))
    after = msgspec.structs.replace(decode(Delivery, item.value), **changes)
    await town.kv.cas(item.key, item.version, encode(after), tags=delivery_tags(after))


async def test_a_change_of_priority_in_flight_survives_the_dispatchers_next_writes(town: Town) -> None:
    order = await town.order(a_delivery(origin=at_km(6.0, 6.0)))
    await town.ticks(2)
    assert (await town.delivery(order.id)).status is DeliveryStatus.ASSIGNED
    await change(town, order, priority=7, deadline="2026-11-24T23:00:00.000Z")
    town.ask_for(order.id)
    await town.ticks(60)
    ended = await town.delivery(order.id)
    assert (ended.status, ended.priority) == (DeliveryStatus.DELIVERED, 7)
    assert ended.deadline == "2026-11-24T23:00:00.000Z"


async def test_a_change_without_an_event_is_found_by_the_scan(town: Town) -> None:
    order = await town.order(a_delivery(weight_kg=99.0))  # nobody carries it: it stays pending
    await town.ticks(1)
    await change(town, order, weight_kg=1.0)
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


def item(key: str, record: object, n: int = 1) -> Item:
    return Item(key, Version(1, n), record if isinstance(record, bytes) else encode(record))


def cache_with(*items: Item) -> StateCache:
    cache = StateCache(FlightModel(), Tuning())
    for one in items:
        assert cache.take(one, 0.0) is None
    return cache


def test_an_older_version_of_a_record_changes_nothing_in_the_cache() -> None:
    newer, older = (item(drone_key("d"), a_drone("d", cause=f"version {n}"), n) for n in (5, 4))
    assert cache_with(newer, older).drones["d"].record.cause == "version 5"


def test_a_record_that_was_repaired_is_read_again() -> None:
    cache = StateCache(FlightModel(), Tuning())
    assert cache.take(item(drone_key("d"), b"?"), 0.0) is not None
    assert cache.unreadable.keys() == {drone_key("d")}
    assert cache.take(item(drone_key("d"), a_drone("d"), 2), 0.0) is None
    assert cache.unreadable == {}
    assert [view.id for view in cache.world(0.0).drones] == ["d"]


def test_a_delivery_whose_time_cannot_be_read_is_unreadable() -> None:
    cache, broken = StateCache(FlightModel(), Tuning()), a_delivery(created_at="yesterday")
    assert cache.take(item(delivery_key(broken.id), broken), 0.0) is not None
    assert cache.world(0.0).deliveries == ()


async def test_zones_that_are_no_city_are_reported_and_leave_the_city_as_it_was(town: Town) -> None:
    await town.kv.put(ZONES_KEY, encode({"type": "FeatureCollection", "features": []}))
    await town.ticks(SCAN_EVERY)
    cache = town.desks[0].rounds.cache
    assert cache.city == default_city()
    assert cache.unreadable.keys() == {ZONES_KEY}


def test_the_world_joins_a_drone_with_its_newest_telemetry_in_either_order() -> None:
    drone = item(drone_key("d"), a_drone("d"))
    told = [item(telemetry_key("d"), telemetry_for("d", battery_pct=50.0 + n, tick=n), n) for n in (1, 2)]
    for cache in (cache_with(drone, *told), cache_with(*reversed(told), drone)):
        (view,) = cache.world(0.0).drones
        assert (view.battery_pct, view.flying) == (52.0, True)


def test_what_has_ended_is_forgotten_once_no_drone_names_it() -> None:
    ended = a_delivery(status=DeliveryStatus.CANCELLED)
    held = item(drone_key("d"), a_drone("d", delivery_id=ended.id))
    cache = cache_with(item(delivery_key(ended.id), ended), held)
    cache.forget_ended()
    assert list(cache.deliveries) == [ended.id]
    assert cache.take(item(drone_key("d"), a_drone("d"), 2), 0.0) is None
    cache.forget_ended()
    assert cache.deliveries == {}
