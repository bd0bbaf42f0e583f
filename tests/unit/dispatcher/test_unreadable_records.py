"""One record that nobody can read is set aside: it holds up no scan, no round and no other order."""

from __future__ import annotations

import pytest
from ulid import ULID

from dronedispatch.drone_sim.core.placement import drone_id
from dronedispatch.fleet.deliveries import DeliveryStatus, Eta, Transition
from dronedispatch.fleet.documents import Unreadable, decode, delivery_key, drone_key, encode, telemetry_key
from dronedispatch.fleet.messages import DeliveryRequested
from dronedispatch.fleet.positions import LatLon
from dronedispatch.fleet.promises import kept_by
from dronedispatch.testing.fleet import AT, a_delivery, a_drone, telemetry_for
from dronedispatch.testing.town import SCAN_EVERY, Town
from support.towns import OpenTown, stored

DEEP = b"[" * 100_000 + b"]" * 100_000
NO_TIME = "yesterday"
ORDER = str(ULID.from_int(7))
NO_PLACE = LatLon(1e308, 1e308)


@pytest.fixture
async def town(open_town: OpenTown) -> Town:
    return await open_town(6, desk=False, ticks=0)


def test_a_document_that_is_nested_too_deeply_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="nested"):
        decode(DeliveryRequested, b'{"unknown":' + DEEP + b"}")


ORDERED = Transition(at=NO_TIME, from_=None, to=DeliveryStatus.PENDING, cause="ordered")
BROKEN = {
    "no delivery": (delivery_key("broken"), b'{"id": 7}'),
    "no text": (drone_key("broken"), b"\xff\xfe"),
    "nested": (delivery_key("broken"), b'{"unknown":' + DEEP + b"}"),
    "history": (delivery_key("broken"), encode(a_delivery(id="broken", history=(ORDERED,)))),
    "origin": (delivery_key("broken"), encode(a_delivery(id="broken", origin=NO_PLACE))),
    "place": (telemetry_key("broken"), encode(telemetry_for("broken", pos=NO_PLACE))),
    "another order": (delivery_key("broken"), encode(a_delivery(id=ORDER))),
    "another drone": (drone_key("broken"), encode(a_drone(drone_id(0)))),
    "another drone's place": (telemetry_key("broken"), encode(telemetry_for(drone_id(0), tick=10**6))),
    "drone": (drone_key("broken"), encode(a_drone("broken", status_at=NO_TIME))),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_record_that_cannot_be_read_is_set_aside_never_overwritten_and_others_fly(
    town: Town, what: str
) -> None:
    key, value = BROKEN[what]
    good = {
        drone_key("broken"): encode(a_drone("broken")),
        telemetry_key("broken"): encode(telemetry_for("broken")),
    }
    for name, record in (good | {key: value}).items():
        for _ in range(20):  # its version is greater than those of the others
            await town.kv.put(name, record, tags=("open=1",))
    desk = town.open_desk()
    order = await town.order(a_delivery(id=ORDER))
    await town.ticks(60)
    assert (await town.delivery(order.id)).status is DeliveryStatus.DELIVERED
    assert desk.rounds.cache.unreadable.keys() == {key}
    assert (await stored(town.kv, key)).value == value


@pytest.mark.parametrize("key", [delivery_key("broken"), drone_key("broken"), telemetry_key("broken")])
async def test_an_unreadable_record_that_was_deleted_is_reported_no_more(town: Town, key: str) -> None:
    await town.kv.put(key, b"?", tags=("open=1",))
    desk = town.open_desk()
    await town.ticks(1)
    assert desk.rounds.cache.unreadable.keys() == {key}
    await town.kv.delete(key)
    await town.ticks(SCAN_EVERY)
    assert desk.rounds.cache.unreadable == {}


def test_whether_a_promise_was_kept_cannot_be_said_when_its_time_cannot_be_read() -> None:
    promise = Eta(at=NO_TIME, confidence=0.5, basis="b")
    assert kept_by(a_delivery(delivered_at=AT), promise) is None
