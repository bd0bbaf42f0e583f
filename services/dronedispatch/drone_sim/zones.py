"""The city that the store holds, for a fleet that flies in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from dronedispatch.fleet.city import City, CityInvalid
from dronedispatch.fleet.documents import ZONES_KEY, Unreadable
from dronedispatch.fleet.paths import city_of
from dronedispatch.kv.client import KVClient
from dronedispatch.kv.version import Version

log = structlog.get_logger()


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
