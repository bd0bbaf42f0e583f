"""What tests of a town ask for again and again: an order to fly, and what its drone_sims published."""

from __future__ import annotations

from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.documents import decode, delivery_key, drone_key, encode
from dronedispatch.fleet.drones import Commands, DroneStatus, Stop, StopKind
from dronedispatch.fleet.messages import DRONE_UPDATES, DroneUpdates
from dronedispatch.testing.fleet import a_delivery, a_drone, at_km
from dronedispatch.testing.town import Town


def updates(town: Town) -> list[DroneUpdates]:
    """Every published drone_updates, oldest first."""
    return [
        decode(DroneUpdates, message.body)
        for target, message in town.bus.published
        if target == DRONE_UPDATES
    ]


async def send_off(town: Town, name: str, *, hint: bool = True, seq: int = 1) -> None:
    """Orders to fetch something 5 km north."""
    item = await town.kv.get(drone_key(name))
    assert item is not None
    order = a_delivery(status=DeliveryStatus.ASSIGNED, drone_id=name, orders_seq=seq)
    await town.kv.cas(delivery_key(order.id), None, encode(order))
    stops = (Stop(kind=StopKind.PICKUP, pos=at_km(0.0, 5.0), delivery_id=order.id),)
    drone = a_drone(name, status=DroneStatus.BUSY, orders=Commands(seq=seq, stops=stops))
    await town.kv.cas(item.key, item.version, encode(drone))
    for fleet in town.fleets if hint else ():
        fleet.simulation.hinted_at([name])
