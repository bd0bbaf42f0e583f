"""The fast lane of `POST /deliveries`: a plain, well-formed order is placed below Sanic, which costs as much as placing it.

Whatever would be refused before it is placed, and whatever comes in an unusual form, goes to Sanic and is answered there.
"""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache

import msgspec
from ulid import ULID

from dronedispatch.gateway.core.fields import IdempotencyKey
from dronedispatch.gateway.core.order import Order, parse_order
from dronedispatch.gateway.core.origin import HostNames
from dronedispatch.gateway.core.refusal import BadField, NoJson
from dronedispatch.gateway.core.views import placed
from dronedispatch.gateway.errors import problem_below_sanic
from dronedispatch.gateway.orders import OrderPlacement
from dronedispatch.runtime.fast_path import FastRequest
from dronedispatch.runtime.logs import bind_request_id
from dronedispatch.runtime.problems import CONTENT_TYPE
from dronedispatch.runtime.web import REQUEST_ID, http_date

PATH = "/deliveries"
LINE = b"POST /deliveries HTTP/1.1\r\n"
_JSON = frozenset({b"application/json", b"application/json; charset=utf-8"})
_UNUSUAL = frozenset({b"content-encoding", b"origin", b"sec-fetch-site"})  # the last two: a browser's


class OrderLane:
    """`take` is the lane of runtime/fast_path.py."""

    def __init__(self, orders: OrderPlacement, names: HostNames, bytes_max: int) -> None:
        self._orders = orders
        self._why_not_host = lru_cache(maxsize=256)(names.why_not)
        self._bytes_max = bytes_max
        self._tasks: set[asyncio.Task[None]] = set()  # the loop keeps none from the garbage collector

    def take(self, request: FastRequest) -> bool:
        """Begin to place the order; False: Sanic shall look at it."""
        headers = request.headers
        if headers.get(b"content-type") not in _JSON or not _UNUSUAL.isdisjoint(headers):
            return False
        if len(request.body) > self._bytes_max or self._why_not_host(headers[b"host"].decode("latin-1")):
            return False
        try:
            key = _key(headers.get(b"idempotency-key"))
            order = parse_order(request.body)
        except (BadField, NoJson, msgspec.ValidationError, UnicodeDecodeError):
            return False
        task = asyncio.create_task(self._place(request, order, key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _place(self, request: FastRequest, order: Order, key: str | None) -> None:
        request_id, own_line = _request_id(request)
        bind_request_id(request_id)
        try:
            delivery = await self._orders.place(order, key, request_id)
        except Exception as exc:  # noqa: BLE001 - as with Sanic: each has its answer
            problem = problem_below_sanic(exc, PATH)
            status, kind, body = problem.status, CONTENT_TYPE, problem.body(PATH, request_id)
            more = "".join(f"{name.lower()}: {value}\r\n" for name, value in problem.headers.items())
        else:
            status, kind, body = 201, "application/json", msgspec.json.encode(placed(delivery))
            more = f"location: {PATH}/{delivery.id}\r\n"
        head = f"content-type: {kind}\r\n{more}date: {http_date(int(time.time()))}\r\n{own_line}"
        request.respond(status, head.encode(), body)


def _key(given: bytes | None) -> str | None:
    """Raises ValidationError, UnicodeDecodeError: Sanic has the words for it."""
    return None if given is None else msgspec.convert(given.decode("ascii"), IdempotencyKey)


def _request_id(request: FastRequest) -> tuple[str, str]:
    """The id, and the line that tells it where it is not the client's, which is repeated anyway."""
    given = request.headers.get(b"x-request-id", b"").decode("latin-1")
    if REQUEST_ID.match(given):
        return given, ""
    made = str(ULID())
    return made, f"x-request-id: {made}\r\n"
