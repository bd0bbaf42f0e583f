"""Intents of a plan as records to be written: the moves of the life cycles, with their stamps and orders. Pure."""

from __future__ import annotations

import msgspec

from dronedispatch.dispatcher.core.plan import Advance, Assign, Charge, Fail, Finish, Free, SetStatus, Undo
from dronedispatch.fleet.city import City
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, Eta, move_delivery
from dronedispatch.fleet.drones import Commands, Drone, DroneStatus, Stop, StopKind, move_drone

DeliveryIntent = Advance | Fail | Undo | Finish
DroneIntent = Free | Charge | SetStatus


class CannotCarryOut(Exception):
    """The intent does not fit what is stored, whatever its version says; the message is the reason."""


def moved_delivery(delivery: Delivery, intent: DeliveryIntent, *, city: City, at: str) -> Delivery:
    """The delivery after the intent. Raises IllegalMove."""
    match intent:
        case Advance():
            return move_delivery(delivery, intent.to, at=at, cause=intent.cause)
        case Fail():
            last_pos = None if intent.last_at is None else city.plane.to_latlon(intent.last_at)
            return move_delivery(
                delivery, DeliveryStatus.FAILED, at=at, cause=intent.cause, last_pos=last_pos
            )
        case Undo():
            return move_delivery(delivery, DeliveryStatus.PENDING, at=at, cause=intent.cause)
        case Finish():
            return move_delivery(
                delivery,
                DeliveryStatus.ASSIGNED,
                at=at,
                cause=intent.cause,
                drone_id=intent.drone_id,
                orders_seq=intent.orders_seq,
            )


def moved_drone(drone: Drone, intent: DroneIntent, *, city: City, at: str) -> Drone:
    """The drone after the intent. Raises IllegalMove, CannotCarryOut."""
    match intent:
        case Free():
            return move_drone(drone, DroneStatus.IDLE, at=at, cause=intent.cause, stops=())
        case Charge():
            stop = _charge_stop(city, intent.charge_point, intent.until_pct)
            if drone.status is DroneStatus.CHARGING:
                orders = Commands(seq=drone.orders.seq + 1, stops=(stop,))
                return msgspec.structs.replace(drone, orders=orders, cause=intent.cause)
            return move_drone(drone, DroneStatus.CHARGING, at=at, cause=intent.cause, stops=(stop,))
        case SetStatus():
            stops = () if intent.charge_point is None else (_charge_stop(city, intent.charge_point, None),)
            if drone.status is DroneStatus.RETIRING and intent.to is DroneStatus.RETIRING:
                orders = Commands(seq=drone.orders.seq + 1, stops=stops)
                return msgspec.structs.replace(drone, orders=orders, cause=intent.cause)
            return move_drone(drone, intent.to, at=at, cause=intent.cause, stops=stops)


def with_intent(drone: Drone, delivery: Delivery, assign: Assign, *, at: str) -> Drone:
    """The drone that goes for the delivery: busy, with its id and the version that was decided on. Raises IllegalMove."""
    return move_drone(
        drone,
        DroneStatus.BUSY,
        at=at,
        cause=f"assigned {delivery.id}",
        delivery_id=delivery.id,
        delivery_version=str(assign.delivery_version),
        stops=stops_for(delivery),
    )


def assigned(delivery: Delivery, assign: Assign, orders_seq: int, eta: Eta, *, at: str) -> Delivery:
    """The delivery that the drone goes for. Raises IllegalMove."""
    return move_delivery(
        delivery,
        DeliveryStatus.ASSIGNED,
        at=at,
        cause="assigned",
        drone_id=assign.drone_id,
        orders_seq=orders_seq,
        eta=eta,
    )


def stops_for(delivery: Delivery) -> tuple[Stop, ...]:
    """Fetch it, bring it."""
    return tuple(
        Stop(kind=kind, pos=pos, delivery_id=delivery.id, weight_kg=delivery.weight_kg)
        for kind, pos in ((StopKind.PICKUP, delivery.origin), (StopKind.DROPOFF, delivery.destination))
    )


def _charge_stop(city: City, station: str, until_pct: float | None) -> Stop:
    point = city.charge_point(station)
    if point is None:
        raise CannotCarryOut(f"no charge point {station} in the city")
    return Stop(kind=StopKind.CHARGE, pos=point.pos, station=station, until_pct=until_pct)
