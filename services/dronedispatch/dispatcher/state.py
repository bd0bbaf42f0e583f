"""The picture in short, for the gateways' ETA. Pure."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from dronedispatch.dispatcher.core.world import DeliveryView, DroneView, World
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.dispatch_state import FREE_MAX, DispatchState, FreeDrone
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG, DroneStatus, DroneType
from dronedispatch.fleet.paths import paths_of
from dronedispatch.fleet.positions import Point

_IN_FLIGHT = (DeliveryStatus.ASSIGNED, DeliveryStatus.IN_PROGRESS)


def state_of(world: World, *, at: str, term: int) -> DispatchState:
    """What the active dispatcher publishes about `world`."""
    by_status = Counter(delivery.status for delivery in world.deliveries)
    pending = [d for d in world.deliveries if d.status is DeliveryStatus.PENDING]
    return DispatchState(
        at=at,
        term=term,
        policy=world.tuning.policy,
        speed_mps=world.flight.cruise_mps,
        pending=by_status[DeliveryStatus.PENDING],
        assigned=by_status[DeliveryStatus.ASSIGNED],
        in_progress=by_status[DeliveryStatus.IN_PROGRESS],
        pending_by_type=dict(Counter(lightest_for(delivery.weight_kg) for delivery in pending)),
        drones=dict(Counter(drone.status for drone in world.drones)),
        free=_soonest_free(world),
    )


def lightest_for(weight_kg: float) -> DroneType:
    """The lightest class that carries it (the heaviest one for what none carries)."""
    return next((kind for kind, limit in PAYLOAD_MAX_KG.items() if weight_kg <= limit), DroneType.HEAVY)


def _soonest_free(world: World) -> tuple[FreeDrone, ...]:
    useful = [drone for drone in world.drones if drone.flying and not drone.decommissioned]
    idle = [(0.0, drone, drone.at) for drone in useful if drone.status is DroneStatus.IDLE]
    found = idle[:FREE_MAX]
    if len(found) < FREE_MAX:
        deliveries = {delivery.id: delivery for delivery in world.deliveries}
        busy = [
            (*_free_in(world, drone, deliveries[drone.delivery_id]), drone)
            for drone in useful
            if drone.status is DroneStatus.BUSY
            and drone.delivery_id in deliveries
            and deliveries[drone.delivery_id].status in _IN_FLIGHT
        ]
        later = sorted((seconds, drone.id, drone, at) for seconds, at, drone in busy)
        found += [(seconds, drone, at) for seconds, _, drone, at in later[: FREE_MAX - len(found)]]
    return tuple(
        FreeDrone(drone.id, drone.type, world.city.plane.to_latlon(at), round(seconds, 1))
        for seconds, drone, at in found
    )


def _free_in(world: World, drone: DroneView, delivery: DeliveryView) -> tuple[float, Point]:
    """Seconds until the drone has brought its parcel, and where it then is."""
    ahead = [drone.at, delivery.origin, delivery.destination]
    if drone.done >= 1:
        del ahead[1]
    paths = paths_of(world.city)
    way_m = sum(paths.length_m(a, b) for a, b in pairwise(ahead))
    return world.flight.flight_s(way_m), delivery.destination
