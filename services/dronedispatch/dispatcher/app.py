"""Creates the dispatcher's parts and ties them together."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from sanic import Sanic

from dronedispatch.dispatcher.carry_out import PairLocks
from dronedispatch.dispatcher.consumers import Consumers
from dronedispatch.dispatcher.core.state_cache import StateCache
from dronedispatch.dispatcher.locks import Locks, NoLocks
from dronedispatch.dispatcher.loops import Scans, loops_of
from dronedispatch.dispatcher.rounds import Rounds
from dronedispatch.dispatcher.routes import add_routes
from dronedispatch.dispatcher.settings import Settings
from dronedispatch.fleet.traffic import TRAFFIC
from dronedispatch.kv.client import KVClient
from dronedispatch.kv.http_client import HttpKV
from dronedispatch.runtime.amqp import Bus
from dronedispatch.runtime.away import Away
from dronedispatch.runtime.broker_source import BrokerSource
from dronedispatch.runtime.clock import SystemClock
from dronedispatch.runtime.consul import ConsulError
from dronedispatch.runtime.discovery import ServiceWatch
from dronedispatch.runtime.health import CUT_OFF_S, Facts
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.proof import prover
from dronedispatch.runtime.leadership import ConsulLock
from dronedispatch.runtime.loops import Tasks, end
from dronedispatch.runtime.neighbour_health import NeighbourHealth
from dronedispatch.runtime.service import create_service
from dronedispatch.runtime.web import ServiceProcess

SERVICE = "dispatcher"
RESIGN_S = 2.0


class Dispatcher:
    """The parts of a running dispatcher."""

    def __init__(self, settings: Settings, process: ServiceProcess) -> None:
        self.settings = settings
        self.clock = SystemClock()
        self.coordinators = ServiceWatch(process.consul, "kvfront")
        self.http = HttpClient(resend_on_reuse_reset=False, prover=prover(settings.process.service_secret))
        token = settings.process.store_token
        self.kv = HttpKV(lambda: self.coordinators.endpoints, self.http, token.value if token else "")
        traffic = TRAFFIC["dispatcher"]
        self.bus = Bus(
            BrokerSource(settings.amqp, process.consul),
            work_queues=traffic.work_queues,
            fanouts=traffic.fanouts,
            publishes=traffic.publishes,
        )
        self.lock = ConsulLock(
            process.consul,
            settings.leader_key,
            service=SERVICE,
            instance=process.instance,
            address=process.address,
            port=process.port,
            on_change=self._lead,
            may_lead=lambda: self.store_health.away_s <= CUT_OFF_S,
        )
        flight = settings.flight.sped_up(settings.speed)
        self.rounds = Rounds(
            kv=self.kv,
            bus=self.bus,
            clock=self.clock,
            leadership=self.lock,
            new_cache=lambda: StateCache(flight, settings.tuning),
            new_locks=lambda kv: self._locks(kv, process.instance),
            gather_s=settings.gather_s,
        )
        self.consumers = Consumers(self.rounds, self.clock)
        self.scans = Scans(self.rounds, lambda: self.consumers.heard_s, settings, self.clock)
        self._broker = Away(self.clock)
        self.store_health = NeighbourHealth(lambda: self.coordinators.endpoints, self.http, self.clock)
        self._campaign: asyncio.Task[None] | None = None

    def _locks(self, kv: KVClient, instance: str) -> PairLocks:
        if not self.settings.locks:
            return NoLocks()
        return Locks(kv, self.clock, f"{instance}/{self.lock.term}", self.settings.lock_ttl_ms)

    def _lead(self, leader: bool) -> None:
        if leader:
            self.consumers.start(self.bus)
        else:
            self.consumers.stop()
        self.rounds.wake.set()

    async def start(self, tasks: Tasks) -> None:
        """Everything in the background: nothing here waits for another process."""
        self.coordinators.start()
        tasks.start("store-health", self.store_health.loop().run())
        self.bus.start()
        self._campaign = tasks.start("leadership", self.lock.run())
        for loop in loops_of(self.rounds, self.scans, self.settings):
            tasks.start(loop.name, loop.run())

    async def leave(self) -> None:
        """Give the lead to a standby (Consul away: it finds out by our check), and finish the round."""
        self.consumers.stop()
        if self._campaign is not None:
            await end([self._campaign])
        with contextlib.suppress(ConsulError, TimeoutError):
            async with asyncio.timeout(RESIGN_S):
                await self.lock.resign()
        await self.rounds.settled()

    async def stop(self) -> None:
        """See Service. A round that was cancelled since `leave` gives its locks back while there is a client for it."""
        await self.rounds.settled()
        await self.bus.stop()
        await self.coordinators.stop()
        await self.kv.close()
        await self.http.close()

    def why_not_ready(self) -> str | None:
        """It is ready as a leader and as a standby."""
        return None

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
        cache = self.rounds.cache
        return {
            "leader": self.lock.leader,
            "term": self.lock.term,
            "policy": self.settings.tuning.policy,
            "drones": len(cache.drones),
            "open_deliveries": len(cache.deliveries),
            "unreadable": len(cache.unreadable),
        }


def create_app(settings: Settings) -> Sanic[Any, Any]:
    """The dispatcher as a web process."""
    app, opened = create_service(SERVICE, settings.process, lambda app: Dispatcher(settings, app.ctx.process))
    add_routes(app, lambda: opened().rounds, SystemClock())
    return app
