"""Other coordinators: asked for a second opinion before a replica is voted out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from urllib.parse import quote

import msgspec

from dronedispatch.runtime.auth import bearer
from dronedispatch.runtime.discovery import ServiceWatch
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import HttpError
from dronedispatch.runtime.settings import Secret


class Opinion(msgspec.Struct):
    """Whether its writer reaches `replica`; None: it knows none of that name."""

    replica: str
    reaches: bool | None


class Peers:
    """The other kvfronts that Consul knows."""

    def __init__(
        self, watch: ServiceWatch, http: HttpClient, token: Secret | None, timeout_s: Callable[[], float]
    ) -> None:
        self._watch = watch
        self._http = http
        self._headers = bearer(token)
        self._timeout_s = timeout_s
        self._turn = itertools.count()
        self.instance = ""

    async def opinion(self, replica: str) -> bool | None:
        """Whether some other coordinator reaches `replica`; None: there is nobody who answers that."""
        others = [endpoint for endpoint in self._watch.endpoints if endpoint.id != self.instance]
        start = next(self._turn)
        for step in range(min(2, len(others))):
            peer = others[(start + step) % len(others)]
            try:
                response = await self._http.request(
                    "GET",
                    peer.address,
                    peer.port,
                    f"/opinion/{quote(replica, safe='')}",
                    headers=self._headers,
                    timeout_s=self._timeout_s(),
                )
                if response.status == 200:
                    return msgspec.json.decode(response.body, type=Opinion).reaches
            except (HttpError, msgspec.MsgspecError):
                continue  # another peer may answer
        return None
