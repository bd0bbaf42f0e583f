"""Open orders that no drone of this fleet can ever fly as things are, and when to give them up.

A place may have been walled in, a class taken out, a charge point removed since the order was accepted. Such an order waits
with its reason, because what was changed may be changed back, and fails after `give_up_after_s`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dronedispatch.dispatcher.core.advance import PICKED_UP
from dronedispatch.dispatcher.core.feasibility import needed_pct
from dronedispatch.dispatcher.core.order_ways import OrderWays
from dronedispatch.dispatcher.core.plan import Fail, Free, Hold, Undo
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG, DroneStatus, DroneType
from dronedispatch.fleet.limits import trip_of, why_nobody, why_not_by_class
from dronedispatch.fleet.paths import paths_of, xy_of


@dataclass
class GivenUp:
    """`reasons`: delivery -> why. The intents for those that must not go on as they are."""

    reasons: dict[str, str] = field(default_factory=dict)
    fails: list[Fail] = field(default_factory=list)
    undos: list[Undo] = field(default_factory=list)
    frees: list[Free] = field(default_factory=list)


def why_unflyable(world: World, drones: Iterable[DroneSnapshot], delivery: DeliverySnapshot) -> str | None:
    """Why no drone can ever fly this pending order; None: one can, sooner or later."""
    paths = paths_of(world.city)
    plane = world.city.plane
    for name, place in (("origin", delivery.origin), ("destination", delivery.destination)):
        reason = world.city.why_not_here(plane.to_latlon(place)) or paths.why_not_reached(place)
        if reason is not None:
            return f"its {name} {reason}"
    if (reason := paths.why_no_way(delivery.origin, delivery.destination)) is not None:
        return f"its destination {reason}"
    trip = trip_of(paths, delivery.origin, delivery.destination)
    if (reason := why_nobody(world.flight, trip, delivery.weight_kg)) is not None:
        return reason
    able = {
        kind for kind, why in why_not_by_class(world.flight, trip, delivery.weight_kg).items() if why is None
    }
    fleet = [drone for drone in drones if drone.type in able]
    here = paths.regions(np.array([delivery.origin], dtype=np.float64))[0]
    regions = paths.regions(xy_of([drone.at for drone in fleet])).tolist()
    if any(
        region == here and _in_service(world, drone) for drone, region in zip(fleet, regions, strict=True)
    ):
        return None
    classes = " or ".join(kind for kind in DroneType if kind in able)
    out = sum(drone.decommissioned for drone in fleet)
    return (
        f"no {classes} drone is in service that could reach it ({len(fleet)} there, {out} of them taken out)"
    )


def _in_service(world: World, drone: DroneSnapshot) -> bool:
    """Whether it may take an order one day, without anybody's doing."""
    if drone.decommissioned or not drone.flying or drone.ticks_missed >= world.tuning.silent_ticks:
        return False
    return world.tuning.autoscale or drone.status not in (DroneStatus.INACTIVE, DroneStatus.RETIRING)


def give_up(
    world: World,
    drones: Mapping[str, DroneSnapshot],
    deliveries: Sequence[DeliverySnapshot],
    holds: Sequence[Hold],
    taken: frozenset[str],
    ways: OrderWays,
) -> GivenUp:
    """`holds`: of the round; those for no drone are asked about. `taken`: drones and deliveries with intents already."""
    found = GivenUp()
    by_id = {delivery.id: delivery for delivery in deliveries}
    left = [by_id[hold.delivery_id] for hold in holds if hold.drone_id is None]
    for delivery in _doubtful(world, drones.values(), left, ways):
        reason = why_unflyable(world, drones.values(), delivery)
        if reason is not None:
            found.reasons[delivery.id] = reason
            if _over(world, delivery.id):
                found.fails.append(Fail(delivery.id, delivery.version, None, None, reason))
    _on_the_way(world, drones, deliveries, taken, found, ways)
    return found


