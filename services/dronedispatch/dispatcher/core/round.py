"""One round: World in, Plan out. Pure: the same world gives the same plan, in whatever order its parts come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dronedispatch.dispatcher.core import lookahead
from dronedispatch.dispatcher.core.advance import advance_deliveries
from dronedispatch.dispatcher.core.autoscale import autoscale_by_type
from dronedispatch.dispatcher.core.baseline import decide_for_idle
from dronedispatch.dispatcher.core.charging import end_charging, end_retiring, retire, send_to_charge
from dronedispatch.dispatcher.core.lookahead import Decided
from dronedispatch.dispatcher.core.plan import Plan
from dronedispatch.dispatcher.core.reconcile import reconcile_stuck_busy
from dronedispatch.dispatcher.core.stations import Stations
from dronedispatch.dispatcher.core.tuning import Policy
from dronedispatch.dispatcher.core.world import DeliveryView, DroneView, World
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus
from dronedispatch.fleet.paths import paths_of

Drones = Mapping[str, DroneView]
Deliveries = Mapping[str, DeliveryView]
Decide = Callable[[World, float, Sequence[DroneView], Deliveries, Sequence[DeliveryView], Stations], Decided]


def plan_round(world: World, now_s: float) -> Plan:
    """advance, reconcile, charge and retire, autoscale, assign by the policy of the settings; `now_s`: wall seconds.

    A drone or a delivery has at most one intent in a plan (an Assign, or an Undo with its Free, is one of both).
    """
    return plan_with(world, now_s, _decide)


def plan_with(world: World, now_s: float, decide: Decide) -> Plan:
    """The round with another assign_round: the benchmark's baselines come in here."""
    drones = {drone.id: drone for drone in sorted(world.drones, key=lambda drone: drone.id)}
    deliveries = {d.id: d for d in sorted(world.deliveries, key=lambda d: (d.created_s, d.id))}
    advances, frees = advance_deliveries(deliveries, drones)
    cures = reconcile_stuck_busy(deliveries, drones, world.tuning)
    told = {free.drone_id for free in frees}
    frees += [free for free in cures.frees if free.drone_id not in told]
    frees += end_charging(drones)
    told = {intent.drone_id for intents in (frees, cures.finishes) for intent in intents}

    pending = [d for d in deliveries.values() if d.status is DeliveryStatus.PENDING]
    finished = {finish.delivery_id for finish in cures.finishes}
    pending = [delivery for delivery in pending if delivery.id not in finished]
    statuses = end_retiring(drones)
    gone = {status.drone_id for status in statuses}
    wakes, resting = autoscale_by_type(world, now_s, drones, pending)
    statuses += [wake for wake in wakes if wake.drone_id not in gone]
    told |= {status.drone_id for status in statuses}

    stations = Stations(world, drones.values(), paths_of(world.city))
    leaving = [d for d in drones.values() if d.id not in told and _leaves(d, resting if not pending else ())]
    statuses += retire(leaving, stations)
    told |= {drone.id for drone in leaving}
    ready = [drone for drone in drones.values() if drone.id not in told]
    decided = decide(world, now_s, ready, deliveries, pending, stations)
    return Plan(
        advances=tuple(advances),
        fails=tuple(cures.fails),
        undos=(*cures.undos, *decided.undos),
        finishes=tuple(cures.finishes),
        frees=(*frees, *decided.frees),
        charges=tuple(send_to_charge(decided.to_charge, stations)),
        statuses=tuple(statuses),
        assigns=tuple(decided.assigns),
        holds=tuple(decided.holds),
        again=bool(advances or frees or wakes or cures.undos or decided.undos),
    )


def _decide(
    world: World,
    now_s: float,
    drones: Sequence[DroneView],
    deliveries: Deliveries,
    pending: Sequence[DeliveryView],
    stations: Stations,
) -> Decided:
    if world.tuning.policy is Policy.LOOKAHEAD:
        return lookahead.decide(world, now_s, drones, deliveries, pending, stations)
    return decide_for_idle(world, now_s, drones, pending)


def _leaves(drone: DroneView, resting: Sequence[str]) -> bool:
    """Idle (or charging), and decommissioned or not needed."""
    if not drone.flying or drone.status not in (DroneStatus.IDLE, DroneStatus.CHARGING):
        return False
    return drone.decommissioned or drone.id in resting
