"""The policies that ours is compared with, written anew for this world and kept apart from it.

| name | rule |
|---|---|
| B0 | the first system: its pick_drone (in order of arrival; 200 m bucket, zone rank, battery; exact class), its charging |
| B0c | its pick_drone, charging by the rule below, which serves it better than its own |
| B1t | openTCS default keys: in order of arrival, the idle drone with the most energy (distance is not in the key) |
| B1 | in order of arrival, the nearest idle drone; larger drones may take smaller parcels |
| B2 | optimal matching (Hungarian) of pending orders and idle drones |
| B3 | the same, looking ahead to drones that are soon free or charged |

None charges by load: but for B0, an idle drone charges below 30 %, or when an order waits that it could lift and nothing
else; it charges in full and takes nothing before. (30 % is no worse for any of them than 5 to 40 %.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from loadtests.bench.dispatch_first_system import FirstSystem
from loadtests.bench.dispatch_world import Round
from scipy.optimize import linear_sum_assignment

from dronedispatch.dispatcher.core.baseline import decide_for_idle
from dronedispatch.dispatcher.core.feasibility import margins
from dronedispatch.dispatcher.core.firstcome import assign_in_order
from dronedispatch.dispatcher.core.fleet_arrays import Array, FleetArrays, Rows, ready_fleet
from dronedispatch.dispatcher.core.lookahead import Decided
from dronedispatch.dispatcher.core.order_arrays import OrderArrays, orders_of
from dronedispatch.dispatcher.core.order_ways import OrderWays
from dronedispatch.dispatcher.core.plan import Assign, Plan
from dronedispatch.dispatcher.core.round import Decide, plan_round, plan_with
from dronedispatch.dispatcher.core.stations import Stations
from dronedispatch.dispatcher.core.tuning import Policy
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG, DroneStatus
from dronedispatch.fleet.paths import paths_of

NEVER_S = 1e7
Pairs = list[tuple[int, int]]


def with_policy(policy: Policy) -> Round:
    """The production core under one of its own settings."""

    def run(world: World, now_s: float) -> Plan:
        return plan_round(replace(world, tuning=replace(world.tuning, policy=policy)), now_s)

    return run


def deciding(decide: Decide) -> Round:
    """The production round, which takes `decide` for its decisions."""

    def run(world: World, now_s: float) -> Plan:
        idle_world = replace(world, tuning=replace(world.tuning, policy=Policy.NEAREST))
        return plan_with(idle_world, now_s, decide)

    return run


# What makes a policy for one run: the first system remembers what its drones missed.
BASELINES: Mapping[str, Callable[[], Round]] = {
    "B0": FirstSystem,
    "B0c": lambda: with_policy(Policy.GREEDY),
    "B1t": lambda: deciding(_decide_opentcs),
    "B1": lambda: with_policy(Policy.NEAREST),
    "B2": lambda: with_policy(Policy.MATCHING),
    "B3": lambda: deciding(_decide_lookahead),
}
OURS = with_policy(Policy.LOOKAHEAD)


def _decide_opentcs(
    world: World,
    now_s: float,
    drones: Sequence[DroneSnapshot],
    _deliveries: Mapping[str, DeliverySnapshot],
    pending: Sequence[DeliverySnapshot],
    _stations: Stations,
) -> Decided:
    fleet = ready_fleet(drones, world.tuning)
    orders = orders_of(pending, OrderWays(paths_of(world.city)))
    pairs = assign_in_order(world, fleet, orders, _most_energy)
    return _decided(world, now_s, drones, pending, fleet, orders, pairs)


def _most_energy(
    _world: World, fleet: FleetArrays, _orders: OrderArrays, _col: int, among: Rows, _fetch_m: Array
) -> int:
    return int(among[np.lexsort((among, -fleet.battery_pct[among]))[0]])


def _decide_lookahead(
    world: World,
    now_s: float,
    drones: Sequence[DroneSnapshot],
    deliveries: Mapping[str, DeliverySnapshot],
    pending: Sequence[DeliverySnapshot],
    _stations: Stations,
) -> Decided:
    paths, flight = paths_of(world.city), world.flight
    idle = ready_fleet(drones, world.tuning)
    later = [
        (drone, *free)
        for drone in drones
        if drone.status in (DroneStatus.BUSY, DroneStatus.CHARGING)
        if (free := _soon_free(world, drone, deliveries.get(drone.delivery_id or ""))) is not None
    ]
    orders = orders_of(pending, OrderWays(paths))
    count = len(idle), len(later), len(orders)
    if not count[2] or not count[0] + count[1]:
        return _decided(world, now_s, drones, pending, idle, orders, [])
    xy = np.concatenate([idle.xy_m, np.array([spot for _, spot, _, _ in later]).reshape(-1, 2)])
    ready_s = np.concatenate([idle.ready_s, [ready for _, _, ready, _ in later]])
    battery = np.concatenate([idle.battery_pct, [pct for _, _, _, pct in later]])
    payload = np.concatenate([idle.payload_max_kg, [PAYLOAD_MAX_KG[drone.type] for drone, _, _, _ in later]])
    pickup_m = paths.matrix_m(xy, orders.origin_m)
    fit = margins(
        flight,
        battery_pct=battery[:, None],
        payload_max_kg=payload[:, None],
        weight_kg=orders.weight_kg,
        pickup_m=pickup_m,
        delivery_m=orders.delivery_m,
        return_m=orders.return_m,
    ).fit
    cost = np.where(fit, ready_s[:, None] + pickup_m / flight.cruise_mps, NEVER_S)
    matched = [(int(i), int(j)) for i, j in zip(*linear_sum_assignment(cost), strict=True) if fit[i, j]]
    pairs = [(i, j) for i, j in matched if i < count[0]]
    return _decided(world, now_s, drones, pending, idle, orders, pairs)


def _soon_free(
    world: World, drone: DroneSnapshot, delivery: DeliverySnapshot | None
) -> tuple[tuple[float, float], float, float] | None:
    """(where, in how many seconds, with what battery)."""
    paths, flight = paths_of(world.city), world.flight
    if drone.status is DroneStatus.CHARGING:
        point = world.city.charge_point(drone.bound_for or "")
        if point is None:
            return None
        way_m = paths.length_m(drone.at, point.at)
        return point.at, flight.flight_s(way_m) + flight.charge_s(drone.battery_pct, 100.0), 100.0
    if delivery is None or delivery.drone_id != drone.id:
        return None
    if drone.done:
        way_m = paths.length_m(drone.at, delivery.destination)
    else:
        way_m = paths.length_m(drone.at, delivery.origin)
        way_m += paths.length_m(delivery.origin, delivery.destination)
    return delivery.destination, flight.flight_s(way_m), drone.battery_pct - flight.planned_pct(way_m)


def _decided(
    world: World,
    now_s: float,
    drones: Sequence[DroneSnapshot],
    pending: Sequence[DeliverySnapshot],
    fleet: FleetArrays,
    orders: OrderArrays,
    pairs: Pairs,
) -> Decided:
    """The pairs as assignments; who is left charges by the rule of all baselines."""
    decided = Decided()
    for i, j in pairs:
        drone, delivery = fleet.drones[i], orders.deliveries[j]
        decided.assigns.append(
            Assign(drone.id, drone.version, delivery.id, delivery.version, now_s, now_s, 0.0)
        )
    taken = {assign.drone_id for assign in decided.assigns}
    served = {assign.delivery_id for assign in decided.assigns}
    left = [drone for drone in drones if drone.id not in taken]
    rest = decide_for_idle(world, now_s, left, [one for one in pending if one.id not in served])
    decided.to_charge = [] if rest.assigns else rest.to_charge
    return decided
