"""Policies that take the orders one by one, in order of arrival: `nearest` and `greedy`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dronedispatch.dispatcher.core.feasibility import margins
from dronedispatch.dispatcher.core.fleet_arrays import Array, FleetArrays, Rows
from dronedispatch.dispatcher.core.order_arrays import OrderArrays
from dronedispatch.dispatcher.core.world import World
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG, lightest_for
from dronedispatch.fleet.paths import paths_of

BUCKET_M = 200.0  # pick_drone takes drones of one bucket for equally far

Pick = Callable[[World, FleetArrays, OrderArrays, int, Rows, Array], int]


def who_can(
    world: World, fleet: FleetArrays, orders: OrderArrays, col: int
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """(pickup distance in metres, whether it can fly order `col`) of each drone."""
    origin_m = np.broadcast_to(orders.origin_m[col], fleet.xy_m.shape)
    pickup_m = paths_of(world.city).lengths_m(fleet.xy_m, origin_m)
    fit = margins(
        world.flight,
        battery_pct=fleet.battery_pct,
        payload_max_kg=fleet.payload_max_kg,
        weight_kg=orders.weight_kg[col],
        pickup_m=pickup_m,
        delivery_m=orders.delivery_m[col],
        return_m=orders.return_m[col],
    ).fit
    return pickup_m, fit


def assign_in_order(
    world: World, fleet: FleetArrays, orders: OrderArrays, pick: Pick
) -> list[tuple[int, int]]:
    """(drone, order) rows: for each order the drone that `pick` chooses of those that fit and are left; -1: none."""
    free = np.ones(len(fleet), dtype=np.bool_)
    pairs: list[tuple[int, int]] = []
    for col in range(len(orders)):
        if not free.any():
            break
        pickup_m, fit = who_can(world, fleet, orders, col)
        candidates = np.flatnonzero(fit & free)
        if not candidates.size:
            continue
        chosen = pick(world, fleet, orders, col, candidates, pickup_m)
        if chosen >= 0:
            free[chosen] = False
            pairs.append((chosen, col))
    return pairs


def pick_nearest(
    _world: World, fleet: FleetArrays, _orders: OrderArrays, _col: int, among: Rows, pickup_m: Array
) -> int:
    """The nearest; of equals the one with the least payload."""
    return int(among[np.lexsort((fleet.payload_max_kg[among], pickup_m[among]))[0]])


def pick_drone(
    world: World, fleet: FleetArrays, orders: OrderArrays, col: int, among: Rows, pickup_m: Array
) -> int:
    """The first system's rule: exact class only, by (distance bucket, zone rank, lowest battery)."""
    exact = PAYLOAD_MAX_KG[lightest_for(float(orders.weight_kg[col]))]
    among = among[fleet.payload_max_kg[among] == exact]
    if not among.size:
        return -1
    city = world.city
    home = city.zone_of(orders.deliveries[col].origin)
    ranks = np.array([city.zone_rank(city.zone_of(fleet.drones[i].at), home) for i in among.tolist()])
    order = np.lexsort((fleet.battery_pct[among], ranks, np.floor(pickup_m[among] / BUCKET_M)))
    return int(among[order[0]])
