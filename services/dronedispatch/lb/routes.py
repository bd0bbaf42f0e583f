"""The control plane's own routes: the table of gateways, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import msgspec
from sanic import HTTPResponse, Request, Sanic
from sanic.response import raw

from dronedispatch.lb.backends import Backend
from dronedispatch.lb.proxy_core import ProxyCore
from dronedispatch.runtime.problems import Problem
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


def row(backend: Backend, core: ProxyCore) -> GatewayRow:
    now_s = core.now()
    record = backend.record
    state = "ready"
    if record.ejected(now_s):
        state = "ejected"
    elif backend.in_flight >= core.settings.in_flight_max:
        state = "full"
    elif now_s - backend.since_s < core.settings.slow_start_s:
        state = "warming"
    return GatewayRow(
        backend.id,
        backend.pool.peer,
        state,
        backend.in_flight,
        backend.pool.idle_count,
        backend.requests,
        backend.failures,
        record.consecutive,
        record.times,
        round(max(0.0, record.until_s - now_s), 1),
        backend.last_error,
    )


def table_document(core: ProxyCore, public_port: int | None) -> dict[str, object]:
    """All that the page shows."""
    counters = core.books
    return {
        "public_port": public_port,
        "balance": core.settings.balance,
        "draining": core.connections.draining,
        "gateways": [row(backend, core) for backend in core.backends.members.values()],
        "waiting": len(core.backends.waiting),
        "connections": len(core.connections),
        "clients_limited": core.admission.limiter.clients if core.admission.limiter is not None else None,
        "ended": dict(sorted(counters.ended.items())),
        "statuses": {f"{hundred}xx": count for hundred, count in enumerate(counters.statuses) if hundred},
        "retries": counters.retries,
        "resent": counters.resent,
        "retries_without_budget": counters.without_budget,
        "ejections": core.backends.ejections,
    }


def add_routes(app: Sanic[Any, Any], core: Callable[[], ProxyCore | None]) -> None:
    """GET /table for operators, and the page that shows it. `core()` is None while the data plane is not open."""
    page = files("dronedispatch.lb").joinpath("static", "table.html").read_bytes()

    @app.get("/table", name="table")
    @require_token("operator")
    async def table(request: Request) -> HTTPResponse:
        plane = core()
        if plane is None:
            raise Problem(503, "the data plane is not open", headers={"Retry-After": "1"})
        return json_answer(table_document(plane, request.app.ctx.process.public_port))

    @app.get("/", name="page")
    async def show(_request: Request) -> HTTPResponse:
        """The page holds nothing: it asks for the token and then for /table."""
        return raw(
            page,
            content_type="text/html; charset=utf-8",
            headers={"content-security-policy": PAGE_POLICY},
        )
