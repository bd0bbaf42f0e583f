"""How long a way is at most, without looking for it: enough to know that most orders can be flown, and where to go straight.

Who flies straight on, and goes around each hole of the room in his way by its shorter side, flies at most half of that
hole's rim more: between the first and the last place where the line meets it. Beyond that the line never meets this hole
again. So the straight line is the way where it meets no hole, and elsewhere the sum is an upper bound.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon, STRtree

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
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
        self._around_m = np.array([ring.length / 2.0 for ring in self._room.interiors], dtype=np.float64)
        self._docks = docks[self._inside(docks)]

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

    def trip_at_most_m(self, origin: Array, destination: Array) -> Array:
        """(2,), (2,) -> (3,): from the nearest charge point, with the parcel, on to the nearest charge point."""
        if self._room is None or not len(self._docks):
            return np.full(3, np.inf)
        count = len(self._docks)
        spots = np.repeat(np.stack([origin, destination]), count, axis=0)
        ways_m = self.at_most_m(
            np.concatenate([spots, origin[None]]),
            np.concatenate([np.tile(self._docks, (2, 1)), destination[None]]),
        )
        return np.array([ways_m[:count].min(), ways_m[-1], ways_m[count:-1].min()])
