"""Events. A lost one loses nothing: the periodic round finds the same facts in the store."""

from __future__ import annotations

import msgspec

from dronedispatch.fleet import traffic
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import Telemetry

DELIVERY_REQUESTS = traffic.DELIVERY_REQUESTS
DRONE_UPDATES = traffic.DRONE_UPDATES
DELIVERY_STATUS = traffic.DELIVERY_STATUS
DRONE_ORDERS = traffic.DRONE_ORDERS
DELIVERY_CHANGES = traffic.DELIVERY_CHANGES
BEAT_S = 1.0  # the active dispatcher sends a batch at least so often, empty if need be
SILENCE_S = 3.0  # without any batch for so long, a listener must not trust what it knows


class RecordTold(msgspec.Struct, frozen=True, gc=False):
    """A stored record as a message carries it, for display alone. `version`: as the store writes it ("epoch.n")."""

    version: str
    record: msgspec.Raw


class DeliveryRequested(msgspec.Struct, frozen=True, kw_only=True):
    """gateway -> dispatcher: there is something new to look at (also after a cancel or a change of priority).

    `told`: the record as it was written, for display alone; a gateway of a release before sends none. `more`: of other
    deliveries, which came close behind; a dispatcher of the release before passes them over, and finds them in its scan.
    """

    id: str
    at: str
    request_id: str
    delivery_id: str
    cause: str = "created"
    told: RecordTold | None = None
    more: tuple[DeliveryRequested, ...] = ()


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


class DeliveryChanges(msgspec.Struct, frozen=True, kw_only=True):
    """dispatcher -> every gateway: what a round has changed.

    `events`: DeliveryStatusChanged `first`..`last` of `term`, in order, none left out (first = last + 1: none). Batches of a
    term follow each other without a hole. `deliveries`, `drones`: the newest records of what has changed, for display.
    """

    id: str
    at: str
    request_id: str
    term: int
    first: int
    last: int
    events: tuple[msgspec.Raw, ...] = ()
    deliveries: tuple[RecordTold, ...] = ()
    drones: tuple[RecordTold, ...] = ()


class DroneOrdersChanged(msgspec.Struct, frozen=True, kw_only=True):
    """dispatcher -> every drone_sim: read these drones' records at the next tick.

    A hint: drone_sim reads the whole fleet in turns anyway. It saves a read of every drone in every tick.
    """

    id: str
    at: str
    request_id: str
    drone_ids: tuple[str, ...]
