"""The drones that may take part in a round, as arrays: where and when each is free, with what battery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.core.world import DroneView
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG, DroneStatus

Array = npt.NDArray[np.float64]
_TAKING = (DroneStatus.IDLE, DroneStatus.CHARGING)


@dataclass(frozen=True)
class Roster:
    """Row i of every array is `drones[i]`; sorted by id, so that no answer depends on the order of the input."""

    drones: Sequence[DroneView]
    xy_m: Array  # (n, 2)
    battery_pct: Array
    payload_max_kg: Array

    def __len__(self) -> int:
        return len(self.drones)


def why_not_ready(drone: DroneView, tuning: Tuning) -> str | None:
    """Why the drone takes no order now, whatever the order."""
    if drone.decommissioned:
        return "is decommissioned"
    if drone.status not in _TAKING:
        return f"status is {drone.status}, neither idle nor charging"
    if not drone.flying:
        return "has never reported its position"
    if drone.ticks_missed >= tuning.silent_ticks:
        return f"is silent for {drone.ticks_missed} ticks"
    return None


def roster_of(drones: Sequence[DroneView]) -> Roster:
    """Arrays of these drones, sorted by id."""
    drones = sorted(drones, key=lambda drone: drone.id)
    return Roster(
        drones=drones,
        xy_m=np.array([drone.at for drone in drones], dtype=np.float64).reshape(-1, 2),
        battery_pct=np.array([drone.battery_pct for drone in drones], dtype=np.float64),
        payload_max_kg=np.array([PAYLOAD_MAX_KG[drone.type] for drone in drones], dtype=np.float64),
    )
