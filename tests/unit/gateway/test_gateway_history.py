"""The figures of the past: recorded once a minute by one gateway, read from the store by all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ulid import ULID

from dronedispatch.fleet.deliveries import DeliveryStatus, delivery_tags
from dronedispatch.fleet.documents import decode, delivery_key, drone_key, encode, stamp
from dronedispatch.fleet.drones import drone_tags
from dronedispatch.gateway.core.history import (
    KEPT_MINUTES,
    POINTS_MAX,
    FigureMinute,
    HistoryQuery,
    figures_key,
    history_query,
    series,
    series_csv,
)
from dronedispatch.gateway.core.refusal import BadParameter
from dronedispatch.gateway.feed import Feed
from dronedispatch.gateway.history import LATE_S, UNSURE_S, FiguresHistory
from dronedispatch.gateway.lists import SCAN_PAGE
from dronedispatch.kv.client import Delete, Op, OpResult
from dronedispatch.kv.errors import Unavailable
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import a_change, a_delivery, a_drone
from dronedispatch.testing.gateway import a_minute
from dronedispatch.testing.kv import MemoryKV

MINUTE = 30_000_000
BEGIN_S = MINUTE * 60.0
HOUR = MINUTE + 60 - MINUTE % 60


def query(minutes: int, step_s: int = 60) -> HistoryQuery:
    return HistoryQuery(MINUTE * 60, (MINUTE + minutes) * 60, step_s)


def test_a_step_sums_what_is_counted_and_shows_what_stands_as_of_its_end() -> None:
    later = a_minute(MINUTE + 4, pending=9, delivered=6, to_deliver_s=100.0)
    [point] = series(query(5, 300), [a_minute(MINUTE), later]).points
    assert (point.at, point.minutes, point.whole) == (stamp(BEGIN_S), 2, False)
    assert (point.orders, point.delivered, point.pending) == (8, 8, 9)
    assert (point.to_assign_mean_s, point.to_deliver_mean_s) == (1.5, 75.0)


def test_a_minute_that_nobody_recorded_is_unknown_and_not_zero() -> None:
    known, unknown = series(query(2), [a_minute(MINUTE)]).points
    assert (known.whole, known.orders) == (True, 4)
    assert (unknown.minutes, unknown.whole) == (0, False)
    assert (unknown.orders, unknown.pending, unknown.drones) == (None, None, None)


def test_the_table_for_spreadsheets_leaves_empty_what_is_not_known() -> None:
    lines = series_csv(series(query(2), [a_minute(MINUTE)])).decode().split("\r\n")
    assert lines[0].startswith("at,minutes,whole,pending,")
    assert lines[1] == f"{stamp(BEGIN_S)},1,true,1,2,3,4,2,1,0,1.5,250.0,0,5,0,0,0"
    assert lines[2] == f"{stamp(BEGIN_S + 60)},0,false" + "," * 14
    assert lines[3:] == [""]


def asked(**args: str) -> HistoryQuery:
    return history_query({name.rstrip("_"): [value] for name, value in args.items()}, BEGIN_S + 61.5)


def test_without_parameters_it_is_the_last_three_hours_to_the_minute() -> None:
    found = asked()
    assert (found.step_s, found.to_s) == (60, (MINUTE + 2) * 60)
    assert found.from_s == (MINUTE + 1 - 180) * 60


def test_a_span_lies_on_the_grid_of_its_step_and_ends_now_at_the_latest() -> None:
    found = asked(from_=stamp(BEGIN_S - 400), to="2100-01-01T00:00:00Z", step="300")
    assert (found.from_s % 300, found.to_s % 300) == (0, 0)
    assert found.from_s <= BEGIN_S - 400
    assert found.to_s - 300 < BEGIN_S + 61.5 <= found.to_s


def test_a_span_that_ends_with_the_first_hour_of_our_stamps_begins_with_it() -> None:
    assert series(asked(to="0001-01-01T01:00:00Z"), ()).from_ == "0001-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({"from_": "yesterday"}, "from"),
        ({"to": "2026-01-01"}, "to"),
        ({"step": "61"}, "step"),
        ({"step": "0"}, "step"),
        ({"step": "90000"}, "step"),
        ({"step": "much"}, "step"),
        ({"span": "1h"}, "span"),
        ({"from_": "2100-01-01T00:00:00Z"}, "from"),
        ({"from_": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "from"),
        ({"from_": "1970-01-01T00:00:00Z"}, "from"),
        ({"from_": "2020-01-01T00:00:00Z", "step": "60"}, "step"),
    ],
)
def test_a_wrong_parameter_is_named(args: dict[str, str], field: str) -> None:
    with pytest.raises(BadParameter) as refused:
        asked(**args)
    assert refused.value.field == field


def test_all_wrong_parameters_are_named_at_once() -> None:
    with pytest.raises(BadParameter) as refused:
        asked(from_="x", to="y", step="z")
    assert [error.field for error in refused.value.errors] == ["from", "to", "step"]


@pytest.mark.parametrize("step", [60, 300, 3600])
def test_the_step_that_a_refusal_proposes_is_taken(step: int) -> None:
    begin = stamp(BEGIN_S - 2 * step * POINTS_MAX)
    with pytest.raises(BadParameter) as refused:
        asked(from_=begin, step=str(step))
    proposed = refused.value.reason.partition("a step of ")[2].partition(" ")[0]
    found = asked(from_=begin, step=proposed)
    assert (found.to_s - found.from_s) // found.step_s <= POINTS_MAX


class Office:
    """One store; gateways that hear, or do not."""

    def __init__(self) -> None:
        self.clock = FakeClock(BEGIN_S - 100.0)
        self.kv = MemoryKV(self.clock)
        self._seq = 0

    def gateway(self, *, hears: bool = True) -> tuple[Feed, FiguresHistory]:
        feed = Feed(self.kv, self.clock, 100, lambda: 1.0)
        if hears:
            feed.gap()
            feed.hearing = True
        return feed, FiguresHistory(self.kv, self.clock, feed)

    async def order(self, status: DeliveryStatus = DeliveryStatus.PENDING) -> str:
        name, at = str(ULID.from_timestamp(self.clock.wall_s())), stamp(self.clock.wall_s())
        delivery = a_delivery(id=name, status=status, created_at=at, history=())
        await self.kv.put(delivery_key(name), encode(delivery), tags=delivery_tags(delivery))
        return name

    def told(self, feed: Feed, name: str, status: DeliveryStatus) -> None:
        self._seq += 1
        at = stamp(self.clock.wall_s())
        event = a_change(self._seq, delivery_id=name, status=status, at=at)
        feed.status_changed(event, encode(event))

    def to(self, second: float) -> None:
        """Of the minute that is recorded."""
        self.clock.advance(BEGIN_S + second - self.clock.wall_s())

    def kept(self) -> FigureMinute:
        return decode(FigureMinute, self.kv.records[figures_key(MINUTE)].value)


async def orders_of_a_minute(office: Office, feed: Feed) -> None:
    """An order from before, two in the minute, of which one is delivered and one after it."""
    office.to(-20.0)
    await office.order(DeliveryStatus.IN_PROGRESS)
    office.to(10.0)
    one = await office.order(DeliveryStatus.DELIVERED)
    await office.order()
    office.told(feed, one, DeliveryStatus.ASSIGNED)
    office.to(40.0)
    office.told(feed, one, DeliveryStatus.DELIVERED)
    drone = a_drone("d1")
    await office.kv.put(drone_key("d1"), encode(drone), tags=drone_tags(drone))
    office.to(61.0)
    await office.order()


async def test_the_minute_that_has_ended_is_recorded_once_and_read_the_same_by_all() -> None:
    office = Office()
    feed, history = office.gateway()
    _, other = office.gateway(hears=False)
    await orders_of_a_minute(office, feed)
    assert "recorded" in await history.once()
    assert figures_key(MINUTE) not in office.kv.records
    office.to(60.0 + LATE_S)
    assert await history.once() == "recorded 2 orders, 1 delivered"
    assert await other.once() == "another gateway has recorded the last minute"
    kept = office.kept()
    assert (kept.orders, kept.assignments, kept.delivered, kept.to_deliver_s) == (2, 1, 1, 30.0)
    assert (kept.pending, kept.in_progress, kept.drones, kept.whole) == (2, 1, {"idle": 1}, True)
    assert await other.read(query(1)) == await history.read(query(1))
    assert (await other.read(query(1))).points[0].delivered == 1


async def test_who_missed_a_part_of_the_minute_leaves_it_to_who_did_not() -> None:
    office = Office()
    feed, history = office.gateway()
    _, deaf = office.gateway(hears=False)
    await orders_of_a_minute(office, feed)
    feed.gap()
    office.to(60.0 + LATE_S)
    for one in (history, deaf):
        assert "left to another gateway" in await one.once()
    assert figures_key(MINUTE) not in office.kv.records
    office.to(60.0 + UNSURE_S)
    assert "recorded" in await deaf.once()
    assert (office.kept().orders, office.kept().whole) == (2, False)


async def test_two_that_record_at_once_leave_one_record() -> None:
    office = Office()
    feed, history = office.gateway()
    _, other = office.gateway(hears=False)
    await orders_of_a_minute(office, feed)
    office.to(60.0 + UNSURE_S)
    assert "recorded" in await history.once()
    version = office.kv.records[figures_key(MINUTE)].version
    other._kv = Blind(office.kv)
    assert "recorded" in await other.once()
    assert office.kv.records[figures_key(MINUTE)].version == version


class Blind:
    """A store whose get comes too early to see what is there."""

    def __init__(self, kv: MemoryKV) -> None:
        self._kv = kv

    async def get(self, _key: str) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kv, name)


async def test_what_is_older_than_a_week_goes_and_the_rest_stays() -> None:
    office = Office()
    _, history = office.gateway(hears=False)
    for minute in (HOUR - KEPT_MINUTES - 1, HOUR - KEPT_MINUTES, HOUR - 1):
        await office.kv.put(figures_key(minute), encode(a_minute(minute)))
    office.to((HOUR + 1 - MINUTE) * 60.0 + UNSURE_S)
    await history.once()
    kept = [item.key for item in (await office.kv.scan(prefix="figures:")).items]
    assert kept == [figures_key(HOUR - KEPT_MINUTES), figures_key(HOUR - 1), figures_key(HOUR)]


class Full(Blind):
    """A store that takes no more writes of many keys at once."""

    asked = 0

    async def get(self, key: str) -> Any:
        return await self._kv.get(key)

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        if not any(isinstance(op, Delete) for op in ops):
            return await self._kv.batch(ops)
        self.asked += 1
        assert self.asked < 3, "it asks without end"
        return [Unavailable("no space left") for _ in ops]


async def test_what_cannot_be_forgotten_now_is_left_for_the_next_hour() -> None:
    office = Office()
    _, history = office.gateway(hears=False)
    for minute in range(SCAN_PAGE):
        await office.kv.put(figures_key(minute), encode(a_minute(minute)))
    office.to((HOUR + 1 - MINUTE) * 60.0 + UNSURE_S)
    history._kv = full = Full(office.kv)
    assert "recorded" in await history.once()
    assert full.asked == 1
