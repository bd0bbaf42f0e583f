"""The state in short, for the gateways' ETA. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from dronedispatch.dispatcher.core.world import DroneSnapshot, World
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.dispatch_state import FREE_MAX, DispatchState, FreeDrone
from dronedispatch.fleet.drones import DroneStatus, lightest_for
from dronedispatch.fleet.paths import paths_of, xy_of
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


def _soonest_free(world: World) -> tuple[FreeDrone, ...]:
    useful = [drone for drone in world.drones if drone.flying and not drone.decommissioned]
    idle = [(0.0, drone, drone.at) for drone in useful if drone.status is DroneStatus.IDLE]
    found = idle[:FREE_MAX]
    if len(found) < FREE_MAX:
        found += _free_later(world, useful)[: FREE_MAX - len(found)]
    return tuple(
        FreeDrone(drone.id, drone.type, world.city.plane.to_latlon(at), round(seconds, 1))
        for seconds, drone, at in found
    )


def _free_later(world: World, useful: Sequence[DroneSnapshot]) -> list[tuple[float, DroneSnapshot, Point]]:
    """Seconds until each busy drone has brought its parcel, who it is, and where it then is; soonest first."""
    deliveries = {delivery.id: delivery for delivery in world.deliveries}
    busy = [
        (drone, delivery)
        for drone in useful
        if drone.status is DroneStatus.BUSY
        and (delivery := deliveries.get(drone.delivery_id or "")) is not None
        and delivery.status in _IN_FLIGHT
    ]
    if not busy:
        return []
    paths = paths_of(world.city)
    at = xy_of([drone.at for drone, _ in busy])
    origins = xy_of([delivery.origin for _, delivery in busy])
    ends = xy_of([delivery.destination for _, delivery in busy])
    fetched = np.array([drone.done >= 1 for drone, _ in busy], dtype=np.bool_)
    starts = np.where(fetched[:, None], at, origins)
    ways_m = np.where(fetched, 0.0, paths.lengths_m(at, origins)) + paths.lengths_m(starts, ends)
    later = sorted(
        (world.flight.flight_s(way_m), drone.id, drone, delivery.destination)
        for way_m, (drone, delivery) in zip(ways_m.tolist(), busy, strict=True)
    )
    return [(seconds, drone, spot) for seconds, _, drone, spot in later]
