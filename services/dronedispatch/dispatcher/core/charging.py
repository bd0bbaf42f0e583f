"""govern_charging_and_retiring: who leaves a charger, who goes to one, and who retires."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from dronedispatch.dispatcher.core.plan import Charge, Free, SetStatus
from dronedispatch.dispatcher.core.world import DroneView, World
from dronedispatch.fleet.drones import DroneStatus
from dronedispatch.fleet.paths import paths_of

FULL_PCT = 99.9


def charged(drone: DroneView) -> bool:
    """Its charge stop is done: plugged in or told so, and the battery is where it should be."""
    return drone.done >= drone.stops > 0 or (
        drone.station is not None and drone.battery_pct >= min(drone.until_pct, FULL_PCT)
    )


class Stations:
    """How many drones are at, queue for or fly to every charge point; taken up as the round decides."""

    def __init__(self, world: World, drones: Iterable[DroneView]) -> None:
        self._world = world
        self._paths = paths_of(world.city)
        self.load: Counter[str] = Counter(
            drone.bound_for
            for drone in drones
            if drone.bound_for is not None and drone.status in (DroneStatus.CHARGING, DroneStatus.RETIRING)
        )

    def choose(self, drone: DroneView) -> str | None:
        """The charge point where the drone is done soonest: way and wait for a place; None: out of reach of all.

        A charge point is in reach when the planned consumption of the way leaves what strands nobody.
        """
        points = self._world.city.charge_points
        ways_m = self._paths.charge_ways_m(np.array([drone.at], dtype=np.float64))[0]
        flight = self._world.flight
        best: tuple[float, str] | None = None
        for point, way_m in zip(points, ways_m.tolist(), strict=True):
            if flight.planned_pct(way_m) > drone.battery_pct and way_m > float(ways_m.min()):
                continue
            ahead = max(0, self.load[point.id] + 1 - point.capacity)
            wait_s = ahead / point.capacity * flight.charge_s(40.0, 100.0)
            done_s = flight.flight_s(way_m) + wait_s
            if best is None or (done_s, point.id) < best:
                best = (done_s, point.id)
        return None if best is None else best[1]

    def take(self, point_id: str) -> None:
        self.load[point_id] += 1


def end_charging(drones: Mapping[str, DroneView]) -> list[Free]:
    """Who has charged up is idle again."""
    return [
        Free(drone.id, drone.version, "charged")
        for drone in drones.values()
        if drone.status is DroneStatus.CHARGING and charged(drone)
    ]


def end_retiring(drones: Mapping[str, DroneView]) -> list[SetStatus]:
    """Who has reached its charge point and is full goes out of service."""
    return [
        SetStatus(drone.id, drone.version, DroneStatus.INACTIVE, "retired")
        for drone in drones.values()
        if drone.status is DroneStatus.RETIRING and charged(drone)
    ]


def retire(world: World, leaving: Iterable[DroneView], stations: Stations) -> list[SetStatus]:
    """Send them to a charge point, to go out of service there."""
    statuses: list[SetStatus] = []
    for drone in leaving:
        point = stations.choose(drone)
        if point is not None:
            stations.take(point)
            cause = "decommissioned" if drone.decommissioned else "no need for it"
            statuses.append(SetStatus(drone.id, drone.version, DroneStatus.RETIRING, cause, point))
    return statuses


def send_to_charge(world: World, idle: Iterable[DroneView], stations: Stations) -> list[Charge]:
    """Idle drones below `charge_below_pct` go to charge, whatever waits."""
    charges: list[Charge] = []
    for drone in idle:
        if drone.battery_pct >= world.tuning.charge_below_pct:
            continue
        point = stations.choose(drone)
        if point is not None:
            stations.take(point)
            charges.append(Charge(drone.id, drone.version, point, 100.0, "battery is low"))
    return charges
