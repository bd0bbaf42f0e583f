"""Reads the store into the cache: single keys that somebody pointed at, and scans that correct the whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog

from dronedispatch.dispatcher.core.state_cache import StateCache
from dronedispatch.fleet.city import CityInvalid
from dronedispatch.fleet.deliveries import Delivery
from dronedispatch.fleet.dispatch_state import DESIRED_STATE_TAG
from dronedispatch.fleet.documents import (
    DELIVERY_PREFIX,
    DESIRED_STATE_PREFIX,
    DRONE_PREFIX,
    TELEMETRY_PREFIX,
    ZONES_KEY,
    Unreadable,
    delivery_key,
    drone_key,
    telemetry_key,
)
from dronedispatch.fleet.paths import city_of
from dronedispatch.kv.client import Get, Item, KVClient
from dronedispatch.kv.version import Version
from dronedispatch.runtime.clock import Clock

PAGE_MAX = 500
OPEN_TAG = "open=1"

log = structlog.get_logger()


class Loader:
    """`seen` is called with every delivery that was read, and its version."""

    def __init__(
        self, kv: KVClient, cache: StateCache, clock: Clock, seen: Callable[[Delivery, Version], None]
    ) -> None:
        self._kv = kv
        self._cache = cache
        self._clock = clock
        self._seen = seen
        self._reported: set[tuple[str, str]] = set()

    async def keys(self, keys: Iterable[str]) -> list[str]:
        """Read these keys, earlier ones not after later ones of another kind; return those that could not be read now."""
        wanted = list(dict.fromkeys(keys))
        deliveries = [key for key in wanted if key.startswith(DELIVERY_PREFIX)]
        others = [key for key in wanted if not key.startswith(DELIVERY_PREFIX)]
        failed: list[str] = []
        for some in (deliveries, others):  # deliveries before drones: see World
            failed += await self._read(some)
        return failed

    async def _read(self, keys: Sequence[str]) -> list[str]:
        results = await self._kv.batch([Get(key) for key in keys])
        failed: list[str] = []
        for key, result in zip(keys, results, strict=True):
            if isinstance(result, Item) and key == ZONES_KEY:
                await self._take_city(result)
            elif isinstance(result, Item):
                self._take(result)
            elif result is None:
                self._cache.forget(key)
            else:
                failed.append(key)
        return failed

    async def confirm_telemetry(self, drones: Sequence[str]) -> bool:
        """Read what messages have said of these drones; whether all of it is so. What cannot be read is not so, for now."""
        results = await self._kv.batch([Get(telemetry_key(name)) for name in drones])
        stands = True
        for name, result in zip(drones, results, strict=True):
            if not isinstance(result, Item):
                if result is None:
                    self._cache.forget(telemetry_key(name))
                stands = False
                continue
            try:
                stands &= self._cache.confirm(result, self._clock.monotonic_s())
            except Unreadable as exc:
                log.error("unreadable record, left alone", key=telemetry_key(name), reason=str(exc))
                stands = False
        return stands

    def _take(self, item: Item) -> None:
        reason = self._cache.take(item, self._clock.monotonic_s())
        if reason is not None:
            if (item.key, str(item.version)) not in self._reported:
                self._reported.add((item.key, str(item.version)))
                log.error(
                    "unreadable record, left alone", key=item.key, version=str(item.version), reason=reason
                )
            return
        if item.key.startswith(DELIVERY_PREFIX):
            stored = self._cache.deliveries.get(item.key.removeprefix(DELIVERY_PREFIX))
            if stored is not None:
                self._seen(stored.record, stored.version)

    async def _take_city(self, item: Item) -> None:
        """Planned in a thread: a round that waited for it would keep every order waiting."""
        if self._cache.knows_city(item.version):
            return
        try:
            city = await asyncio.to_thread(city_of, item.value, str(item.version))
        except (Unreadable, CityInvalid) as exc:
            self._cache.refuse_city(item.version, str(exc))
            log.error(
                "the stored zones are no city, the last ones stay",
                key=item.key,
                version=str(item.version),
                reason=str(exc),
            )
            return
        self._cache.fly_in(city, item.version)

    async def open_deliveries(self) -> int:
        """Every open delivery, desired state and the zones. Raises KVError."""
        known = {delivery_key(name) for name in self._cache.deliveries}
        known |= self._unreadable(DELIVERY_PREFIX, DESIRED_STATE_PREFIX)
        opened = await self._scan(tag=OPEN_TAG)
        found = opened | await self._scan(tag=DESIRED_STATE_TAG)
        await self.keys([ZONES_KEY])
        await self.keys(known - found)  # ended meanwhile, or still named by a drone
        return len(opened)

    async def fleet(self) -> int:
        """Every drone and its telemetry. Raises KVError."""
        known = {drone_key(name) for name in self._cache.drones}
        known |= self._unreadable(DRONE_PREFIX, TELEMETRY_PREFIX)
        found = await self._scan(prefix=DRONE_PREFIX)
        told = await self._scan(prefix=TELEMETRY_PREFIX)
        await self.keys(known - found - told)
        return len(found)

    def _unreadable(self, *prefixes: str) -> set[str]:
        """Records that nobody could read: a scan that does not find them any more has them looked for."""
        return {key for key in self._cache.unreadable if key.startswith(prefixes)}

    async def _scan(self, *, prefix: str | None = None, tag: str | None = None) -> set[str]:
        found: set[str] = set()
        after: str | None = None
        while True:
            page = await self._kv.scan(prefix=prefix, tag=tag, after=after, limit=PAGE_MAX)
            for item in page.items:
                self._take(item)
                found.add(item.key)
            after = page.next_after
            if after is None:
                return found
