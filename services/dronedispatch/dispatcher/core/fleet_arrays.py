"""The drones that a round counts with, as arrays: where and when each is free, with what battery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from dronedispatch.dispatcher.core.advance import PICKED_UP
from dronedispatch.dispatcher.core.fleet_cache import FleetCache, ReadyDrones
from dronedispatch.dispatcher.core.flown import flown_of
from dronedispatch.dispatcher.core.readiness import why_not_ready
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG
from dronedispatch.fleet.paths import xy_of
from dronedispatch.fleet.positions import Point, distance_m

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
RECORD_AGE_S = 5.0  # a drone that merely moves is stored every DRONE_SIM_STORE_TICKS ticks
LAG_SHARE = 2.0  # of how long rounds take lately: this one may take longer, and the drone hears after it


def blind_s(world: World, drone: DroneSnapshot) -> float:
    """How long the drone flies between the place that is known of it and the moment that it hears of this round."""
    record_s = 0.0 if drone.heard else RECORD_AGE_S
    return record_s + world.unheard_s.get(drone.id, 0.0) + LAG_SHARE * world.lag_s


class Stance(IntEnum):
    """How free a drone is."""

    NOW = 0  # idle, or on its way to a charge point: starts from where it is
    PLUGGED = 1  # charging: may leave at once, or later with more
    HELD = 2  # flies to a pick-up that may still go to another drone
    LATER = 3  # free after its drop-off


@dataclass(frozen=True)
class FleetArrays:
    """Row i of every array is `drones[i]`; sorted by id, so that no answer depends on the order of the input.

    `xy_m`, `ready_s` (from now), `battery_pct`: where, when and with what a drone is free; for LATER the last two as
    `until_free` has them. `unseen_pct`: what it may cost one that is free but flies that it is no longer where it was seen.
    `holding[i]`: the order that a HELD drone flies to; `bringing[i]`: that of a LATER one.
    `rows`: where its drones are in what it was made of (for `lookahead_fleet` the rows of the fleet).
    """

    drones: Sequence[DroneSnapshot]
    stance: Rows
    xy_m: Array  # (n, 2)
    ready_s: Array
    battery_pct: Array
    unseen_pct: Array
    payload_max_kg: Array
    holding: Mapping[int, DeliverySnapshot]
    bringing: Mapping[int, DeliverySnapshot]
    rows: Rows

    def __len__(self) -> int:
        return len(self.drones)


def ready_fleet(drones: Sequence[DroneSnapshot], tuning: Tuning) -> FleetArrays:
    """The drones that can start now, without looking ahead."""
    places = [k for k, drone in enumerate(drones) if why_not_ready(drone, tuning) is None]
    ready = [drones[k] for k in places]
    count = len(ready)
    return FleetArrays(
        drones=ready,
        stance=np.full(count, Stance.NOW, dtype=np.int64),
        xy_m=xy_of([drone.at for drone in ready]),
        ready_s=np.zeros(count),
        battery_pct=np.array([drone.battery_pct for drone in ready], dtype=np.float64),
        unseen_pct=np.zeros(count),
        payload_max_kg=np.array([PAYLOAD_MAX_KG[drone.type] for drone in ready], dtype=np.float64),
        holding={},
        bringing={},
        rows=np.array(places, dtype=np.int64),
    )


def lookahead_fleet(
    world: World, ready: ReadyDrones, deliveries: Mapping[str, DeliverySnapshot]
) -> FleetArrays:
    """All drones that are free or will be, of those that are `ready`; when the latter will be is for `until_free` to say."""
    cached = ready.cached
    held: dict[int, DeliverySnapshot] = {}  # by row of the cache
    brought: dict[int, DeliverySnapshot] = {}
    flown = flown_of(deliveries, cached)
    counted = np.flatnonzero(cached.counted[flown.rows] & ready.mask[flown.rows])
    counted = counted[np.argsort(flown.rows[counted])]
    for row, k in zip(flown.rows[counted].tolist(), flown.held[counted].tolist(), strict=True):
        delivery = flown.orders[k]
        (held if _may_swap(world, cached.views[row], delivery) else brought)[row] = delivery
    free = np.flatnonzero(cached.counted & ~cached.busy & ready.mask)
    rows = np.sort(np.concatenate([free, np.array([*held, *brought], dtype=np.int64)]))
    holding, bringing = (
        dict(zip(np.searchsorted(rows, list(some)).tolist(), some.values(), strict=True))
        for some in (held, brought)
    )
    stance = np.where(cached.plugged[rows], int(Stance.PLUGGED), int(Stance.NOW))
    stance[list(holding)], stance[list(bringing)] = Stance.HELD, Stance.LATER
    xy_m = cached.xy_m[rows]
    xy_m[list(bringing)] = xy_of([delivery.destination for delivery in brought.values()])
    unseen_m = np.zeros(len(rows))  # there and back: it is further away than we know, and has flown for it
    for place in np.flatnonzero((stance == Stance.NOW) & cached.flies[rows]).tolist():
        unseen_m[place] = 2.0 * world.flight.cruise_mps * blind_s(world, cached.views[rows[place]])
    return FleetArrays(
        drones=cached.at(rows),
        stance=stance,
        xy_m=xy_m,
        ready_s=np.zeros(len(rows)),
        battery_pct=cached.battery_pct[rows],
        unseen_pct=world.flight.planned_pct(1.0) * unseen_m,
        payload_max_kg=cached.payload_max_kg[rows],
        holding=holding,
        bringing=bringing,
        rows=rows,
    )


def until_free(world: World, cached: FleetCache, fleet: FleetArrays, used: Rows) -> FleetArrays:
    """With when LATER drones (of the rows `used`) are free, and their battery after the greatest consumption until then."""
    bringing = _bringing(fleet, used)
    if not bringing:
        return fleet
    rows, stops = _next_stops(fleet, bringing)
    delivery_m, _, _ = cached.order_ways.of(list(bringing.values()))
    fetched = np.array([fleet.drones[place].done >= PICKED_UP for place in bringing], dtype=np.bool_)
    left_m = np.zeros(len(fleet))
    left_m[list(bringing)] = cached.way_m(rows, stops) + np.where(fetched, 0.0, delivery_m)
    per_m = world.flight.planned_pct(1.0) * (1.0 + world.flight.payload_share)
    return replace(
        fleet,
        ready_s=fleet.ready_s + left_m / world.flight.cruise_mps,
        battery_pct=fleet.battery_pct - left_m * per_m,
    )


def ask_until_free(cached: FleetCache, fleet: FleetArrays, used: Rows) -> None:
    """For the ways that `until_free` would have to measure."""
    cached.ask_ways(*_next_stops(fleet, _bringing(fleet, used)))


def _bringing(fleet: FleetArrays, used: Rows) -> dict[int, DeliverySnapshot]:
    later = used[fleet.stance[used] == Stance.LATER]
    return {place: fleet.bringing[place] for place in later.tolist()}


def _next_stops(
    fleet: FleetArrays, bringing: Mapping[int, DeliverySnapshot]
) -> tuple[list[int], list[Point]]:
    """The rows of the cache of these drones, and where each flies now."""
    stops = [
        delivery.destination if fleet.drones[place].done >= PICKED_UP else delivery.origin
        for place, delivery in bringing.items()
    ]
    return fleet.rows[list(bringing)].tolist(), stops


def _may_swap(world: World, drone: DroneSnapshot, delivery: DeliverySnapshot) -> bool:
    """Whether another drone may still get its order: it is far from the pick-up, and the order has not moved often.

    Far: it does not come there while this round decides and writes, however slow rounds are at the moment.
    """
    if drone.done or delivery.status is not DeliveryStatus.ASSIGNED:
        return False
    if delivery.undone >= world.tuning.swaps_max:
        return False
    away_s = world.flight.flight_s(distance_m(drone.at, delivery.origin))
    return away_s > world.tuning.swap_guard_s + blind_s(world, drone)
