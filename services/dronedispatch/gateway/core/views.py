"""What the API shows of a drone: both of its records as one document."""

from __future__ import annotations

import msgspec

from dronedispatch.fleet.drones import Drone, DroneStatus, DroneType, Orders, Telemetry
from dronedispatch.fleet.positions import LatLon


class DroneView(msgspec.Struct, frozen=True, kw_only=True):
    """`at` and `tick` are the telemetry's; null telemetry members: it has not flown yet."""

    id: str
    type: DroneType
    status: DroneStatus
    status_at: str
    cause: str
    delivery_id: str | None
    decommissioned: bool
    orders: Orders
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
