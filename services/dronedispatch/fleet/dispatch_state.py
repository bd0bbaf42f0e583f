"""What the active dispatcher publishes about fleet and backlog, and what an operator wants of a drone.

`dispatch_state` is written about once a second by the dispatcher and read by the gateways for the ETA of a new order;
`wish/drone/<id>` is written by a gateway and carried out by the dispatcher, the only writer of `drone:<id>`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dronedispatch.fleet.drones import DroneStatus, DroneType
from dronedispatch.fleet.positions import LatLon

FREE_MAX = 400  # soonest-free drones that the document lists: it stays below 60 KB at any size of the fleet
DESIRED_STATE_TAG = "wish=1"


class FreeDrone(msgspec.Struct, frozen=True):
    """A drone that can take an order: at `pos`, `free_in_s` real seconds after the document's `at` (0: idle now)."""

    id: str
    type: DroneType
    pos: LatLon
    free_in_s: float


class DispatchState(msgspec.Struct, frozen=True, kw_only=True):
    """The dispatcher's state in short. All seconds are real ones: simulated speed is divided out already.

    `speed_mps`: metres that a drone flies in a real second. `pending_by_type`: waiting orders, by the lightest type
    that carries them. `drones`: how many of each status. `free`: up to FREE_MAX drones, soonest first.
    """

    at: str
    term: int
    policy: str
    speed_mps: float
    pending: int
    assigned: int
    in_progress: int
    pending_by_type: dict[DroneType, int] = {}
    drones: dict[DroneStatus, int] = {}
    free: tuple[FreeDrone, ...] = ()


class Wanted(StrEnum):
    """What an operator may want of a drone."""

    DECOMMISSIONED = "decommissioned"
    COMMISSIONED = "commissioned"


class DesiredState(msgspec.Struct, frozen=True, kw_only=True):
    """`wish/drone/<id>`, with the tag DESIRED_STATE_TAG until it is carried out."""

    wanted: Wanted
    at: str
    request_id: str
