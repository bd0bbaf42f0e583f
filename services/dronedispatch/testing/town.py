"""Dispatchers and a fleet on the memory twins: whole stories of orders, tick by tick, without a process or a clock."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace

from dronedispatch.dispatcher.carry_out import PairLocks
from dronedispatch.dispatcher.consumers import Consumers
from dronedispatch.dispatcher.core.state_cache import StateCache
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.locks import Locks, NoLocks
from dronedispatch.dispatcher.rounds import Rounds
from dronedispatch.drone_sim.consumers import Hints
from dronedispatch.drone_sim.core.schedule import Beat
from dronedispatch.drone_sim.fleet_flight import FleetFlight
from dronedispatch.drone_sim.settings import Settings as SimSettings
from dronedispatch.fleet.deliveries import Delivery, delivery_tags
from dronedispatch.fleet.documents import (
    DELIVERY_PREFIX,
    DRONE_PREFIX,
    TELEMETRY_PREFIX,
    decode,
    delivery_key,
    encode,
)
from dronedispatch.fleet.drones import Drone, Telemetry
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.fleet.messages import DELIVERY_REQUESTS, DRONE_ORDERS, DRONE_UPDATES, DeliveryRequested
from dronedispatch.kv.client import KVClient
from dronedispatch.kv.errors import KVError
from dronedispatch.testing.broker import MemoryBus
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import AT
from dronedispatch.testing.kv import MemoryKV

SCAN_EVERY = 5  # ticks


@dataclass
class FixedLead:
    """A leadership that a test decides."""

    leader: bool = True
    term: int = 1


@dataclass
class Desk:
    """One dispatcher."""

    rounds: Rounds
    consumers: Consumers
    lead: FixedLead
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def hang_up(self) -> None:
        """Stop consuming, as a process that ends."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []
        await self.rounds.settled()

    async def scan(self) -> None:
        """What dispatcher/loops.py does by the clock."""
        if self.rounds.complete:
            await self.rounds.loader.open_deliveries()
            await self.rounds.loader.fleet()

    def pick_up(self, bus: MemoryBus) -> None:
        """Begin to consume."""
        self.tasks = [
            bus.consume(DELIVERY_REQUESTS, self.consumers.delivery_requested),
            bus.consume(DRONE_UPDATES, self.consumers.drones_updated),
        ]


class Town:
    """A store, a broker and a clock that everybody shares."""

    def __init__(self, *, speed: float = 60.0, locks: bool = True, tuning: Tuning | None = None) -> None:
        self.clock = FakeClock()
        self.kv = MemoryKV(self.clock)
        self.bus = MemoryBus()
        self.speed = speed
        self.seconds = 0
        self.locks = locks
        self.tuning = tuning or Tuning()
        self.fleets: list[FleetFlight] = []
        self.desks: list[Desk] = []
        self._names: dict[int, str] = {}
        self._tasks: list[asyncio.Task[None]] = []

    # -- who takes part ------------------------------------------------------------------------------------------

    def open_desk(self, name: str = "dispatcher-1", *, term: int = 1, kv: KVClient | None = None) -> Desk:
        """A dispatcher that leads and consumes."""
        store = kv or self.kv
        lead = FixedLead(term=term)

        def locks(used: KVClient) -> PairLocks:
            return Locks(used, self.clock, f"{name}/{lead.term}", 3_000) if self.locks else NoLocks()

        rounds = Rounds(
            kv=store,
            bus=self.bus,
            clock=self.clock,
            leadership=lead,
            new_cache=lambda: StateCache(FlightModel().sped_up(self.speed), self.tuning),
            new_locks=locks,
        )
        consumers = Consumers(rounds, self.clock)
        desk = Desk(rounds, consumers, lead)
        desk.pick_up(self.bus)
        self.desks.append(desk)
        return desk

    def add_fleet(self, drones: int, name: str = "sim-1", **changes: object) -> FleetFlight:
        """A drone_sim."""
        settings = replace(SimSettings(drones=drones, speed=self.speed), **changes)  # type: ignore[arg-type]
        fleet = FleetFlight(
            settings,
            kv=self.kv,
            bus=self.bus,
            clock=self.clock,
            instance=name,
            names=lambda: (name, [*self._names.values()]),
            hints_come=lambda: self.bus.publishing,
        )
        self._tasks.append(
            self.bus.subscribe(
                DRONE_ORDERS, f"{DRONE_ORDERS}.{name}", Hints(fleet.simulation.hinted_at).orders_changed
            )
        )
        self._names[id(fleet)] = name
        self.fleets.append(fleet)
        return fleet

    def lose(self, fleet: FleetFlight) -> None:
        """Its process is gone, and discovery knows."""
        self.fleets.remove(fleet)
        del self._names[id(fleet)]

    async def order(self, delivery: Delivery, *, tell: bool = True) -> Delivery:
        """What a gateway does with a good order."""
        await self.kv.cas(delivery_key(delivery.id), None, encode(delivery), tags=delivery_tags(delivery))
        if tell:
            self.ask_for(delivery.id)
        return delivery

    def ask_for(self, delivery_id: str) -> None:
        """The gateway's event."""
        event = DeliveryRequested(id=delivery_id, at=AT, request_id="r", delivery_id=delivery_id)
        self.bus.to_queue(DELIVERY_REQUESTS, encode(event))

    async def close(self) -> None:
        """End every background task."""
        for desk in self.desks:
            await desk.hang_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- time ----------------------------------------------------------------------------------------------------

    async def tick(self, seconds: float = 1.0) -> None:
        """One second: every fleet claims and flies, every desk hears and has its round."""
        self.clock.advance(seconds)
        for fleet in self.fleets:
            await fleet.claims.once()
            await fleet.tick(Beat(late_s=0.0, elapsed_s=seconds, skipped=0, next_due_s=0.0))
        await self.bus.settled()
        self.seconds += 1
        for desk in self.desks:
            if self.seconds % SCAN_EVERY == 0:
                await desk.scan()
            await desk.rounds.once()
            with contextlib.suppress(KVError):  # as the loop runner does
                await desk.rounds.publish_state()
        await self.bus.settled()

    async def ticks(self, count: int) -> None:
        """`count` seconds."""
        for _ in range(count):
            await self.tick()

    # -- what is stored ------------------------------------------------------------------------------------------

    async def delivery(self, delivery_id: str) -> Delivery:
        item = await self.kv.get(delivery_key(delivery_id))
        assert item is not None
        return decode(Delivery, item.value)

    async def deliveries(self) -> list[Delivery]:
        page = await self.kv.scan(prefix=DELIVERY_PREFIX, limit=100_000)
        return [decode(Delivery, item.value) for item in page.items]

    async def drones(self) -> dict[str, Drone]:
        page = await self.kv.scan(prefix=DRONE_PREFIX, limit=100_000)
        return {drone.id: drone for drone in (decode(Drone, item.value) for item in page.items)}

    async def telemetry(self) -> dict[str, Telemetry]:
        page = await self.kv.scan(prefix=TELEMETRY_PREFIX, limit=100_000)
        return {told.id: told for told in (decode(Telemetry, item.value) for item in page.items)}
