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
KEPT_MAX = 20_000  # orders; 33 ways of 16 charge points are 5 MB


class OrderWays:
    """In one city."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._kept: dict[tuple[Point, Point], Array] = {}
        self._regions: dict[Point, int] = {}

    def of(self, deliveries: Sequence[DeliverySnapshot]) -> tuple[Array, Array, Array]:
        """Metres: with the parcel (n,); from the origin, and from the destination, to each charge point (n, points)."""
        trips = [(delivery.origin, delivery.destination) for delivery in deliveries]
        new = [trip for trip in dict.fromkeys(trips) if trip not in self._kept]
        if len(self._kept) + len(new) > KEPT_MAX:
            self._kept.clear()
            new = list(dict.fromkeys(trips))
        if new:
            self._kept.update(zip(new, self._measured(new), strict=True))
        docks = len(self.paths.city.charge_points)
        ways_m = np.array([self._kept[trip] for trip in trips]).reshape(len(trips), 1 + 2 * docks)
        return ways_m[:, 0], ways_m[:, 1 : 1 + docks], ways_m[:, 1 + docks :]

    def regions(self, places: Sequence[Point]) -> Rows:
        """As `Paths.regions`, of the ends of orders; below 0, too, outside the city and in an area: nobody flies there."""
        new = [place for place in dict.fromkeys(places) if place not in self._regions]
        if len(self._regions) + len(new) > KEPT_MAX:
            self._regions.clear()
            new = list(dict.fromkeys(places))
        if new:
            xy = xy_of(new)
            numbers = np.where(self.paths.city.inside(xy), self.paths.regions(xy), -1)
            self._regions.update(zip(new, numbers.tolist(), strict=True))
        return np.array([self._regions[place] for place in places], dtype=np.int64)

    def _measured(self, trips: Sequence[tuple[Point, Point]]) -> Array:
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
