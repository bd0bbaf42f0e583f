"""The shortest way that stays in the city and out of every no-fly area: its length for assignment, ETA and energy, its way
points for flight, and whether there is one at all.

A straight line is the way unless a wall is between. Around walls the shortest way bends only at their corners (visibility
graph; de Berg et al., Computational Geometry, ch. 15), of which only those pairs count whose line touches the walls at both.
The graph is made once for a city (fleet/free_space.py); what an end sees of it is found when it is asked for, and kept.

Walls stand CLEARANCE_M off the areas. A place nearer to an area or to the boundary than that is left, and reached, by the
shortest line to where the room is; a place that this line would cross a wall from cannot be reached. A drone that an area
was drawn over leaves by the same line.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from dronedispatch.fleet.bent_way import bent_way_m
from dronedispatch.fleet.city import City, CityInvalid, parse_city
from dronedispatch.fleet.detours import Detours
from dronedispatch.fleet.documents import decode
from dronedispatch.fleet.free_space import CLEARANCE_M, STEPS_MAX, FreeSpace, free_space, too_complex
from dronedispatch.fleet.mesh import Array, Mask, Rows
from dronedispatch.fleet.positions import Point
from dronedispatch.fleet.triangle_locator import LocatedPoints

__all__ = ["CLEARANCE_M", "NO_WAY_M", "Paths", "city_of", "no_way", "paths_of", "xy_of"]

NO_WAY_M = 1e9  # the length of no way: sums and differences stay numbers, and it is beyond any battery
GOALS_AT_ONCE = 64
PLANS_KEPT = 8
REGIONS_KEPT_MAX = 100_000
TRIPS_KEPT_MAX = 20_000
BETWEEN_MAX = 256  # bends whose distances from one another are kept: half a megabyte
KEPT_NUMBERS_MAX = 4_000_000  # of distances to bends kept for goals, and for starts: 32 MB each
Key = tuple[float, float]


def no_way(length_m: Array) -> Mask:
    """Of lengths and of sums of a few: which are the length of no way."""
    return np.asarray(length_m >= NO_WAY_M / 2, dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class _Ends:
    """Distinct points, located. `stub_m`: the way to the room, 0 inside it. `legal`: no wall is on that way."""

    keys: Sequence[Key]
    located: LocatedPoints
    stub_m: Array
    legal: Mask


class Paths:
    """Ways in one version of a city. Raises CityInvalid for one that nobody can fly in."""

    def __init__(self, city: City) -> None:
        self.city = city
        self._space: FreeSpace | None = None
        self.detours: Detours | None = None  # None: nothing is in the way
        self.steps = 0
        self._trips: dict[tuple[float, ...], Array] = {}
        if not city.no_fly and city.boundary.convex:
            return
        self._space = space = free_space(city)
        self.steps = space.steps
        self.detours = Detours(space.room, city.charge_xy_m)
        self._mesh = mesh = space.mesh
        self._bends = mesh.xy[mesh.bends]
        lengths = np.hypot(*(self._bends[space.rows] - self._bends[space.cols]).T)
        self._graph = csr_array((lengths, (space.rows, space.cols)), (len(self._bends),) * 2)
        self._between = dijkstra(self._graph) if len(self._bends) <= BETWEEN_MAX else None
        self._goals: dict[Key, Array] = {}
        self._starts: dict[Key, tuple[Rows, Array]] = {}
        self._starts_kept = 0
        self._regions: dict[Key, int] = {}
        docks = self._ends(city.charge_xy_m)
        self._served = frozenset(docks.located.component[docks.legal].tolist())

    def for_city(self, city: City) -> Paths:
        """The same ways for a city of the same walls and charge points; what is learnt of them is shared."""
        paths = copy.copy(self)
        paths.city = city
        return paths

    def refuse_new(self) -> None:
        """What a city that is put anew must keep besides. Raises CityInvalid: it costs too much to plan, or drones could
        not leave a charge point.
        """
        if self._space is None:
            return
        if self.steps > STEPS_MAX:
            raise too_complex(self.city, STEPS_MAX)
        stuck = np.flatnonzero(self.regions(self.city.charge_xy_m) < 0)
        if stuck.size:
            point = self.city.charge_points[int(stuck[0])]
            raise CityInvalid("features", f"wall the charge point {point.id} in: no drone could leave it")

    # -- is there a way ----------------------------------------------------------------------------------------------

    @property
    def divided(self) -> bool:
        """Whether there are parts of the city without a way between them."""
        return self._space is not None and bool(self._mesh.component.max() > 0)

    def regions(self, points: Array) -> Rows:
        """(n, 2) -> (n,): points have a way between them if their numbers are equal; below 0: no way leads there."""
        if self._space is None or not len(points):
            return np.zeros(len(points), dtype=np.int64)
        keys = [(x, y) for x, y in points.tolist()]
        new = list({key for key in keys if key not in self._regions})
        if len(self._regions) + len(new) > REGIONS_KEPT_MAX:
            self._regions.clear()
            new = list(set(keys))
        if new:
            ends = self._ends(np.array(new, dtype=np.float64))
            numbers = np.where(ends.legal, ends.located.component, -1)
            self._regions.update(zip(new, numbers.tolist(), strict=True))
        return np.array([self._regions[key] for key in keys], dtype=np.int64)

    def reachable(self, points: Array) -> Mask:
        """(n, 2) -> (n,): from a charge point of the city."""
        if self._space is None:
            return np.ones(len(points), dtype=np.bool_)
        return np.array([number in self._served for number in self.regions(points).tolist()], dtype=np.bool_)

    def why_not_reached(self, point: Point) -> str | None:
        """Why no drone comes to a place of the city; None: it can. Ask `City.why_not_here` first."""
        if self.reachable(np.array([point], dtype=np.float64))[0]:
            return None
        return "cannot be reached: no-fly areas or the boundary wall it in, and no charge point is inside with it"

    def why_no_way(self, a: Point, b: Point) -> str | None:
        """Why a place that can be reached cannot be reached from another one."""
        regions = self.regions(np.array([a, b], dtype=np.float64))
        if regions[0] >= 0 and regions[0] == regions[1]:
            return None
        return "cannot be reached from the origin: no-fly areas or the boundary are between them"

    # -- how long it is ----------------------------------------------------------------------------------------------

    def length_m(self, a: Point, b: Point) -> float:
        """The length of the way; the same as `lengths_m` and as the legs of `route` together."""
        return float(self.lengths_m(np.array([a], np.float64), np.array([b], np.float64))[0])

    def bent_m(self, a: Point, b: Point) -> float:
        """`length_m` of places of the room that do not see each other: a quarter of the work, and nothing is kept."""
        if self._space is None or self._between is None:
            return self.length_m(a, b)
        found = bent_way_m(self._mesh, self._between, a, b)
        return self.length_m(a, b) if found is None else found

    def lengths_m(self, a: Array, b: Array) -> Array:
        """Pairwise: a (n, 2), b (n, 2) -> (n,). NO_WAY_M where there is none."""
        lengths = np.hypot(a[:, 0] - b[:, 0], a[:, 1] - b[:, 1])
        if self._space is None or not len(lengths):
            return lengths
        ends, rows, cols = self._distinct(a, b)
        clear = self._mesh.clear(ends.located, ends.located, (rows, cols))
        stubs = ends.stub_m[rows] + ends.stub_m[cols]
        moved = np.flatnonzero(clear & (stubs > 0.0))
        way = ends.located.xy[rows[moved]] - ends.located.xy[cols[moved]]
        lengths[moved] = stubs[moved] + np.hypot(way[:, 0], way[:, 1])
        around = np.flatnonzero(~clear)
        if around.size:
            lengths[around] = self._around_m(ends, rows[around], cols[around]) + stubs[around]
        region = ends.located.component
        cut = ~(ends.legal[rows] & ends.legal[cols]) | (region[rows] != region[cols])
        lengths[cut] = NO_WAY_M
        straight = self._straight(a, b, np.flatnonzero((stubs > 0.0) | cut))
        lengths[straight] = np.hypot(*(a[straight] - b[straight]).T)
        return lengths

    def matrix_m(self, a: Array, b: Array) -> Array:
        """All pairs: a (n, 2), b (m, 2) -> (n, m)."""
        if self._space is None:
            return np.hypot(a[:, 0, None] - b[None, :, 0], a[:, 1, None] - b[None, :, 1])
        rows, cols = np.divmod(np.arange(len(a) * len(b)), max(1, len(b)))
        return self.lengths_m(a[rows], b[cols]).reshape(len(a), len(b))

    def trips_m(self, origins: Array, destinations: Array) -> Array:
        """(n, 2), (n, 2) -> (n, 3): from the nearest charge point, with the parcel, on to the nearest charge point. Kept."""
        keys = [(*a, *b) for a, b in zip(origins.tolist(), destinations.tolist(), strict=True)]
        new = np.array([i for i, key in enumerate(keys) if key not in self._trips], dtype=np.int64)
        if len(self._trips) + len(new) > TRIPS_KEPT_MAX:
            self._trips.clear()
            new = np.arange(len(keys))
        if new.size:
            trips = self._trips_anew(origins[new], destinations[new])
            self._trips.update((keys[i], trip) for i, trip in zip(new.tolist(), trips, strict=True))
        return np.array([self._trips[key] for key in keys], dtype=np.float64).reshape(-1, 3)

    def _trips_anew(self, origins: Array, destinations: Array) -> Array:
        """All ways in one look-up: of a single order, what a look-up costs is mostly that it is one."""
        count, docks = len(origins), self.city.charge_xy_m
        spots = np.repeat(np.concatenate([origins, destinations]), len(docks), axis=0)
        ends = np.concatenate([np.tile(docks, (2 * count, 1)), destinations])
        ways_m = self.lengths_m(np.concatenate([spots, origins]), ends)
        to_dock_m = ways_m[:-count].reshape(2, count, len(docks)).min(axis=2, initial=np.inf)
        return np.stack([to_dock_m[0], ways_m[-count:], to_dock_m[1]], axis=1)

    def route(self, a: Point, b: Point) -> tuple[Point, ...]:
        """The way points after `a`, `b` the last; none: there is no way."""
        if self._space is None:
            return (b,)
        ends = self._ends(np.array([a, b], dtype=np.float64))
        region = ends.located.component
        near = ends.stub_m.any() or region[0] != region[1]
        if near and len(self._straight(np.array([a]), np.array([b]), np.zeros(1, dtype=np.int64))):
            return (b,)
        if not ends.legal.all() or region[0] != region[1]:
            return ()
        way = [Point(*ends.located.xy[0].tolist())] if ends.stub_m[0] else []
        if not self._mesh.clear(ends.located, ends.located, (np.zeros(1, np.int64), np.ones(1, np.int64)))[0]:
            way += self._bent(ends)
        if ends.stub_m[1]:
            way.append(Point(*ends.located.xy[1].tolist()))
        return (*way, b)

    def are_straight(self, a: Array, b: Array) -> Mask:
        """Pairwise: whose route is certainly `(b,)`."""
        if self._space is None:
            return np.ones(len(a), dtype=np.bool_)
        ends, rows, cols = self._distinct(a, b)
        in_room = ends.stub_m[rows] + ends.stub_m[cols] == 0.0
        return np.asarray(in_room & self._mesh.clear(ends.located, ends.located, (rows, cols)))

    def _bent(self, ends: _Ends) -> list[Point]:
        """From bend to bend, each time to the one with the shortest rest."""
        self._find(ends, np.array([1]), np.array([0]))
        rest = self._goals[ends.keys[1]]
        bends, away = self._starts[ends.keys[0]]
        goal_bends, goal_away = self._sight(ends, np.array([1]))[0]
        home = dict(zip(goal_bends.tolist(), goal_away.tolist(), strict=True))
        bend = int(bends[(away + rest[bends]).argmin()])
        way: list[Point] = []
        for _ in range(len(self._bends)):
            way.append(Point(*self._bends[bend].tolist()))
            row = slice(self._graph.indptr[bend], self._graph.indptr[bend + 1])
            onward = self._graph.data[row] + rest[self._graph.indices[row]]
            if not onward.size or home.get(bend, np.inf) <= onward.min():
                break
            bend = int(self._graph.indices[row][onward.argmin()])
        return way

    def _around_m(self, ends: _Ends, rows: Rows, cols: Rows) -> Array:
        """The ways between ends that do not see each other, from room to room."""
        starts, goals = np.unique(rows), np.unique(cols)
        missing = [sum(ends.keys[i] not in self._goals for i in side.tolist()) for side in (starts, goals)]
        if missing[0] < missing[1]:  # a way is as long the other way round: look from the fewer
            rows, cols, starts, goals = cols, rows, goals, starts
        self._find(ends, goals, starts)
        seen = [self._starts[ends.keys[i]] for i in starts.tolist()]
        counts = np.array([len(bends) for bends, _ in seen])
        first = np.cumsum(counts) - counts
        bends = np.concatenate([bends for bends, _ in seen])
        away = np.concatenate([away for _, away in seen])
        rest = np.stack([self._goals[ends.keys[i]] for i in goals.tolist()])
        start_of, goal_of = np.searchsorted(starts, rows), np.searchsorted(goals, cols)
        many = counts[start_of]
        ways = np.full(len(rows), NO_WAY_M)
        full = np.flatnonzero(many)
        if full.size:
            many = many[full]
            begins = np.cumsum(many) - many
            at = np.arange(int(many.sum())) - np.repeat(begins, many) + np.repeat(first[start_of[full]], many)
            totals = away[at] + rest[np.repeat(goal_of[full], many), bends[at]]
            ways[full] = np.minimum(np.minimum.reduceat(totals, begins), NO_WAY_M)
        return ways

    def _find(self, ends: _Ends, goals: Rows, starts: Rows) -> None:
        """Make sure that `_goals` and `_starts` hold them."""
        new = np.array([i for i in goals.tolist() if ends.keys[i] not in self._goals], dtype=np.int64)
        if (len(self._goals) + len(new)) * len(self._bends) > KEPT_NUMBERS_MAX:
            self._goals.clear()
            new = goals
        for k in range(0, len(new), GOALS_AT_ONCE):
            self._measure(ends, new[k : k + GOALS_AT_ONCE])
        new = np.array([i for i in starts.tolist() if ends.keys[i] not in self._starts], dtype=np.int64)
        if self._starts_kept > KEPT_NUMBERS_MAX:
            self._starts.clear()
            self._starts_kept = 0
            new = starts
        for i, sight in zip(new.tolist(), self._sight(ends, new), strict=True):
            self._starts[ends.keys[i]] = sight
            self._starts_kept += len(sight[0])

    def _measure(self, ends: _Ends, goals: Rows) -> None:
        """The distance of every bend from these ends: they join the graph as its last rows."""
        sights = self._sight(ends, goals)
        if self._between is not None:
            for i, (seen, away) in zip(goals.tolist(), sights, strict=True):
                self._goals[ends.keys[i]] = (self._between[:, seen] + away).min(axis=1, initial=np.inf)
            return
        count, bends = len(goals), len(self._bends)
        indptr = np.concatenate(
            [self._graph.indptr, self._graph.indptr[-1] + np.cumsum([len(seen) for seen, _ in sights])]
        )
        indices = np.concatenate([self._graph.indices, *(seen for seen, _ in sights)])
        data = np.concatenate([self._graph.data, *(away for _, away in sights)])
        graph = csr_array((data, indices, indptr), (bends + count, bends + count))
        ways = dijkstra(graph, indices=np.arange(bends, bends + count))[:, :bends]
        self._goals.update({ends.keys[i]: row for i, row in zip(goals.tolist(), ways, strict=True)})

    def _sight(self, ends: _Ends, which: Rows) -> list[tuple[Rows, Array]]:
        """For each of these ends the bends that it sees, and how far they are."""
        if not len(which):
            return []
        located = ends.located.only(which)
        of, bend = self._mesh.seen_from(located)
        way = located.xy[of] - self._bends[bend]
        cuts = np.searchsorted(of, np.arange(1, len(which)))
        away = np.hypot(way[:, 0], way[:, 1])
        return list(zip(np.split(bend, cuts), np.split(away, cuts), strict=True))

    # -- ends --------------------------------------------------------------------------------------------------------

    def _distinct(self, a: Array, b: Array) -> tuple[_Ends, Rows, Rows]:
        points = np.concatenate([a, b])
        _, first, of = np.unique(points[:, 0] + 1j * points[:, 1], return_index=True, return_inverse=True)
        return self._ends(points[first]), of[: len(a)], of[len(a) :]

    def _ends(self, points: Array) -> _Ends:
        assert self._space is not None
        located = self._mesh.locate(points)
        way = located.xy - points
        stub_m = np.hypot(way[:, 0], way[:, 1])
        legal = np.ones(len(points), dtype=np.bool_)
        near = np.flatnonzero(stub_m > 0.0)
        if near.size:
            legal[near] = ~self._walled(points[near], located.xy[near])
        return _Ends([(x, y) for x, y in points.tolist()], located, stub_m, legal)

    def _walled(self, points: Array, room: Array) -> Mask:
        """Which lines to the room cross a wall. Who is in an area, or outside the city, may leave."""
        assert self._space is not None
        lines = shapely.linestrings(np.stack([points, room], axis=1))
        covered = shapely.covers(self._space.inside, lines)
        lost = ~shapely.intersects_xy(self._space.inside, points[:, 0], points[:, 1])
        return np.asarray(~covered & ~lost, dtype=np.bool_)

    def _straight(self, a: Array, b: Array, which: Rows) -> Rows:
        """Those of `which` whose straight line stays inside: between places too near to a wall to be in the room."""
        assert self._space is not None
        if not which.size:
            return which
        lines = shapely.linestrings(np.stack([a[which], b[which]], axis=1))
        return np.asarray(which[shapely.covers(self._space.inside, lines)], dtype=np.int64)


def xy_of(points: Sequence[Point]) -> Array:
    """(n, 2). Column by column: numpy takes five times as long over a list of tuples."""
    xy = np.empty((len(points), 2))
    xy[:, 0] = [point[0] for point in points]
    xy[:, 1] = [point[1] for point in points]
    return xy


_PLANS: dict[City, Paths] = {}  # the newest last; written by threads, each write is one operation


def paths_of(city: City) -> Paths:
    """The ways of a city, made once: equal cities share them, and so do those that differ in name, zones or capacity alone.

    May take a second: whoever runs an event loop calls `city_of` in a thread first. Raises CityInvalid.
    """
    known = _PLANS.get(city)
    if known is not None:
        return known
    like = next((paths for paths in list(_PLANS.values()) if _same_walls(paths.city, city)), None)
    paths = Paths(city) if like is None else like.for_city(city)
    _PLANS[city] = paths
    while len(_PLANS) > PLANS_KEPT:
        _PLANS.pop(next(iter(_PLANS)), None)
    return paths


def city_of(value: bytes, version: str) -> City:
    """The stored document, checked and planned. Takes as long as its corners cost: for a thread, not for an event loop.

    Raises Unreadable, CityInvalid.
    """
    city = parse_city(decode(dict[str, object], value), version)
    paths_of(city)
    return city


def _same_walls(one: City, other: City) -> bool:
    return (
        one.plane == other.plane
        and [area.shape for area in one.no_fly] == [area.shape for area in other.no_fly]
        and one.boundary.shape == other.boundary.shape
        and np.array_equal(one.charge_xy_m, other.charge_xy_m)
    )
