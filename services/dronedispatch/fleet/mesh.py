"""The free space of a city as a mesh of triangles, and what can be seen in it.

A constrained Delaunay triangulation (GEOS; n log n) has every corner of the free space as a vertex and none between. What
a point sees is found by triangular expansion (Bungiu et al., 2014): a cone of sight is narrowed edge by edge from the
triangle that holds the point, so that the work is proportional to the triangles in sight and not to the corners of the city.
All cones of all points advance together, as array operations. Work is counted in triangles entered: the same number on
every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely import MultiPolygon, Polygon, STRtree

from dronedispatch.fleet.sight import WALLS_MAX, SightLines
from dronedispatch.fleet.triangle_locator import NEAR_M, LocatedPoints, TriangleLocator

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
BLOCK = 256  # sources whose cones advance together: more would not stay in the processor's cache
FLAT = 1e-9  # sine of the turn below which a corner is straight: a way may bend there


class TooMuchWork(Exception):
    """`steps`: triangles entered when it was given up."""

    def __init__(self, steps: int) -> None:
        super().__init__(f"given up after {steps} steps")
        self.steps = steps


@dataclass(frozen=True, slots=True)
class _Cones:
    """Cones of sight that enter triangles. Cone k of source `src[k]` enters `tri[k]` by its edge `edge[k]`, between
    `left[k]` and `right[k]` (vectors from the source).
    """

    src: Rows
    tri: Rows
    edge: Rows
    left: Array  # (n, 2)
    right: Array

    def only(self, kept: Mask) -> _Cones:
        return _Cones(self.src[kept], self.tri[kept], self.edge[kept], self.left[kept], self.right[kept])


def cross(a: Array, b: Array) -> Array:
    """The z of a x b, row by row: above 0 if b is to the left of a."""
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0], dtype=np.float64)


class Mesh:
    """`xy` (corners, 2). `triangles` (t, 3): corners, counterclockwise. `across` (t, 3): the triangle behind the edge from
    corner k to corner k + 1, -1 for a wall; `back`: which edge of that triangle it is. `bends`: the corners that a shortest
    way may bend at.
    """

    def __init__(self, free: Polygon | MultiPolygon) -> None:
        parts = shapely.get_parts(shapely.constrained_delaunay_triangles(free))
        parts = parts[shapely.area(parts) > 0.0]
        rings = shapely.get_coordinates(shapely.orient_polygons(parts)).reshape(-1, 4, 2)[:, :3]
        self.xy, corner_of = np.unique(rings.reshape(-1, 2), axis=0, return_inverse=True)
        self.triangles: Rows = corner_of.reshape(-1, 3).astype(np.int64)
        self._shapes = parts
        self._tree = STRtree(parts)
        self._locator = TriangleLocator(self.xy[self.triangles])
        self.across, self.back = self._neighbours()
        self.component = self._components()
        self._walls()

    def __len__(self) -> int:
        return len(self.triangles)

    def _neighbours(self) -> tuple[Rows, Rows]:
        count = len(self.triangles)
        start = self.triangles.reshape(-1)
        end = np.roll(self.triangles, -1, axis=1).reshape(-1)
        corners = len(self.xy)
        own, other = start * corners + end, end * corners + start
        order = np.argsort(own)
        place = np.searchsorted(own[order], other)
        found = order[np.minimum(place, len(order) - 1)]
        matched = own[found] == other
        across = np.where(matched, found // 3, -1).reshape(count, 3)
        return across, np.where(matched, found % 3, 0).reshape(count, 3)

    def _components(self) -> Rows:
        count = len(self.triangles)
        rows, edges = np.nonzero(self.across >= 0)
        links = coo_array((np.ones(len(rows)), (rows, self.across[rows, edges])), (count, count))
        return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)

    def _walls(self) -> None:
        """Each corner's neighbours along the wall (free space to the left), and which corners are no dents."""
        count = len(self.xy)
        rows, edges = np.nonzero(self.across < 0)
        start, end = self.triangles[rows, edges], self.triangles[rows, (edges + 1) % 3]
        self.walls = SightLines(self.xy[start], self.xy[end])
        self._before, self._after = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        self._before[end], self._after[start] = start, end
        # walls of two rings meet in one corner: no direction can be ruled out there
        self._crossing = np.bincount(start, minlength=count) > 1
        into, out = self.xy - self.xy[self._before], self.xy[self._after] - self.xy
        turn = cross(into, out)
        flat = FLAT * _length(into) * _length(out)
        self.bends: Rows = np.flatnonzero((turn <= flat) | self._crossing)
        self._bend_of = np.full(count, -1, dtype=np.int64)
        self._bend_of[self.bends] = np.arange(len(self.bends))
        self._few = len(self.walls) <= WALLS_MAX and not self._crossing.any()
        if self._few:
            corner = self.bends[:, None]
            self._own_walls = (start == corner) | (end == corner)

    # -- points ------------------------------------------------------------------------------------------------------

    def locate(self, points: Array) -> LocatedPoints:
        """Points outside are moved to the nearest place of the free space."""
        of, triangle = self._locator.holding(points)
        outside = np.ones(len(points), dtype=np.bool_)
        outside[of] = False
        if not outside.any():
            return self._located(points, of, triangle)
        lost = np.flatnonzero(outside)
        shapes = shapely.points(points[lost])
        which, nearest = self._tree.query_nearest(shapes, all_matches=False)
        lines = shapely.shortest_line(self._shapes[nearest], shapes[which])
        moved = points.copy()
        moved[lost[which]] = shapely.get_coordinates(lines).reshape(-1, 2, 2)[:, 0]
        again, behind = self._locator.holding(moved[lost])
        of = np.concatenate([of, lost[again], lost[which]])
        triangle = np.concatenate([triangle, behind, nearest])
        pairs = np.unique(np.stack([of, triangle], axis=1), axis=0)
        return self._located(moved, pairs[:, 0], pairs[:, 1])

    def _located(self, xy: Array, of: Rows, triangle: Rows) -> LocatedPoints:
        component = np.full(len(xy), -1, dtype=np.int64)
        component[of] = self.component[triangle]
        return LocatedPoints(xy, component, of, triangle)

    def clear(self, a: LocatedPoints, b: LocatedPoints, pairs: tuple[Rows, Rows]) -> Mask:
        """Which straight lines a[pairs[0][k]] -> b[pairs[1][k]] stay in the free space."""
        rows, cols = pairs
        if len(self.walls) > WALLS_MAX:
            return self.walked(a, b, pairs)
        clear, blocked = self.walls.sight(a.xy, b.xy, rows, cols)
        left = np.flatnonzero(~(clear | blocked))
        if left.size:
            clear[left] = self.walked(a, b, (rows[left], cols[left]))
        return clear

    def walked(self, a: LocatedPoints, b: LocatedPoints, pairs: tuple[Rows, Rows]) -> Mask:
        """The same, triangle by triangle."""
        rows, cols = pairs
        clear = np.zeros(len(rows), dtype=np.bool_)
        line, triangle = _expanded(rows, a.of, a.triangle, len(a.xy))
        start, end = a.xy[rows[line]], b.xy[cols[line]]
        way = end - start
        small = NEAR_M * _length(
            way
        )  # a line along a wall leaves by none of its ends if it must hit them exactly
        for edge in range(3):
            u = self.xy[self.triangles[triangle, edge]]
            v = self.xy[self.triangles[triangle, (edge + 1) % 3]]
            away = cross(v - u, start - u) / _length(v - u)
            out = (away > NEAR_M) & (cross(u - start, way) >= -small) & (cross(way, v - start) >= -small)
            if not out.any():
                continue
            self._walk(
                line[out],
                triangle[out],
                np.full(int(out.sum()), edge, dtype=np.int64),
                start[out],
                end[out],
                clear,
            )
        return clear

    def _walk(self, line: Rows, triangle: Rows, edge: Rows, start: Array, end: Array, clear: Mask) -> None:
        """The lines leave `triangle` by `edge`, unless they end in it."""
        while len(line):
            u = self.xy[self.triangles[triangle, edge]]
            v = self.xy[self.triangles[triangle, (edge + 1) % 3]]
            ends = cross(v - u, end - u) >= -NEAR_M * _length(v - u)
            clear[line[ends]] = True
            behind = self.across[triangle, edge]
            on = ~ends & (behind >= 0) & ~clear[line]
            line, start, end = line[on], start[on], end[on]
            entered = self.back[triangle[on], edge[on]]
            triangle = behind[on]
            tip = self.xy[self.triangles[triangle, (entered + 2) % 3]]
            left = (
                cross(end - start, tip - start) >= 0.0
            )  # the tip is to the left: leave by the right-hand edge
            edge = np.where(left, (entered + 1) % 3, (entered + 2) % 3)

    # -- sight -------------------------------------------------------------------------------------------------------

    def seen_from(self, points: LocatedPoints) -> tuple[Rows, Rows]:
        """Pairs (point, number of a bend) that see each other, where a way from the point may bend."""
        return self._compared(points) if self._few else self.expanded(points)

    def _compared(self, points: LocatedPoints) -> tuple[Rows, Rows]:
        """The same by comparing with all walls; where that cannot say, point by point through the triangles."""
        count = len(self.bends)
        of, bend = self._touching(points.xy, *np.divmod(np.arange(len(points.xy) * count), max(1, count)))
        clear, blocked = self.walls.sight(points.xy, self.xy[self.bends], of, bend, self._own_walls)
        near = ~(clear | blocked)
        if not near.any():
            return of[clear], bend[clear]
        doubtful = np.zeros(len(points.xy), dtype=np.bool_)
        doubtful[of[near]] = True
        mine = doubtful[points.of]
        some = LocatedPoints(points.xy, points.component, points.of[mine], points.triangle[mine])
        walked_of, walked_bend = self.expanded(some)
        clear &= ~doubtful[of]
        of, bend = np.concatenate([of[clear], walked_of]), np.concatenate([bend[clear], walked_bend])
        order = np.argsort(of, kind="stable")
        return of[order], bend[order]

    def expanded(self, points: LocatedPoints) -> tuple[Rows, Rows]:
        """The same, triangle by triangle."""
        found: list[tuple[Rows, Rows]] = []
        for first in range(0, len(points.xy), BLOCK):
            mine = (points.of >= first) & (points.of < first + BLOCK)
            src, triangle = points.of[mine], points.triangle[mine]
            seen = [np.stack([np.repeat(src, 3), self.triangles[triangle].reshape(-1)])]
            cones: list[_Cones] = []
            for edge in range(3):
                u = self.xy[self.triangles[triangle, edge]] - points.xy[src]
                v = self.xy[self.triangles[triangle, (edge + 1) % 3]] - points.xy[src]
                out = (cross(u, v) > NEAR_M * _length(v - u)) & (self.across[triangle, edge] >= 0)
                cones.append(self._entering(src[out], triangle[out], edge, v[out], u[out]))
            _, pairs = self._expand(points.xy, _joined(cones), None)
            found.append(self._tangents(points.xy, np.concatenate([*seen, pairs], axis=1)))
        return _joined_pairs(found)

    def bends_in_sight(self, steps_max: int) -> tuple[int, Rows, Rows]:
        """(steps, and all pairs of bends that see each other along a line that touches the walls at both).

        Raises TooMuchWork.
        """
        sources = self.xy[self.bends]
        cones, (near, corner) = self._bend_cones()
        found: list[tuple[Rows, Rows]] = []
        steps = 0
        for first in range(0, len(self.bends), BLOCK):
            mine, beside = ((src >= first) & (src < first + BLOCK) for src in (cones.src, near))
            walked, pairs = self._expand(sources, cones.only(mine), steps_max - steps)
            steps += walked
            seen = np.stack([near[beside], corner[beside]])
            found.append(self._tangents(sources, np.concatenate([seen, pairs], axis=1)))
        src, bend = _joined_pairs(found)
        code = _once(np.concatenate([src * len(self.bends) + bend, bend * len(self.bends) + src]))
        src, bend = np.divmod(code, max(1, len(self.bends)))
        kept = src != bend
        return steps, src[kept], bend[kept]

    def _bend_cones(self) -> tuple[_Cones, tuple[Rows, Rows]]:
        """Where a shortest way may go on from each bend: between each wall and the other wall made longer."""
        triangle, place = np.nonzero(self._bend_of[self.triangles] >= 0)
        corner = self.triangles[triangle, place]
        src = self._bend_of[corner]
        first, second = (self.triangles[triangle, (place + k) % 3] for k in (1, 2))
        right, left = self.xy[first] - self.xy[corner], self.xy[second] - self.xy[corner]
        after = self.xy[self._after[corner]] - self.xy[corner]
        before = self.xy[self._before[corner]] - self.xy[corner]
        turn = 2.0 * np.pi
        zero = np.arctan2(after[:, 1], after[:, 0])

        def angle(vector: Array) -> Array:
            return np.asarray((np.arctan2(vector[:, 1], vector[:, 0]) - zero) % turn, dtype=np.float64)

        begin, end = angle(right), angle(left)
        begin = np.where(begin > turn - 1e-9, 0.0, begin)
        end = np.where(end < begin, end + turn, end)
        whole = angle(before)
        whole = np.where(whole <= np.pi - 1e-6, turn, whole)
        all_round = self._crossing[corner]
        cones: list[_Cones] = []
        wedges = (
            (np.zeros(len(src)), whole - np.pi, after, -before),
            (np.full(len(src), np.pi), whole, -after, before),
        )
        for number, (low, high, low_vector, high_vector) in enumerate(wedges):
            low = np.where(all_round, -1.0, low)
            high = np.where(all_round, 3 * turn if number == 0 else -2.0, high)
            open_ = (np.minimum(end, high) > np.maximum(begin, low)) & (
                self.across[triangle, (place + 1) % 3] >= 0
            )
            cut_right, cut_left = begin < low, end > high
            r = np.where(cut_right[:, None], low_vector, right)
            lft = np.where(cut_left[:, None], high_vector, left)
            for k in range(3):
                mine = open_ & (place == k)
                cones.append(self._entering(src[mine], triangle[mine], int(k + 1) % 3, lft[mine], r[mine]))
        return _joined(cones), (np.concatenate([src, src]), np.concatenate([first, second]))

    def _entering(self, src: Rows, triangle: Rows, edge: int, left: Array, right: Array) -> _Cones:
        return _Cones(src, self.across[triangle, edge], self.back[triangle, edge], left, right)

    def _expand(self, sources: Array, cones: _Cones, steps_max: int | None) -> tuple[int, Rows]:
        """(triangles entered, pairs (source, corner) of the corners inside the cones)."""
        src, tri, edge, left, right = cones.src, cones.tri, cones.edge, cones.left, cones.right
        found: list[Rows] = []
        steps = 0
        while len(src):
            steps += len(src)
            if steps_max is not None and steps > steps_max:
                raise TooMuchWork(steps)
            tip = self.triangles[tri, (edge + 2) % 3]
            way = self.xy[tip] - sources[src]
            inside_left, inside_right = cross(way, left), cross(right, way)
            seen = (inside_left >= 0.0) & (inside_right >= 0.0)
            found.append(np.stack([src[seen], tip[seen]]))
            # the edges to the left and to the right of the tip, with what of the cone goes through each
            to_left, to_right = (edge + 2) % 3, (edge + 1) % 3
            goes_left = (inside_left > 0.0) & (self.across[tri, to_left] >= 0)
            goes_right = (inside_right > 0.0) & (self.across[tri, to_right] >= 0)
            right_of_left = np.where((inside_right > 0.0)[:, None], way, right)[goes_left]
            left_of_right = np.where((inside_left > 0.0)[:, None], way, left)[goes_right]
            triangles = np.concatenate([tri[goes_left], tri[goes_right]])
            edges = np.concatenate([to_left[goes_left], to_right[goes_right]])
            src = np.concatenate([src[goes_left], src[goes_right]])
            left = np.concatenate([left[goes_left], left_of_right])
            right = np.concatenate([right_of_left, right[goes_right]])
            tri, edge = self.across[triangles, edges], self.back[triangles, edges]
        return steps, np.concatenate(found, axis=1) if found else np.zeros((2, 0), dtype=np.int64)

    def _tangents(self, sources: Array, pairs: Rows) -> tuple[Rows, Rows]:
        """Those pairs, each once, whose line touches the walls at the corner without cutting them."""
        src, corner = pairs
        bend = self._bend_of[corner]
        kept = bend >= 0
        code = _once(src[kept] * max(1, len(self.bends)) + bend[kept])
        return self._touching(sources, *np.divmod(code, max(1, len(self.bends))))

    def _touching(self, sources: Array, src: Rows, bend: Rows) -> tuple[Rows, Rows]:
        """Those pairs (source, bend) whose line would touch the walls at the bend without cutting them."""
        corner = self.bends[bend]
        way = self.xy[corner] - sources[src]
        sides = (
            cross(way, self.xy[self._before[corner]] - self.xy[corner]),
            cross(way, self.xy[self._after[corner]] - self.xy[corner]),
        )
        small = NEAR_M * _length(way)
        touches = ((sides[0] >= -small) & (sides[1] >= -small)) | ((sides[0] <= small) & (sides[1] <= small))
        touches |= self._crossing[corner]
        return src[touches], bend[touches]


