"""Who begins to watch a gateway is shown figures as they are now, never those of whoever watched it before."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, Transition
from dronedispatch.fleet.documents import drone_key, encode
from dronedispatch.fleet.drones import Drone, DroneStatus, DroneType, Telemetry
from dronedispatch.fleet.messages import DeliveryChanges, RecordTold
from dronedispatch.fleet.positions import LatLon
from dronedispatch.gateway.core.stream import DETAILS, DRONES, FIGURES, Reader
from dronedispatch.gateway.feed import ASKED_S, CORRECT_EVERY_S, FIGURES_S, Feed
from dronedispatch.kv.client import Page
from dronedispatch.kv.errors import Unavailable
from dronedispatch.kv.version import Version
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.kv import MemoryKV
from support.ids import new_id


def shown(reader: Reader) -> bool:
    return f"event: {FIGURES}" in reader.next_bytes(0.0).decode()


async def test_a_new_reader_is_shown_no_figures_from_before_nobody_watched() -> None:
    clock = FakeClock()
    feed = Feed(MemoryKV(clock), clock, 100, lambda: 1.0)
    feed.enter([FIGURES])
    await feed.correct()
    first = Reader(feed.board, {FIGURES}, None)
    assert shown(first)
    feed.leave([FIGURES])
    clock.advance(ASKED_S)
    await feed.correct()

    second = Reader(feed.board, {FIGURES}, None)
    feed.enter([FIGURES])
    assert not shown(second)
    await feed.correct()
    assert shown(second)


class AwayKV(MemoryKV):
    """A store that answers until it is away."""

    away = False

    async def scan(self, **asked: Any) -> Page:
        if self.away:
            raise Unavailable("no replica answers")
        return await super().scan(**asked)


async def test_figures_go_on_by_what_is_heard_while_the_store_does_not_answer() -> None:
    clock = FakeClock()
    kv = AwayKV(clock)
    feed = Feed(kv, clock, 100, lambda: 1.0)
    feed.enter([FIGURES])
    await feed.correct()
    reader = Reader(feed.board, {FIGURES}, None)
    assert shown(reader)

    kv.away = True
    clock.advance(CORRECT_EVERY_S)
    with pytest.raises(Unavailable):
        await feed.correct()
    assert not shown(reader)
    await feed.keep_figures_fresh()
    assert shown(reader)

    clock.advance(FIGURES_S / 2)
    await feed.keep_figures_fresh()
    assert not shown(reader)  # they are fresh


async def test_figures_that_were_never_counted_are_not_shown() -> None:
    clock = FakeClock()
    kv = AwayKV(clock)
    kv.away = True
    feed = Feed(kv, clock, 100, lambda: 1.0)
    feed.enter([FIGURES])
    with pytest.raises(Unavailable):
        await feed.correct()
    clock.advance(FIGURES_S)
    await feed.keep_figures_fresh()
    assert not shown(Reader(feed.board, {FIGURES}, None))


async def test_an_order_that_the_store_has_no_more_is_not_counted_as_open() -> None:
    clock = FakeClock()
    feed = Feed(MemoryKV(clock), clock, 100, lambda: 1.0)
    feed.announce(an_order(), Version(1, 1))
    assert await feed.open_orders() == []


def test_a_record_without_a_history_is_announced_like_any_other() -> None:
    clock = FakeClock()
    feed = Feed(MemoryKV(clock), clock, 100, lambda: 1.0)
    reader = Reader(feed.board, {DETAILS}, None)
    feed.announce(msgspec.structs.replace(an_order(), history=()), Version(1, 1))
    assert reader.next_bytes(0.0).startswith(b"event: deliveries")


def an_order() -> Delivery:
    at, here = "2026-01-01T00:00:00.000Z", LatLon(41.9, 12.5)
    return Delivery(
        id=new_id(),
        status=DeliveryStatus.PENDING,
        origin=here,
        destination=here,
        weight_kg=1.0,
        created_at=at,
        history=(Transition(at=at, from_=None, to=DeliveryStatus.PENDING, cause="ordered"),),
    )


async def test_a_drones_record_that_was_told_while_nobody_watched_is_read_for_the_next_who_does() -> None:
    clock = FakeClock()
    kv = MemoryKV(clock)
    feed = Feed(kv, clock, 100, lambda: 1.0)

    async def told(status: DroneStatus, first: int) -> DeliveryChanges:
        drone = Drone(id="d1", type=DroneType.LIGHT, status=status, status_at="t")
        version = await kv.put(drone_key("d1"), encode(drone))
        return DeliveryChanges(
            id="m",
            at="2026-01-01T00:00:00.000Z",
            request_id="r",
            term=1,
            first=first,
            last=first - 1,
            drones=(RecordTold(str(version), msgspec.Raw(encode(drone))),),
        )

    feed.enter([DRONES])
    feed.changed(await told(DroneStatus.IDLE, 1))
    feed.telemetry([Telemetry(id="d1", pos=LatLon(41.9, 12.5), battery_pct=80.0, tick=1, at="t")])
    await feed.correct()
    feed.leave([DRONES])
    feed.changed(await told(DroneStatus.BUSY, 1))
    feed.enter([DRONES])
    await feed.correct()
    assert feed.board.fleet.statuses()["busy"] == 1
