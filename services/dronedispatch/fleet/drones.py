"""Drones: two records with one writer each, so that telemetry never makes an assignment's CAS lose.

`drone:<id>` is written by the dispatcher, `telemetry:<id>` by drone_sim; a recall alone is the dispatcher's word in it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dronedispatch.fleet.lifecycle import check_move
from dronedispatch.fleet.positions import LatLon


class DroneType(StrEnum):
    """The weight class; a heavier drone may carry a lighter parcel."""

    LIGHT = "light"
    MEDIUM = "medium"
    HEAVY = "heavy"


PAYLOAD_MAX_KG: dict[DroneType, float] = {
    DroneType.LIGHT: 3.0,
    DroneType.MEDIUM: 7.0,
    DroneType.HEAVY: 10.0,
}
CLASSES_KG = tuple(sorted(PAYLOAD_MAX_KG.values()))


def lightest_for(weight_kg: float) -> DroneType:
    """The lightest class that carries the parcel; the heaviest for what nobody carries."""
    return next((kind for kind, limit_kg in PAYLOAD_MAX_KG.items() if weight_kg <= limit_kg), DroneType.HEAVY)


class DroneStatus(StrEnum):
    """What a drone is for at the moment; `idle` and `charging` ones take orders (soon-free ones are planned for)."""

    INACTIVE = "inactive"
    IDLE = "idle"
    BUSY = "busy"
    CHARGING = "charging"
    RETIRING = "retiring"


DRONE_MOVES: dict[DroneStatus, frozenset[DroneStatus]] = {
    DroneStatus.INACTIVE: frozenset({DroneStatus.IDLE}),
    DroneStatus.IDLE: frozenset({DroneStatus.BUSY, DroneStatus.CHARGING, DroneStatus.RETIRING}),
    DroneStatus.BUSY: frozenset({DroneStatus.IDLE, DroneStatus.CHARGING, DroneStatus.RETIRING}),
    DroneStatus.CHARGING: frozenset({DroneStatus.IDLE, DroneStatus.BUSY, DroneStatus.RETIRING}),
    DroneStatus.RETIRING: frozenset({DroneStatus.INACTIVE, DroneStatus.IDLE}),
}


class StopKind(StrEnum):
    """Why a drone goes to a place."""

    PICKUP = "pickup"
    DROPOFF = "dropoff"
    CHARGE = "charge"
    HOLD = "hold"


class Stop(msgspec.Struct, frozen=True):
    """A place to fly to, in order. `station`: the charge point's id, for CHARGE. HOLD: stay where you are."""

    kind: StopKind
    pos: LatLon | None = None
    delivery_id: str | None = None
    station: str | None = None
    weight_kg: float = 0.0
    until_pct: float | None = None  # CHARGE: the stop is done at this battery; None: 100


class Commands(msgspec.Struct, frozen=True):
    """What the drone is to do; a greater `seq` replaces a smaller one at the next tick, in the air too."""

    seq: int = 0
    stops: tuple[Stop, ...] = ()


class Drone(msgspec.Struct, frozen=True, kw_only=True):
    """`drone:<id>`. `delivery_id` is the intent: with it, a crash between the two writes of an assignment heals."""

    id: str
    type: DroneType
    status: DroneStatus
    delivery_id: str | None = None
    delivery_version: str | None = None  # the delivery's version that the intent was decided on
    orders: Commands = Commands()
    status_at: str
    decommissioned: bool = False
    cause: str = "registered"


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """`telemetry:<id>`. `tick` counts drone_sim's ticks since its fleet began; `at` is RFC 3339 UTC.

    `stops_done`: how many stops of the orders `orders_seq` are done. `battery_pct` 0..100. `heading_deg` clockwise
    from north. `route`: the way points that remain, for the map. `recalled_seq`: by orders up to this one the drone picks
    up nothing any more (docs/decisions/012); written by the dispatcher, kept by drone_sim until it has newer orders.
    """

    id: str
    pos: LatLon
    battery_pct: float
    at_charge: str | None = None  # the station it is plugged in at
    queued_at: str | None = None  # the station it waits for a place at
    speed_mps: float = 0.0
    heading_deg: float = 0.0
    orders_seq: int = 0
    stops_done: int = 0
    tick: int = 0
    odometer_m: float = 0.0
    route: tuple[LatLon, ...] = ()
    at: str
    recalled_seq: int | msgspec.UnsetType = msgspec.UNSET

    def is_recalled(self, orders_seq: int) -> bool:
        """Whether nothing is picked up by these orders any more."""
        return 0 < orders_seq <= (self.recalled_seq or 0)


def has_done_something(before: Telemetry, after: Telemetry) -> bool:
    """Whether more has changed than where it is and what its battery holds: what others act on."""
    return (before.orders_seq, before.stops_done, before.at_charge, before.queued_at) != (
        after.orders_seq,
        after.stops_done,
        after.at_charge,
        after.queued_at,
    )


def move_drone(
    drone: Drone,
    to: DroneStatus,
    *,
    at: str,
    cause: str,
    delivery_id: str | None = None,
    delivery_version: str | None = None,
    stops: tuple[Stop, ...] | None = None,
) -> Drone:
    """The drone after the move. `stops` not None: new orders with the next seq. Raises IllegalMove.

    `delivery_id` is kept for BUSY only: every other status forgets it.
    """
    check_move(DRONE_MOVES, f"drone {drone.id}", drone.status, to)
    orders = drone.orders if stops is None else Commands(seq=drone.orders.seq + 1, stops=stops)
    busy = to is DroneStatus.BUSY
    return msgspec.structs.replace(
        drone,
        status=to,
        status_at=at,
        cause=cause,
        delivery_id=delivery_id if busy else None,
        delivery_version=delivery_version if busy else None,
        orders=orders,
    )


def drone_tags(drone: Drone) -> tuple[str, ...]:
    """The tags under which lists find it."""
    return (f"drone_status={drone.status}", f"drone_type={drone.type}")
