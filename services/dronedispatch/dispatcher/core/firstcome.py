"""Policies that take the orders one by one, in order of arrival: `nearest` and `greedy`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dronedispatch.dispatcher.core.fitness import margins
from dronedispatch.dispatcher.core.orders import Orders
from dronedispatch.dispatcher.core.roster import Array, Roster
from dronedispatch.dispatcher.core.world import World
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG, DroneType
from dronedispatch.fleet.paths import paths_of

BUCKET_M = 200.0  # pick_drone takes drones of one bucket for equally far

Pick = Callable[[World, Roster, Orders, int, "Array", "Array"], int]


def assign_in_order(world: World, roster: Roster, orders: Orders, pick: Pick) -> list[tuple[int, int]]:
    """(drone, order) rows: for each order the drone that `pick` chooses of those that fit and are left."""
    free = np.ones(len(roster), dtype=np.bool_)
    pairs: list[tuple[int, int]] = []
    paths = paths_of(world.city)
    for row in range(len(orders)):
        if not free.any():
            break
        here = np.broadcast_to(orders.origin_m[row], roster.xy_m.shape)
        fetch_m = paths.lengths_m(roster.xy_m, here)
        fit = margins(
            world.flight,
            battery_pct=roster.battery_pct,
            payload_max_kg=roster.payload_max_kg,
            weight_kg=orders.weight_kg[row],
            fetch_m=fetch_m,
            carry_m=orders.carry_m[row],
            retreat_m=orders.retreat_m[row],
        ).fit
        candidates = np.flatnonzero(fit & free)
        if not candidates.size:
            continue
        chosen = pick(world, roster, orders, row, candidates.astype(np.float64), fetch_m)
        if chosen >= 0:
            free[chosen] = False
            pairs.append((chosen, row))
    return pairs


def pick_nearest(world: World, roster: Roster, orders: Orders, row: int, among: Array, fetch_m: Array) -> int:
    """The nearest; of equals the one with the least payload."""
    rows = among.astype(np.int64)
    return int(rows[np.lexsort((roster.payload_max_kg[rows], fetch_m[rows]))[0]])


def class_for(weight_kg: float) -> DroneType:
    """The lightest class that carries the parcel."""
    return next((kind for kind in DroneType if weight_kg <= PAYLOAD_MAX_KG[kind]), DroneType.HEAVY)


def pick_drone(world: World, roster: Roster, orders: Orders, row: int, among: Array, fetch_m: Array) -> int:
    """The first system's rule: exact class only, by (distance bucket, zone rank, lowest battery); -1: none."""
    exact = PAYLOAD_MAX_KG[class_for(float(orders.weight_kg[row]))]
    rows = among.astype(np.int64)
    rows = rows[roster.payload_max_kg[rows] == exact]
    if not rows.size:
        return -1
    city = world.city
    home = city.zone_of(orders.deliveries[row].origin)
    ranks = np.array([city.zone_rank(city.zone_of(roster.drones[i].at), home) for i in rows.tolist()])
    order = np.lexsort((roster.battery_pct[rows], ranks, np.floor(fetch_m[rows] / BUCKET_M)))
    return int(rows[order[0]])
