"""Every path of the gateway; tests hold it against the OpenAPI document."""

from __future__ import annotations

from typing import Any

from sanic import Sanic

from dronedispatch.gateway.routes.deliveries import DeliveryRoutes
from dronedispatch.gateway.routes.drones import DroneRoutes
from dronedispatch.gateway.routes.events import EventRoutes
from dronedispatch.gateway.routes.pages import PageRoutes
from dronedispatch.gateway.routes.session import SessionRoutes
from dronedispatch.gateway.routes.zones import ZoneRoutes

READ = ("GET", "HEAD")
ACT = ("POST",)


def add_routes(
    app: Sanic[Any, Any],
    *,
    deliveries: DeliveryRoutes,
    drones: DroneRoutes,
    zones: ZoneRoutes,
    session: SessionRoutes,
    events: EventRoutes,
    pages: PageRoutes,
) -> None:
    """Beside /health and /metrics, which every service has."""
    table: tuple[tuple[tuple[str, ...], str, Any], ...] = (
        (ACT, "/deliveries", deliveries.place),
        (READ, "/deliveries", deliveries.many),
        (READ, "/deliveries/<delivery_id>", deliveries.one),
        (READ, "/deliveries/<delivery_id>/why", deliveries.why),
        (ACT, "/deliveries/<delivery_id>/cancel", deliveries.cancel),
        (ACT, "/deliveries/<delivery_id>/priority", deliveries.priority),
        (ACT, "/deliveries/<delivery_id>/deadline", deliveries.deadline),
        (READ, "/drones", drones.many),
        (READ, "/drones/<drone_id>", drones.one),
        (ACT, "/drones/<drone_id>/decommission", drones.decommission),
        (ACT, "/drones/<drone_id>/recommission", drones.recommission),
        (READ, "/zones", zones.show),
        (("PUT",), "/zones", zones.replace),
        (READ, "/session", session.show),
        (ACT, "/session", session.begin),
        (("DELETE",), "/session", session.end),
        (("GET",), "/events", events.stream),
        (READ, "/figures", events.figures),
        (READ, "/", pages.home),
        (READ, "/dashboard", pages.dashboard),
        (READ, "/dashboard/<path:path>", pages.asset),
        (READ, "/docs", pages.docs),
        (READ, "/openapi.json", pages.openapi),
        (READ, "/problems", pages.problems),
        (READ, "/problems/<name>", pages.problem),
    )
    for methods, path, handler in table:
        app.add_route(handler, path, methods=methods, name=f"{methods[0]} {path}".translate(_NAME))


_NAME = str.maketrans({" ": "_", "/": "_", "<": "", ">": "", ":": "_", ".": "_"})
