"""What drone_sim does by the clock: the tick, the claims of slots, the look at the zones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from dronedispatch.drone_sim.core.schedule import Beat, beat
from dronedispatch.fleet.city import City, CityInvalid
from dronedispatch.fleet.documents import ZONES_KEY, Unreadable
from dronedispatch.fleet.paths import city_of
from dronedispatch.kv.client import KVClient
from dronedispatch.kv.version import Version
from dronedispatch.runtime.clock import Clock

log = structlog.get_logger()


class Ticker:
    """Calls `tick` on a monotonic schedule; a clock that jumps moves nothing."""

    def __init__(self, tick: Callable[[Beat], Awaitable[str]], clock: Clock, period_s: float) -> None:
        self._tick = tick
        self._clock = clock
        self._period_s = period_s
        self._due_s: float | None = None
        self._previous_s: float | None = None

    async def once(self) -> str:
        """Wait until the next tick is due, then do it."""
        if self._due_s is None:
            self._due_s = self._clock.monotonic_s()
        await asyncio.sleep(max(0.0, self._due_s - self._clock.monotonic_s()))
        now = beat(
            due_s=self._due_s,
            began_s=max(self._due_s, self._clock.monotonic_s()),
            previous_s=self._previous_s,
            period_s=self._period_s,
        )
        self._previous_s = self._due_s + now.late_s
        self._due_s = now.next_due_s
        return await self._tick(now)


class ZonesWatch:
    """Follows `zones` in the store; a document that is no city is reported, and the last city stays."""

    def __init__(self, kv: KVClient, changed: Callable[[City], None]) -> None:
        self._kv = kv
        self._changed = changed
        self._version: Version | None = None
        self.known = False  # the store has been asked once

    async def once(self) -> str:
        """Raises KVError."""
        item = await self._kv.get(ZONES_KEY)
        if item is None or item.version == self._version:
            self.known = True
            return "zones unchanged"
        try:
            city = await asyncio.to_thread(city_of, item.value, str(item.version))
        except (Unreadable, CityInvalid) as exc:
            self._version = item.version
            self.known = True
            log.error("unreadable record, left alone", key=ZONES_KEY, reason=str(exc))
            return "zones unreadable"
        self._version = item.version
        self._changed(city)
        self.known = True
        return f"zones {city.version}"
