"""Records the figures of each minute in the store, and reads them back: every gateway answers the same, and none forgets."""

from __future__ import annotations

import contextlib
from collections import Counter

from ulid import ULID

from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.documents import DELIVERY_PREFIX, DRONE_PREFIX, delivery_key, encode
from dronedispatch.fleet.drones import Drone
from dronedispatch.gateway.core.history import (
    FIGURES_PREFIX,
    KEPT_MINUTES,
    MINUTE_S,
    FigureMinute,
    FiguresSeries,
    HistoryQuery,
    figures_key,
    series,
)
from dronedispatch.gateway.feed import Feed
from dronedispatch.gateway.lists import SCAN_PAGE, readable
from dronedispatch.kv.client import Delete, KVClient
from dronedispatch.kv.errors import VersionConflict
from dronedispatch.runtime.clock import Clock

LATE_S = 5.0  # after a minute's end: what happened in it is known by then
UNSURE_S = 30.0  # a gateway that has not heard the whole minute leaves it so long to one that has
FORGET_EVERY = 60  # minutes


class FiguresHistory:
    """Run `once` every few seconds on every gateway: the first whose record is created has recorded the minute."""

    def __init__(self, kv: KVClient, clock: Clock, feed: Feed) -> None:
        self._kv = kv
        self._clock = clock
        self._feed = feed
        self._done = -1  # the newest minute that is known to be recorded

    async def once(self) -> str:
        """Record the last minute that has ended, if nobody has. Raises KVError."""
        now_s = self._feed.agreed_s()  # a clock that is ahead records no minute that others are still in
        minute = int((now_s - LATE_S) // MINUTE_S) - 1
        if minute <= self._done:
            return "the last minute is recorded"
        if await self._kv.get(figures_key(minute)) is not None:
            self._done = minute
            return "another gateway has recorded the last minute"
        whole = self._feed.heard_all_of(minute)
        if not whole and now_s < (minute + 1) * MINUTE_S + UNSURE_S:
            return "changes of the last minute were missed here: left to another gateway for now"
        record = await self._record(minute, whole=whole)
        with contextlib.suppress(VersionConflict):  # another gateway was quicker
            await self._kv.cas(figures_key(minute), None, encode(record))
        self._done = minute
        if minute % FORGET_EVERY == 0:
            await self._forget(minute - KEPT_MINUTES)
        return f"recorded {record.orders} orders, {record.delivered} delivered"

    async def read(self, query: HistoryQuery) -> FiguresSeries:
        """Raises KVError."""
        found: list[FigureMinute] = []
        oldest = int(self._clock.wall_s() // MINUTE_S) - KEPT_MINUTES - FORGET_EVERY
        first = max(query.from_s // MINUTE_S, oldest)
        after: str | None = figures_key(first - 1)
        end = figures_key(query.to_s // MINUTE_S)
        while after is not None and after < end:
            page = await self._kv.scan(prefix=FIGURES_PREFIX, after=after, limit=SCAN_PAGE)
            found += readable(FigureMinute, [item for item in page.items if item.key < end])
            after = page.next_after
        return series(query, found)

    async def _record(self, minute: int, *, whole: bool) -> FigureMinute:
        open_orders = Counter(await self._feed.open_orders())
        flow = self._feed.flow(minute)
        return FigureMinute(
            minute=minute,
            pending=open_orders[DeliveryStatus.PENDING],
            assigned=open_orders[DeliveryStatus.ASSIGNED],
            in_progress=open_orders[DeliveryStatus.IN_PROGRESS],
            orders=await self._created(minute),
            assignments=flow.assignments,
            delivered=flow.delivered,
            cancelled=flow.cancelled,
            failed=flow.failed,
            to_assign_s=round(flow.to_assign_s, 3),
            to_deliver_s=round(flow.to_deliver_s, 3),
            drones=await self._drones(),
            whole=whole,
        )

    async def _created(self, minute: int) -> int:
        """How many orders were placed in it: their ids say when, and sort by it."""
        count, after = 0, delivery_key(_first_id(minute))
        end = delivery_key(_first_id(minute + 1))
        while True:
            page = await self._kv.scan(prefix=DELIVERY_PREFIX, after=after, limit=SCAN_PAGE)
            inside = [item for item in page.items if item.key < end]
            count += len(inside)
            if page.next_after is None or len(inside) < len(page.items):
                return count
            after = page.next_after

    async def _drones(self) -> dict[str, int]:
        count: Counter[str] = Counter()
        after: str | None = None
        while True:
            page = await self._kv.scan(prefix=DRONE_PREFIX, after=after, limit=SCAN_PAGE)
            count.update(drone.status.value for drone in readable(Drone, page.items))
            after = page.next_after
            if after is None:
                return dict(count)

    async def _forget(self, before: int) -> None:
        after: str | None = None
        while True:
            page = await self._kv.scan(prefix=FIGURES_PREFIX, after=after, limit=SCAN_PAGE)
            old = [item for item in page.items if item.key < figures_key(before)]
            if old:
                await self._kv.batch([Delete(item.key, item.version) for item in old])
            after = page.next_after
            if after is None or len(old) < len(page.items):
                return


def _first_id(minute: int) -> str:
    """No id of an order that was placed before `minute` is above it."""
    return str(ULID.from_bytes((minute * MINUTE_S * 1000).to_bytes(6, "big") + bytes(10)))