def _doubtful(
    world: World, drones: Iterable[DroneSnapshot], left: Sequence[DeliverySnapshot], ways: OrderWays
) -> list[DeliverySnapshot]:
    """Those that no drone in service could fly from a charge point: all at once, since a backlog may be long."""
    if not left:
        return []
    paths, flight = ways.paths, world.flight
    origins, destinations = (xy_of([getattr(d, end) for d in left]) for end in ("origin", "destination"))
    weights = np.array([delivery.weight_kg for delivery in left])
    delivery_m, from_stop_m, to_stop_m = ways.of(left)
    pickup_m, return_m = (to_m.min(axis=1, initial=np.inf) for to_m in (from_stop_m, to_stop_m))
    regions = paths.regions(origins)
    fleet = [drone for drone in drones if _in_service(world, drone)]
    places = paths.regions(xy_of([drone.at for drone in fleet])) if paths.divided else np.zeros(len(fleet))
    served = {(drone.type, int(region)) for drone, region in zip(fleet, places.tolist(), strict=True)}
    fine = np.zeros(len(left), dtype=np.bool_)
    for kind in DroneType:
        here = np.isin(regions if paths.divided else 0 * regions, [r for k, r in served if k is kind])
        needed = needed_pct(
            flight,
            payload_max_kg=np.array(PAYLOAD_MAX_KG[kind]),
            weight_kg=weights,
            pickup_m=pickup_m,
            delivery_m=delivery_m,
            return_m=return_m,
        )
        fine |= here & (needed <= 100.0) & (weights <= PAYLOAD_MAX_KG[kind])
    fine &= world.city.inside(origins) & world.city.inside(destinations)
    return [delivery for delivery, ok in zip(left, fine.tolist(), strict=True) if not ok]


def _over(world: World, delivery_id: str) -> bool:
    """A clock that is set to another time gives nobody up."""
    for_s = world.unflyable_for_s.get(delivery_id)
    return for_s is not None and for_s >= world.tuning.give_up_after_s


def _on_the_way(
    world: World,
    drones: Mapping[str, DroneSnapshot],
    deliveries: Sequence[DeliverySnapshot],
    taken: frozenset[str],
    found: GivenUp,
    ways: OrderWays,
) -> None:
    """Orders whose drone has no way to where it goes any more."""
    moving = [d for d in deliveries if d.status in (DeliveryStatus.ASSIGNED, DeliveryStatus.IN_PROGRESS)]
    if not ways.paths.divided:  # then only an end that nobody flies to can be cut off
        origins, ends = ways.regions(moving)
        moving = [moving[k] for k in np.flatnonzero((ends < 0) | (origins != ends)).tolist()]
    flown = [
        (delivery, drone)
        for delivery in moving
        if (drone := drones.get(delivery.drone_id or "")) is not None
        and delivery.id not in taken
        and drone.id not in taken
    ]
    if not flown:
        return
    for (delivery, drone), cut in zip(flown, _cut_off(ways, flown), strict=True):
        if not cut:
            continue
        reason = f"no way leads {drone.id} to it any more: no-fly areas or the boundary are between them"
        if drone.done < PICKED_UP and delivery.status is DeliveryStatus.ASSIGNED:
            found.undos.append(Undo(delivery.id, delivery.version, drone.id, reason))
            found.frees.append(Free(drone.id, drone.version, reason, after_delivery=delivery.id))
            continue
        reason = "its destination cannot be reached any more: no-fly areas or the boundary are before it"
        found.reasons[delivery.id] = reason
        if delivery.status is DeliveryStatus.IN_PROGRESS and _over(world, delivery.id):
            found.fails.append(Fail(delivery.id, delivery.version, drone.id, drone.last_at, reason))
            found.frees.append(Free(drone.id, drone.version, reason, after_delivery=delivery.id))


def _cut_off(ways: OrderWays, flown: Sequence[tuple[DeliverySnapshot, DroneSnapshot]]) -> list[bool]:
    paths = ways.paths
    origins, ends = ways.regions([delivery for delivery, _ in flown])
    fetched = np.array([drone.done >= PICKED_UP for _, drone in flown], dtype=np.bool_)
    cut = (ends < 0) | (~fetched & (origins != ends))
    seen = np.array([drone.flying for _, drone in flown], dtype=np.bool_)
    maybe = np.flatnonzero(~cut & seen) if paths.divided else np.zeros(0, dtype=np.int64)
    here = paths.regions(xy_of([flown[i][1].at for i in maybe.tolist()]))
    for i, region in zip(maybe.tolist(), here.tolist(), strict=True):
        cut[i] = region != ends[i]
    return [bool(one) for one in cut]
