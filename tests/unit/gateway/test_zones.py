"""The city that a gateway judges by: known before it judges, the newest when it is shown, planned off the loop."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from dronedispatch.fleet.city import CityInvalid, default_city
from dronedispatch.fleet.documents import ZONES_KEY, encode
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.fleet.free_space import free_space
from dronedispatch.fleet.paths import paths_of
from dronedispatch.fleet.positions import LatLon
from dronedispatch.gateway.core.order import Order
from dronedispatch.gateway.core.reach import refuse_unserved
from dronedispatch.gateway.core.refusal import BadField
from dronedispatch.gateway.zones import Zones
from dronedispatch.kv.client import Item
from dronedispatch.kv.errors import Unavailable
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.kv import MemoryKV

OPEN = default_city().open_sky()


class Away(MemoryKV):
    """A store that answers nobody while `away`."""

    away = False

    async def get(self, key: str) -> Item | None:
        if self.away:
            raise Unavailable("no coordinator answers")
        return await super().get(key)


@pytest.fixture
def kv() -> Away:
    return Away(FakeClock())


async def test_a_gateway_that_has_never_read_its_city_is_not_ready_and_shows_none(kv: Away) -> None:
    kv.away = True
    zones = Zones(kv)
    with pytest.raises(Unavailable):
        await zones.refresh()
    with pytest.raises(Unavailable):
        await zones.latest()
    assert zones.why_not_ready() == "has not read its city from the store yet"
    kv.away = False
    await zones.refresh()
    assert zones.why_not_ready() is None


async def test_a_store_that_goes_away_later_leaves_it_ready_degraded_and_says_that_the_city_may_be_old(
    kv: Away,
) -> None:
    zones = Zones(kv)
    await zones.refresh()
    assert zones.why_degraded() is None
    kv.away = True
    shown = await zones.latest()
    assert shown.stale
    assert zones.why_not_ready() is None
    assert "no store answers" in (zones.why_degraded() or "")
    kv.away = False
    await zones.refresh()
    assert zones.why_degraded() is None


async def test_what_one_gateway_has_put_another_shows_at_once_with_its_version(kv: Away) -> None:
    one, other = Zones(kv), Zones(kv)
    await other.refresh()
    put = await one.replace(dict(OPEN.document), None, unconditional=False)
    shown = await other.latest()
    assert (shown.etag, shown.stale) == (put.etag, False)
    assert json.loads(shown.body) == OPEN.document


async def test_a_city_is_planned_in_another_thread_than_the_loop(
    kv: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []

    def planned(*arguments: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return original(*arguments)

    original = free_space
    zones = Zones(kv)  # plans the city that it shows before it has read the stored one
    monkeypatch.setattr("dronedispatch.fleet.paths.free_space", planned)
    document = json.loads(json.dumps(default_city().document))
    document["features"][-1]["geometry"]["coordinates"][0][1][0] += 0.0001
    await zones.replace(document, None, unconditional=True)
    assert threads == [False]  # once: the candidate and the stored city have the same walls


async def test_a_refused_city_is_not_stored(kv: Away) -> None:
    document = json.loads(json.dumps(OPEN.document))
    document["features"][1]["properties"]["name"] = 7
    with pytest.raises(CityInvalid, match="name"):
        await Zones(kv).replace(document, None, unconditional=True)
    assert await kv.get(ZONES_KEY) is None


async def test_a_stored_document_that_is_no_city_is_passed_over(kv: Away) -> None:
    zones = Zones(kv)
    await kv.put(ZONES_KEY, encode({"type": "FeatureCollection"}))
    assert "refused" in await zones.refresh()
    assert zones.why_not_ready() is None
    assert (await zones.latest()).body == zones.body


def test_an_order_that_no_class_can_fly_is_refused_with_the_limits_of_each() -> None:
    heavy = Order(origin=LatLon(41.801, 12.371), destination=LatLon(41.979, 12.599), weight_kg=10.0)
    with pytest.raises(BadField) as refused:
        refuse_unserved(heavy, paths_of(default_city()), FlightModel())
    assert refused.value.field == "destination"
    for kind in PAYLOAD_MAX_KG:
        assert f"{kind}: " in refused.value.reason


def test_an_order_within_the_limits_is_taken() -> None:
    small = Order(origin=LatLon(41.87, 12.45), destination=LatLon(41.89, 12.52), weight_kg=10.0)
    refuse_unserved(small, paths_of(default_city()), FlightModel())
