"""What another service says of its health, for who is served by it: gateway, dispatcher and drone_sim tell what the store's
coordinators say, a load balancer what its gateways say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.consul import Endpoint
from dronedispatch.runtime.health import Reason, reasons_of
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import HttpError
from dronedispatch.runtime.loops import Loop

TIMEOUT_S = 1.0
LOOK_S = 2.0


class NeighbourHealth:
    """Run `once` now and then: the first instance that answers speaks for its service."""

    def __init__(self, endpoints: Callable[[], Sequence[Endpoint]], http: HttpClient, clock: Clock) -> None:
        self._endpoints = endpoints
        self._http = http
        self._clock = clock
        self._answered_s = clock.monotonic_s()
        self.document: dict[str, object] = {}
        self.reasons: tuple[Reason, ...] = ()

    @property
    def away_s(self) -> float:
        """Seconds since an instance answered."""
        return self._clock.monotonic_s() - self._answered_s

    def loop(self) -> Loop:
        """`once`, again and again."""
        return Loop("neighbour-health", self.once, LOOK_S)

    async def once(self) -> str:
        """One look; says what it found."""
        for endpoint in self._endpoints():
            try:
                response = await self._http.request(
                    "GET", endpoint.address, endpoint.port, "/health", timeout_s=TIMEOUT_S
                )
                document = msgspec.json.decode(response.body, type=dict[str, object])
            except (HttpError, msgspec.MsgspecError):
                continue
            self._answered_s = self._clock.monotonic_s()
            self.document, self.reasons = document, reasons_of(document)
            return str(document.get("health", "answers"))
        self.reasons = ()
        return f"nobody has answered for {self.away_s:.0f} s"
