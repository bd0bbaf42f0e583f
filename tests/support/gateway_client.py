"""A client of one gateway on memory twins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, delivery_tags, move_delivery
from dronedispatch.fleet.documents import decode, delivery_key, encode, stamp
from dronedispatch.gateway.core.history import FIGURES_PREFIX
from dronedispatch.kv.client import Item
from dronedispatch.testing.gateway import OPERATOR_TOKEN, MemoryGateway
from dronedispatch.testing.serving import serving

ORDER = {
    "origin": {"lat": 41.8902, "lon": 12.4922},
    "destination": {"lat": 41.9109, "lon": 12.4818},
    "weight": 2.5,
}
NDJSON = "application/x-ndjson"
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}


class Api:
    """A client of one served gateway."""

    def __init__(self, gateway: MemoryGateway, http: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.http = http

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any, dict[str, str]]:
        async with self.http.request(method, path, **more) as answer:
            body = await answer.read()
            headers = {name.lower(): value for name, value in answer.headers.items()}
            is_json = answer.content_type.endswith("json") and answer.content_type != NDJSON and body
            return answer.status, msgspec.json.decode(body) if is_json else body, headers

    def stored(self, prefix: str) -> list[str]:
        return [key for key in self.gateway.kv.records if key.startswith(prefix)]

    def asked_for(self) -> dict[str, Any]:
        """All records but those of figures, which the gateway stores by itself each minute."""
        records = self.gateway.kv.records
        return {key: one for key, one in records.items() if not key.startswith(FIGURES_PREFIX)}

    async def delivery(self, delivery_id: str) -> tuple[Item, Delivery]:
        """As it is stored."""
        item = await self.gateway.kv.get(delivery_key(delivery_id))
        assert item is not None
        return item, decode(Delivery, item.value)

    async def move(self, delivery_id: str, to: DeliveryStatus, drone_id: str | None = None) -> None:
        """As the dispatcher does, past the gateway."""
        item, delivery = await self.delivery(delivery_id)
        at = stamp(self.gateway.clock.wall_s())
        moved = move_delivery(delivery, to, at=at, cause="test", drone_id=drone_id)
        await self.gateway.kv.cas(item.key, item.version, encode(moved), tags=delivery_tags(moved))

    async def place(self, **more: Any) -> Any:
        status, body, _ = await self.call("POST", "/deliveries", json=ORDER, **more)
        assert status == 201
        return body


@asynccontextmanager
async def served_api(given: MemoryGateway | None = None) -> AsyncIterator[Api]:
    gateway = given or MemoryGateway()
    async with serving(gateway.app) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        yield Api(gateway, http)
