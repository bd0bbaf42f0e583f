"""When a new order will be delivered: from the dispatcher's published state, or, without it, from the distance alone.

The estimate is start + approach + flight, with a slack on top. The stated confidence is measured (fleet/promises.py). Once
a drone is assigned, the dispatcher knows better (dispatcher/core/etas.py). A state becomes arrays once (`Outlook`); an
order then costs a few array operations, and a way around areas is measured only for drones that could be the soonest.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from dronedispatch.fleet.deliveries import Eta
from dronedispatch.fleet.dispatch_state import DispatchState
from dronedispatch.fleet.documents import stamp, unstamp
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG, DroneType
from dronedispatch.fleet.mesh import Array
from dronedispatch.fleet.paths import Paths
from dronedispatch.fleet.positions import METRES_A_DEGREE, LatLon, Plane, Point, distance_m
from dronedispatch.fleet.promises import PromiseRecord
from dronedispatch.gateway.core.order import Order

SLACK_SHARE = 0.25  # of the estimate: re-planning, headwind of the queue
SLACK_S = 2.0  # ticks, rounds and messages on the way
STALE_S = 15.0  # an older state of the dispatcher says nothing about now
BLIND_CONFIDENCE = 0.3
BLIND_APPROACH_SHARE = (
    0.35  # of the city's diameter: about the way to the nearest drone of a small, spread fleet
)
ROUNDING_M = 1e-6
WAYS_AT_ONCE = 8  # drones whose way around areas is measured together, the nearest by straight line first


@dataclass(frozen=True, slots=True)
class _Able:
    """The free drones that carry a class of parcels, soonest first.

    `xy_m`: (n, 2). `free_in_s`: (n,), from the state's `at`.
    """

    xy_m: Array
    free_in_s: Array


class Outlook:
    """A dispatcher's state on the paths of a city, as arrays. Made once for a state; asking it changes nothing."""

    def __init__(self, state: DispatchState, paths: Paths) -> None:
        self.state = state
        self.paths = paths
        self.at_s = unstamp(state.at)
        self.drones = sum(state.drones.values())
        soonest = sorted(state.free, key=attrgetter("free_in_s", "id"))
        xy_m = _xy_m(paths.city.plane, [drone.pos for drone in soonest])
        free_in_s = np.array([drone.free_in_s for drone in soonest], dtype=np.float64)
        payload_kg = np.array([PAYLOAD_MAX_KG[drone.type] for drone in soonest], dtype=np.float64)
        self._able = {
            kind: _Able(xy_m[payload_kg >= limit_kg], free_in_s[payload_kg >= limit_kg])
            for kind, limit_kg in PAYLOAD_MAX_KG.items()
        }
        free = Counter(drone.type for drone in soonest)
        self._ahead = {kind: _orders_ahead(kind, state, free) for kind in DroneType}

    def able(self, kind: DroneType) -> _Able:
        """The free drones of this class or a heavier one."""
        return self._able[kind]

    def orders_ahead(self, kind: DroneType) -> int:
        """Waiting orders that compete for the drones that could take a parcel of this class.

        Those of the same or a heavier class, and the part of the lighter ones that finds no free lighter drone.
        """
        return self._ahead[kind]


def estimate(
    order: Order,
    *,
    now_s: float,
    paths: Paths,
    outlook: Outlook | None,
    record: PromiseRecord,
    speed_mps: float,
    flight_at_most_m: float | None = None,
) -> Eta:
    """`speed_mps`: metres a real second, for when the dispatcher's state is missing or older than STALE_S.

    `flight_at_most_m`: that no flight is longer, if that is known of places of the room (`Detours.trip_at_most_m`): as long
    as the straight line, it is the flight; longer, an area is in the way.
    """
    if outlook is None or abs(now_s - outlook.at_s) > STALE_S:
        flight_m = _length_m(order, paths)
        seconds = (flight_m + BLIND_APPROACH_SHARE * paths.city.diameter_m) / speed_mps
        return _eta(
            now_s,
            seconds,
            min(BLIND_CONFIDENCE, record.confidence),
            "distance alone: the dispatcher's state is not known",
        )
    start_s, approach_s, flight_s = _trip(order, now_s, outlook, flight_at_most_m)
    basis = f"{outlook.drones} drones, {outlook.state.pending} orders waiting, {record.promised} recent deliveries"
    return _eta(now_s, start_s + approach_s + flight_s, record.confidence, basis)


def lightest_type(weight_kg: float) -> DroneType:
    """The lightest type that carries it. `weight_kg` is at most what the heaviest carries."""
    return next(kind for kind, limit_kg in _BY_PAYLOAD if limit_kg >= weight_kg)


_BY_PAYLOAD = tuple(sorted(PAYLOAD_MAX_KG.items(), key=lambda row: row[1]))


