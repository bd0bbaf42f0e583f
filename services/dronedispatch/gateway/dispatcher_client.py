"""The active dispatcher, found in Consul: it alone can say why an order waits, by the code that decides."""

from __future__ import annotations

import msgspec

from dronedispatch.runtime.auth import bearer
from dronedispatch.runtime.discovery import ServiceWatch
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import HttpError
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.settings import Secret

TIMEOUT_S = 3.0


class DispatcherClient:
    """Asks every passing instance in turn: a standby answers 503."""

    def __init__(self, watch: ServiceWatch, http: HttpClient, token: Secret | None) -> None:
        self._watch = watch
        self._http = http
        self._token = token

    async def why(self, delivery_id: str, request_id: str) -> dict[str, object] | None:
        """The dispatcher's document about one open delivery; None: no round of it has seen it. Raises Problem 503."""
        headers = (*bearer(self._token), ("x-request-id", request_id))
        for endpoint in self._watch.endpoints:
            try:
                answer = await self._http.request(
                    "GET",
                    endpoint.address,
                    endpoint.port,
                    f"/why/{delivery_id}",
                    headers=headers,
                    timeout_s=TIMEOUT_S,
                )
                if answer.status == 200:
                    return msgspec.json.decode(answer.body, type=dict[str, object])
            except (HttpError, msgspec.DecodeError):
                continue  # a read: the next one may know
            if answer.status == 404:
                return None
        raise Problem(503, "no dispatcher answers at the moment", headers={"Retry-After": "2"})
