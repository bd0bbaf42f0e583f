"""Charge points: how long each keeps a drone waiting, and which one a drone would go to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dronedispatch.dispatcher.core.fleet_arrays import Array, FleetArrays, Rows, Stance
from dronedispatch.dispatcher.core.fleet_cache import NO_POINT, FleetCache
from dronedispatch.dispatcher.core.world import DroneSnapshot, World

USUAL_GAIN_PCT = 50.0  # what a drone ahead in the queue is thought to charge


@dataclass(frozen=True)
class Stops:
    """For drones of the fleet: its charge point, the way there, and the wait for a place."""

    index: Rows
    way_m: Array
    wait_s: Array


class Stations:
    """How many drones are at, queue for or fly to every charge point; taken up as the round decides."""

    def __init__(self, world: World, cached: FleetCache) -> None:
        self._world = world
        self._fleet = cached
        points = world.city.charge_points
        heading = np.bincount(cached.heading[cached.heading != NO_POINT], minlength=len(points)).tolist()
        self.load: Counter[str] = Counter(
            {point.id: drones for point, drones in zip(points, heading, strict=True)}
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
        ways_m = self._fleet.charge_ways_m(np.array([self._fleet.row(drone.id)]))
        index, _, _ = self._soonest(ways_m, np.array([drone.battery_pct]))
        return self._world.city.charge_points[int(index[0])].id

    def leave(self, point_id: str) -> None:
        self.load[point_id] -= 1

    def take(self, point_id: str) -> None:
        self.load[point_id] += 1

    def stops_of(self, fleet: FleetArrays, used: Rows) -> Stops:
        """Of the rows `used`. A drone that is on its way to a charge point or queues there keeps it."""
        here, later, kept = self._kinds(fleet, used)
        ways_m = np.zeros((len(fleet), len(self._world.city.charge_points)))
        ways_m[here] = self._fleet.charge_ways_m(fleet.rows[here])
        _, _, ways_m[later] = self._fleet.order_ways.of([fleet.bringing[place] for place in later.tolist()])
        index, way_m, wait_s = (
            np.zeros(len(fleet), dtype=np.int64),
            np.zeros(len(fleet)),
            np.zeros(len(fleet)),
        )
        index[used], way_m[used], wait_s[used] = self._soonest(ways_m[used], fleet.battery_pct[used])
        if kept.size:
            bound = self._fleet.bound[fleet.rows[kept]]
            index[kept] = bound
            way_m[kept] = self._fleet.bound_way_m(fleet.rows[kept])
            wait_s[kept] = self._waits_s(counting=0)[bound]
        return Stops(index, way_m, wait_s)

    def ask_choices(self, drones: Sequence[DroneSnapshot]) -> None:
        """For the ways that `choose` would have to measure."""
        self._fleet.ask_charge_ways(np.array([self._fleet.row(drone.id) for drone in drones], dtype=np.int64))

    def ask_stops(self, fleet: FleetArrays, used: Rows) -> None:
        """For the ways that `stops_of` would have to measure."""
        here, _, kept = self._kinds(fleet, used)
        self._fleet.ask_charge_ways(fleet.rows[here])
        self._fleet.ask_bound_ways(fleet.rows[kept])

    def _kinds(self, fleet: FleetArrays, used: Rows) -> tuple[Rows, Rows, Rows]:
        """Of `used`: who would fly to a charge point from where it is, from a drop-off, and who has one."""
        later = fleet.stance[used] == Stance.LATER
        bound = self._fleet.bound[fleet.rows[used]] != NO_POINT
        return used[~later & ~bound], used[later], used[bound]

    def _soonest(self, ways_m: Array, battery_pct: Array) -> tuple[Rows, Array, Array]:
        """`ways_m`: (drones, charge points)."""
        flight = self._world.flight
        waits_s = self._waits_s(counting=1)
        done_s = ways_m / flight.cruise_mps + waits_s
        # another than the nearest only with the reserve in hand
        out_of_reach = battery_pct[:, None] - ways_m * flight.planned_pct(1.0) < flight.reserve_pct
        rows = np.arange(len(ways_m))
        out_of_reach[rows, ways_m.argmin(axis=1)] = False
        index = np.where(out_of_reach, np.inf, done_s).argmin(axis=1).astype(np.int64)
        return index, ways_m[rows, index], waits_s[index]
