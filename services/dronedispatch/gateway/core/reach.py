"""Whether the fleet can serve an order at all: its places, the way between them, and the drones' limits."""

from __future__ import annotations

import numpy as np

from dronedispatch.fleet.energy import FlightModel
from dronedispatch.fleet.limits import Trip, trip_of, why_nobody
from dronedispatch.fleet.paths import Paths
from dronedispatch.gateway.core.order import Order
from dronedispatch.gateway.core.refusal import BadField


def refuse_unserved(order: Order, paths: Paths, flight: FlightModel) -> None:
    """Raises BadField with the reason: a place walled in, no way between both, a trip beyond every class.

    Both places are in the city (`refuse_trip`).
    """
    origin, destination = (paths.city.plane.to_point(pos) for pos in (order.origin, order.destination))
    if paths.detours is not None:  # the ways themselves cost ten times as much, and few orders need them
        at_most_m = paths.detours.trip_at_most_m(np.array(origin), np.array(destination)).tolist()
        if why_nobody(flight, Trip(*at_most_m), order.weight_kg) is None:
            return
    paths.regions(np.array([origin, destination]))  # both in one look-up: what is asked below is then known
    for field, place in (("origin", origin), ("destination", destination)):
        if (reason := paths.why_not_reached(place)) is not None:
            raise BadField(field, reason)
    if (reason := paths.why_no_way(origin, destination)) is not None:
        raise BadField("destination", reason)
    if (reason := why_nobody(flight, trip_of(paths, origin, destination), order.weight_kg)) is not None:
        raise BadField("destination", reason)
