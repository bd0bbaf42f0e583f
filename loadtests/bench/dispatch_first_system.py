"""B0: the first system's dispatcher, its pick_drone together with its own rule for charging, written anew from its source.

* Orders in order of arrival; exact weight class; of the idle drones that can fly it the one with the least (200 m bucket,
  zone rank, battery); none whose pick-up is farther than 20 km.
* An idle drone charges at 30 % or below, or once it could not fly five orders of its class one after another: each order
  counts once, and one that it could fly sets the count to 0, whoever gets it. It charges to 95 %, and takes nothing before.

Departures, all in its favour. All drones are in service (it let idle ones retire). Where no drone moves and orders wait,
one miss is enough, and it charges to the full, then at the charge point that is nearest to the order: its last orders,
and those that want more than 95 %, would wait for ever.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dronedispatch.dispatcher.core.firstcome import pick_drone, who_can
from dronedispatch.dispatcher.core.fleet_arrays import FleetArrays, Rows, ready_fleet
from dronedispatch.dispatcher.core.lookahead import Decided
from dronedispatch.dispatcher.core.order_arrays import OrderArrays, orders_of
from dronedispatch.dispatcher.core.order_ways import OrderWays
from dronedispatch.dispatcher.core.plan import Assign, Charge, Plan
from dronedispatch.dispatcher.core.round import plan_with
from dronedispatch.dispatcher.core.stations import Stations
from dronedispatch.dispatcher.core.tuning import Policy
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.drones import DroneStatus, lightest_for
from dronedispatch.fleet.paths import paths_of

CRITICAL_PCT = 30.0
CHARGED_PCT = 95.0
FULL_PCT = 99.9
MISSES = 5
PICKUP_MAX_M = 20_000.0
THERE_M = 1.0


class FirstSystem:
    """Its dispatcher over one run: what each drone missed since it could last fly something."""

    def __init__(self) -> None:
        self._missed: dict[str, set[str]] = defaultdict(set)
        self._still = False  # no drone moves
        self._sent_to: dict[str, str] = {}  # drone -> charge point ("": the nearest), to charge to the full

    def __call__(self, world: World, now_s: float) -> Plan:
        """One round."""
        idle_world = replace(world, tuning=replace(world.tuning, policy=Policy.GREEDY))
        plan = plan_with(idle_world, now_s, self._decide)
        return replace(plan, charges=tuple(map(self._as_it_charges, plan.charges)))

    def _as_it_charges(self, charge: Charge) -> Charge:
        point = self._sent_to.pop(charge.drone_id, None)
        if point is None:
            return replace(charge, until_pct=CHARGED_PCT)
        return replace(charge, until_pct=FULL_PCT, charge_point=point or charge.charge_point)

    def _decide(
        self,
        world: World,
        now_s: float,
        drones: Sequence[DroneSnapshot],
        _deliveries: Mapping[str, DeliverySnapshot],
        pending: Sequence[DeliverySnapshot],
        _stations: Stations,
    ) -> Decided:
        fleet, orders = (
            ready_fleet(drones, world.tuning),
            orders_of(pending, OrderWays(paths_of(world.city))),
        )
        decided = Decided()
        idle = np.array([drone.battery_pct > CRITICAL_PCT for drone in fleet.drones], dtype=np.bool_)
        sent = {drone.id for drone in fleet.drones if drone.battery_pct <= CRITICAL_PCT}
        self._still = all(drone.status is DroneStatus.IDLE for drone in drones) and not sent
        kinds = np.array([drone.type.value for drone in fleet.drones])
        for col, delivery in enumerate(orders.deliveries):
            kind = lightest_for(delivery.weight_kg)
            rows = np.flatnonzero(idle & (kinds == kind.value))
            if not rows.size:
                continue
            chosen, missed_by = self._pick(world, fleet, orders, col, rows)
            if chosen is not None:
                idle[chosen] = False
                self._still = False
                drone = fleet.drones[chosen]
                decided.assigns.append(
                    Assign(drone.id, drone.version, delivery.id, delivery.version, now_s, now_s, 0.0)
                )
            for row in missed_by:
                if self._has_missed_enough(world, fleet.drones[row], delivery):
                    idle[row] = False
                    sent.add(fleet.drones[row].id)
        decided.to_charge = [(drone, "first system's rule") for drone in fleet.drones if drone.id in sent]
        return decided

    def _pick(
        self, world: World, fleet: FleetArrays, orders: OrderArrays, col: int, rows: Rows
    ) -> tuple[int | None, list[int]]:
        """(the drone's row, the rows that could not fly it); whoever could has its misses forgotten."""
        pickup_m, fit = who_can(world, fleet, orders, col)
        for row in rows[fit[rows]].tolist():
            self._missed.pop(fleet.drones[row].id, None)
        missed_by = rows[~fit[rows]].tolist()
        among = rows[fit[rows]]
        if not among.size:
            return None, missed_by
        chosen = pick_drone(world, fleet, orders, col, among, pickup_m)
        return (chosen if pickup_m[chosen] <= PICKUP_MAX_M else None), missed_by

    def _has_missed_enough(self, world: World, drone: DroneSnapshot, delivery: DeliverySnapshot) -> bool:
        missed = self._missed[drone.id]
        missed.add(delivery.id)
        if self._still:
            paths = paths_of(world.city)
            point = min(world.city.charge_points, key=lambda one: paths.length_m(one.at, delivery.origin))
            if drone.battery_pct < FULL_PCT:
                self._sent_to[drone.id] = ""
            elif paths.length_m(drone.at, point.at) > THERE_M:
                self._sent_to[drone.id] = point.id
            else:
                return False
        elif len(missed) < MISSES or drone.battery_pct >= CHARGED_PCT:
            return False
        del self._missed[drone.id]
        return True
