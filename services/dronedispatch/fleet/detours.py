"""How long a way is at most, without looking for it: enough to know that most orders can be flown, and where to go straight.

Who flies straight on, and goes around each hole of the room in his way by its shorter side, flies at most half of that
hole's rim more: between the first and the last place where the line meets it. Beyond that the line never meets this hole
again. So the straight line is the way where it meets no hole, and elsewhere the sum is an upper bound.
"""

from __future__ import annotations

from functools import partial
from math import inf

import numpy as np
import numpy.typing as npt
import shapely
from shapely import LineString, MultiPolygon, Polygon, STRtree

from dronedispatch.fleet.positions import Point, distance_m

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
BOXES_MAX = 16  # holes that are looked at one by one before a tree is asked: it costs as much as so many
CONVEX = 1e-9  # share of its hull's area that a convex shape may lack: rounding


class Detours:
    """Of a city's room (fleet/free_space.py). Of one in several parts, and outside the room, it knows nothing."""

    def __init__(self, room: MultiPolygon, docks: Array) -> None:
        """`docks` (d, 2): the charge points."""
        self._room: Polygon | None = room.geoms[0] if len(room.geoms) == 1 else None
        if self._room is None:
            return
        shapely.prepare(self._room)
        shell = Polygon(self._room.exterior)
        hull = shell.convex_hull.area
        self._shell = None if hull - shell.area <= CONVEX * hull else shell
        if self._shell is not None:
            shapely.prepare(self._shell)
        self._holes = STRtree([Polygon(ring) for ring in self._room.interiors])
        self._boxes = [ring.bounds for ring in self._room.interiors]
        self._around_m = np.array([ring.length / 2.0 for ring in self._room.interiors], dtype=np.float64)
        self._docks = [Point(x, y) for x, y in docks[self._inside(docks)].tolist()]

    def _inside(self, points: Array) -> Mask:
        return np.asarray(shapely.contains_xy(self._room, points[:, 0], points[:, 1]), dtype=np.bool_)

    def at_most_m(self, a: Array, b: Array) -> Array:
        """Pairwise: a (n, 2), b (n, 2) -> (n,): no way is longer. As long as the line: it is the way. Infinite: unknown."""
        if self._room is None:
            return np.full(len(a), np.inf)
        lengths = np.hypot(a[:, 0] - b[:, 0], a[:, 1] - b[:, 1])
        lines = shapely.linestrings(np.stack([a, b], axis=1))
        line, hole = self._holes.query(lines, predicate="intersects")
        np.add.at(lengths, line, self._around_m[hole])
        known = self._inside(a) & self._inside(b)
        if self._shell is not None:
            known &= shapely.covers(self._shell, lines)
        lengths[~known] = np.inf
        return lengths

    def trip_at_most_m(self, origin: Point, destination: Point) -> tuple[float, float, float]:
        """From the charge point next to the origin, with the parcel, on to the one next to the destination."""
        if self._room is None or not self._docks or not self._hold(origin, destination):
            return inf, inf, inf
        first, last = (min(self._docks, key=partial(distance_m, end)) for end in (origin, destination))
        a, b = (first, origin, destination), (origin, destination, last)
        if all(map(self._is_clear, a, b)):
            return distance_m(first, origin), distance_m(origin, destination), distance_m(destination, last)
        pickup_m, delivery_m, return_m = self.at_most_m(np.array(a), np.array(b)).tolist()
        return pickup_m, delivery_m, return_m

    def is_straight(self, a: Point, b: Point) -> bool:
        """Whether the straight line is the way; False: it may be all the same."""
        return self._room is not None and self._hold(a, b) and self._is_clear(a, b)

    def _hold(self, a: Point, b: Point) -> bool:
        inside = shapely.contains_xy(self._room, (a[0], b[0]), (a[1], b[1]))
        return bool(inside[0] and inside[1])

    def _is_clear(self, a: Point, b: Point) -> bool:
        """Whether the line between two places of the room stays in it: a few comparisons for most lines."""
        if self._shell is None and len(self._boxes) <= BOXES_MAX:
            (ax, ay), (bx, by) = a, b
            west, east = (ax, bx) if ax < bx else (bx, ax)
            south, north = (ay, by) if ay < by else (by, ay)
            for left, bottom, right, top in self._boxes:
                if west <= right and left <= east and south <= top and bottom <= north:
                    break
            else:
                return True
        line = LineString((a, b))
        if self._shell is not None and not shapely.covers(self._shell, line):
            return False
        return not len(self._holes.query(line, predicate="intersects"))
