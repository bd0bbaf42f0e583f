"""The drones of a world as arrays, kept from one round to the next: a round pays for the drones that have changed.

A snapshot is a value, and the shell keeps the one it has until its drone changes: who has changed is whose snapshot is
another object. So nobody has to say what is new, and rows that were kept are equal to rows that are made afresh.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import compress
from operator import is_not
from typing import overload

import numpy as np
import numpy.typing as npt

from dronedispatch.dispatcher.core.order_ways import OrderWays
from dronedispatch.dispatcher.core.pickup_ways import PickupWays
from dronedispatch.dispatcher.core.readiness import can_wake, charged, why_not_counted
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.core.ways_asked import WaysAsked
from dronedispatch.dispatcher.core.world import DroneSnapshot, World
from dronedispatch.fleet.city import City
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG, DroneStatus, DroneType
from dronedispatch.fleet.paths import Paths, paths_of, xy_of
from dronedispatch.fleet.positions import Point

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
KINDS = {kind: number for number, kind in enumerate(DroneType)}
NO_POINT = -1
_AT_STATIONS = (DroneStatus.CHARGING, DroneStatus.RETIRING)


class FleetCache:
    """Row i of every array is `views[i]`; sorted by id. Read only, and as of the last `look`.

    `counted`: `why_not_counted` has nothing against it. `in_service`: it is not decommissioned. `plugged`: it is at a
    charge point. `done`, `flies`, `recalled`, `ticks_missed`: see the snapshot. `bound`: the number of the one that a
    CHARGING drone is bound for, NO_POINT for others; `heading`: the same of RETIRING ones too. `astray`: that one is gone,
    or not where it was. `charged`: a CHARGING drone may go. `asleep`: it may be woken. `order_ways`, `pickup_ways`: what
    was asked for in this city. `asked`: ways that are to be known in this round, measured with the first that must be.
    """

    def __init__(self) -> None:
        self.drones: dict[str, DroneSnapshot] = {}
        self._row_of: dict[str, int] = {}
        self._seen: Sequence[DroneSnapshot] = ()
        self._city: City | None = None
        self._tuning: Tuning | None = None

    def look(self, world: World) -> None:
        """Take in what has changed since the last world."""
        self._take_in(world)
        self.asked = WaysAsked(self._paths)  # who asked has moved, perhaps

    def _take_in(self, world: World) -> None:
        same_rules = self._city is world.city and self._tuning == world.tuning
        if not same_rules or len(world.drones) != len(self._seen):
            self._begin(world)
            return
        changed = list(
            compress(range(len(world.drones)), map(is_not, world.drones, self._seen))
        )  # a loop in C: 3,000 drones are compared in a twentieth of a millisecond
        if any(world.drones[k].id != self._seen[k].id for k in changed):
            self._begin(world)
            return
        self._seen = world.drones
        if changed:
            self._put([self._row_at[k] for k in changed], [world.drones[k] for k in changed])

    def _begin(self, world: World) -> None:
        """Who has not changed, in the same city, keeps the ways that are known of him."""
        before, ways_m = self.drones, (self._ways_m if self._city is world.city else None)
        views = sorted(world.drones, key=lambda drone: drone.id)
        rows_before = self._row_of if ways_m is not None else {}
        count = len(views)
        self._seen, self._city, self._tuning = world.drones, world.city, world.tuning
        self._points = {point.id: number for number, point in enumerate(world.city.charge_points)}
        self.drones = {drone.id: drone for drone in views}
        self.views = views
        self._row_of = {drone.id: row for row, drone in enumerate(views)}
        self._row_at = [self._row_of[drone.id] for drone in world.drones]
        self.xy_m: Array = np.zeros((count, 2))
        self.battery_pct: Array = np.zeros(count)
        self.payload_max_kg: Array = np.zeros(count)
        self.status_s: Array = np.zeros(count)
        self.kind: Rows = np.zeros(count, dtype=np.int64)
        self.bound: Rows = np.full(count, NO_POINT, dtype=np.int64)
        self.heading: Rows = np.full(count, NO_POINT, dtype=np.int64)
        self.counted, self.plugged, self.in_service = (np.zeros(count, dtype=np.bool_) for _ in range(3))
        self.done, self.ticks_missed = (np.zeros(count, dtype=np.int64) for _ in range(2))
        self.recalled: Mask = np.zeros(count, dtype=np.bool_)
        self.flies, self.asleep, self.charged, self.astray = (
            np.zeros(count, dtype=np.bool_) for _ in range(4)
        )
        self.idle, self.busy, self.charging = (np.zeros(count, dtype=np.bool_) for _ in range(3))
        self._rows: dict[DroneStatus, set[int]] = {status: set() for status in DroneStatus}
        self._status: list[DroneStatus | None] = [None] * count
        self._ways_m: Array = np.full((count, len(self._points)), np.nan)
        self._bound_way_m, self._way_m = np.full(count, np.nan), np.full(count, np.nan)
        self._way_to: dict[int, Point] = {}
        if ways_m is None:
            self.order_ways = OrderWays(paths_of(world.city))
            self.pickup_ways = PickupWays(paths_of(world.city))
        self._put(range(count), views)
        if ways_m is not None:
            kept = [k for k, drone in enumerate(views) if before.get(drone.id) is drone]
            self._ways_m[kept] = ways_m[[rows_before[views[k].id] for k in kept]]

    def _put(self, rows: Sequence[int], drones: Sequence[DroneSnapshot]) -> None:
        assert self._tuning is not None
        at = np.array(rows, dtype=np.int64)
        self.xy_m[at] = xy_of([drone.at for drone in drones])
        self.battery_pct[at] = [drone.battery_pct for drone in drones]
        self.payload_max_kg[at] = [PAYLOAD_MAX_KG[drone.type] for drone in drones]
        self.status_s[at] = [drone.status_s for drone in drones]
        self.kind[at] = [KINDS[drone.type] for drone in drones]
        self.counted[at] = [why_not_counted(drone, self._tuning) is None for drone in drones]
        self.plugged[at] = [drone.station is not None for drone in drones]
        self.done[at] = [drone.done for drone in drones]
        self.ticks_missed[at] = [drone.ticks_missed for drone in drones]
        self.recalled[at] = [drone.recalled for drone in drones]
        self.flies[at] = [drone.flies for drone in drones]
        self.idle[at] = [drone.status is DroneStatus.IDLE for drone in drones]
        self.busy[at] = [drone.status is DroneStatus.BUSY for drone in drones]
        self.charging[at] = [drone.status is DroneStatus.CHARGING for drone in drones]
        self.in_service[at] = [not drone.decommissioned for drone in drones]
        self.heading[at] = heading = [self._heading(drone) for drone in drones]
        self.bound[at] = np.where(self.charging[at], heading, NO_POINT)
        self.asleep[at] = [can_wake(drone, self._tuning) for drone in drones]
        self.charged[at] = [
            drone.status is DroneStatus.CHARGING and (charged(drone) or not drone.stops) for drone in drones
        ]
        self.astray[at] = [self._astray(drone) for drone in drones]
        self._ways_m[at] = np.nan
        self._bound_way_m[at] = self._way_m[at] = np.nan
        for row, drone in zip(rows, drones, strict=True):
            self.views[row] = self.drones[drone.id] = drone
            if self._status[row] is not drone.status:
                before, self._status[row] = self._status[row], drone.status
                if before is not None:
                    self._rows[before].discard(row)
                self._rows[drone.status].add(row)

    def _heading(self, drone: DroneSnapshot) -> int:
        if drone.status not in _AT_STATIONS or drone.bound_for is None:
            return NO_POINT
        return self._points.get(drone.bound_for, NO_POINT)

    def _astray(self, drone: DroneSnapshot) -> bool:
        if drone.status not in _AT_STATIONS or drone.bound_for is None:
            return False
        number = self._points.get(drone.bound_for)
        assert self._city is not None
        return number is None or drone.bound_at not in (None, self._city.charge_points[number].pos)

    def row(self, drone_id: str) -> int:
        """Its row. Raises KeyError."""
        return self._row_of[drone_id]

    def having(self, *statuses: DroneStatus) -> list[DroneSnapshot]:
        """Those in one of these statuses, sorted by id."""
        return [self.views[row] for row in sorted(set().union(*(self._rows[status] for status in statuses)))]

    def at(self, rows: Rows) -> list[DroneSnapshot]:
        """The drones of these rows."""
        return list(map(self.views.__getitem__, rows.tolist()))

    def charge_ways_m(self, rows: Rows) -> Array:
        """(len(rows), charge points): the ways from where they are; measured once for each place."""
        self.ask_charge_ways(rows)
        self.asked.measure()
        return self._ways_m[rows]

    def ask_charge_ways(self, rows: Rows) -> None:
        """For what `charge_ways_m` of these rows would have to measure."""
        new = rows[np.isnan(self._ways_m[rows]).any(axis=1)]
        if new.size:
            points_m = self._paths.city.charge_xy_m
            at, points = np.repeat(self.xy_m[new], len(points_m), axis=0), np.tile(points_m, (len(new), 1))
            self.asked.ask(at, points, lambda m: self._ways_m.__setitem__(new, m.reshape(len(new), -1)))

    def bound_way_m(self, rows: Rows) -> Array:
        """(len(rows),): the way of drones that are bound for a charge point; measured once for each place."""
        self.ask_bound_ways(rows)
        self.asked.measure()
        return self._bound_way_m[rows]

    def ask_bound_ways(self, rows: Rows) -> None:
        """For what `bound_way_m` of these rows would have to measure."""
        new = rows[np.isnan(self._bound_way_m[rows])]
        if new.size:
            points_m = self._paths.city.charge_xy_m[self.bound[new]]
            self.asked.ask(self.xy_m[new], points_m, lambda m: self._bound_way_m.__setitem__(new, m))

    def way_m(self, rows: Sequence[int], to: Sequence[Point]) -> Array:
        """(len(rows),): the way of each of these drones to where it flies; measured once for each place of both."""
        self.ask_ways(rows, to)
        self.asked.measure()
        return self._way_m[list(rows)]

    def ask_ways(self, rows: Sequence[int], to: Sequence[Point]) -> None:
        """For what `way_m` of them would have to measure."""
        new = [
            (row, spot)
            for row, spot, known in zip(rows, to, (~np.isnan(self._way_m[list(rows)])).tolist(), strict=True)
            if not known or self._way_to[row] != spot
        ]
        if new:
            at = np.array([row for row, _ in new], dtype=np.int64)
            self._way_m[at] = np.nan
            self._way_to.update(new)
            self.asked.ask(
                self.xy_m[at],
                xy_of([spot for _, spot in new]),
                lambda m: self._way_m.__setitem__(at, m),
            )

    @property
    def _paths(self) -> Paths:
        return self.order_ways.paths


class ReadyDrones(Sequence[DroneSnapshot]):
    """The drones that a round has no other intent for, sorted by id. `rows`, `mask`: which of `cached`."""

    def __init__(self, cached: FleetCache, told: Collection[str]) -> None:
        self.cached = cached
        ready = np.ones(len(cached.views), dtype=np.bool_)
        ready[[cached.row(drone_id) for drone_id in told]] = False
        self.rows: Rows = np.flatnonzero(ready)
        self.mask: Mask = ready

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> DroneSnapshot: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[DroneSnapshot]: ...

    def __getitem__(self, place: int | slice) -> DroneSnapshot | Sequence[DroneSnapshot]:
        if isinstance(place, slice):
            return self.cached.at(self.rows[place])
        return self.cached.views[int(self.rows[place])]


def cache_of(world: World) -> FleetCache:
    """Of this world, with nothing kept."""
    cached = FleetCache()
    cached.look(world)
    return cached
