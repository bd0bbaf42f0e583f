"""Reading deliveries and drones: by id, in pages, and all of them for an export."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TypeVar

import structlog

from dronedispatch.fleet.deliveries import Delivery
from dronedispatch.fleet.documents import (
    DELIVERY_PREFIX,
    DRONE_PREFIX,
    Unreadable,
    decode,
    delivery_key,
    drone_key,
    telemetry_key,
)
from dronedispatch.fleet.drones import Drone, Telemetry
from dronedispatch.gateway.core.listing import DeliveryQuery, DroneQuery
from dronedispatch.gateway.core.views import DroneView, drone_view
from dronedispatch.kv.client import Get, Item, KVClient
from dronedispatch.kv.errors import KVError
from dronedispatch.kv.version import Version
from dronedispatch.runtime.problems import Problem

SCAN_PAGE = 500
SCANS_MAX = (
    20  # of one page of a list: a filter that matches nearly nothing answers with a cursor, not with a stall
)

T = TypeVar("T")
log = structlog.get_logger()


class Lists:
    """Reads only. A record that cannot be read is reported and left out of lists."""

    def __init__(self, kv: KVClient) -> None:
        self._kv = kv

    async def delivery(self, delivery_id: str) -> Delivery:
        """Raises Problem 404."""
        return (await self.versioned_delivery(delivery_id))[0]

    async def versioned_delivery(self, delivery_id: str) -> tuple[Delivery, Version]:
        """With the version that is stored. Raises Problem 404."""
        item = await self._kv.get(delivery_key(delivery_id))
        if item is None:
            raise Problem(404, f"no delivery {delivery_id}", field="delivery_id")
        return decode(Delivery, item.value), item.version

    async def deliveries(self, query: DeliveryQuery) -> tuple[list[Delivery], str | None]:
        """(newest first, the cursor of the next page or None)."""
        assert query.limit is not None
        found: list[Delivery] = []
        after = query.after_key
        for _ in range(SCANS_MAX):
            page = await self._kv.scan(
                prefix=query.prefix,
                tag=query.tag,
                after=after,
                limit=min(SCAN_PAGE, query.limit - len(found)),
                reverse=True,
            )
            found.extend(delivery for delivery in readable(Delivery, page.items) if query.wants(delivery))
            after = query.goes_on(page.next_after)
            if after is None or len(found) >= query.limit:
                break
        return found, None if after is None else after.removeprefix(DELIVERY_PREFIX)

    async def every_delivery(self, query: DeliveryQuery) -> AsyncIterator[list[Delivery]]:
        """All that match, in pieces, newest first, up to `query.limit`."""
        after, left = query.after_key, query.limit
        while left is None or left > 0:
            page = await self._kv.scan(
                prefix=query.prefix, tag=query.tag, after=after, limit=SCAN_PAGE, reverse=True
            )
            piece = [delivery for delivery in readable(Delivery, page.items) if query.wants(delivery)][:left]
            yield piece
            left = None if left is None else left - len(piece)
            after = query.goes_on(page.next_after)
            if after is None:
                return

    async def drone(self, drone_id: str) -> DroneView:
        """Raises Problem 404."""
        record, telemetry = await self._kv.batch([Get(drone_key(drone_id)), Get(telemetry_key(drone_id))])
        for result in (record, telemetry):
            if isinstance(result, KVError):
                raise result
        if not isinstance(record, Item):
            raise Problem(404, f"no drone {drone_id}", field="drone_id")
        known = decode(Telemetry, telemetry.value) if isinstance(telemetry, Item) else None
        return drone_view(decode(Drone, record.value), known)

    async def drones(self, query: DroneQuery) -> tuple[list[DroneView], str | None]:
        """(by id, the cursor of the next page or None)."""
        tag = None
        if query.status is not None:
            tag = f"drone_status={query.status}"
        elif query.type is not None:
            tag = f"drone_type={query.type}"
        found: list[DroneView] = []
        after = None if query.after is None else drone_key(query.after)
        while len(found) < query.limit:
            page = await self._kv.scan(
                prefix=DRONE_PREFIX, tag=tag, after=after, limit=min(SCAN_PAGE, query.limit - len(found))
            )
            drones = [
                drone
                for drone in readable(Drone, page.items)
                if query.status in {None, drone.status} and query.type in {None, drone.type}
            ]
            found.extend(await self._joined(drones))
            after = page.next_after
            if after is None:
                break
        return found, None if after is None else after.removeprefix(DRONE_PREFIX)

    async def _joined(self, drones: Sequence[Drone]) -> list[DroneView]:
        if not drones:
            return []
        results = await self._kv.batch([Get(telemetry_key(drone.id)) for drone in drones])
        views = []
        for drone, result in zip(drones, results, strict=True):
            if isinstance(result, KVError):
                raise result
            known = readable(Telemetry, [result] if isinstance(result, Item) else [])
            views.append(drone_view(drone, known[0] if known else None))
        return views


def readable(kind: type[T], items: Iterable[Item]) -> list[T]:
    """The documents of `items`; one that cannot be read is reported and passed over."""
    return [document for document, _ in versioned(kind, items)]


def versioned(kind: type[T], items: Iterable[Item]) -> list[tuple[T, Version]]:
    """The same, each with its version."""
    found = []
    for item in items:
        try:
            found.append((decode(kind, item.value), item.version))
        except Unreadable as exc:
            log.warning("unreadable record passed over", key=item.key, error=str(exc))
    return found
