"""govern_charging_and_retiring: who is charged, who goes to which charge point, and who retires there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from dronedispatch.dispatcher.core.fleet_cache import FleetCache
from dronedispatch.dispatcher.core.plan import Charge, Free, SetStatus
from dronedispatch.dispatcher.core.readiness import charged
from dronedispatch.dispatcher.core.stations import Stations
from dronedispatch.dispatcher.core.tuning import Policy, Tuning
from dronedispatch.dispatcher.core.world import DroneSnapshot
from dronedispatch.fleet.drones import DroneStatus


def end_charging(done: Iterable[DroneSnapshot]) -> list[Free]:
    """Who has charged up is idle again; so is who has lost its charge orders."""
    return [
        Free(drone.id, drone.version, "charged" if drone.stops else "had no charge point to go to")
        for drone in done
    ]


def end_retiring(retiring: Iterable[DroneSnapshot]) -> list[SetStatus]:
    """Who has charged up at its charge point goes out of service."""
    return [
        SetStatus(drone.id, drone.version, DroneStatus.INACTIVE, "retired")
        for drone in retiring
        if charged(drone)
    ]


def retire(leaving: Iterable[DroneSnapshot], stations: Stations) -> list[SetStatus]:
    """Send them to a charge point, to go out of service there."""
    statuses: list[SetStatus] = []
    for drone in leaving:
        point = stations.choose(drone)
        stations.take(point)
        cause = "decommissioned" if drone.decommissioned else "no need for it"
        statuses.append(SetStatus(drone.id, drone.version, DroneStatus.RETIRING, cause, point))
    return statuses


def redirect(astray: Iterable[DroneSnapshot], stations: Stations) -> tuple[list[Charge], list[SetStatus]]:
    """Whose charge point was removed, renamed or moved goes to another one, wherever it charges, waits or flies now."""
    charges: list[Charge] = []
    statuses: list[SetStatus] = []
    for drone in astray:
        assert drone.bound_for is not None
        stations.leave(drone.bound_for)
        point = stations.choose(drone)
        stations.take(point)
        cause = f"charge point {drone.bound_for} is not where it was"
        if drone.status is DroneStatus.CHARGING:
            charges.append(Charge(drone.id, drone.version, point, drone.until_pct, cause))
        else:
            statuses.append(SetStatus(drone.id, drone.version, DroneStatus.RETIRING, cause, point))
    return charges, statuses


def charge_at_once(frees: Iterable[Free], cached: FleetCache, tuning: Tuning) -> list[DroneSnapshot]:
    """Who has delivered and would be sent to charge by the next round, if nothing waits for it.

    On its way to a charge point it takes an order as well as one that stands: nothing is lost but a write of its record.
    """
    if tuning.policy is not Policy.LOOKAHEAD:
        return []
    rows = np.array([cached.row(free.drone_id) for free in frees], dtype=np.int64)
    low = cached.counted[rows] & (cached.battery_pct[rows] < tuning.top_up_below_pct)
    return cached.at(rows[low])


def free_or_send_to_charge(
    frees: Iterable[Free],
    wanted: Iterable[tuple[DroneSnapshot, str]],
    at_once: Iterable[DroneSnapshot],
    stations: Stations,
) -> tuple[list[Free], list[Charge]]:
    """`wanted`: see `send_to_charge`. Those of the freed that are sent `at_once` have one write, a Charge."""
    charges = send_to_charge([*wanted, *((drone, "nothing waits for it") for drone in at_once)], stations)
    bound = {charge.drone_id: charge for charge in charges}
    left: list[Free] = []
    for free in frees:
        if (charge := bound.get(free.drone_id)) is None:
            left.append(free)
            continue
        cause = f"{free.cause}; {charge.cause}"
        bound[free.drone_id] = replace(charge, cause=cause, after_delivery=free.after_delivery)
    return left, list(bound.values())


def send_to_charge(wanted: Iterable[tuple[DroneSnapshot, str]], stations: Stations) -> list[Charge]:
    """Idle drones to the charge points where each is soonest at a place."""
    charges: list[Charge] = []
    for drone, cause in wanted:
        point = stations.choose(drone)
        stations.take(point)
        charges.append(Charge(drone.id, drone.version, point, 100.0, cause))
    return charges
