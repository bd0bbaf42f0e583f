"""When a new order will be delivered: from the dispatcher's published state, or, without it, from the distance alone.

The estimate is start + approach + flight, with a slack on top. The stated confidence is measured (fleet/promises.py). Once
a drone is assigned, the dispatcher knows better (dispatcher/etas.py).
"""

from __future__ import annotations

import numpy as np

from dronedispatch.fleet.deliveries import Eta
from dronedispatch.fleet.dispatch_state import DispatchState
from dronedispatch.fleet.documents import stamp, unstamp
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG, DroneType
from dronedispatch.fleet.paths import Paths
from dronedispatch.fleet.promises import Record
from dronedispatch.gateway.core.order import Order

SLACK_SHARE = 0.25  # of the estimate: re-planning, headwind of the queue
SLACK_S = 2.0  # ticks, rounds and messages on the way
STALE_S = 15.0  # an older state of the dispatcher says nothing about now
BLIND_CONFIDENCE = 0.3
BLIND_APPROACH_SHARE = (
    0.35  # of the city's diameter: about the way to the nearest drone of a small, spread fleet
)


def estimate(
    order: Order, *, now_s: float, paths: Paths, state: DispatchState | None, record: Record, speed_mps: float
) -> Eta:
    """`speed_mps`: metres a real second, for when the dispatcher's state is missing or older than STALE_S."""
    flight_m = _length_m(order, paths)
    if state is None or now_s - unstamp(state.at) > STALE_S:
        seconds = (flight_m + BLIND_APPROACH_SHARE * paths.city.diameter_m) / speed_mps
        return _eta(
            now_s,
            seconds,
            min(BLIND_CONFIDENCE, record.confidence),
            "distance alone: the dispatcher's state is not known",
        )
    flight_s = flight_m / state.speed_mps
    start_s, approach_s = _pickup(order, flight_s, now_s, paths, state)
    basis = f"{sum(state.drones.values())} drones, {state.pending} orders waiting, {record.promised} recent deliveries"
    return _eta(now_s, start_s + approach_s + flight_s, record.confidence, basis)


def lightest_type(weight_kg: float) -> DroneType:
    """The lightest type that carries it. `weight_kg` is at most what the heaviest carries."""
    return min(
        (kind for kind in DroneType if PAYLOAD_MAX_KG[kind] >= weight_kg),
        key=lambda kind: PAYLOAD_MAX_KG[kind],
    )


def orders_ahead(weight_kg: float, state: DispatchState) -> int:
    """Waiting orders that compete for the drones that could take this one.

    Those of the same or a heavier type, and the part of the lighter ones that finds no free lighter drone.
    """
    own = PAYLOAD_MAX_KG[lightest_type(weight_kg)]
    equals = sum(n for kind, n in state.pending_by_type.items() if PAYLOAD_MAX_KG[kind] >= own)
    lighter = sum(n for kind, n in state.pending_by_type.items() if PAYLOAD_MAX_KG[kind] < own)
    free_lighter = sum(1 for drone in state.free if PAYLOAD_MAX_KG[drone.type] < own)
    return equals + max(0, lighter - free_lighter)


def _pickup(
    order: Order, flight_s: float, now_s: float, paths: Paths, state: DispatchState
) -> tuple[float, float]:
    """(seconds until a drone sets out, seconds of its way to the origin)."""
    able = [drone for drone in state.free if PAYLOAD_MAX_KG[drone.type] >= order.weight_kg]
    blind_s = BLIND_APPROACH_SHARE * paths.city.diameter_m / state.speed_mps
    ahead = orders_ahead(order.weight_kg, state)
    if not able:
        return (ahead + 1) * (flight_s + blind_s), blind_s
    age_s = max(0.0, now_s - unstamp(state.at))
    turns, taken = divmod(ahead, len(able))
    soonest = sorted(able, key=lambda drone: (drone.free_in_s, drone.id))[taken:]
    plane = paths.city.plane
    spots = np.array([plane.to_point(drone.pos) for drone in soonest], dtype=np.float64)
    origins = np.broadcast_to(np.array(plane.to_point(order.origin), dtype=np.float64), spots.shape)
    starts_s = np.maximum(0.0, np.array([drone.free_in_s for drone in soonest]) - age_s)
    approaches_s = paths.lengths_m(spots, origins) / state.speed_mps
    best = int((starts_s + approaches_s).argmin())
    start_s, approach_s = float(starts_s[best]), float(approaches_s[best])
    return start_s + turns * (flight_s + blind_s), approach_s


def _length_m(order: Order, paths: Paths) -> float:
    plane = paths.city.plane
    return paths.length_m(plane.to_point(order.origin), plane.to_point(order.destination))


def _eta(now_s: float, seconds: float, confidence: float, basis: str) -> Eta:
    return Eta(at=stamp(now_s + seconds * (1.0 + SLACK_SHARE) + SLACK_S), confidence=confidence, basis=basis)
