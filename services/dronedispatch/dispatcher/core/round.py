"""One round: World in, Plan out. Pure: the same world gives the same plan, in whatever order its parts come."""

from __future__ import annotations

from dataclasses import replace

from dronedispatch.dispatcher.core.advance import advance_deliveries
from dronedispatch.dispatcher.core.autoscale import autoscale_by_type
from dronedispatch.dispatcher.core.charging import (
    Stations,
    end_charging,
    end_retiring,
    retire,
    send_to_charge,
)
from dronedispatch.dispatcher.core.firstcome import assign_in_order, pick_drone, pick_nearest
from dronedispatch.dispatcher.core.orders import Orders, orders_of
from dronedispatch.dispatcher.core.plan import Assign, Hold, Plan
from dronedispatch.dispatcher.core.reconcile import reconcile_stuck_busy
from dronedispatch.dispatcher.core.roster import Roster, roster_of, why_not_ready
from dronedispatch.dispatcher.core.tuning import Policy
from dronedispatch.dispatcher.core.world import DroneView, World
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus
from dronedispatch.fleet.paths import paths_of


def plan_round(world: World, now_s: float) -> Plan:
    """advance, reconcile, charge and retire, autoscale, assign; `now_s`: wall seconds.

    A drone or a delivery has at most one intent in a plan (an Assign is one of both).
    """
    drones = {drone.id: drone for drone in sorted(world.drones, key=lambda drone: drone.id)}
    for drone_id in world.decommission_wishes & drones.keys():
        drones[drone_id] = replace(drones[drone_id], decommissioned=True)
    deliveries = {d.id: d for d in sorted(world.deliveries, key=lambda d: (d.created_s, d.id))}
    advances, frees = advance_deliveries(deliveries, drones)
    cures = reconcile_stuck_busy(deliveries, drones, world.tuning)
    told = {free.drone_id for free in frees}
    frees += [free for free in cures.frees if free.drone_id not in told]
    statuses = end_retiring(drones)
    frees += end_charging(drones)
    finished = {finish.delivery_id for finish in cures.finishes}
    pending = [d for d in deliveries.values() if d.status is DeliveryStatus.PENDING and d.id not in finished]
    activations, retiring = autoscale_by_type(world, now_s, drones, pending)
    statuses += [
        wake for wake in activations if wake.drone_id not in {status.drone_id for status in statuses}
    ]
    told = {free.drone_id for free in frees} | {status.drone_id for status in statuses}
    ready = [d for d in drones.values() if d.id not in told and why_not_ready(d, world.tuning) is None]
    assigns, holds = _assign(world, now_s, roster_of(ready), orders_of(pending, paths_of(world.city)))
    told |= {assign.drone_id for assign in assigns}
    stations = Stations(world, drones.values())
    leaving = [drone for drone in drones.values() if drone.id not in told and _leaves(drone, retiring)]
    statuses += retire(world, leaving, stations)
    told |= {drone.id for drone in leaving}
    idle = [drone for drone in ready if drone.id not in told and drone.status is DroneStatus.IDLE]
    charges = send_to_charge(world, idle, stations)
    return Plan(
        advances=tuple(advances),
        fails=tuple(cures.fails),
        undos=tuple(cures.undos),
        finishes=tuple(cures.finishes),
        frees=tuple(frees),
        charges=tuple(charges),
        statuses=tuple(statuses),
        assigns=tuple(assigns),
        holds=tuple(holds),
        again=bool(advances or frees or activations or cures.undos),
    )


def _leaves(drone: DroneView, retiring: list[str]) -> bool:
    """Idle (or charging) and decommissioned, or not needed."""
    if not drone.flying or drone.status not in (DroneStatus.IDLE, DroneStatus.CHARGING):
        return False
    return drone.decommissioned or drone.id in retiring


def _assign(world: World, now_s: float, roster: Roster, orders: Orders) -> tuple[list[Assign], list[Hold]]:
    pick = pick_drone if world.tuning.policy is Policy.GREEDY else pick_nearest
    pairs = assign_in_order(world, roster, orders, pick)
    assigns = [_pair(world, now_s, roster, orders, i, j) for i, j in pairs]
    taken = {j for _, j in pairs}
    holds = [
        Hold(delivery.id, None, None, "no drone that is ready can fly it")
        for j, delivery in enumerate(orders.deliveries)
        if j not in taken
    ]
    return assigns, holds


def _pair(world: World, now_s: float, roster: Roster, orders: Orders, i: int, j: int) -> Assign:
    drone, delivery = roster.drones[i], orders.deliveries[j]
    fetch_s = world.flight.flight_s(paths_of(world.city).length_m(drone.at, delivery.origin))
    carry_s = world.flight.flight_s(float(orders.carry_m[j]))
    return Assign(
        drone.id,
        drone.version,
        delivery.id,
        delivery.version,
        now_s + fetch_s,
        now_s + fetch_s + carry_s,
        fetch_s,
    )
