"""The control plane's own routes: the table of gateways, as JSON and as a page."""

from __future__ import annotations

from importlib.resources import files

import msgspec
from sanic import HTTPResponse, Request, Sanic
from sanic.response import raw

from dronedispatch.lb.door import Door
from dronedispatch.lb.gateways import Gateway
from dronedispatch.runtime.web import json_answer, require_token

PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"


class GatewayRow(msgspec.Struct):
    """`state`: ready, warming, ejected, full. `ejected_s`: how much longer it is left out."""

    id: str
    address: str
    state: str
    in_flight: int
    idle_connections: int
    requests: int
    failures: int
    consecutive_failures: int
    ejections: int
    ejected_s: float
    last_error: str


def row(gateway: Gateway, door: Door) -> GatewayRow:
    now_s = door.now()
    record = gateway.record
    state = "ready"
    if record.ejected(now_s):
        state = "ejected"
    elif gateway.in_flight >= door.settings.in_flight_max:
        state = "full"
    elif now_s - gateway.since_s < door.settings.slow_start_s:
        state = "warming"
    return GatewayRow(
        gateway.id,
        gateway.pool.peer,
        state,
        gateway.in_flight,
        gateway.pool.idle_count,
        gateway.requests,
        gateway.failures,
        record.consecutive,
        record.times,
        round(max(0.0, record.until_s - now_s), 1),
        gateway.last_error,
    )


def table_document(door: Door, public_port: int | None) -> dict[str, object]:
    """All that the page shows."""
    counters = door.counters
    return {
        "public_port": public_port,
        "balance": door.settings.balance,
        "draining": door.draining,
        "gateways": [row(gateway, door) for gateway in door.table.gateways.values()],
        "waiting": len(door.table.waiting),
        "connections": len(door.connections),
        "clients_limited": door.limiter.clients if door.limiter is not None else None,
        "ended": dict(sorted(counters.ended.items())),
        "statuses": {f"{hundred}xx": count for hundred, count in enumerate(counters.statuses) if hundred},
        "retries": counters.retries,
        "resent": counters.resent,
        "retries_without_budget": counters.without_budget,
        "ejections": door.table.ejections,
    }


def add_routes(app: Sanic) -> None:  # type: ignore[type-arg]
    page = files("dronedispatch.lb").joinpath("static", "table.html").read_bytes()

    @app.get("/table", name="table")
    @require_token("operator")
    async def table(request: Request) -> HTTPResponse:
        return json_answer(table_document(request.app.ctx.door, request.app.ctx.process.public_port))

    @app.get("/", name="page")
    async def show(_request: Request) -> HTTPResponse:
        """The page holds nothing: it asks for the token and then for /table."""
        return raw(
            page,
            content_type="text/html; charset=utf-8",
            headers={"content-security-policy": PAGE_POLICY},
        )
