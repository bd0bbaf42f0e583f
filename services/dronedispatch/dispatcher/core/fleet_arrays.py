"""The drones that a round counts with, as arrays: where and when each is free, with what battery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from dronedispatch.dispatcher.core.advance import PICKED_UP, holds
from dronedispatch.dispatcher.core.reconcile import why_silent
from dronedispatch.dispatcher.core.tuning import Policy, Tuning
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG, DroneStatus
from dronedispatch.fleet.paths import Paths, xy_of
from dronedispatch.fleet.positions import Point, distance_m

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
RECORD_AGE_S = 5.0  # a drone that merely moves is stored every DRONE_SIM_STORE_TICKS ticks
LAG_SHARE = 2.0  # of how long rounds take lately: this one may take longer, and the drone hears after it
_TAKING = (DroneStatus.IDLE, DroneStatus.CHARGING)


class Stance(IntEnum):
    """How free a drone is."""

    NOW = 0  # idle, or on its way to a charge point: starts from where it is
    PLUGGED = 1  # charging: may leave at once, or later with more
    HELD = 2  # flies to a pick-up that may still go to another drone
    LATER = 3  # free after its drop-off


@dataclass(frozen=True)
class FleetArrays:
    """Row i of every array is `drones[i]`; sorted by id, so that no answer depends on the order of the input.

    `xy_m`, `ready_s` (from now), `battery_pct`: where, when and with what a drone is free; for LATER the battery after the
    greatest consumption of the way. `holding[i]`: the order that a HELD drone flies to.
    """

    drones: Sequence[DroneSnapshot]
    stance: Rows
    xy_m: Array  # (n, 2)
    ready_s: Array
    battery_pct: Array
    payload_max_kg: Array
    holding: Mapping[int, DeliverySnapshot]

    def __len__(self) -> int:
        return len(self.drones)


def why_not_ready(drone: DroneSnapshot, tuning: Tuning) -> str | None:
    """Why the drone takes no order, whatever the order; None: it can start on one now."""
    if (reason := why_not_counted(drone, tuning)) is not None:
        return reason
    if drone.status is DroneStatus.IDLE:
        return None
    if drone.status is DroneStatus.CHARGING and tuning.policy is Policy.LOOKAHEAD:
        return None
    return f"status is {drone.status}"


def why_not_counted(drone: DroneSnapshot, tuning: Tuning) -> str | None:
    """Why the drone takes no order, now or after what it does."""
    if drone.decommissioned:
        return "is decommissioned"
    if not drone.flying:
        return "has never reported its position"
    if drone.ticks_missed >= tuning.silent_ticks:
        return why_silent(drone)
    if drone.status not in (*_TAKING, DroneStatus.BUSY):
        return f"status is {drone.status}"
    return None


def ready_fleet(drones: Sequence[DroneSnapshot], tuning: Tuning) -> FleetArrays:
    """The drones that can start now, without looking ahead."""
    ready = [drone for drone in drones if why_not_ready(drone, tuning) is None]
    count = len(ready)
    return FleetArrays(
        drones=ready,
        stance=np.full(count, Stance.NOW, dtype=np.int64),
        xy_m=xy_of([drone.at for drone in ready]),
        ready_s=np.zeros(count),
        battery_pct=np.array([drone.battery_pct for drone in ready], dtype=np.float64),
        payload_max_kg=np.array([PAYLOAD_MAX_KG[drone.type] for drone in ready], dtype=np.float64),
        holding={},
    )


def lookahead_fleet(
    world: World, drones: Sequence[DroneSnapshot], deliveries: Mapping[str, DeliverySnapshot], paths: Paths
) -> FleetArrays:
    """All drones that are free or will be, `drones` sorted by id."""
    counted: list[DroneSnapshot] = []
    stances: list[Stance] = []
    spots: list[Point] = []
    holding: dict[int, DeliverySnapshot] = {}
    hops: list[tuple[int, Point, Point]] = []  # (row, from, to): what LATER drones still fly
    for drone in drones:
        if why_not_counted(drone, world.tuning) is not None:
            continue
        row = len(counted)
        if drone.status is not DroneStatus.BUSY:
            stances.append(Stance.NOW if drone.station is None else Stance.PLUGGED)
            spots.append(drone.at)
        else:
            delivery = deliveries.get(drone.delivery_id or "")
            if delivery is None or delivery.drone_id != drone.id or not holds(drone, delivery):
                continue
            if _may_swap(world, drone, delivery):
                stances.append(Stance.HELD)
                spots.append(drone.at)
                holding[row] = delivery
            else:
                stances.append(Stance.LATER)
                spots.append(delivery.destination)
                start = drone.at
                if drone.done < PICKED_UP:
                    hops.append((row, drone.at, delivery.origin))
                    start = delivery.origin
                hops.append((row, start, delivery.destination))
        counted.append(drone)
    battery = np.array([drone.battery_pct for drone in counted], dtype=np.float64)
    left_m = _left_m(len(counted), hops, paths)
    per_m = world.flight.planned_pct(1.0) * (1.0 + world.flight.payload_share)
    return FleetArrays(
        drones=counted,
        stance=np.array(stances, dtype=np.int64),
        xy_m=xy_of(spots),
        ready_s=left_m / world.flight.cruise_mps,
        battery_pct=battery - left_m * per_m,
        payload_max_kg=np.array([PAYLOAD_MAX_KG[drone.type] for drone in counted], dtype=np.float64),
        holding=holding,
    )


def _left_m(count: int, hops: Sequence[tuple[int, Point, Point]], paths: Paths) -> Array:
    left = np.zeros(count)
    if hops:
        lengths = paths.lengths_m(
            xy_of([hop[1] for hop in hops]),
            xy_of([hop[2] for hop in hops]),
        )
        np.add.at(left, [hop[0] for hop in hops], lengths)
    return left


def _may_swap(world: World, drone: DroneSnapshot, delivery: DeliverySnapshot) -> bool:
    """Whether another drone may still get its order: it is far from the pick-up, and the order has not moved often.

    Far: it does not come there while this round decides and writes, however slow rounds are at the moment.
    """
    if drone.done or delivery.status is not DeliveryStatus.ASSIGNED:
        return False
    if delivery.undone >= world.tuning.swaps_max:
        return False
    away_s = world.flight.flight_s(distance_m(drone.at, delivery.origin))
    unseen_s = 0.0 if drone.heard else RECORD_AGE_S
    return away_s > world.tuning.swap_guard_s + unseen_s + LAG_SHARE * world.lag_s
