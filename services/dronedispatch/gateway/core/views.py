"""What the API answers, as far as it is not a stored document itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, Eta
from dronedispatch.fleet.dispatch_state import Wanted
from dronedispatch.fleet.drones import Commands, Drone, DroneStatus, DroneType, Telemetry
from dronedispatch.fleet.positions import LatLon
from dronedispatch.gateway.core.fields import DeliveryId


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """The order is in the store on every in-sync replica. A repeated request gets this again, whatever came since."""

    id: DeliveryId
    status: Literal["pending"] = "pending"
    created_at: Annotated[str, Meta(description="The moment of the first attempt with this key")]
    eta: Eta | None


def placed(delivery: Delivery) -> Placed:
    """What a 201 says of it."""
    return Placed(id=delivery.id, created_at=delivery.created_at, eta=delivery.eta)


class DeliveryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries, newest first."""

    deliveries: Sequence[Delivery]
    next: Annotated[str | None, Meta(description="Pass it as `after`; null: this was the last page")]


class WhyView(msgspec.Struct, frozen=True, kw_only=True):
    """For a pending order the dispatcher adds, for every drone, the constraint that fails and its margin."""

    delivery_id: str
    status: DeliveryStatus
    summary: Annotated[str, Meta(description="One sentence")]


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether this browser is signed in as the operator."""

    signed_in: bool
    until: Annotated[str | None, Meta(description="When the session ends; null: there is none")]


class DesiredStateView(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of a drone; the dispatcher carries it out."""

    drone_id: str
    wanted: Wanted
    at: str


class DroneView(msgspec.Struct, frozen=True, kw_only=True):
    """`at` and `tick` are the telemetry's; null telemetry members: it has not flown yet."""

    id: str
    type: DroneType
    status: DroneStatus
    status_at: str
    cause: str
    delivery_id: str | None
    decommissioned: bool
    orders: Commands
    pos: LatLon | None = None
    battery_pct: float | None = None
    at_charge: str | None = None
    queued_at: str | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None
    orders_seq: int | None = None
    stops_done: int | None = None
    odometer_m: float | None = None
    route: tuple[LatLon, ...] = ()
    tick: int | None = None
    at: str | None = None


class DronePage(msgspec.Struct, frozen=True, kw_only=True):
    """Drones, by id."""

    drones: Sequence[DroneView]
    next: Annotated[str | None, Meta(description="Pass it as `after`; null: this was the last page")]


def drone_view(drone: Drone, telemetry: Telemetry | None) -> DroneView:
    """The two records joined."""
    shown = DroneView(
        id=drone.id,
        type=drone.type,
        status=drone.status,
        status_at=drone.status_at,
        cause=drone.cause,
        delivery_id=drone.delivery_id,
        decommissioned=drone.decommissioned,
        orders=drone.orders,
    )
    if telemetry is None:
        return shown
    return msgspec.structs.replace(
        shown,
        pos=telemetry.pos,
        battery_pct=telemetry.battery_pct,
        at_charge=telemetry.at_charge,
        queued_at=telemetry.queued_at,
        speed_mps=telemetry.speed_mps,
        heading_deg=telemetry.heading_deg,
        orders_seq=telemetry.orders_seq,
        stops_done=telemetry.stops_done,
        odometer_m=telemetry.odometer_m,
        route=telemetry.route,
        tick=telemetry.tick,
        at=telemetry.at,
    )
