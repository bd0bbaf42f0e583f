"""Events. A lost one loses nothing: the periodic round finds the same facts in the store."""

from __future__ import annotations

import msgspec

from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import Telemetry

DELIVERY_REQUESTS = "delivery_requests"
DRONE_UPDATES = "drone_updates"
DELIVERY_STATUS = "delivery_status"
DRONE_ORDERS = "drone_orders"


class DeliveryRequested(msgspec.Struct, frozen=True, kw_only=True):
    """gateway -> dispatcher: there is something new to look at (also after a cancel or a change of priority)."""

    id: str
    at: str
    request_id: str
    delivery_id: str
    cause: str = "created"


class DroneUpdates(msgspec.Struct, frozen=True, kw_only=True):
    """drone_sim -> dispatcher and gateways: the telemetry that `tick` of `source` changed.

    `slots`: the slots of the fleet that `source` flew in this tick. `part` of `parts`: a large fleet's tick comes in
    several messages. A drone that is in `quiet` for k ticks is silent; one that no list names is on its way to another
    drone_sim, and nobody judges it meanwhile.
    """

    id: str
    at: str
    request_id: str
    source: str
    tick: int
    slots: tuple[int, ...]
    drones: tuple[Telemetry, ...]
    alive: tuple[str, ...] = ()  # ids of drones that were flown in this tick and have nothing new to tell
    quiet: tuple[str, ...] = ()  # ids of drones of these slots of which nothing was heard in this tick
    part: int = 0
    parts: int = 1


class DeliveryStatusChanged(msgspec.Struct, frozen=True, kw_only=True):
    """dispatcher -> every gateway. (`term`, `seq`) orders the events of all leaders: the Last-Event-ID."""

    id: str
    at: str
    request_id: str
    delivery_id: str
    status: DeliveryStatus
    drone_id: str | None
    cause: str
    term: int
    seq: int


class DroneOrdersChanged(msgspec.Struct, frozen=True, kw_only=True):
    """dispatcher -> every drone_sim: read these drones' records at the next tick.

    A hint: drone_sim reads the whole fleet in turns anyway. It saves a read of every drone in every tick.
    """

    id: str
    at: str
    request_id: str
    drone_ids: tuple[str, ...]
