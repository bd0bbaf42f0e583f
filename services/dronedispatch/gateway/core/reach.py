"""Whether the fleet can serve an order at all: its places, the way between them, and the drones' limits."""

from __future__ import annotations

import numpy as np

from dronedispatch.fleet.energy import FlightModel
from dronedispatch.fleet.limits import Trip, can_somebody, trip_of, why_nobody
from dronedispatch.fleet.paths import Paths
from dronedispatch.gateway.core.order import Order
from dronedispatch.gateway.core.refusal import BadField


def sure_flight_m(order: Order, paths: Paths, flight: FlightModel) -> float | None:
    """How long the flight is at most, if the places of the order, and the ways between, are such as the fleet serves.

    None: that is not certain. `refuse_trip` and `refuse_unserved` know; they cost several times as much.
    """
    if paths.detours is None:
        return None
    plane = paths.city.plane
    at_most = Trip(
        *paths.detours.trip_at_most_m(plane.to_point(order.origin), plane.to_point(order.destination))
    )
    return at_most.delivery_m if can_somebody(flight, at_most, order.weight_kg) else None


def refuse_unserved(order: Order, paths: Paths, flight: FlightModel) -> None:
    """Raises BadField with the reason: a place walled in, no way between both, a trip beyond every class.

    Both places are in the city (`refuse_trip`).
    """
    origin, destination = (paths.city.plane.to_point(pos) for pos in (order.origin, order.destination))
    paths.regions(np.array([origin, destination]))  # both in one look-up: what is asked below is then known
    for field, place in (("origin", origin), ("destination", destination)):
        if (reason := paths.why_not_reached(place)) is not None:
            raise BadField(field, reason)
    if (reason := paths.why_no_way(origin, destination)) is not None:
        raise BadField("destination", reason)
    if (reason := why_nobody(flight, trip_of(paths, origin, destination), order.weight_kg)) is not None:
        raise BadField("destination", reason)
