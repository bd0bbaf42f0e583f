"""govern_charging_and_retiring: who is charged, who goes to which charge point, and who retires there."""

from __future__ import annotations

from collections.abc import Iterable

from dronedispatch.dispatcher.core.plan import Charge, Free, SetStatus
from dronedispatch.dispatcher.core.stations import Stations
from dronedispatch.dispatcher.core.world import DroneSnapshot
from dronedispatch.fleet.city import City
from dronedispatch.fleet.drones import DroneStatus

FULL_PCT = 99.9


def charged(drone: DroneSnapshot) -> bool:
    """Its charge stop is done, or it is plugged in and the battery is where it should be."""
    if drone.done >= drone.stops > 0:
        return True
    return drone.station is not None and drone.battery_pct >= min(drone.until_pct, FULL_PCT)


def end_charging(charging: Iterable[DroneSnapshot]) -> list[Free]:
    """Who has charged up is idle again; so is who has lost its charge orders."""
    return [
        Free(drone.id, drone.version, "charged" if drone.stops else "had no charge point to go to")
        for drone in charging
        if charged(drone) or not drone.stops
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


def redirect(
    drones: Iterable[DroneSnapshot], city: City, stations: Stations
) -> tuple[list[Charge], list[SetStatus]]:
    """Whose charge point was removed, renamed or moved goes to another one, wherever it charges, waits or flies now."""
    charges: list[Charge] = []
    statuses: list[SetStatus] = []
    points = {point.id: point.pos for point in city.charge_points}
    for drone in drones:
        if drone.bound_for is None:
            continue
        now_at = points.get(drone.bound_for)
        if now_at is not None and drone.bound_at in (None, now_at):
            continue
        stations.leave(drone.bound_for)
        point = stations.choose(drone)
        stations.take(point)
        cause = f"charge point {drone.bound_for} is not where it was"
        if drone.status is DroneStatus.CHARGING:
            charges.append(Charge(drone.id, drone.version, point, drone.until_pct, cause))
        else:
            statuses.append(SetStatus(drone.id, drone.version, DroneStatus.RETIRING, cause, point))
    return charges, statuses


def send_to_charge(wanted: Iterable[tuple[DroneSnapshot, str]], stations: Stations) -> list[Charge]:
    """Idle drones to the charge points where each is soonest at a place."""
    charges: list[Charge] = []
    for drone, cause in wanted:
        point = stations.choose(drone)
        stations.take(point)
        charges.append(Charge(drone.id, drone.version, point, 100.0, cause))
    return charges
