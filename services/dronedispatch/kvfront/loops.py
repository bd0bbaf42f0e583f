"""What a coordinator does now and then: offer hints to replicas that are back, purge tombstones."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from dronedispatch.kvfront.core.hints import pull_hints
from dronedispatch.kvfront.core.tombstone_gc import sweep
from dronedispatch.replication.driver import Driver
from dronedispatch.replication.effects import Pulse
from dronedispatch.replication.links import OFFER_TARGET
from dronedispatch.replication.view import View
from dronedispatch.runtime.auth import bearer
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import HttpError
from dronedispatch.runtime.settings import Secret

OFFER_TIMEOUT_S = 2.0


class HintFlush:
    """Offers what stand-ins keep for a replica that is absent from some slot, as soon as it answers again.

    Safety never rests on it: the replica takes hints only while it is being filled, and compares everything afterwards.
    """

    def __init__(self, driver: Driver, http: HttpClient, token: Secret | None) -> None:
        self._driver = driver
        self._http = http
        self._headers = bearer(token)

    async def once(self) -> str:
        """One round over the absent replicas; says what it offered."""
        view = self._driver.views.cached
        if view is None:
            return "there is no view"
        absent = {name for slot in view.slots for name in slot.absent()}
        offered = 0
        for target in sorted(absent):
            if await self._driver.links.ping(target) is Pulse.ALIVE:
                offered += await self._offer(view, target)
        return f"{len(absent)} absent, offered {offered} hints"

    async def _offer(self, view: View, target: str) -> int:
        offered = 0
        for stand_in in view.replicas:
            if stand_in == target:
                continue
            entries = await self._driver.run(pull_hints(view, stand_in, target))
            if entries and await self._send(view.replicas[target].url, entries):
                offered += len(entries)
        return offered

    async def _send(self, url: str, entries: list[object]) -> bool:
        parts = urlsplit(url)
        try:
            response = await self._http.request(
                "POST",
                parts.hostname or "",
                parts.port or 80,
                OFFER_TARGET,
                headers=self._headers,
                body=msgspec.msgpack.encode(entries),
                timeout_s=OFFER_TIMEOUT_S,
            )
        except HttpError:
            return False  # it will pull them when it joins
        return response.status == 200


SWEEPS_MAX = 20
"""In one round: tombstones may come faster than one sweep a round takes them away."""


class Sweep:
    """Purges tombstones, a bounded number a sweep, under one new epoch for all of the sweep."""

    def __init__(self, driver: Driver, keys_max: int) -> None:
        self._driver = driver
        self._keys_max = keys_max

    async def once(self) -> str:
        """Sweep until there is nothing left, or often enough; says what it purged."""
        purged = 0
        for _ in range(SWEEPS_MAX):
            swept = await self._driver.run(sweep(self._keys_max))
            if isinstance(swept, str):
                return f"purged {purged}, then nothing: {swept}"
            purged += swept.purged
            if not swept.more or not swept.purged:
                break
        return f"purged {purged} tombstones"
