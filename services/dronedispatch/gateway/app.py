"""Creates a gateway's parts and ties them together."""

from __future__ import annotations

from typing import Any

from sanic import Sanic

from dronedispatch.fleet.messages import DELIVERY_CHANGES, DELIVERY_REQUESTS, DELIVERY_STATUS, DRONE_UPDATES
from dronedispatch.gateway.changes import Changes
from dronedispatch.gateway.consumers import Hearing
from dronedispatch.gateway.dispatcher_client import DispatcherClient
from dronedispatch.gateway.errors import add_errors
from dronedispatch.gateway.feed import Feed
from dronedispatch.gateway.forecast import Forecast
from dronedispatch.gateway.guard import add_guard, host_names
from dronedispatch.gateway.history import FiguresHistory
from dronedispatch.gateway.lists import Lists
from dronedispatch.gateway.loops import loops
from dronedispatch.gateway.orders import OrderPlacement
from dronedispatch.gateway.routes.deliveries import DeliveryRoutes
from dronedispatch.gateway.routes.drones import DroneRoutes
from dronedispatch.gateway.routes.events import EventRoutes
from dronedispatch.gateway.routes.operator import OperatorGate
from dronedispatch.gateway.routes.pages import PageRoutes
from dronedispatch.gateway.routes.session import SessionRoutes
from dronedispatch.gateway.routes.table import add_routes
from dronedispatch.gateway.routes.zones import ZoneRoutes
from dronedispatch.gateway.settings import Settings
from dronedispatch.gateway.zones import Zones
from dronedispatch.kv.client import KVClient
from dronedispatch.kv.http_client import HttpKV
from dronedispatch.runtime import garbage
from dronedispatch.runtime.amqp import Bus, Publisher
from dronedispatch.runtime.away import Away
from dronedispatch.runtime.broker_source import BrokerSource
from dronedispatch.runtime.clock import Clock, SystemClock
from dronedispatch.runtime.discovery import ServiceWatch
from dronedispatch.runtime.health import Facts, Reason
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.proof import prover
from dronedispatch.runtime.loops import Loop, Tasks
from dronedispatch.runtime.neighbour_health import NeighbourHealth
from dronedispatch.runtime.web import ServiceProcess, create_web

SERVICE = "gateway"
STORE_HEALTH_S = 2.0


def create_app(settings: Settings) -> Sanic[Any, Any]:
    """A gateway on the real store, broker and Consul. Ready once it has read its city, and from then on: a store that pauses
    must not empty the lb's table.
    """
    app = create_web(
        SERVICE, settings.process, ready=lambda: app.ctx.zones.why_not_ready(), facts=lambda: facts()
    )
    process: ServiceProcess = app.ctx.process
    http = HttpClient(resend_on_reuse_reset=False, prover=prover(settings.process.service_secret))
    fronts = ServiceWatch(process.consul, "kvfront")
    dispatchers = ServiceWatch(process.consul, "dispatcher")
    token = settings.process.store_token
    kv = HttpKV(
        lambda: fronts.endpoints, http, token.value if token else "", timeout_s=settings.store_timeout_s
    )
    bus = Bus(
        BrokerSource(settings.amqp, process.consul),
        work_queues=(DELIVERY_REQUESTS, DRONE_UPDATES),
        fanouts=(DELIVERY_CHANGES, DELIVERY_STATUS, DRONE_UPDATES),
    )
    store = NeighbourHealth(lambda: fronts.endpoints, http, SystemClock())
    broker = Away(SystemClock())

    def facts() -> Facts:
        return _facts(app, fronts.stale_s, broker.since(bus.publishing), store, hearing.unheard_s)

    clock = SystemClock()
    feed = assemble(app, settings, kv, bus, DispatcherClient(dispatchers, http, token), clock)
    hearing = Hearing(bus, feed, clock, process.instance)

    @app.before_server_start
    async def open_up(_app: Sanic[Any, Any]) -> None:
        fronts.start()
        dispatchers.start()
        bus.start()
        _app.ctx.tasks.start("store-health", Loop("store-health", store.once, STORE_HEALTH_S).run())
        garbage.search_rarely()
        hearing.start()
        app.ctx.tasks.start("hearing", Loop("hearing", hearing.once, 1.0).run())

    @app.after_server_stop
    async def close_down(_app: Sanic[Any, Any]) -> None:
        await bus.stop()
        await kv.close()
        await http.close()
        await fronts.stop()
        await dispatchers.stop()

    return app


def _facts(
    app: Sanic[Any, Any],
    consul_away_s: float,
    broker_away_s: float,
    store: NeighbourHealth,
    unheard_s: float,
) -> Facts:
    """See runtime/health.py."""
    old = app.ctx.zones.why_degraded()
    city = [] if old is None else [Reason("city_old", old, "scripts/status, for the store's coordinators")]
    return Facts(
        consul_away_s=consul_away_s,
        broker_away_s=broker_away_s,
        store_away_s=store.away_s,
        silent={DELIVERY_CHANGES: unheard_s},
        told=[*store.reasons, *city],
    )


def assemble(
    app: Sanic[Any, Any],
    settings: Settings,
    kv: KVClient,
    publisher: Publisher,
    dispatcher: DispatcherClient,
    clock: Clock,
) -> Feed:
    """Routes, errors and loops on the given ports; returns the feed that messages are told to."""
    zones = app.ctx.zones = Zones(kv)
    forecast = Forecast(kv, zones, flight=settings.flight, speed=settings.speed)
    feed = Feed(kv, clock, settings.events_kept, lambda: forecast.speed)
    changes = Changes(kv, publisher, clock, feed.announce)
    lists = Lists(kv)
    history = FiguresHistory(kv, clock, feed)
    orders = OrderPlacement(kv, publisher, zones, forecast, clock, feed.announce)
    gate = OperatorGate(clock)
    add_errors(app)
    add_guard(app, host_names(settings))
    add_routes(
        app,
        deliveries=DeliveryRoutes(orders, changes, lists, dispatcher, settings.order_bytes_max),
        drones=DroneRoutes(changes, lists, gate, settings.order_bytes_max),
        zones=ZoneRoutes(zones, feed, gate, settings.zones_bytes_max),
        session=SessionRoutes(gate, clock, settings.order_bytes_max),
        events=EventRoutes(feed, history, clock, settings.watchers_max),
        pages=PageRoutes(),
    )

    @app.after_server_start
    async def begin(_app: Sanic[Any, Any]) -> None:
        app.ctx.gateway_tasks = Tasks(on_death=lambda _name: app.ctx.process.stop())
        for loop in loops(settings, kv, clock, zones, forecast, feed, history):
            app.ctx.gateway_tasks.start(loop.name, loop.run())

    @app.before_server_stop
    async def end(_app: Sanic[Any, Any]) -> None:
        feed.close()
        await app.ctx.gateway_tasks.stop()

    return feed
