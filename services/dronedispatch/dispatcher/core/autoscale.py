"""autoscale_by_type: how many drones of each class are in service follows the backlog of that class.

A class is wanted for the orders that no lighter class carries. Heavier classes help lighter ones, so a backlog that
a class cannot cover alone wakes the next heavier class too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from dronedispatch.dispatcher.core.firstcome import class_for
from dronedispatch.dispatcher.core.plan import SetStatus
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.drones import DroneStatus, DroneType

_WAITING = (DroneStatus.IDLE, DroneStatus.CHARGING)


def autoscale_by_type(
    world: World, now_s: float, drones: Mapping[str, DroneSnapshot], pending: Sequence[DeliverySnapshot]
) -> tuple[list[SetStatus], list[str]]:
    """(activations, ids of idle drones that may retire), of every class.

    Kept in reserve, idle or charging: `ready_share` of the class, and one for each waiting order.
    """
    activations: list[SetStatus] = []
    retiring: list[str] = []
    in_service: dict[DroneType, list[DroneSnapshot]] = {kind: [] for kind in DroneType}
    for drone in drones.values():
        if not drone.decommissioned:
            in_service[drone.type].append(drone)
    backlog = Counter(class_for(delivery.weight_kg) for delivery in pending)
    uncovered = 0
    for kind in DroneType:
        members = in_service[kind]
        waiting = [drone for drone in members if drone.status in _WAITING]
        orders = backlog[kind]
        wanted = math.ceil(world.tuning.ready_share * len(members)) + orders + uncovered
        missing = wanted - len(waiting)
        asleep = [drone for drone in members if _can_wake(drone, world)]
        cause = f"{orders} {kind} orders wait"
        activations += [
            SetStatus(drone.id, drone.version, DroneStatus.IDLE, cause) for drone in asleep[: max(0, missing)]
        ]
        uncovered = max(0, missing - len(asleep))
        if missing < 0 and world.tuning.autoscale:
            retiring += _longest_idle(waiting, now_s - world.tuning.retire_after_s, -missing)
    if not world.tuning.autoscale:
        activations = [
            SetStatus(drone.id, drone.version, DroneStatus.IDLE, "in service")
            for drone in drones.values()
            if _can_wake(drone, world)
        ]
    return activations, retiring


def _can_wake(drone: DroneSnapshot, world: World) -> bool:
    asleep = drone.status in (DroneStatus.INACTIVE, DroneStatus.RETIRING)
    return (
        asleep
        and drone.flying
        and not drone.decommissioned
        and drone.ticks_missed < world.tuning.silent_ticks
    )


def _longest_idle(waiting: Iterable[DroneSnapshot], before_s: float, count: int) -> list[str]:
    rested = [drone for drone in waiting if drone.status is DroneStatus.IDLE and drone.status_s <= before_s]
    return [drone.id for drone in sorted(rested, key=lambda drone: (drone.status_s, drone.id))[:count]]
