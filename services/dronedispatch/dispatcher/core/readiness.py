"""Which drones a round counts with, whatever the order."""

from __future__ import annotations

from dronedispatch.dispatcher.core.reconcile import why_silent
from dronedispatch.dispatcher.core.tuning import Policy, Tuning
from dronedispatch.dispatcher.core.world import DroneSnapshot
from dronedispatch.fleet.drones import DroneStatus

FULL_PCT = 99.9
_ASLEEP = (DroneStatus.INACTIVE, DroneStatus.RETIRING)
_TAKING = (DroneStatus.IDLE, DroneStatus.CHARGING)


def why_not_ready(drone: DroneSnapshot, tuning: Tuning) -> str | None:
    """Why the drone takes no order, whatever the order; None: it can start on one now."""
    if (reason := why_not_counted(drone, tuning)) is not None:
        return reason
    if drone.status is DroneStatus.IDLE:
        return None
    if drone.status is DroneStatus.CHARGING and tuning.policy is Policy.LOOKAHEAD:
        return None
    return f"status is {drone.status}"


def why_not_counted(drone: DroneSnapshot, tuning: Tuning) -> str | None:
    """Why the drone takes no order, now or after what it does."""
    if drone.decommissioned:
        return "is decommissioned"
    if not drone.flying:
        return "has never reported its position"
    if drone.ticks_missed >= tuning.silent_ticks:
        return why_silent(drone)
    if drone.status not in (*_TAKING, DroneStatus.BUSY):
        return f"status is {drone.status}"
    return None


def can_wake(drone: DroneSnapshot, tuning: Tuning) -> bool:
    """Whether it is out of service and may come back."""
    return (
        drone.status in _ASLEEP
        and drone.flying
        and not drone.decommissioned
        and drone.ticks_missed < tuning.silent_ticks
    )


def charged(drone: DroneSnapshot) -> bool:
    """Its charge stop is done, or it is plugged in and the battery is where it should be."""
    if drone.done >= drone.stops > 0:
        return True
    return drone.station is not None and drone.battery_pct >= min(drone.until_pct, FULL_PCT)
