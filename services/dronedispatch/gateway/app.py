"""Creates a gateway's parts and ties them together."""

from __future__ import annotations

from typing import Any

from sanic import Sanic

from dronedispatch.fleet.messages import DELIVERY_CHANGES
from dronedispatch.fleet.traffic import TRAFFIC
from dronedispatch.gateway.changes import Changes
from dronedispatch.gateway.consumers import Hearing
from dronedispatch.gateway.delivery_requests import DeliveryRequests
from dronedispatch.gateway.dispatcher_client import DispatcherClient
from dronedispatch.gateway.errors import add_errors
from dronedispatch.gateway.feed import Feed
from dronedispatch.gateway.forecast import Forecast
from dronedispatch.gateway.guard import add_guard, host_names
from dronedispatch.gateway.history import FiguresHistory
from dronedispatch.gateway.lists import Lists
from dronedispatch.gateway.loops import loops
from dronedispatch.gateway.order_lane import LINE, OrderLane
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
from dronedispatch.runtime.service import create_service
from dronedispatch.runtime.web import ServiceProcess, count_request

SERVICE = "gateway"


class Gateway:
    """The parts of a running gateway. Ready once it has read its city, and from then on: a store that pauses must not empty
    the load balancer's table.
    """

    def __init__(self, settings: Settings, app: Sanic[Any, Any]) -> None:
        process: ServiceProcess = app.ctx.process
        secret, token = settings.process.service_secret, settings.process.store_token
        self._process, self._clock = process, SystemClock()
        self.http = HttpClient(resend_on_reuse_reset=False, prover=prover(secret))
        self.coordinators = ServiceWatch(process.consul, "kvfront")
        self.dispatchers = ServiceWatch(process.consul, "dispatcher")
        self.kv = HttpKV(
            lambda: self.coordinators.endpoints,
            self.http,
            token.value if token else "",
            timeout_s=settings.store_timeout_s,
        )
        traffic = TRAFFIC["gateway"]
        self.bus = Bus(
            BrokerSource(settings.amqp, process.consul),
            work_queues=traffic.work_queues,
            fanouts=traffic.fanouts,
            publishes=traffic.publishes,
        )
        dispatcher = DispatcherClient(self.dispatchers, self.http, token)
        self._feed = assemble(app, settings, self.kv, self.bus, dispatcher, self._clock)
        self.zones: Zones = app.ctx.zones
        self._requests: DeliveryRequests = app.ctx.requests
        self._hearing: Hearing | None = None
        self._store = NeighbourHealth(lambda: self.coordinators.endpoints, self.http, self._clock)
        self._broker = Away(self._clock)

    def why_not_ready(self) -> str | None:
        """See Service."""
        return self.zones.why_not_ready()

    def facts(self) -> Facts:
        """See runtime/health.py."""
        old = self.zones.why_degraded()
        city = (
            [] if old is None else [Reason("city_old", old, "scripts/status, for the store's coordinators")]
        )
        return Facts(
            consul_away_s=self.coordinators.stale_s,
            broker_away_s=self._broker.since(self.bus.publishing),
            store_away_s=self._store.away_s,
            silent={DELIVERY_CHANGES: self._hearing.unheard_s if self._hearing else 0.0},
            told=[*self._store.reasons, *city],
        )

    def health(self) -> dict[str, object]:
        """Members of the health document: none."""
        return {}

    async def start(self, tasks: Tasks) -> None:
        """Everything in the background: nothing here waits for another process."""
        self.coordinators.start()
        self.dispatchers.start()
        self.bus.start()
        tasks.start("store-health", self._store.loop().run())
        # Made here: only a process that has bound its port has the name that its queues bear.
        hearing = self._hearing = Hearing(self.bus, self._feed, self._clock, self._process.instance)
        hearing.start()
        tasks.start("hearing", Loop("hearing", hearing.once, 1.0, wake=self._feed.entered).run())

    async def leave(self) -> None:
        """Any other gateway does the same; `assemble` ends the streams."""

    async def stop(self) -> None:
        """See Service."""
        self._requests.flush()
        await self.bus.stop()
        await self.kv.close()
        await self.http.close()
        await self.coordinators.stop()
        await self.dispatchers.stop()


def create_app(settings: Settings) -> Sanic[Any, Any]:
    """A gateway on the real store, broker and Consul."""
    app, _ = create_service(SERVICE, settings.process, lambda app: Gateway(settings, app), at_once=True)
    return app


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
    requests = app.ctx.requests = DeliveryRequests(publisher, clock, feed.announce)
    changes = Changes(kv, clock, requests)
    lists = Lists(kv)
    history = FiguresHistory(kv, clock, feed)
    orders = OrderPlacement(kv, zones, forecast, clock, requests)
    gate = OperatorGate(clock)
    add_errors(app)
    names = host_names(settings)
    add_guard(app, names)
    app.ctx.fast_path = OrderLane(orders, names, settings.order_bytes_max).take
    app.ctx.fast_line, app.ctx.fast_count = LINE, count_request
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
