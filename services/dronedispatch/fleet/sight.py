"""Which straight lines cross no wall, by comparing every line with every wall at once.

For a city of few walls this is a handful of array operations, where a walk through the mesh takes hundreds. It decides
what is clear-cut; a line that comes within NEAR_M of the end of a wall, or begins or ends that near to one, is left to the
mesh.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
NEAR_M = 1e-5  # wider than the mesh's own tolerance, so that the two never disagree
AT_ONCE = (
    1 << 15
)  # pairs (line, wall) that are compared at a time: their arrays stay in the processor's cache
WALLS_MAX = 256  # beyond, a walk through the mesh costs less


class SightLines:
    """SightLines from `start` to `end`, (w, 2) each, in metres."""

    def __init__(self, start: Array, end: Array) -> None:
        self._start, self._end = start.T.copy(), end.T.copy()
        self._normal = _normals(end - start).T.copy()
        self._offset = (start * self._normal.T).sum(axis=1)

    def __len__(self) -> int:
        return int(self._start.shape[1])

    def sight(
        self, points: Array, others: Array, rows: Rows, cols: Rows, own: Mask | None = None
    ) -> tuple[Mask, Mask]:
        """For each line points[rows[k]] -> others[cols[k]]: (crosses no wall, crosses one); neither: too near to say.

        `own` (others, walls): walls that end at that other point, and do not count.
        """
        clear, blocked = (np.zeros(len(rows), dtype=np.bool_) for _ in range(2))
        begins, ends = self._sides(points), self._sides(others)
        step = max(1, AT_ONCE // max(1, len(self)))
        for first in range(0, len(rows), step):
            part = slice(first, first + step)
            start = points[rows[part]]
            normal = _normals(others[cols[part]] - start)
            offset = (start * normal).sum(axis=1)[:, None]
            along = _low_high(normal @ self._start - offset, normal @ self._end - offset)
            beside = _low_high(begins[rows[part]], ends[cols[part]])
            apart = (along[0] > NEAR_M) | (along[1] < -NEAR_M) | (beside[0] > NEAR_M) | (beside[1] < -NEAR_M)
            if own is not None:
                apart |= own[cols[part]]
            clear[part] = apart.all(axis=1)
            crossed = (
                (along[0] < -NEAR_M) & (along[1] > NEAR_M) & (beside[0] < -NEAR_M) & (beside[1] > NEAR_M)
            )
            if own is not None:
                crossed &= ~own[cols[part]]
            blocked[part] = crossed.any(axis=1)
        return clear, blocked

    def _sides(self, points: Array) -> Array:
        """(points, walls): how far each point is to the left of each wall's line."""
        return np.asarray(points @ self._normal - self._offset, dtype=np.float64)


def _normals(vectors: Array) -> Array:
    """Unit vectors to the left of `vectors`; zero for a vector without length."""
    turned = np.stack([-vectors[:, 1], vectors[:, 0]], axis=1)
    length = np.hypot(vectors[:, 0], vectors[:, 1])
    return np.asarray(turned / np.where(length > 0.0, length, np.inf)[:, None], dtype=np.float64)


def _low_high(a: Array, b: Array) -> tuple[Array, Array]:
    return np.minimum(a, b), np.maximum(a, b)
