"""The shortest way that crosses no no-fly area: its length for assignment, ETA and energy, its way points for flight.

A straight line is the way unless it enters an area. Around areas the shortest way bends only at their corners
(visibility graph; de Berg et al., Computational Geometry, ch. 15), here at corners moved `CLEARANCE_M` outward, so
that rounding never puts a drone inside. A pair of ends costs one vectorised test against boxes first: most pairs are
far from every area and pay nothing more.
"""

from __future__ import annotations

import heapq
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon
from shapely.ops import unary_union

from dronedispatch.fleet.city import City
from dronedispatch.fleet.positions import Point, distance_m

CLEARANCE_M = 15.0
ROUTES_CACHED_MAX = 65_536
Array = npt.NDArray[np.float64]


class Paths:
    """Ways in one version of a city."""

    def __init__(self, city: City) -> None:
        self.city = city
        walls = unary_union([area.shape for area in city.no_fly]) if city.no_fly else MultiPolygon()
        self._walls = _polygons(walls)
        self._union = walls
        shapely.prepare(self._union)
        self._boxes = np.array([wall.bounds for wall in self._walls], dtype=np.float64).reshape(-1, 4)
        self._corners = self._free_corners()
        self._hops = self._corner_ways()
        self._cached = lru_cache(maxsize=ROUTES_CACHED_MAX)(self._around)

    def length_m(self, a: Point, b: Point) -> float:
        """The length of the way; the same as `lengths_m` and as the legs of `route` together."""
        if not self._boxes.size or not self._crosses(a, b):
            return distance_m(a, b)
        return self._cached(a, b)[0]

    def route(self, a: Point, b: Point) -> tuple[Point, ...]:
        """The way points after `a`, `b` the last."""
        if not self._boxes.size or not self._crosses(a, b):
            return (b,)
        return self._cached(a, b)[1]

    def lengths_m(self, a: Array, b: Array) -> Array:
        """Pairwise: a (n, 2), b (n, 2) -> (n,)."""
        straight = np.hypot(a[:, 0] - b[:, 0], a[:, 1] - b[:, 1])
        if not self._boxes.size or not len(straight):
            return straight
        for i in np.flatnonzero(self._crossing(a, b)):
            ends = Point(float(a[i, 0]), float(a[i, 1])), Point(float(b[i, 0]), float(b[i, 1]))
            straight[i] = self._cached(*ends)[0]
        return straight

    def matrix_m(self, a: Array, b: Array) -> Array:
        """All pairs: a (n, 2), b (m, 2) -> (n, m)."""
        straight = np.hypot(a[:, 0, None] - b[None, :, 0], a[:, 1, None] - b[None, :, 1])
        if not self._boxes.size or not straight.size:
            return straight
        rows, cols = np.divmod(np.arange(straight.size), len(b))
        return self.lengths_m(a[rows], b[cols]).reshape(straight.shape)

    def charge_ways_m(self, points: Array) -> Array:
        """(n, 2) -> (n, charge points)."""
        return self.matrix_m(points, self.city.charge_xy_m)

    def _crosses(self, a: Point, b: Point) -> bool:
        ends = np.array([a, b], dtype=np.float64)
        return bool(self._crossing(ends[:1], ends[1:])[0])

    def _crossing(self, a: Array, b: Array) -> npt.NDArray[np.bool_]:
        """Which straight lines enter an area. Touching an edge is allowed."""
        low, high = np.minimum(a, b), np.maximum(a, b)
        found = np.zeros(len(a), dtype=np.bool_)
        for box in self._boxes:
            found |= (
                (low[:, 0] < box[2]) & (high[:, 0] > box[0]) & (low[:, 1] < box[3]) & (high[:, 1] > box[1])
            )
        near = np.flatnonzero(found)
        if not near.size:
            return found
        found[near] = _beside_no_box(a[near], b[near], self._boxes)
        near = np.flatnonzero(found)
        if near.size:
            lines = shapely.linestrings(np.stack([a[near], b[near]], axis=1))
            inside = np.zeros(len(near), dtype=np.bool_)
            for wall in self._walls:
                shapely.prepare(wall)
                inside |= shapely.intersects(wall, lines) & ~shapely.touches(wall, lines)
            found[near] = inside
        return found

    def _free_corners(self) -> Array:
        """The corners to bend at: of every area, moved outward, those inside another area left out."""
        corners: list[tuple[float, float]] = []
        for wall in self._walls:
            grown = wall.buffer(CLEARANCE_M, join_style="mitre", mitre_limit=2.0)
            corners.extend(grown.exterior.coords[:-1])
        found = np.array(corners, dtype=np.float64).reshape(-1, 2)
        if not len(found):
            return found
        outside = ~shapely.contains_xy(self._union, found[:, 0], found[:, 1])
        rim = self.city.boundary.shape
        inside: npt.NDArray[np.bool_] = shapely.intersects_xy(rim, found[:, 0], found[:, 1])
        return np.asarray(found[outside & inside], dtype=np.float64)

    def _corner_ways(self) -> list[list[tuple[int, float]]]:
        """For every corner the corners in sight and how far they are."""
        count = len(self._corners)
        if not count:
            return []
        rows, cols = np.triu_indices(count, k=1)
        clear = ~self._crossing(self._corners[rows], self._corners[cols])
        lengths = np.hypot(*(self._corners[rows] - self._corners[cols]).T)
        hops: list[list[tuple[int, float]]] = [[] for _ in range(count)]
        for i, j, free, length in zip(
            rows.tolist(), cols.tolist(), clear.tolist(), lengths.tolist(), strict=True
        ):
            if free:
                hops[i].append((j, length))
                hops[j].append((i, length))
        return hops

    def _in_sight(self, point: Point) -> list[tuple[int, float]]:
        """The corners to be seen from `point`. From inside an area (it has just been drawn there): all corners."""
        here = np.broadcast_to(np.array(point, dtype=np.float64), self._corners.shape)
        clear = ~self._crossing(here, self._corners)
        if not clear.any():
            clear[:] = True
        lengths = np.hypot(*(self._corners - here).T)
        return [(int(i), float(lengths[i])) for i in np.flatnonzero(clear)]

    def _around(self, a: Point, b: Point) -> tuple[float, tuple[Point, ...]]:
        """Dijkstra over the corners, from those in sight of `a` to those in sight of `b`."""
        if not len(self._corners):
            return distance_m(a, b), (b,)
        last = dict(self._in_sight(b))
        best: dict[int, float] = {}
        came_from: dict[int, int] = {}
        queue = [(length, corner, -1) for corner, length in self._in_sight(a)]
        heapq.heapify(queue)
        goal = len(self._corners)
        while queue:
            length, corner, before = heapq.heappop(queue)
            if corner in best:
                continue
            best[corner], came_from[corner] = length, before
            if corner == goal:
                break
            if corner in last:
                heapq.heappush(queue, (length + last[corner], goal, corner))
            for other, hop in self._hops[corner]:
                if other not in best:
                    heapq.heappush(queue, (length + hop, other, corner))
        if goal not in best:  # walled in: areas were drawn around it; straight out is the lesser evil
            return distance_m(a, b), (b,)
        way, corner = [b], came_from[goal]
        while corner >= 0:
            way.append(Point(float(self._corners[corner, 0]), float(self._corners[corner, 1])))
            corner = came_from[corner]
        return best[goal], tuple(reversed(way))


def _polygons(shape: Polygon | MultiPolygon) -> list[Polygon]:
    if isinstance(shape, Polygon):
        return [shape]
    return list(shape.geoms)


def _beside_no_box(a: Array, b: Array, boxes: Array) -> npt.NDArray[np.bool_]:
    """Which lines have corners of some box on both sides (their bounds overlap already: they may cross it)."""
    across = np.zeros(len(a), dtype=np.bool_)
    step = b - a
    for x0, y0, x1, y1 in boxes:
        sides = [step[:, 0] * (y - a[:, 1]) - step[:, 1] * (x - a[:, 0]) for x in (x0, x1) for y in (y0, y1)]
        across |= (np.minimum.reduce(sides) < 0) & (np.maximum.reduce(sides) > 0)
    return across


@lru_cache(maxsize=8)
def _paths_of(city: City) -> Paths:
    return Paths(city)


def paths_of(city: City) -> Paths:
    """The ways of a city, made once: equal cities share them."""
    return _paths_of(city)