def _xy_m(plane: Plane, places: Sequence[LatLon]) -> Array:
    """(n, 2): `Plane.to_point` of each, to the last bit; for 400 places it would take ten times as long."""
    middle = plane.middle
    lat, lon = np.array([pos.lat for pos in places]), np.array([pos.lon for pos in places])
    away = lon - middle.lon
    lon = np.where(away > 180.0, lon - 360.0, np.where(away < -180.0, lon + 360.0, lon))
    x_m = (lon - middle.lon) * METRES_A_DEGREE * math.cos(math.radians(middle.lat))
    return np.stack([x_m, (lat - middle.lat) * METRES_A_DEGREE], axis=1)


def _orders_ahead(kind: DroneType, state: DispatchState, free: Mapping[DroneType, int]) -> int:
    own = PAYLOAD_MAX_KG[kind]
    equals = sum(n for other, n in state.pending_by_type.items() if PAYLOAD_MAX_KG[other] >= own)
    lighter = sum(n for other, n in state.pending_by_type.items() if PAYLOAD_MAX_KG[other] < own)
    free_lighter = sum(n for other, n in free.items() if PAYLOAD_MAX_KG[other] < own)
    return equals + max(0, lighter - free_lighter)


def _trip(
    order: Order, now_s: float, outlook: Outlook, flight_at_most_m: float | None
) -> tuple[float, float, float]:
    """Seconds: until a drone sets out, of its way to the origin, and of the flight with the parcel."""
    kind = lightest_type(order.weight_kg)
    able, ahead = outlook.able(kind), outlook.orders_ahead(kind)
    speed_mps, paths = outlook.state.speed_mps, outlook.paths
    blind_s = BLIND_APPROACH_SHARE * paths.city.diameter_m / speed_mps
    count = len(able.free_in_s)
    if not count:
        flight_s = _length_m(order, paths) / speed_mps
        return (ahead + 1) * (flight_s + blind_s), blind_s, flight_s
    turns, taken = divmod(ahead, count)
    starts_s = np.maximum(0.0, able.free_in_s[taken:] - max(0.0, now_s - outlook.at_s))
    best, approach_m, flight_m = _soonest(
        able.xy_m[taken:], starts_s * speed_mps, order, paths, flight_at_most_m
    )
    flight_s = flight_m / speed_mps
    return float(starts_s[best]) + turns * (flight_s + blind_s), approach_m / speed_mps, flight_s


def _soonest(
    spots_m: Array, head_m: Array, order: Order, paths: Paths, flight_at_most_m: float | None
) -> tuple[int, float, float]:
    """Who is at the origin first, its way, and the flight, in metres. `head_m` (n,): what each start costs, in metres.

    No way is shorter than the straight line: once the best way is shorter than the next straight one, it is the best of all.
    """
    plane = paths.city.plane
    origin, destination = plane.to_point(order.origin), plane.to_point(order.destination)
    trip_m = np.array([origin, destination])
    away = spots_m - trip_m[0]
    least_m = np.hypot(away[:, 0], away[:, 1]) + head_m
    first = int(least_m.argmin())
    spot = Point(*spots_m[first].tolist())
    straight_m = distance_m(origin, destination)
    if _is_straight(paths, spot, origin):
        if flight_at_most_m is None:
            flies_straight = _is_straight(paths, origin, destination)
            flight_m = straight_m if flies_straight else paths.length_m(origin, destination)
        else:  # an area in the way makes metres of difference
            flies_straight = flight_at_most_m - straight_m < ROUNDING_M
            flight_m = straight_m if flies_straight else paths.bent_m(origin, destination)
        return first, distance_m(spot, origin), flight_m
    best, best_m, approach_m, flight_m = -1, np.inf, 0.0, 0.0
    nearest = np.argsort(least_m, kind="stable")
    for begin in range(0, len(nearest), WAYS_AT_ONCE):
        rows = nearest[begin : begin + WAYS_AT_ONCE]
        if least_m[rows[0]] >= best_m:
            break
        ends_m = np.concatenate(
            [trip_m[1:], spots_m[rows]]
        )  # the flight is measured along: a call costs more than a way
        ways_m = paths.lengths_m(ends_m, np.broadcast_to(trip_m[0], ends_m.shape))
        flight_m = float(ways_m[0])
        at = int((ways_m[1:] + head_m[rows]).argmin())
        if ways_m[1 + at] + head_m[rows[at]] < best_m:
            best, approach_m = int(rows[at]), float(ways_m[1 + at])
            best_m = approach_m + float(head_m[best])
    return best, approach_m, flight_m


def _is_straight(paths: Paths, a: Point, b: Point) -> bool:
    """Whether the straight line is the way for certain: what most orders ask."""
    return paths.detours is None or paths.detours.is_straight(a, b)


def _length_m(order: Order, paths: Paths) -> float:
    plane = paths.city.plane
    return paths.length_m(plane.to_point(order.origin), plane.to_point(order.destination))


def _eta(now_s: float, seconds: float, confidence: float, basis: str) -> Eta:
    return Eta(at=stamp(now_s + seconds * (1.0 + SLACK_SHARE) + SLACK_S), confidence=confidence, basis=basis)
