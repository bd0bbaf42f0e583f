"""advance_deliveries: what the drones have done becomes the deliveries' state."""

from __future__ import annotations

from collections.abc import Mapping

from dronedispatch.dispatcher.core.plan import Advance, Free
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus

PICKED_UP, DROPPED_OFF = 1, 2  # stops done of the orders [pick-up, drop-off]


def holds(drone: DroneSnapshot | None, delivery: DeliverySnapshot) -> bool:
    """Whether the drone's record carries the intent for this delivery."""
    return drone is not None and drone.status is DroneStatus.BUSY and drone.delivery_id == delivery.id


def advance_deliveries(
    deliveries: Mapping[str, DeliverySnapshot], drones: Mapping[str, DroneSnapshot]
) -> tuple[list[Advance], list[Free]]:
    """A drone that was at the origin has picked up, one that was at the destination has delivered.

    One move of a delivery a round: what was missed in between is caught up by the next rounds, each with its stamp.
    """
    advances: list[Advance] = []
    frees: list[Free] = []
    for delivery in deliveries.values():
        if delivery.drone_id is None:
            continue
        drone = drones.get(delivery.drone_id)
        if drone is None or not holds(drone, delivery):
            continue
        if delivery.status is DeliveryStatus.ASSIGNED and drone.done >= PICKED_UP:
            advances.append(
                Advance(delivery.id, delivery.version, DeliveryStatus.IN_PROGRESS, drone.id, "picked up")
            )
        elif delivery.status is DeliveryStatus.IN_PROGRESS and drone.done >= DROPPED_OFF:
            advances.append(
                Advance(delivery.id, delivery.version, DeliveryStatus.DELIVERED, drone.id, "dropped off")
            )
            frees.append(Free(drone.id, drone.version, "delivered", after_delivery=delivery.id))
    return advances, frees
