"""Which triangles of a mesh hold a point: a few points are compared with all of them, many are looked up in a tree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from shapely import STRtree

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
NEAR_M = 1e-6  # a point this close to an edge lies on it
SIDES = 7  # of a triangle and its box: a point near both edges of a sharp corner may still be far from it
COMPARED_MAX = 1 << 14  # pairs (point, triangle); beyond, a tree costs less


@dataclass(frozen=True, slots=True)
class LocatedPoints:
    """Points in the mesh. Pairs (`of[k]`, `triangle[k]`): a point on an edge or a corner lies in several triangles."""

    xy: Array  # (n, 2): the points, moved to the free space if they were outside
    component: Rows
    of: Rows
    triangle: Rows

    def only(self, which: Rows) -> LocatedPoints:
        """These points, in this order."""
        number = np.full(len(self.xy), -1, dtype=np.int64)
        number[which] = np.arange(len(which))
        kept = number[self.of] >= 0
        return LocatedPoints(
            self.xy[which], self.component[which], number[self.of[kept]], self.triangle[kept]
        )


class TriangleLocator:
    """Of triangles (t, 3, 2), counterclockwise, in metres."""

    def __init__(self, corners: Array) -> None:
        self._corners = corners
        low, high = corners.min(axis=1), corners.max(axis=1)
        self._boxes = STRtree(shapely.box(*(low - NEAR_M).T, *(high + NEAR_M).T))
        way = np.roll(corners, -1, axis=1) - corners
        edges = np.stack([-way[..., 1], way[..., 0]], axis=-1) / np.hypot(way[..., 0], way[..., 1])[..., None]
        box = np.broadcast_to([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]], (len(corners), 4, 2))
        self._inward = np.concatenate([edges, box], axis=1).reshape(-1, 2).T.copy()  # unit normals
        self._offset = np.concatenate([(edges * corners).sum(axis=2), low, -high], axis=1).reshape(-1)

    def holding(self, points: Array) -> tuple[Rows, Rows]:
        """Pairs (point, triangle that holds it, NEAR_M included)."""
        if len(points) * len(self._corners) <= COMPARED_MAX:
            within = points @ self._inward - self._offset >= -NEAR_M
            compared = np.nonzero(within.reshape(len(points), -1, SIDES).all(axis=2))
            return compared[0], compared[1]
        of, triangle = self._boxes.query(shapely.points(points))
        xy = points[of]
        inside = np.ones(len(of), dtype=np.bool_)
        for edge in range(3):
            u = self._corners[triangle, edge]
            side = self._corners[triangle, (edge + 1) % 3] - u
            left = side[:, 0] * (xy[:, 1] - u[:, 1]) - side[:, 1] * (xy[:, 0] - u[:, 0])
            inside &= left >= -NEAR_M * np.hypot(side[:, 0], side[:, 1])
        return of[inside], triangle[inside]
