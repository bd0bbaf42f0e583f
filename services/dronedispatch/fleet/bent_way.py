"""The length of one way around walls, by one look at what both of its ends see (see fleet/paths.py, which does many)."""

from __future__ import annotations

import numpy as np

from dronedispatch.fleet.mesh import Array, Mesh
from dronedispatch.fleet.positions import Point


def bent_way_m(mesh: Mesh, between_m: Array, a: Point, b: Point) -> float | None:
    """Of two places of the room that do not see each other; `between_m` (bends, bends). None: no way was found."""
    located = mesh.locate(np.array([a, b], dtype=np.float64))
    end, bends = mesh.seen_from(located)
    lines = located.xy[end] - mesh.xy[mesh.bends[bends]]
    away_m, cut = np.hypot(lines[:, 0], lines[:, 1]), int(np.searchsorted(end, 1))
    ways_m = between_m[bends[:cut, None], bends[cut:]] + away_m[:cut, None] + away_m[cut:]
    return float(ways_m.min()) if ways_m.size else None
