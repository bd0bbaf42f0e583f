"""The fleet's flight: what is claimed is registered, flown, told and stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dronedispatch.drone_sim.claims import Claims
from dronedispatch.drone_sim.core.airspace import CityAirspace
from dronedispatch.drone_sim.core.fleet_state import FleetState
from dronedispatch.drone_sim.core.flight import Noise
from dronedispatch.drone_sim.core.schedule import Beat
from dronedispatch.drone_sim.faults import FaultInjector
from dronedispatch.drone_sim.records import Records
from dronedispatch.drone_sim.registration import FleetRegistration
from dronedispatch.drone_sim.settings import Settings
from dronedispatch.drone_sim.simulation import Pace, Simulation
from dronedispatch.drone_sim.zones import ZonesWatch
from dronedispatch.fleet.city import City, default_city
from dronedispatch.kv.client import KVClient
from dronedispatch.runtime.amqp import Publisher
from dronedispatch.runtime.clock import Clock


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
            kv,
            self.state,
            clock,
            fleet=settings.drones,
            seed=settings.seed,
            slots=settings.slots,
            range_m=self._flight.range_m,
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

    def _fly_in(self, city: City) -> None:
        air = CityAirspace(city, self._flight)
        self.simulation.fly_in(air)
        self._registration.ship(air)

    async def _adopt(self, slots: Sequence[int]) -> None:
        if not self.zones.known:  # a fleet that is registered now is parked in the city of the store
            await self.zones.once()
        await self._registration.adopt(slots, lambda: self.simulation.air)

    async def tick(self, beat: Beat) -> str:
        """One tick; slots that turned out to be another's are given up."""
        told = await self.simulation.once(beat)
        if told.lost_slots:
            await self.claims.lose(sorted(told.lost_slots))
        return f"told of {len(told.told)} drones, {told.failed} writes to repeat"
