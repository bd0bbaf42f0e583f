"""/deliveries"""

from __future__ import annotations

from sanic import HTTPResponse, Request

from dronedispatch.fleet.deliveries import TERMINAL, Delivery
from dronedispatch.gateway.changes import Changes, DeliveryAsStored
from dronedispatch.gateway.core import export
from dronedispatch.gateway.core.headers import IDEMPOTENCY_KEY
from dronedispatch.gateway.core.listing import DeliveryQuery, delivery_query
from dronedispatch.gateway.core.order import parse_deadline, parse_order, parse_priority
from dronedispatch.gateway.core.parameters import no_query
from dronedispatch.gateway.core.views import DeliveryPage, placed
from dronedispatch.gateway.core.why import explain, needs_dispatcher
from dronedispatch.gateway.dispatcher_client import DispatcherClient
from dronedispatch.gateway.lists import Lists
from dronedispatch.gateway.orders import OrderPlacement
from dronedispatch.gateway.routes import input as given
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.web import json_answer


class DeliveryRoutes:
    """Handlers."""

    def __init__(
        self,
        orders: OrderPlacement,
        changes: Changes,
        lists: Lists,
        dispatcher: DispatcherClient,
        bytes_max: int,
    ) -> None:
        self._orders = orders
        self._changes = changes
        self._lists = lists
        self._dispatcher = dispatcher
        self._bytes_max = bytes_max

    async def place(self, request: Request) -> HTTPResponse:
        """What `order_lane.py` leaves to it: all that is refused, and what comes in an unusual form."""
        no_query(given.arguments(request))
        key = given.header(request, IDEMPOTENCY_KEY)
        order = parse_order(given.json_body(request, self._bytes_max), self._orders.errors_of)
        delivery = await self._orders.place(order, key, request.ctx.request_id)
        return json_answer(placed(delivery), 201, {"Location": f"/deliveries/{delivery.id}"})

    async def one(self, request: Request, delivery_id: str) -> HTTPResponse:
        no_query(given.arguments(request))
        delivery, version = await self._lists.versioned_delivery(given.delivery_id(delivery_id))
        return _tagged(DeliveryAsStored(delivery, version))

    async def many(self, request: Request) -> HTTPResponse | None:
        kind = export.negotiate(request.headers.get("accept", ""))
        query = delivery_query(given.arguments(request), export=kind != export.JSON)
        if kind != export.JSON:
            await self._export(request, kind, query)
            return None
        deliveries, after = await self._lists.deliveries(query)
        return json_answer(DeliveryPage(deliveries=deliveries, next=after), headers={"Vary": "Accept"})

    async def why(self, request: Request, delivery_id: str) -> HTTPResponse:
        no_query(given.arguments(request))
        delivery = await self._lists.delivery(given.delivery_id(delivery_id))
        answer = None
        if delivery.status not in TERMINAL:
            try:
                answer = await self._dispatcher.why(delivery.id, request.ctx.request_id)
            except Problem:
                if needs_dispatcher(delivery):
                    raise
            if answer is None:  # it may have ended between our look and the dispatcher's
                delivery = await self._lists.delivery(delivery.id)
        return json_answer(explain(delivery, answer))

    async def cancel(self, request: Request, delivery_id: str) -> HTTPResponse:
        no_query(given.arguments(request))
        given.no_body(request, self._bytes_max)
        wanted, expected = given.delivery_id(delivery_id), given.expected(request)
        return _tagged(await self._changes.cancel(wanted, request.ctx.request_id, expected))

    async def priority(self, request: Request, delivery_id: str) -> HTTPResponse:
        no_query(given.arguments(request))
        priority = parse_priority(given.json_body(request, self._bytes_max))
        wanted, expected = given.delivery_id(delivery_id), given.expected(request)
        return _tagged(await self._changes.set_priority(wanted, priority, request.ctx.request_id, expected))

    async def deadline(self, request: Request, delivery_id: str) -> HTTPResponse:
        no_query(given.arguments(request))
        deadline = parse_deadline(given.json_body(request, self._bytes_max))
        wanted, expected = given.delivery_id(delivery_id), given.expected(request)
        return _tagged(await self._changes.set_deadline(wanted, deadline, request.ctx.request_id, expected))

    async def _export(self, request: Request, kind: str, query: DeliveryQuery) -> None:
        """Row after row as the store gives them; an error in the middle breaks the stream off, it never ends it well."""
        pieces = self._lists.every_delivery(query)
        first: list[Delivery] = await anext(
            pieces, []
        )  # before the head goes out: a store that is away is a 503 yet
        suffix = "csv" if kind == export.CSV else "ndjson"
        headers = {"Content-Disposition": f'attachment; filename="deliveries.{suffix}"', "Vary": "Accept"}
        response = await request.respond(content_type=f"{kind}; charset=utf-8", headers=headers)
        assert response is not None
        await response.send((export.csv_head() if kind == export.CSV else b"") + _rows(kind, first))
        async for piece in pieces:
            await response.send(_rows(kind, piece))
        await response.eof()


def _tagged(found: DeliveryAsStored) -> HTTPResponse:
    """With the version as ETag, for If-Match of a change."""
    return json_answer(found.delivery, headers={"ETag": f'"{found.version}"'})


def _rows(kind: str, deliveries: list[Delivery]) -> bytes:
    row = export.csv_row if kind == export.CSV else export.ndjson_row
    return b"".join(row(delivery) for delivery in deliveries)
