"""A simulated drone: everything that its next tick depends on, and its translation from and to the stored records."""

from __future__ import annotations

import msgspec

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.drones import Commands, Drone, DroneType, Stop, StopKind, Telemetry
from dronedispatch.fleet.positions import Plane, Point


class Craft(msgspec.Struct, frozen=True, kw_only=True):
    """`path`: the way points that remain to the stop in work (empty: its leg has not begun or has ended).

    `path_revision`: the airspace that the path was found in; another one means that it is found anew.
    `drain_pct_per_m`: what this leg consumes, by weight class, payload and chance.
    `recalled_seq`: by orders up to this one it picks up nothing any more.
    """

    id: str
    type: DroneType
    at: Point
    battery_pct: float
    orders: Commands = Commands()
    stops_done: int = 0
    path: tuple[Point, ...] = ()
    path_revision: str | None = None
    walled_in: bool = False  # in this revision no way leads to the stop in work: it hovers
    arrived: bool = False  # at the stop in work (only a CHARGE stop lasts)
    drain_pct_per_m: float = 0.0
    docked: str | None = None
    queued: str | None = None
    speed_mps: float = 0.0
    heading_deg: float = 0.0
    odometer_m: float = 0.0
    recalled_seq: int = 0

    @property
    def stop(self) -> Stop | None:
        """The stop in work; None: all orders are done."""
        return self.orders.stops[self.stops_done] if self.stops_done < len(self.orders.stops) else None


def load_kg(stops: tuple[Stop, ...], done: int) -> float:
    """What is on board: every parcel that is still to be dropped and no longer to be picked up."""
    ahead = stops[done:]
    to_pick_up = {stop.delivery_id for stop in ahead if stop.kind is StopKind.PICKUP}
    weights = {stop.delivery_id: stop.weight_kg for stop in stops if stop.kind is StopKind.PICKUP}
    return sum(
        max(stop.weight_kg, weights.get(stop.delivery_id, 0.0))
        for stop in ahead
        if stop.kind is StopKind.DROPOFF and stop.delivery_id not in to_pick_up
    )


def craft_of(drone: Drone, telemetry: Telemetry, plane: Plane) -> Craft:
    """The drone as its records describe it: what a process starts from that takes it over.

    Orders that are newer than the telemetry are taken from their beginning; older ones cannot be.
    """
    same = telemetry.orders_seq == drone.orders.seq
    return Craft(
        id=drone.id,
        type=drone.type,
        at=plane.to_point(telemetry.pos),
        battery_pct=telemetry.battery_pct,
        orders=drone.orders,
        stops_done=min(telemetry.stops_done, len(drone.orders.stops)) if same else 0,
        odometer_m=telemetry.odometer_m,
        heading_deg=telemetry.heading_deg,
        recalled_seq=telemetry.recalled_seq or 0,
    )


def with_orders(craft: Craft, orders: Commands) -> Craft:
    """The drone after hearing `orders`; orders that it has, or older ones (late, duplicated), change nothing."""
    if orders.seq <= craft.orders.seq:
        return craft
    return msgspec.structs.replace(
        craft,
        orders=orders,
        stops_done=0,
        path=(),
        path_revision=None,
        arrived=False,
        docked=None,
        queued=None,
        speed_mps=0.0,
    )


def recalled(craft: Craft, stored: Telemetry) -> Craft:
    """The drone after reading its stored telemetry, which may recall its orders; the same object when it knows that.

    What it has done by them and is not stored has not happened: the write would have come before the recall.
    """
    seq = stored.recalled_seq or 0
    if seq <= craft.recalled_seq:
        return craft
    craft = msgspec.structs.replace(craft, recalled_seq=seq)
    done = stored.stops_done if stored.orders_seq == craft.orders.seq else 0
    if craft.orders.seq > seq or craft.stops_done <= done:
        return craft
    return msgspec.structs.replace(
        craft, stops_done=done, path=(), path_revision=None, arrived=False, speed_mps=0.0
    )


def may_pick_up(craft: Craft, order: Delivery | None) -> bool:
    """Whether the parcel of `order`, as the store has it in this very tick, is this drone's to fetch by its orders."""
    return (
        order is not None
        and order.status in (DeliveryStatus.ASSIGNED, DeliveryStatus.IN_PROGRESS)
        and order.drone_id == craft.id
        and order.orders_seq == craft.orders.seq
        and craft.orders.seq > craft.recalled_seq
    )


def telemetry_of(craft: Craft, plane: Plane, *, tick: int, at: str) -> Telemetry:
    """What is written and published about the drone after tick number `tick`."""
    return Telemetry(
        id=craft.id,
        pos=plane.to_latlon(craft.at),
        battery_pct=round(craft.battery_pct, 3),
        at_charge=craft.docked,
        queued_at=craft.queued,
        speed_mps=round(craft.speed_mps, 2),
        heading_deg=round(craft.heading_deg, 1),
        orders_seq=craft.orders.seq,
        stops_done=craft.stops_done,
        tick=tick,
        odometer_m=round(craft.odometer_m, 1),
        route=tuple(plane.to_latlon(point) for point in craft.path),
        at=at,
        recalled_seq=craft.recalled_seq if craft.recalled_seq >= max(1, craft.orders.seq) else msgspec.UNSET,
    )
