"""The shortest way that crosses no no-fly area: its length for assignment, ETA and energy, its way points for flight.

A straight line is the way unless it enters an area. Around areas the shortest way bends only at their corners
(visibility graph; de Berg et al., Computational Geometry, ch. 15), here at corners moved `CLEARANCE_M` outward, so
that rounding never puts a drone inside. Most pairs are far from every area and pay for one vectorised test alone; the others
share what an end sees: the lengths of thousands of pairs are a few array operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import shapely
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from shapely import MultiPolygon, Polygon
from shapely.geometry.polygon import orient
from shapely.ops import unary_union

from dronedispatch.fleet.city import City
from dronedispatch.fleet.positions import Point, distance_m

CLEARANCE_M = 15.0
TOUCH_M = 1e-6  # a line that is not deeper inside than this only touches
SIGHTS_CACHED_MAX = 65_536
Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Box = tuple[Array, Array, Array, Array]  # of lines: west, south, east, north


class Wall:
    """A polygon that no line may enter; touching it is allowed."""

    def __init__(self, shape: Polygon) -> None:
        self.shape = shape
        self.bounds: tuple[float, float, float, float] = shape.bounds
        hull = orient(shape.convex_hull)
        corners = np.array(hull.exterior.coords, dtype=np.float64)
        edges = np.diff(corners, axis=0)
        edges /= np.hypot(edges[:, 0], edges[:, 1])[:, None]
        self._normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1)  # outward
        self._offsets = (self._normals * corners[:-1]).sum(axis=1)
        self._convex = hull.area - shape.area < 1e-6 * hull.area
        shapely.prepare(shape)

    def crossed_by(self, a: Array, b: Array, box: Box) -> Mask:
        """Which lines a[i] -> b[i] enter it: their `box` first, then its hull, and only what is not convex asks shapely."""
        x0, y0, x1, y1 = self.bounds
        west, south, east, north = box
        found = (west < x1) & (east > x0) & (south < y1) & (north > y0)
        near = np.flatnonzero(found)
        if near.size:
            found[near] = self._hull_crossed(a[near], b[near])
        if self._convex:
            return np.asarray(found, dtype=np.bool_)
        near = np.flatnonzero(found)
        if near.size:
            lines = shapely.linestrings(np.stack([a[near], b[near]], axis=1))
            found[near] = shapely.intersects(self.shape, lines) & ~shapely.touches(self.shape, lines)
        return np.asarray(found, dtype=np.bool_)

    def _hull_crossed(self, a: Array, b: Array) -> Mask:
        """Clip the lines by every edge's half plane (Cyrus and Beck, 1978): something is left if they enter."""
        outside = a @ self._normals.T - self._offsets + TOUCH_M
        step = (b - a) @ self._normals.T
        along = np.abs(step) < 1e-12
        at = -outside / np.where(along, 1.0, step)
        enter = np.where(~along & (step < 0), at, 0.0).max(axis=1)
        leave = np.where(~along & (step > 0), at, 1.0).min(axis=1)
        missed = (along & (outside >= 0)).any(axis=1)
        return np.asarray(~missed & (np.maximum(enter, 0.0) < np.minimum(leave, 1.0)), dtype=np.bool_)


