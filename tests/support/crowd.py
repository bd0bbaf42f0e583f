"""A large fleet in the air, told to a gateway tick by tick: for the dashboard at sizes that no test machine can simulate."""

from __future__ import annotations

import math
from random import Random

from dronedispatch.fleet.city import City, default_city
from dronedispatch.fleet.documents import drone_key, encode, stamp, telemetry_key
from dronedispatch.fleet.drones import Drone, DroneStatus, DroneType, Telemetry, drone_tags
from dronedispatch.fleet.positions import Point
from dronedispatch.testing.gateway import MemoryGateway
from support.waiting import let_run


class Crowd:
    """`size` drones on circles; each tick moves every one of them."""

    def __init__(self, gateway: MemoryGateway, size: int, city: City | None = None) -> None:
        self._gateway = gateway
        self._size = size
        self._city = city or default_city()
        self.tick = 0

    async def register(self) -> None:
        """Write both records of every drone."""
        kinds = list(DroneType)
        at = stamp(self._gateway.clock.wall_s())
        for number, telemetry in enumerate(self._all()):
            drone = Drone(id=telemetry.id, type=kinds[number % 3], status=DroneStatus.BUSY, status_at=at)
            await self._gateway.kv.put(drone_key(drone.id), encode(drone), tags=drone_tags(drone))
            await self._gateway.kv.put(telemetry_key(drone.id), encode(telemetry))

    async def fly(self, tick_s: float) -> None:
        """Tick until cancelled."""
        while True:
            self.tick += 1
            self._gateway.feed.telemetry(self._all())
            await let_run(tick_s)

    def _all(self) -> list[Telemetry]:
        at = stamp(self._gateway.clock.wall_s())
        return [self._one(number, at) for number in range(self._size)]

    def _one(self, number: int, at: str) -> Telemetry:
        rng = Random(number)
        radius_m, begin = rng.uniform(300.0, 8500.0), rng.uniform(0.0, 2 * math.pi)
        angle = begin + self.tick * 200.0 / radius_m
        plane = self._city.plane
        ahead = Point(radius_m * math.cos(angle + 0.2), radius_m * math.sin(angle + 0.2))
        return Telemetry(
            id=f"drone-{number:05d}",
            pos=plane.to_latlon(Point(radius_m * math.cos(angle), radius_m * math.sin(angle))),
            battery_pct=20.0 + number * 7 % 80,
            speed_mps=16.7,
            heading_deg=(-math.degrees(angle)) % 360.0,
            tick=self.tick,
            route=(plane.to_latlon(ahead),),
            at=at,
        )
