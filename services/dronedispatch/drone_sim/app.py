"""Creates drone_sim's parts and ties them together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sanic import Sanic

from dronedispatch.drone_sim.consumers import Hints
from dronedispatch.drone_sim.fleet_flight import FleetFlight
from dronedispatch.drone_sim.loops import Ticker
from dronedispatch.drone_sim.routes import add_routes
from dronedispatch.drone_sim.settings import Settings
from dronedispatch.fleet.messages import DRONE_ORDERS
from dronedispatch.fleet.traffic import TRAFFIC
from dronedispatch.kv.http_client import HttpKV
from dronedispatch.runtime.amqp import Bus
from dronedispatch.runtime.away import Away
from dronedispatch.runtime.broker_source import BrokerSource
from dronedispatch.runtime.clock import SystemClock
from dronedispatch.runtime.discovery import ServiceWatch
from dronedispatch.runtime.health import Facts
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.proof import prover
from dronedispatch.runtime.loops import Loop, Tasks, end
from dronedispatch.runtime.neighbour_health import NeighbourHealth
from dronedispatch.runtime.service import create_service
from dronedispatch.runtime.web import ServiceProcess

SERVICE = "drone-sim"


class DroneSim:
    """The parts of a running drone_sim."""

    def __init__(self, settings: Settings, process: ServiceProcess) -> None:
        self._process = process
        self.coordinators = ServiceWatch(process.consul, "kvfront")
        self.peers = ServiceWatch(process.consul, SERVICE)
        self.http = HttpClient(resend_on_reuse_reset=False, prover=prover(settings.process.service_secret))
        token = settings.process.store_token
        self.kv = HttpKV(lambda: self.coordinators.endpoints, self.http, token.value if token else "")
        traffic = TRAFFIC["drone-sim"]
        self.bus = Bus(
            BrokerSource(settings.amqp, process.consul),
            work_queues=traffic.work_queues,
            fanouts=traffic.fanouts,
            publishes=traffic.publishes,
        )
        self.clock = SystemClock()
        self.fleet = FleetFlight(
            settings,
            kv=self.kv,
            bus=self.bus,
            clock=self.clock,
            instance=process.instance,
            names=self._names,
            hints_come=lambda: self.bus.publishing,
        )
        self._hints = Hints(self.fleet.simulation.hinted_at)
        self._period_s = settings.period_s
        self._zones_s = settings.zones_s
        self._broker = Away(self.clock)
        self.store_health = NeighbourHealth(lambda: self.coordinators.endpoints, self.http, self.clock)
        self._flying: list[asyncio.Task[None]] = []

    def _names(self) -> tuple[str, Sequence[str]]:
        """By address and port: under Nomad our id in Consul is Nomad's."""
        own = next(
            (
                peer.id
                for peer in self.peers.endpoints
                if (peer.address, peer.port) == (self._process.address, self._process.port)
            ),
            self._process.instance,
        )
        return own, [peer.id for peer in self.peers.endpoints]

    async def start(self, tasks: Tasks) -> None:
        """Everything in the background: nothing here waits for another process."""
        self.coordinators.start()
        tasks.start("store-health", self.store_health.loop().run())
        self.peers.start()
        self.bus.start()
        self.bus.subscribe(
            DRONE_ORDERS, f"{DRONE_ORDERS}.{self._process.instance}", self._hints.orders_changed
        )
        ticker = Ticker(self.fleet.tick, self.clock, self._period_s)
        claims = self.fleet.claims
        for loop in (
            Loop("claims", claims.once, claims.renew_s, error_cap_s=1.0),
            Loop("zones", self.fleet.zones.once, self._zones_s),
            Loop("tick", ticker.once, 0.0, jitter=0.0, error_cap_s=1.0),
        ):
            self._flying.append(tasks.start(loop.name, loop.run()))

    async def leave(self) -> None:
        """Stop flying, and give the slots back, so that others fly on at once."""
        await end(self._flying)
        await self.fleet.claims.release_all()

    async def stop(self) -> None:
        """See Service."""
        await self.bus.stop()
        await self.coordinators.stop()
        await self.peers.stop()
        await self.kv.close()
        await self.http.close()

    def why_not_ready(self) -> str | None:
        """It flies what it holds, and whoever holds nothing stands by; whom the store does not answer can do neither."""
        return self.fleet.claims.why_cut_off()

    def facts(self) -> Facts:
        """See runtime/health.py."""
        return Facts(
            consul_away_s=self.coordinators.stale_s,
            broker_away_s=self._broker.since(self.bus.publishing),
            store_away_s=self.store_health.away_s,
            told=self.store_health.reasons,
        )

    def health(self) -> dict[str, object]:
        """Members of the health document."""
        return {
            "slots": len(self.fleet.claims.held()),
            "drones": len(self.fleet.state.crafts),
            "ticks": self.fleet.simulation.ticks,
            "tick_late_ms": round(self.fleet.simulation.late_s * 1000, 1),
        }


def create_app(settings: Settings) -> Sanic[Any, Any]:
    """drone_sim as a web process."""
    app, opened = create_service(SERVICE, settings.process, lambda app: DroneSim(settings, app.ctx.process))
    add_routes(app, lambda: opened().fleet.faults)
    return app
