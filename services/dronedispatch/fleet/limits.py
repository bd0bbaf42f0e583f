"""What each class of drones can fly at all: full from the best charge point, with the parcel, and on to a charge point.

One question for the gateway that takes an order and for the dispatcher that gives one up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dronedispatch.fleet.drones import PAYLOAD_MAX_KG, DroneType
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.fleet.paths import Paths, no_way
from dronedispatch.fleet.positions import Point


@dataclass(frozen=True, slots=True)
class Trip:
    """The shortest ways that an order takes, in metres: to the origin, with the parcel, on to a charge point."""

    pickup_m: float
    delivery_m: float
    return_m: float

    @property
    def whole_m(self) -> float:
        return self.pickup_m + self.delivery_m + self.return_m


def trip_of(paths: Paths, origin: Point, destination: Point) -> Trip:
    """Both can be reached. Charge points at both ends are the nearest ones."""
    trips = paths.trips_m(np.array([origin], dtype=np.float64), np.array([destination], dtype=np.float64))
    return Trip(*trips[0].tolist())


def needed_pct(flight: FlightModel, trip: Trip, weight_kg: float, kind: DroneType) -> float:
    """The battery that `kind` must start with, the reserve included."""
    return (
        flight.reserve_pct
        + flight.planned_pct(trip.pickup_m + trip.return_m)
        + flight.planned_pct(trip.delivery_m, weight_kg, PAYLOAD_MAX_KG[kind])
    )


def why_not_by_class(flight: FlightModel, trip: Trip, weight_kg: float) -> dict[DroneType, str | None]:
    """For each class why it cannot fly the trip; None: it can, when it has charged."""
    reasons: dict[DroneType, str | None] = {}
    cut = bool(no_way(np.array(trip.whole_m)))
    for kind in DroneType:
        needed = needed_pct(flight, trip, weight_kg, kind)
        if weight_kg > PAYLOAD_MAX_KG[kind]:
            reasons[kind] = f"carries {PAYLOAD_MAX_KG[kind]:g} kg at most"
        elif cut:
            reasons[kind] = "has no way"
        elif needed > 100.0:
            reasons[kind] = f"would need {needed:.1f} % of its battery"
        else:
            reasons[kind] = None
    return reasons


def can_somebody(flight: FlightModel, trip: Trip, weight_kg: float) -> bool:
    """Whether a class can fly it, when it has charged: `why_nobody`, without its words. Lengths may be infinite."""
    return any(
        weight_kg <= limit_kg and needed_pct(flight, trip, weight_kg, kind) <= 100.0
        for kind, limit_kg in PAYLOAD_MAX_KG.items()
    )


def why_nobody(flight: FlightModel, trip: Trip, weight_kg: float) -> str | None:
    """Why no class of drones can fly it; None: one can."""
    reasons = why_not_by_class(flight, trip, weight_kg)
    if None in reasons.values():
        return None
    limits = "; ".join(f"{kind}: {reason}" for kind, reason in reasons.items())
    return (
        "cannot be served by any class of drones: the way from a charge point to the origin, to the destination and on to "
        f"a charge point is {trip.whole_m / 1000.0:.1f} km with {weight_kg:g} kg ({limits})"
    )
