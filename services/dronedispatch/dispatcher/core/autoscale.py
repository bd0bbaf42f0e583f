"""autoscale_by_type: how many drones of each class are in service follows the backlog of that class.

A class is wanted for the orders that no lighter class carries. Heavier classes help lighter ones, so a backlog that
a class cannot cover alone wakes the next heavier class too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from dronedispatch.dispatcher.core.fleet_cache import KINDS, FleetCache, Mask
from dronedispatch.dispatcher.core.plan import SetStatus
from dronedispatch.dispatcher.core.world import DeliverySnapshot, World
from dronedispatch.fleet.drones import DroneStatus, DroneType, lightest_for


def autoscale_by_type(
    world: World, now_s: float, cached: FleetCache, pending: Sequence[DeliverySnapshot]
) -> tuple[list[SetStatus], list[str]]:
    """(activations, ids of idle drones that may retire), of every class.

    Kept in reserve, idle or charging: `ready_share` of the class, and one for each waiting order; and for each waiting
    order one that is idle, for those that charge are late.
    """
    activations: list[SetStatus] = []
    retiring: list[str] = []
    backlog = Counter(lightest_for(delivery.weight_kg) for delivery in pending)
    members = _by_kind(cached, cached.in_service)
    waiting = _by_kind(cached, cached.in_service & (cached.idle | cached.charging))
    idle = _by_kind(cached, cached.in_service & cached.idle)
    uncovered = 0
    for kind in DroneType:
        orders = backlog[kind]
        unserved = orders + uncovered
        wanted = math.ceil(world.tuning.ready_share * members[KINDS[kind]]) + unserved
        missing = max(wanted - waiting[KINDS[kind]], unserved - idle[KINDS[kind]])
        sleepers = np.flatnonzero(cached.asleep & (cached.kind == KINDS[kind]))
        cause = f"{orders} {kind} orders wait"
        activations += [
            SetStatus(drone.id, drone.version, DroneStatus.IDLE, cause)
            for drone in cached.at(sleepers[: max(0, missing)])
        ]
        uncovered = max(0, missing - len(sleepers))
        if missing < 0 and world.tuning.autoscale:
            retiring += _longest_idle(cached, kind, now_s - world.tuning.retire_after_s, -missing)
    if not world.tuning.autoscale:
        activations = [
            SetStatus(drone.id, drone.version, DroneStatus.IDLE, "in service")
            for drone in cached.at(np.flatnonzero(cached.asleep))
        ]
    return activations, retiring


def _by_kind(cached: FleetCache, among: Mask) -> list[int]:
    """How many of each class."""
    counts: list[int] = np.bincount(cached.kind[among], minlength=len(KINDS)).tolist()
    return counts


def _longest_idle(cached: FleetCache, kind: DroneType, before_s: float, count: int) -> list[str]:
    rested = np.flatnonzero(
        cached.in_service & cached.idle & (cached.kind == KINDS[kind]) & (cached.status_s <= before_s)
    )
    longest = rested[np.argsort(cached.status_s[rested], kind="stable")[:count]]
    return [drone.id for drone in cached.at(longest)]
