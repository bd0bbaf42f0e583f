"""Brings the drones of claimed slots into this process: registers those that are not in the store yet, loads the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence, Set

import msgspec
import numpy as np
import shapely
import structlog

from dronedispatch.drone_sim.core.airspace import CityAirspace
from dronedispatch.drone_sim.core.craft import Craft, craft_of
from dronedispatch.drone_sim.core.fleet_state import FleetState
from dronedispatch.drone_sim.core.placement import class_of, drone_id, place
from dronedispatch.drone_sim.core.slots import slot_of
from dronedispatch.fleet.documents import (
    DRONE_PREFIX,
    Unreadable,
    decode_named,
    drone_key,
    encode,
    stamp,
    telemetry_key,
)
from dronedispatch.fleet.drones import Drone, DroneStatus, Telemetry, drone_tags
from dronedispatch.fleet.paths import xy_of
from dronedispatch.fleet.positions import Point
from dronedispatch.kv.client import Cas, Get, Item, KVClient
from dronedispatch.kv.errors import KVError, Unavailable, VersionConflict
from dronedispatch.kv.version import Version
from dronedispatch.runtime.clock import Clock

PAGE_MAX = 500
CONTINUE_TICKS = 100  # our first tick is later than any that the former process can have published

log = structlog.get_logger()


class FleetRegistration:
    """`fleet`: how many drones the fleet has at least; `seed` places them; `slots` of all processes together;
    `range_m`: how far a battery reaches.
    """

    def __init__(
        self,
        kv: KVClient,
        state: FleetState,
        clock: Clock,
        *,
        fleet: int,
        seed: int,
        slots: int,
        range_m: float,
    ) -> None:
        self._kv = kv
        self._state = state
        self._clock = clock
        self._fleet = fleet
        self._seed = seed
        self._slots = slots
        self._range_m = range_m

    async def adopt(self, slots: Sequence[int], air_now: Callable[[], CityAirspace]) -> int:
        """Fly the drones of these slots from now on; return how many. Raises KVError: nothing was adopted.

        `air_now`: the airspace at the time of asking. The city may change while the store is read.
        """
        ours = set(slots)
        drones = await self._stored(ours)
        drones |= await self._create(ours, drones.keys())
        results = await self._kv.batch([Get(telemetry_key(name)) for name in drones])
        air = air_now()
        loaded: list[tuple[Craft, Version | None, int]] = []
        for drone, result in zip(drones.values(), results, strict=True):
            if isinstance(result, KVError):
                raise result
            if result is None:
                loaded.append((self._parked(drone, air), None, 0))
                continue
            assert isinstance(result, Item)
            try:
                told = decode_named(Telemetry, result.value, drone.id)
            except Unreadable as exc:
                log.error(
                    "unreadable record, left alone: its drone does not fly", key=result.key, reason=str(exc)
                )
                continue
            loaded.append((craft_of(drone, told, air.plane), result.version, told.tick + CONTINUE_TICKS))
        for craft, version, tick in loaded:
            self._state.adopt(slot_of(craft.id, self._slots), craft, version, tick)
        self.ship(air)
        log.info("slots adopted", slots=sorted(ours), drones=len(loaded))
        return len(loaded)

    async def _stored(self, ours: set[int]) -> dict[str, Drone]:
        found: dict[str, Drone] = {}
        after: str | None = None
        while True:
            page = await self._kv.scan(prefix=DRONE_PREFIX, after=after, limit=PAGE_MAX)
            for item in page.items:
                name = item.key.removeprefix(DRONE_PREFIX)
                if slot_of(name, self._slots) not in ours:
                    continue
                try:
                    found[name] = decode_named(Drone, item.value, name)
                except Unreadable as exc:
                    log.error(
                        "unreadable record, left alone: its drone does not fly", key=item.key, reason=str(exc)
                    )
            after = page.next_after
            if after is None:
                return found

    async def _create(self, ours: set[int], known: Set[str]) -> dict[str, Drone]:
        """Create-only: a drone that is there already (unreadable ones too) is left as it is, and flown if it is new to us:
        a former holder may have registered it since.
        """
        at = stamp(self._clock.wall_s())
        drones = [
            Drone(id=name, type=class_of(number), status=DroneStatus.INACTIVE, status_at=at)
            for number in range(self._fleet)
            if (name := drone_id(number)) not in known and slot_of(name, self._slots) in ours
        ]
        results = await self._kv.batch(
            [Cas(drone_key(drone.id), None, encode(drone), tags=drone_tags(drone)) for drone in drones]
        )
        created: dict[str, Drone] = {}
        for drone, result in zip(drones, results, strict=True):
            if isinstance(result, VersionConflict):
                with contextlib.suppress(Unreadable):  # the scan has reported it
                    if result.current is not None:
                        created[drone.id] = decode_named(Drone, result.current.value, drone.id)
                continue
            if isinstance(result, KVError):
                raise Unavailable(f"{drone.id} was not registered: {result}")
            created[drone.id] = drone
        return created

    def ship(self, air: CityAirspace) -> None:
        """The city is another one, beyond what a battery reaches: the fleet is brought there, full, with its orders."""
        crafts = list(self._state.crafts.values())
        spots, city = shapely.points(xy_of([craft.at for craft in crafts])), air.city.boundary.shape
        for row in np.flatnonzero(~shapely.dwithin(city, spots, self._range_m)).tolist():
            craft = crafts[row]
            away_m = float(shapely.distance(city, spots[row]))
            home = self._home(craft.id, air)
            self._state.change(
                msgspec.structs.replace(
                    craft, at=home, battery_pct=100.0, path=(), path_revision=None, arrived=False
                )
            )
            log.info("drone shipped to the new city", drone=craft.id, away_km=round(away_m / 1000.0))

    def _home(self, name: str, air: CityAirspace) -> Point:
        homes = tuple(point.pos for point in air.city.charge_points)
        pos = place(name, seed=self._seed, homes=homes)
        if not air.serves(pos):
            pos = place(name, seed=self._seed, homes=homes, spread_deg=0.0)
        return air.plane.to_point(pos)

    def _parked(self, drone: Drone, air: CityAirspace) -> Craft:
        """Before its first flight, full, where the seed puts it: the same whichever process asks."""
        return Craft(
            id=drone.id,
            type=drone.type,
            at=self._home(drone.id, air),
            battery_pct=100.0,
            orders=drone.orders,
        )
