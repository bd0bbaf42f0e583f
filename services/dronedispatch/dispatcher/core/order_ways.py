"""The ways and places of an order, from the day it is placed to its end: all that are new in one look-up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dronedispatch.dispatcher.core.world import DeliverySnapshot
from dronedispatch.fleet.paths import NO_WAY_M, Paths, xy_of
from dronedispatch.fleet.positions import Point

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Trip = tuple[Point, Point]
KEPT_MAX = 20_000  # orders; 33 ways of 16 charge points are 5 MB
UNKNOWN = -2


class OrderWays:
    """In one city."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._row_of: dict[Trip, int] = {}
        self._seen: dict[
            str, tuple[DeliverySnapshot, int]
        ] = {}  # a snapshot that is the same object has the same trip
        self._begin()

    def _begin(self) -> None:
        self._row_of.clear()
        self._seen.clear()
        self._ways_m: Array = np.zeros((0, 1 + 2 * len(self.paths.city.charge_points)))
        self._regions: Rows = np.zeros((0, 2), dtype=np.int64)

    def of(self, deliveries: Sequence[DeliverySnapshot]) -> tuple[Array, Array, Array]:
        """Metres: with the parcel (n,); from the origin, and from the destination, to each charge point (n, points)."""
        docks = len(self.paths.city.charge_points)
        rows = self.learn(deliveries)
        ways_m = self._ways_m[rows]
        return ways_m[:, 0], ways_m[:, 1 : 1 + docks], ways_m[:, 1 + docks :]

    def regions(self, deliveries: Sequence[DeliverySnapshot]) -> tuple[Rows, Rows]:
        """As `Paths.regions`, of origins and of destinations; below 0, too, outside the city and in an area: nobody flies
        there."""
        rows = self.learn(deliveries)
        new = np.flatnonzero(self._regions[rows, 0] == UNKNOWN)
        if new.size:
            some = [deliveries[k] for k in new.tolist()]
            ends = xy_of([place for delivery in some for place in (delivery.origin, delivery.destination)])
            numbers = np.where(self.paths.city.inside(ends), self.paths.regions(ends), -1)
            self._regions[rows[new]] = numbers.reshape(-1, 2)
        return self._regions[rows, 0], self._regions[rows, 1]

    def learn(self, deliveries: Sequence[DeliverySnapshot]) -> Rows:
        """Where each is kept; those that are new are measured."""
        fresh = [one for one in deliveries if one.id not in self._seen or self._seen[one.id][0] is not one]
        new = [trip for trip in dict.fromkeys(map(_trip, fresh)) if trip not in self._row_of]
        if max(len(self._row_of) + len(new), len(self._seen) + len(fresh)) > KEPT_MAX:
            self._begin()
            fresh, new = list(deliveries), list(dict.fromkeys(map(_trip, deliveries)))
        if new:
            self._add(new)
        self._seen.update((one.id, (one, self._row_of[_trip(one)])) for one in fresh)
        return np.array([self._seen[one.id][1] for one in deliveries], dtype=np.int64)

    def _add(self, new: Sequence[Trip]) -> None:
        first, many = len(self._row_of), len(new)
        if first + many > len(self._ways_m):
            room = first + many
            self._ways_m = np.concatenate([self._ways_m, np.zeros((room, self._ways_m.shape[1]))])
            self._regions = np.concatenate([self._regions, np.zeros((room, 2), dtype=np.int64)])
        self._ways_m[first : first + many] = self._measured(new)
        self._regions[first : first + many] = UNKNOWN
        self._row_of.update(zip(new, range(first, first + many), strict=True))

    def _measured(self, trips: Sequence[Trip]) -> Array:
        """(n, 1 + 2 * charge points). To an end outside the city or in an area there is none: nobody flies there."""
        docks = self.paths.city.charge_xy_m
        origins, destinations = (xy_of([trip[end] for trip in trips]) for end in (0, 1))
        served = self.paths.city.inside(origins) & self.paths.city.inside(destinations)
        spots = np.repeat(np.concatenate([origins, destinations]), len(docks), axis=0)
        ways_m = self.paths.lengths_m(
            np.concatenate([origins, spots]),
            np.concatenate([destinations, np.tile(docks, (2 * len(trips), 1))]),
        )
        count = len(trips)
        to_docks = ways_m[count:].reshape(2, count, len(docks))
        ways_m = np.concatenate([ways_m[:count, None], to_docks[0], to_docks[1]], axis=1)
        return np.where(served[:, None], ways_m, NO_WAY_M)


def _trip(delivery: DeliverySnapshot) -> Trip:
    return delivery.origin, delivery.destination
