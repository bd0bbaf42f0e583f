"""Creates drone_sim's parts and ties them together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from sanic import Sanic

from dronedispatch.drone_sim.claims import Claims
from dronedispatch.drone_sim.consumers import Hints
from dronedispatch.drone_sim.core.airspace import CityAirspace
from dronedispatch.drone_sim.core.fleet_state import FleetState
from dronedispatch.drone_sim.core.flight import Noise
from dronedispatch.drone_sim.core.schedule import Beat
from dronedispatch.drone_sim.faults import FaultInjector
from dronedispatch.drone_sim.loops import Ticker, ZonesWatch
from dronedispatch.drone_sim.records import Records
from dronedispatch.drone_sim.registration import FleetRegistration
from dronedispatch.drone_sim.routes import add_routes
from dronedispatch.drone_sim.settings import Settings
from dronedispatch.drone_sim.simulation import Pace, Simulation
from dronedispatch.fleet.city import City, default_city
from dronedispatch.fleet.messages import DRONE_ORDERS, DRONE_UPDATES
from dronedispatch.kv.client import KVClient
from dronedispatch.kv.http_client import HttpKV
from dronedispatch.runtime.amqp import Bus, Publisher
from dronedispatch.runtime.away import Away
from dronedispatch.runtime.broker_source import BrokerSource
from dronedispatch.runtime.clock import Clock, SystemClock
from dronedispatch.runtime.discovery import ServiceWatch
from dronedispatch.runtime.health import Facts
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.proof import prover
from dronedispatch.runtime.loops import Loop, Tasks
from dronedispatch.runtime.service import create_service
from dronedispatch.runtime.web import ServiceProcess

SERVICE = "drone-sim"


class FleetFlight:
    """The fleet's flight without process, network and discovery: given a store, a bus, a clock, and who else flies."""

    def __init__(
        self,
        settings: Settings,
        *,
        kv: KVClient,
        bus: Publisher,
        clock: Clock,
        instance: str,
        names: Callable[[], tuple[str, Sequence[str]]],
        hints_come: Callable[[], bool],
    ) -> None:
        self.settings = settings
        self.state = FleetState()
        self.faults = FaultInjector(self.state, clock)
        self._flight = settings.flight.sped_up(settings.speed)
        self._registration = FleetRegistration(
            kv, self.state, clock, fleet=settings.drones, seed=settings.seed, slots=settings.slots
        )
        self.claims = Claims(
            kv,
            clock,
            owner=instance,
            names=names,
            slots=settings.slots,
            ttl_ms=settings.lease_ttl_ms,
            adopt=self._adopt,
            drop=self.state.drop,
        )
        self.simulation = Simulation(
            state=self.state,
            records=Records(kv),
            faults=self.faults,
            bus=bus,
            clock=clock,
            source=instance,
            air=CityAirspace(default_city(), self._flight),
            noise=Noise(settings.noise, settings.seed),
            pace=Pace(settings.refresh_ticks, settings.read_ticks, settings.store_ticks),
            hints_come=hints_come,
            slots=self.claims,
        )
        self.zones = ZonesWatch(kv, self._fly_in)
        self.hints = Hints(self.simulation.hinted_at)

    def _fly_in(self, city: City) -> None:
        air = CityAirspace(city, self._flight)
        self.simulation.fly_in(air)
        self._registration.ship(air, self._flight.range_m)

    async def _adopt(self, slots: Sequence[int]) -> None:
        if not self.zones.known:  # a fleet that is registered now is parked in the city of the store
            await self.zones.once()
        await self._registration.adopt(slots, self.simulation.air)

    async def tick(self, beat: Beat) -> str:
        """One tick; slots that turned out to be another's are given up."""
        told = await self.simulation.once(beat)
        if told.lost_slots:
            await self.claims.lose(sorted(told.lost_slots))
        return f"told of {len(told.told)} drones, {told.failed} writes to repeat"


class DroneSim:
    """The parts of a running drone_sim."""

    def __init__(self, settings: Settings, process: ServiceProcess) -> None:
        self._process = process
        self.coordinators = ServiceWatch(process.consul, "kvfront")
        self.peers = ServiceWatch(process.consul, SERVICE)
        self.http = HttpClient(resend_on_reuse_reset=False, prover=prover(settings.process.service_secret))
        token = settings.process.store_token
        self.kv = HttpKV(lambda: self.coordinators.endpoints, self.http, token.value if token else "")
        self.bus = Bus(
            BrokerSource(settings.amqp, process.consul),
            work_queues=(DRONE_UPDATES,),
            fanouts=(DRONE_UPDATES, DRONE_ORDERS),
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
        self._period_s = settings.period_s
        self._zones_s = settings.zones_s
        self._broker = Away(self.clock)
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
        self.peers.start()
        self.bus.start()
        self.bus.subscribe(
            DRONE_ORDERS, f"{DRONE_ORDERS}.{self._process.instance}", self.fleet.hints.orders_changed
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
        for task in self._flying:
            task.cancel()
        await asyncio.gather(*self._flying, return_exceptions=True)
        await self.fleet.claims.release_all()

    async def stop(self) -> None:
        """See Service."""
        await self.bus.stop()
        await self.coordinators.stop()
        await self.peers.stop()
        await self.kv.close()
        await self.http.close()

    def why_not_ready(self) -> str | None:
        """It flies what it holds, and whoever holds nothing stands by."""
        return None

    def facts(self) -> Facts:
        """See runtime/health.py."""
        return Facts(
            consul_away_s=self.coordinators.stale_s, broker_away_s=self._broker.since(self.bus.publishing)
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
