"""One round: World in, Plan out. The same world gives the same plan, in whatever order its parts come, and whatever rounds
came before: what is kept from one to the next saves work and says nothing that the world does not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from dronedispatch.dispatcher.core import lookahead
from dronedispatch.dispatcher.core.advance import advance_deliveries
from dronedispatch.dispatcher.core.autoscale import autoscale_by_type
from dronedispatch.dispatcher.core.baseline import decide_for_idle
from dronedispatch.dispatcher.core.charging import (
    charge_at_once,
    end_charging,
    end_retiring,
    free_or_send_to_charge,
    redirect,
    retire,
)
from dronedispatch.dispatcher.core.fleet_cache import FleetCache, ReadyDrones
from dronedispatch.dispatcher.core.flown import flown_of
from dronedispatch.dispatcher.core.lookahead import Decided
from dronedispatch.dispatcher.core.plan import Advance, Free, Hold, Plan
from dronedispatch.dispatcher.core.reconcile import Cures, reconcile_stuck_busy
from dronedispatch.dispatcher.core.stations import Stations
from dronedispatch.dispatcher.core.tuning import Policy, Tuning
from dronedispatch.dispatcher.core.unflyable import give_up
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus

Deliveries = Mapping[str, DeliverySnapshot]
Decide = Callable[[World, float, ReadyDrones, Deliveries, Sequence[DeliverySnapshot], Stations], Decided]


def plan_round(world: World, now_s: float, cached: FleetCache | None = None) -> Plan:
    """advance, reconcile, charge and retire, autoscale, assign by the policy of the settings; `now_s`: wall seconds.

    A drone or a delivery has at most one intent in a plan (an Assign, or an Undo with its Free, is one of both).
    `cached`: what the caller's last round has kept; the plan is the same without.
    """
    return plan_with(world, now_s, _decide, cached)


def plan_with(world: World, now_s: float, decide: Decide, cached: FleetCache | None = None) -> Plan:
    """The round with another assign_round: the benchmark's baselines come in here."""
    cached = FleetCache() if cached is None else cached
    cached.look(world)
    drones = cached.drones
    deliveries = {d.id: d for d in sorted(world.deliveries, key=lambda d: (d.created_s, d.id))}
    advances, frees, cures = _advance_and_reconcile(deliveries, cached, world.tuning)
    delivered = charge_at_once(frees, cached, world.tuning)
    told = {free.drone_id for free in frees}
    frees += [free for free in cures.frees if free.drone_id not in told]
    frees += end_charging(cached.at(np.flatnonzero(cached.charged)))
    told = {intent.drone_id for intents in (frees, cures.finishes) for intent in intents}

    pending = _pending(deliveries, {finish.delivery_id for finish in cures.finishes})
    statuses = end_retiring(cached.having(DroneStatus.RETIRING))
    gone = {status.drone_id for status in statuses}
    wakes, resting = autoscale_by_type(world, now_s, cached, pending)
    statuses += [wake for wake in wakes if wake.drone_id not in gone]
    told |= {status.drone_id for status in statuses}

    stations = Stations(world, cached)
    leaving = [drone for drone in _leaving(cached, () if pending else resting) if drone.id not in told]
    statuses += retire(leaving, stations)
    told |= {drone.id for drone in leaving}
    astray = [drone for drone in cached.at(np.flatnonzero(cached.astray)) if drone.id not in told]
    moved, still_retiring = redirect(astray, stations)
    statuses += still_retiring
    told |= {intent.drone_id for intents in (moved, still_retiring) for intent in intents}
    stations.ask_choices(delivered)
    decided = decide(world, now_s, ReadyDrones(cached, told), deliveries, pending, stations)
    taken = _taken(decided) | told | {advance.delivery_id for advance in advances}
    given_up = give_up(world, drones, tuple(deliveries.values()), decided.holds, taken, cached.order_ways)
    undos = (*cures.undos, *decided.undos, *given_up.undos)
    at_once = () if decided.holds or undos else delivered  # or the next round gives them an order that waits
    frees += [*decided.frees, *given_up.frees]
    frees, charges = free_or_send_to_charge(frees, decided.to_charge, at_once, stations)
    return Plan(
        advances=tuple(advances),
        fails=(*cures.fails, *given_up.fails),
        undos=undos,
        finishes=tuple(cures.finishes),
        frees=tuple(frees),
        charges=(*moved, *charges),
        statuses=tuple(statuses),
        assigns=tuple(decided.assigns),
        holds=tuple(_told(hold, given_up.reasons) for hold in decided.holds),
        unflyable=given_up.reasons,
        again=bool(advances or frees or wakes or undos),
    )


def _advance_and_reconcile(
    deliveries: Deliveries, cached: FleetCache, tuning: Tuning
) -> tuple[list[Advance], list[Free], Cures]:
    """Of most orders that are flown there is nothing to say."""
    flown = flown_of(deliveries, cached)
    advances, frees = advance_deliveries(flown.to_advance(cached), cached.drones)
    odd, idle = flown.to_reconcile(cached, tuning), flown.idle_hands(cached)
    return advances, frees, reconcile_stuck_busy(deliveries, cached.drones, idle, tuning, odd)


def _pending(deliveries: Deliveries, finished: Collection[str]) -> list[DeliverySnapshot]:
    """In their order, without those whose assignment is being finished."""
    return [d for d in deliveries.values() if d.status is DeliveryStatus.PENDING and d.id not in finished]


def _taken(decided: Decided) -> frozenset[str]:
    """Deliveries and drones that have intents by it."""
    drones = {intent.drone_id for intents in (decided.assigns, decided.frees) for intent in intents}
    return frozenset(drones | {undo.delivery_id for undo in decided.undos})


def _told(hold: Hold, reasons: Mapping[str, str]) -> Hold:
    reason = reasons.get(hold.delivery_id)
    if reason is None:
        return hold
    return replace(hold, reason=f"no drone can fly it, and it fails unless that changes: {reason}")


def _decide(
    world: World,
    now_s: float,
    drones: ReadyDrones,
    deliveries: Deliveries,
    pending: Sequence[DeliverySnapshot],
    stations: Stations,
) -> Decided:
    if world.tuning.policy is Policy.LOOKAHEAD:
        return lookahead.decide(world, now_s, drones, deliveries, pending, stations)
    return decide_for_idle(world, now_s, drones, pending)


def _leaving(cached: FleetCache, resting: Sequence[str]) -> list[DroneSnapshot]:
    """Idle (or charging), and decommissioned or not needed; sorted by id."""
    rows = {*np.flatnonzero(~cached.in_service).tolist(), *map(cached.row, resting)}
    return [
        drone
        for drone in map(cached.views.__getitem__, sorted(rows))
        if drone.flying and drone.status in (DroneStatus.IDLE, DroneStatus.CHARGING)
    ]
