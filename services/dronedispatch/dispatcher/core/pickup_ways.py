"""The ways from where drones are, or will be free, to the origins of orders: only what has moved or is new is measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dronedispatch.dispatcher.core.ways_asked import WaysAsked
from dronedispatch.fleet.paths import Paths, xy_of
from dronedispatch.fleet.positions import Point

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
ORIGINS_MAX = 256
NUMBERS_MAX = 1_000_000  # 8 MB: a fleet of 20,000 keeps the ways to 50 origins


class PickupWays:
    """In one city. A way is kept under the two places that it joins, so nobody has to say what has changed."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._slots: dict[Point, int] = {}
        self._begin(0)

    def _begin(self, drones: int) -> None:
        """Nothing is kept, for a fleet of this size."""
        self._slots.clear()
        self._from_m: Array = np.full((drones, 2), np.nan)
        self._ways_m: Array = np.full((min(ORIGINS_MAX, NUMBERS_MAX // max(1, drones)), drones), np.nan)

    def of(
        self,
        drones: int,
        rows: Rows,
        from_m: Array,
        to: Sequence[Point],
        pairs: tuple[Rows, Rows],
        asked: WaysAsked | None = None,
    ) -> Array:
        """Metres, for the pairs (k, j): from `from_m[k]` to `to[j]`; `rows[k]`: which one of `drones` row k is.

        `asked`: what others want to know of this city is measured together with what is new here.
        """
        asked = WaysAsked(self.paths) if asked is None else asked
        if drones != len(self._from_m):
            self._begin(drones)
        slots = self._slots_of(to)
        ks, js = pairs
        if slots is None:
            ways_m = np.full(len(ks), np.nan)
        else:
            moved = (self._from_m[rows] != from_m).any(axis=1)
            self._ways_m[:, rows[moved]] = np.nan
            self._from_m[rows[moved]] = from_m[moved]
            ways_m = self._ways_m[slots[js], rows[ks]]
        new = np.flatnonzero(np.isnan(ways_m))
        if new.size:
            asked.ask(from_m[ks[new]], xy_of(to)[js[new]], lambda m: ways_m.__setitem__(new, m))
        asked.measure()
        if new.size and slots is not None:
            self._ways_m[slots[js[new]], rows[ks[new]]] = ways_m[new]
        return ways_m

    def _slots_of(self, to: Sequence[Point]) -> Rows | None:
        """Where the ways to these origins are kept; None: there are too many of them."""
        new = [place for place in dict.fromkeys(to) if place not in self._slots]
        if len(self._slots) + len(new) > len(self._ways_m):
            self._slots.clear()
            self._ways_m[:] = np.nan
            new = list(dict.fromkeys(to))
            if len(new) > len(self._ways_m):
                return None
        for place in new:
            self._slots[place] = len(self._slots)
        return np.array([self._slots[place] for place in to], dtype=np.int64)
