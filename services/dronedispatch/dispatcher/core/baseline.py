"""The policies that count with idle drones alone: `greedy`, `nearest`, `matching`. Kept to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dronedispatch.dispatcher.core.firstcome import assign_in_order, pick_drone, pick_nearest
from dronedispatch.dispatcher.core.fitness import margins
from dronedispatch.dispatcher.core.lookahead import Decided
from dronedispatch.dispatcher.core.matching import IMPOSSIBLE_S, cheapest_matching
from dronedispatch.dispatcher.core.order_arrays import OrderArrays, orders_of
from dronedispatch.dispatcher.core.plan import Assign, Hold
from dronedispatch.dispatcher.core.roster import Roster, ready_roster
from dronedispatch.dispatcher.core.tuning import Policy
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG
from dronedispatch.fleet.paths import paths_of

FULL_PCT = 99.9


def decide_for_idle(
    world: World, now_s: float, drones: Sequence[DroneSnapshot], pending: Sequence[DeliverySnapshot]
) -> Decided:
    """Assign what can start now; idle drones charge by the threshold, and when only their battery forbids an order."""
    roster = ready_roster(drones, world.tuning)
    orders = orders_of(pending, paths_of(world.city))
    if world.tuning.policy is Policy.MATCHING:
        pairs = match_idle(world, roster, orders)
    else:
        pick = pick_drone if world.tuning.policy is Policy.GREEDY else pick_nearest
        pairs = assign_in_order(world, roster, orders, pick)
    decided = Decided()
    decided.assigns = [_assign(world, now_s, roster, orders, row, col) for row, col in pairs]
    rows, cols = {row for row, _ in pairs}, {col for _, col in pairs}
    waiting = [delivery for col, delivery in enumerate(pending) if col not in cols]
    decided.holds = [Hold(delivery.id, None, None, "no idle drone can fly it") for delivery in waiting]
    lightest_kg = min((delivery.weight_kg for delivery in waiting), default=np.inf)
    for row, drone in enumerate(roster.drones):
        if row in rows:
            continue
        if drone.battery_pct < world.tuning.charge_below_pct:
            decided.to_charge.append((drone, "battery is low"))
        elif lightest_kg <= PAYLOAD_MAX_KG[drone.type] and drone.battery_pct < FULL_PCT:
            decided.to_charge.append((drone, "no battery for the orders that wait"))
    return decided


def match_idle(world: World, roster: Roster, orders: OrderArrays) -> list[tuple[int, int]]:
    """(drone, order) rows with the least sum of ways to the pick-up."""
    shape = len(roster), len(orders)
    if not all(shape):
        return []
    fetch_m = paths_of(world.city).matrix_m(roster.xy_m, orders.origin_m)
    fit = margins(
        world.flight,
        battery_pct=roster.battery_pct[:, None],
        payload_max_kg=roster.payload_max_kg[:, None],
        weight_kg=orders.weight_kg,
        fetch_m=fetch_m,
        carry_m=orders.carry_m,
        retreat_m=orders.retreat_m,
    ).fit
    rows, cols = np.divmod(np.arange(fetch_m.size), shape[1])
    cost_s = np.where(fit, fetch_m / world.flight.cruise_mps, IMPOSSIBLE_S).ravel()
    chosen = cheapest_matching(rows, cols, cost_s, (roster.xy_m, orders.origin_m))
    return list(zip(rows[chosen].tolist(), cols[chosen].tolist(), strict=True))


def _assign(world: World, now_s: float, roster: Roster, orders: OrderArrays, row: int, col: int) -> Assign:
    drone, delivery = roster.drones[row], orders.deliveries[col]
    fetch_s = world.flight.flight_s(paths_of(world.city).length_m(drone.at, delivery.origin))
    pickup_s = now_s + fetch_s
    dropoff_s = pickup_s + world.flight.flight_s(float(orders.carry_m[col]))
    return Assign(drone.id, drone.version, delivery.id, delivery.version, pickup_s, dropoff_s, fetch_s)
