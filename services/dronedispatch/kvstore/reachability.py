"""Whether the coordinators reach this replica: what it sends tells nothing of what arrives of its answers."""

from __future__ import annotations

import asyncio
import random
from urllib.parse import quote

import msgspec

from dronedispatch.replication.patience import PING_MOST, PING_S
from dronedispatch.runtime.auth import bearer
from dronedispatch.runtime.discovery import Endpoint, ServiceWatch
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import HttpError
from dronedispatch.runtime.loops import end
from dronedispatch.runtime.settings import Secret

ASKED_MAX = 3
TIMEOUT_S = 2 * PING_MOST * PING_S
"""Before it answers, a coordinator pings, for which it may need a new connection, and both may take that long."""


class _Opinion(msgspec.Struct):
    reaches: bool | None


class Reachability:
    """The coordinators that Consul knows, asked what they see of this replica."""

    def __init__(self, name: str, watch: ServiceWatch, http: HttpClient, token: Secret | None) -> None:
        self._name = name
        self._watch = watch
        self._http = http
        self._headers = bearer(token)

    async def reached(self) -> bool | None:
        """True: a coordinator has just had an answer of this replica; False: none has; None: none is registered."""
        known = self._watch.endpoints
        if not known:
            return None
        asked = random.sample(known, min(ASKED_MAX, len(known)))
        opinions = [asyncio.create_task(self._ask(coordinator)) for coordinator in asked]
        try:
            for opinion in asyncio.as_completed(opinions):
                if await opinion:
                    return True
            return False
        finally:
            await end(opinions)

    async def _ask(self, coordinator: Endpoint) -> bool:
        try:
            response = await self._http.request(
                "GET",
                coordinator.address,
                coordinator.port,
                f"/opinion/{quote(self._name, safe='')}",
                headers=self._headers,
                timeout_s=TIMEOUT_S,
            )
            if response.status != 200:
                return False
            return msgspec.json.decode(response.body, type=_Opinion).reaches is True
        except (HttpError, msgspec.MsgspecError):
            return False
