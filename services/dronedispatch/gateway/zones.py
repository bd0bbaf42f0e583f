"""The city, cached in this process and replaced when the version of the stored zones changes."""

from __future__ import annotations

import structlog

from dronedispatch.fleet.city import City, CityInvalid, default_city, parse_city
from dronedispatch.fleet.documents import ZONES_KEY, Unreadable, decode, encode
from dronedispatch.fleet.paths import Paths, paths_of
from dronedispatch.kv.client import Item, KVClient
from dronedispatch.kv.version import Version

log = structlog.get_logger()


class Zones:
    """`city` and `paths` are always there: Rome until the store says otherwise."""

    def __init__(self, kv: KVClient) -> None:
        self._kv = kv
        self._stored: Version | None = None
        self._refused: Version | None = None
        self.city: City = default_city()
        self.paths: Paths = paths_of(self.city)
        self.body: bytes = encode(self.city.document)

    @property
    def etag(self) -> str:
        """The version of the shown zones; "0": nothing is stored, and the default city is shown."""
        return "0" if self._stored is None else str(self._stored)

    async def refresh(self) -> str:
        """Take over a new version. A stored document that is no city is reported and passed over."""
        item = await self._kv.get(ZONES_KEY)
        if item is None or item.version in {self._stored, self._refused}:
            return f"zones {self.etag}"
        try:
            self._take(item)
        except (Unreadable, CityInvalid) as exc:
            self._refused = item.version
            log.error(
                "stored zones are no city, the last ones stay", version=str(item.version), error=str(exc)
            )
            return f"zones {self.etag}, {item.version} refused"
        return f"zones {self.etag}, new"

    async def stored_version(self) -> Version | None:
        """Of the city in the store; None: there is none, and the default one is shown."""
        item = await self._kv.get(ZONES_KEY)
        return None if item is None else item.version

    async def replace(self, document: object, expected: Version | None, *, unconditional: bool) -> str:
        """Store a new city and show it; returns its ETag. `expected` None: nothing may be stored yet.

        Raises CityInvalid, VersionConflict (definite), and what a write to the store raises.
        """
        parse_city(document, "candidate")
        body = encode(document)
        if unconditional:
            version = await self._kv.put(ZONES_KEY, body)
        else:
            version = await self._kv.cas(ZONES_KEY, expected, body)
        self._take(Item(ZONES_KEY, version, body))
        log.info("zones replaced", version=str(version))
        return str(version)

    def _take(self, item: Item) -> None:
        if self._stored is not None and item.version < self._stored:
            return  # an answer from before our own write
        city = parse_city(decode(dict, item.value), str(item.version))
        self._stored = item.version
        self.city, self.paths, self.body = city, paths_of(city), item.value
