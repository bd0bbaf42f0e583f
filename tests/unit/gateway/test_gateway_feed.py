"""Who begins to watch a gateway is shown figures as they are now, never those of whoever watched it before."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dronedispatch.fleet.documents import drone_key, encode
from dronedispatch.fleet.drones import DroneStatus
from dronedispatch.fleet.messages import DeliveryChanges, RecordTold
from dronedispatch.gateway.core.stream import DETAILS, DRONES, FIGURES, Reader
from dronedispatch.gateway.feed import ASKED_S, CORRECT_EVERY_S, FIGURES_S, Feed
from dronedispatch.kv.client import Page
from dronedispatch.kv.errors import Unavailable
from dronedispatch.kv.version import Version
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import a_batch, a_delivery, a_drone, telemetry_for
from dronedispatch.testing.kv import MemoryKV


def shown(reader: Reader) -> bool:
    return f"event: {FIGURES}" in reader.next_bytes(0.0).decode()


async def test_a_new_reader_is_shown_no_figures_from_before_nobody_watched(
    feed: Feed, clock: FakeClock
) -> None:
    feed.enter([FIGURES])
    await feed.correct()
    assert shown(Reader(feed.board, {FIGURES}, None))
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


@pytest.fixture
def kv(clock: FakeClock) -> AwayKV:
    return AwayKV(clock)


async def test_figures_go_on_by_what_is_heard_while_the_store_does_not_answer(
    feed: Feed, kv: AwayKV, clock: FakeClock
) -> None:
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


async def test_figures_that_were_never_counted_are_not_shown(
    feed: Feed, kv: AwayKV, clock: FakeClock
) -> None:
    kv.away = True
    feed.enter([FIGURES])
    with pytest.raises(Unavailable):
        await feed.correct()
    clock.advance(FIGURES_S)
    await feed.keep_figures_fresh()
    assert not shown(Reader(feed.board, {FIGURES}, None))


async def test_an_order_that_the_store_has_no_more_is_not_counted_as_open(feed: Feed) -> None:
    feed.announce(a_delivery(), Version(1, 1))
    assert await feed.open_orders() == []


def test_a_record_without_a_history_is_announced_like_any_other(feed: Feed) -> None:
    reader = Reader(feed.board, {DETAILS}, None)
    feed.announce(a_delivery(history=()), Version(1, 1))
    assert reader.next_bytes(0.0).startswith(b"event: deliveries")


async def test_a_drones_record_that_was_told_while_nobody_watched_is_read_for_the_next_who_does(
    feed: Feed, kv: AwayKV
) -> None:
    async def told(status: DroneStatus, first: int) -> DeliveryChanges:
        record = encode(a_drone("d1", status=status))
        version = await kv.put(drone_key("d1"), record)
        return a_batch(first, first - 1, drones=(RecordTold(str(version), msgspec.Raw(record)),))

    feed.enter([DRONES])
    feed.changed(await told(DroneStatus.IDLE, 1))
    feed.telemetry([telemetry_for("d1")])
    await feed.correct()
    feed.leave([DRONES])
    feed.changed(await told(DroneStatus.BUSY, 1))
    feed.enter([DRONES])
    await feed.correct()
    assert feed.board.fleet.statuses()["busy"] == 1
