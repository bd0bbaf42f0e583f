"""Charge points: how long each keeps a drone waiting, and which one a drone would go to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dronedispatch.dispatcher.core.fleet_arrays import Array, FleetArrays, Rows
from dronedispatch.dispatcher.core.world import DroneSnapshot, World
from dronedispatch.fleet.drones import DroneStatus
from dronedispatch.fleet.paths import Paths

USUAL_GAIN_PCT = 50.0  # what a drone ahead in the queue is thought to charge


@dataclass(frozen=True)
class Stops:
    """For every drone of the fleet: its charge point, the way there, and the wait for a place."""

    index: Rows
    xy_m: Array
    way_m: Array
    wait_s: Array


class Stations:
    """How many drones are at, queue for or fly to every charge point; taken up as the round decides."""

    def __init__(self, world: World, drones: Iterable[DroneSnapshot], paths: Paths) -> None:
        self._world = world
        self._paths = paths
        self.load: Counter[str] = Counter(
            drone.bound_for
            for drone in drones
            if drone.bound_for is not None and drone.status in (DroneStatus.CHARGING, DroneStatus.RETIRING)
        )

    def _waits_s(self, counting: int) -> Array:
        """What `counting` more drones would wait for a place, at each charge point."""
        usual_s = self._world.flight.charge_s(0.0, USUAL_GAIN_PCT)
        return np.array(
            [
                max(0, self.load[point.id] + counting - point.capacity) / point.capacity * usual_s
                for point in self._world.city.charge_points
            ]
        )

    def choose(self, drone: DroneSnapshot) -> str:
        """The charge point that `drone` is soonest at a place of."""
        xy = np.array([drone.at], dtype=np.float64)
        index, _, _ = self._soonest(xy, np.array([drone.battery_pct]))
        return self._world.city.charge_points[int(index[0])].id

    def leave(self, point_id: str) -> None:
        self.load[point_id] -= 1

    def take(self, point_id: str) -> None:
        self.load[point_id] += 1

    def stops_of(self, fleet: FleetArrays) -> Stops:
        """A drone that is on its way to a charge point or queues there keeps it."""
        points = self._world.city.charge_points
        index, way_m, wait_s = self._soonest(fleet.xy_m, fleet.battery_pct)
        numbers = {point.id: number for number, point in enumerate(points)}
        bound = [
            (row, numbers[drone.bound_for])
            for row, drone in enumerate(fleet.drones)
            if drone.status is DroneStatus.CHARGING and drone.bound_for in numbers
        ]
        if bound:
            rows, kept = (np.array(column, dtype=np.int64) for column in zip(*bound, strict=True))
            index[rows] = kept
            way_m[rows] = self._paths.lengths_m(fleet.xy_m[rows], self._world.city.charge_xy_m[kept])
            wait_s[rows] = self._waits_s(counting=0)[kept]
        return Stops(index, self._world.city.charge_xy_m[index], way_m, wait_s)

    def _soonest(self, xy_m: Array, battery_pct: Array) -> tuple[Rows, Array, Array]:
        flight = self._world.flight
        ways_m = self._paths.charge_ways_m(xy_m)
        waits_s = self._waits_s(counting=1)
        done_s = ways_m / flight.cruise_mps + waits_s
        # another than the nearest only with the reserve in hand
        out_of_reach = battery_pct[:, None] - ways_m * flight.planned_pct(1.0) < flight.reserve_pct
        nearest = ways_m.argmin(axis=1)
        out_of_reach[np.arange(len(nearest)), nearest] = False
        index = np.where(out_of_reach, np.inf, done_s).argmin(axis=1).astype(np.int64)
        rows = np.arange(len(index))
        return index, ways_m[rows, index], waits_s[index]