class Paths:
    """Ways in one version of a city."""

    def __init__(self, city: City) -> None:
        self.city = city
        union = unary_union([area.shape for area in city.no_fly]) if city.no_fly else MultiPolygon()
        self._walls = tuple(Wall(shape) for shape in _polygons(union))
        self._corners = self._free_corners(union)
        self._corner_ways_m, self._before = self._corner_ways()
        self._sights: dict[tuple[float, float], tuple[Array, Array]] = {}

    def length_m(self, a: Point, b: Point) -> float:
        """The length of the way; the same as `lengths_m` and as the legs of `route` together."""
        if not self._walls:
            return distance_m(a, b)
        ends = np.array([a, b], dtype=np.float64)
        return float(self.lengths_m(ends[:1], ends[1:])[0])

    def lengths_m(self, a: Array, b: Array) -> Array:
        """Pairwise: a (n, 2), b (n, 2) -> (n,)."""
        lengths = np.hypot(a[:, 0] - b[:, 0], a[:, 1] - b[:, 1])
        if not self._walls or not len(lengths) or not len(self._corners):
            return lengths
        around = np.flatnonzero(self._crossing(a, b))
        if around.size:
            starts, start_of = self._reaches(a[around], whole=True)
            ends, end_of = self._reaches(b[around], whole=False)
            ways = (starts[start_of] + ends[end_of]).min(axis=1)
            # walled in: areas were drawn around it; straight out is the lesser evil
            lengths[around] = np.where(np.isfinite(ways), ways, lengths[around])
        return lengths

    def matrix_m(self, a: Array, b: Array) -> Array:
        """All pairs: a (n, 2), b (m, 2) -> (n, m)."""
        if not self._walls:
            return np.hypot(a[:, 0, None] - b[None, :, 0], a[:, 1, None] - b[None, :, 1])
        rows, cols = np.divmod(np.arange(len(a) * len(b)), max(1, len(b)))
        return self.lengths_m(a[rows], b[cols]).reshape(len(a), len(b))

    def charge_ways_m(self, points: Array) -> Array:
        """(n, 2) -> (n, charge points)."""
        return self.matrix_m(points, self.city.charge_xy_m)

    def route(self, a: Point, b: Point) -> tuple[Point, ...]:
        """The way points after `a`, `b` the last."""
        ends = np.array([a, b], dtype=np.float64)
        if not self._walls or not len(self._corners) or not self._crossing(ends[:1], ends[1:])[0]:
            return (b,)
        from_a, from_b = self._sight(ends[:1])[0], self._sight(ends[1:])[0]
        ways = from_a[:, None] + self._corner_ways_m + from_b[None, :]
        first, last = divmod(int(ways.argmin()), len(from_b))
        if not np.isfinite(ways[first, last]):
            return (b,)
        way, corner = [b], last
        while corner >= 0:
            way.append(Point(float(self._corners[corner, 0]), float(self._corners[corner, 1])))
            corner = -1 if corner == first else int(self._before[first, corner])
        return tuple(reversed(way))

    def _crossing(self, a: Array, b: Array) -> Mask:
        found = np.zeros(len(a), dtype=np.bool_)
        (ax, ay), (bx, by) = (np.ascontiguousarray(ends.T) for ends in (a, b))  # twice as quick as columns
        box = np.minimum(ax, bx), np.minimum(ay, by), np.maximum(ax, bx), np.maximum(ay, by)
        for wall in self._walls:
            found |= wall.crossed_by(a, b, box)
        return found

    def _free_corners(self, union: Polygon | MultiPolygon) -> Array:
        """The corners to bend at: of every area, moved outward, those inside another area left out."""
        corners: list[tuple[float, float]] = []
        for wall in self._walls:
            grown = wall.shape.buffer(CLEARANCE_M, join_style="mitre", mitre_limit=2.0)
            corners.extend(grown.exterior.coords[:-1])
        found = np.array(corners, dtype=np.float64).reshape(-1, 2)
        outside = ~shapely.contains_xy(union, found[:, 0], found[:, 1])
        inside = shapely.intersects_xy(self.city.boundary.shape, found[:, 0], found[:, 1])
        return np.asarray(found[outside & inside], dtype=np.float64)

    def _corner_ways(self) -> tuple[Array, npt.NDArray[np.int32]]:
        """The shortest ways between all corners, and for each the corner before the last."""
        count = len(self._corners)
        rows, cols = np.divmod(np.arange(count * count), max(1, count))
        clear = ~self._crossing(self._corners[rows], self._corners[cols]) & (rows != cols)
        rows, cols = rows[clear], cols[clear]
        lengths = np.hypot(*(self._corners[rows] - self._corners[cols]).T)
        if not count:
            return np.zeros((0, 0)), np.zeros((0, 0), dtype=np.int32)
        ways, before = dijkstra(csr_array((lengths, (rows, cols)), (count, count)), return_predecessors=True)
        return ways, before

    def _sight(self, points: Array) -> Array:
        """(n, corners): how far each corner in sight is; inf: not to be seen.

        From inside an area (it has just been drawn there) every corner is taken to be in sight.
        """
        rows, cols = np.divmod(np.arange(len(points) * len(self._corners)), len(self._corners))
        hidden = self._crossing(points[rows], self._corners[cols]).reshape(len(points), -1)
        hidden[hidden.all(axis=1)] = False
        away = np.hypot(
            points[:, 0, None] - self._corners[None, :, 0], points[:, 1, None] - self._corners[None, :, 1]
        )
        return np.asarray(np.where(hidden, np.inf, away), dtype=np.float64)

    def _reaches(self, points: Array, *, whole: bool) -> tuple[Array, npt.NDArray[np.int64]]:
        """(distinct points, corners) and each point's row: how far a corner is in sight, or (`whole`) by any way."""
        keys = points[:, 0] + 1j * points[:, 1]
        _, first, row_of = np.unique(keys, return_index=True, return_inverse=True)
        distinct = [(x, y) for x, y in points[first].tolist()]
        missing = [point for point in distinct if point not in self._sights]
        if len(self._sights) + len(missing) > SIGHTS_CACHED_MAX:
            self._sights.clear()
            missing = distinct
        if missing:
            seen = self._sight(np.array(missing, dtype=np.float64))
            reached = (seen[:, :, None] + self._corner_ways_m[None, :, :]).min(axis=1)
            self._sights.update(zip(missing, zip(seen, reached, strict=True), strict=True))
        return np.stack([self._sights[point][int(whole)] for point in distinct]), row_of


def _polygons(shape: Polygon | MultiPolygon) -> list[Polygon]:
    if isinstance(shape, Polygon):
        return [shape]
    return list(shape.geoms)


def xy_of(points: Sequence[Point]) -> Array:
    """(n, 2). Column by column: numpy takes five times as long over a list of tuples."""
    xy = np.empty((len(points), 2))
    xy[:, 0] = [point[0] for point in points]
    xy[:, 1] = [point[1] for point in points]
    return xy


@lru_cache(maxsize=8)
def _paths_of(city: City) -> Paths:
    return Paths(city)


def paths_of(city: City) -> Paths:
    """The ways of a city, made once: equal cities share them."""
    return _paths_of(city)
