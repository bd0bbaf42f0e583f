"""The city, cached in this process and replaced when the version of the stored zones changes.

Documents are checked and planned in a thread: the largest ones take a second, and no request waits for them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from dronedispatch.fleet.city import City, CityInvalid, default_city, parse_city
from dronedispatch.fleet.documents import ZONES_KEY, Unreadable, encode
from dronedispatch.fleet.geojson import refuse_strange_names
from dronedispatch.fleet.paths import Paths, city_of, paths_of
from dronedispatch.kv.client import Item, KVClient
from dronedispatch.kv.errors import KVError
from dronedispatch.kv.version import Version

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ShownCity:
    """A document with its ETag; `stale`: no store has answered, there may be a newer one."""

    etag: str
    body: bytes
    stale: bool = False


class Zones:
    """`city` and `paths` are always there: Rome until the store says otherwise. `known`: the store has been read once."""

    def __init__(self, kv: KVClient) -> None:
        self._kv = kv
        self._stored: Version | None = None
        self._refused: Version | None = None
        self._away: str | None = None
        self.known = False
        self.city: City = default_city()
        self.paths: Paths = paths_of(self.city)
        self.body: bytes = encode(self.city.document)

    @property
    def etag(self) -> str:
        """The version of the shown zones; "0": nothing is stored, and the default city is shown."""
        return "0" if self._stored is None else str(self._stored)

    def why_not_ready(self) -> str | None:
        """Why no order can be judged yet."""
        return None if self.known else "has not read its city from the store yet"

    def why_degraded(self) -> str | None:
        """Why the shown city may not be the newest."""
        if not self.known or self._away is None:
            return None
        return f"no store answers ({self._away}): the city is that of version {self.etag}"

    async def refresh(self) -> str:
        """Take over a new version. A stored document that is no city is reported and passed over. Raises KVError."""
        item = await self._read()
        if item is not None and item.version not in {self._stored, self._refused}:
            try:
                await self._take(item)
            except (Unreadable, CityInvalid) as exc:
                self._refused = item.version
                log.error(
                    "stored zones are no city, the last ones stay", version=str(item.version), error=str(exc)
                )
                self.known = True
                return f"zones {self.etag}, {item.version} refused"
            self.known = True
            return f"zones {self.etag}, new"
        self.known = True
        return f"zones {self.etag}"

    async def latest(self) -> ShownCity:
        """What the store has now, so that what one gateway has written every other one shows. Raises KVError before the
        city was known; afterwards the last known one is told, as stale.
        """
        try:
            item = await self._read()
        except KVError:
            if not self.known:
                raise
            return ShownCity(self.etag, self.body, stale=True)
        if item is None or item.version == self._refused or (self._stored and item.version <= self._stored):
            return ShownCity(self.etag, self.body)
        return ShownCity(str(item.version), item.value)

    async def stored_version(self) -> Version | None:
        """Of the city in the store; None: there is none, and the default one is shown."""
        item = await self._kv.get(ZONES_KEY)
        return None if item is None else item.version

    async def replace(self, document: object, expected: Version | None, *, unconditional: bool) -> ShownCity:
        """Store a new city and show it, unless a newer one is there. `expected` None: nothing may be stored yet.

        Raises CityInvalid, VersionConflict (definite), and what a write to the store raises.
        """
        body = await asyncio.to_thread(_checked, document)
        if unconditional:
            version = await self._kv.put(ZONES_KEY, body)
        else:
            version = await self._kv.cas(ZONES_KEY, expected, body)
        await self._take(Item(ZONES_KEY, version, body))
        self.known = True
        log.info("zones replaced", version=str(version))
        return ShownCity(str(version), body)

    async def _read(self) -> Item | None:
        try:
            item = await self._kv.get(ZONES_KEY)
        except KVError as exc:
            self._away = str(exc)
            raise
        self._away = None
        return item

    async def _take(self, item: Item) -> None:
        city = await asyncio.to_thread(city_of, item.value, str(item.version))
        if self._stored is not None and item.version < self._stored:
            return  # an answer from before our own write
        self._stored = item.version
        self.city, self.paths, self.body = city, paths_of(city), item.value


def _checked(document: object) -> bytes:
    """The document as it is stored. Raises CityInvalid."""
    refuse_strange_names(document)
    paths_of(parse_city(document, "candidate")).refuse_new()
    return encode(document)
