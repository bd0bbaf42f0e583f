"""The policies that count with idle drones alone: `greedy`, `nearest`, `matching`. Kept to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dronedispatch.dispatcher.core.feasibility import margins
from dronedispatch.dispatcher.core.firstcome import assign_in_order, pick_drone, pick_nearest
from dronedispatch.dispatcher.core.fleet_arrays import FleetArrays, ready_fleet
from dronedispatch.dispatcher.core.lookahead import Decided
from dronedispatch.dispatcher.core.matching import IMPOSSIBLE_S, cheapest_matching
from dronedispatch.dispatcher.core.order_arrays import OrderArrays, orders_of
from dronedispatch.dispatcher.core.order_ways import OrderWays
from dronedispatch.dispatcher.core.plan import Assign, Hold
from dronedispatch.dispatcher.core.tuning import Policy
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG
from dronedispatch.fleet.paths import paths_of

FULL_PCT = 99.9


def decide_for_idle(
    world: World, now_s: float, drones: Sequence[DroneSnapshot], pending: Sequence[DeliverySnapshot]
) -> Decided:
    """Assign what can start now; idle drones charge by the threshold, and when only their battery forbids an order."""
    fleet = ready_fleet(drones, world.tuning)
    orders = orders_of(pending, OrderWays(paths_of(world.city)))
    if world.tuning.policy is Policy.MATCHING:
        pairs = match_idle(world, fleet, orders)
    else:
        pick = pick_drone if world.tuning.policy is Policy.GREEDY else pick_nearest
        pairs = assign_in_order(world, fleet, orders, pick)
    decided = Decided()
    decided.assigns = [_assign(world, now_s, fleet, orders, row, col) for row, col in pairs]
    rows, cols = {row for row, _ in pairs}, {col for _, col in pairs}
    waiting = [delivery for col, delivery in enumerate(pending) if col not in cols]
    decided.holds = [Hold(delivery.id, None, None, "no idle drone can fly it") for delivery in waiting]
    lightest_kg = min((delivery.weight_kg for delivery in waiting), default=np.inf)
    for row, drone in enumerate(fleet.drones):
        if row in rows:
            continue
        if drone.battery_pct < world.tuning.charge_below_pct:
            decided.to_charge.append((drone, "battery is low"))
        elif lightest_kg <= PAYLOAD_MAX_KG[drone.type] and drone.battery_pct < FULL_PCT:
            decided.to_charge.append((drone, "no battery for the orders that wait"))
    return decided


def match_idle(world: World, fleet: FleetArrays, orders: OrderArrays) -> list[tuple[int, int]]:
    """(drone, order) rows with the least sum of ways to the pick-up."""
    shape = len(fleet), len(orders)
    if not all(shape):
        return []
    pickup_m = paths_of(world.city).matrix_m(fleet.xy_m, orders.origin_m)
    fit = margins(
        world.flight,
        battery_pct=fleet.battery_pct[:, None],
        payload_max_kg=fleet.payload_max_kg[:, None],
        weight_kg=orders.weight_kg,
        pickup_m=pickup_m,
        delivery_m=orders.delivery_m,
        return_m=orders.return_m,
    ).fit
    rows, cols = np.divmod(np.arange(pickup_m.size), shape[1])
    cost_s = np.where(fit, pickup_m / world.flight.cruise_mps, IMPOSSIBLE_S).ravel()
    chosen = cheapest_matching(rows, cols, cost_s, (fleet.xy_m, orders.origin_m))
    return list(zip(rows[chosen].tolist(), cols[chosen].tolist(), strict=True))


def _assign(
    world: World, now_s: float, fleet: FleetArrays, orders: OrderArrays, row: int, col: int
) -> Assign:
    drone, delivery = fleet.drones[row], orders.deliveries[col]
    fetch_s = world.flight.flight_s(paths_of(world.city).length_m(drone.at, delivery.origin))
    pickup_s = now_s + fetch_s
    dropoff_s = pickup_s + world.flight.flight_s(float(orders.delivery_m[col]))
    return Assign(drone.id, drone.version, delivery.id, delivery.version, pickup_s, dropoff_s, fetch_s)