def _length(vectors: Array) -> Array:
    return np.asarray(np.hypot(vectors[:, 0], vectors[:, 1]), dtype=np.float64)


def _once(codes: Rows) -> Rows:
    """Sorted, each once: quicker than numpy's unique, which hashes."""
    codes = np.sort(codes)
    return np.asarray(codes[np.concatenate([[True], codes[1:] != codes[:-1]])[: len(codes)]], dtype=np.int64)


def _joined(cones: Sequence[_Cones]) -> _Cones:
    return _Cones(
        *(
            np.concatenate([getattr(cone, name) for cone in cones])
            for name in ("src", "tri", "edge", "left", "right")
        )
    )


def _joined_pairs(pairs: Sequence[tuple[Rows, Rows]]) -> tuple[Rows, Rows]:
    if not pairs:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])


def _expanded(rows: Rows, of: Rows, triangle: Rows, count: int) -> tuple[Rows, Rows]:
    """For line k from point rows[k]: (k, each triangle of that point)."""
    order = np.argsort(of, kind="stable")
    first = np.searchsorted(of[order], np.arange(count + 1))
    many = first[rows + 1] - first[rows]
    line = np.repeat(np.arange(len(rows)), many)
    offset = np.arange(len(line)) - np.repeat(np.cumsum(many) - many, many)
    return line, triangle[order][first[rows[line]] + offset]
