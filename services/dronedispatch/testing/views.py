"""Builders of what a round sees, drones and orders at kilometres from the city's middle, and what it makes of that."""

from __future__ import annotations

from typing import Any

from dronedispatch.dispatcher.core.plan import Plan
from dronedispatch.dispatcher.core.round import plan_round
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus, DroneType
from dronedispatch.fleet.positions import Point
from dronedispatch.kv.version import Version

NOW_S = 1_800_000_000.0
FIRST = Version(1, 1)
OPEN_SKY = default_city().open_sky()
CALM = Tuning(autoscale=False)


def km(east: float, north: float) -> Point:
    return Point(east * 1000.0, north * 1000.0)


def drone_at(name: str, at: Point, **changes: Any) -> DroneSnapshot:
    """Heavy, idle, full."""
    base: dict[str, Any] = {
        "id": name,
        "type": DroneType.HEAVY,
        "status": DroneStatus.IDLE,
        "version": FIRST,
        "at": at,
        "battery_pct": 100.0,
        "status_s": NOW_S,
    }
    return DroneSnapshot(**(base | changes))


def flying(name: str, delivery_id: str, at: Point, *, done: int = 0, **changes: Any) -> DroneSnapshot:
    """Busy with the delivery, `done` stops of its orders done."""
    base: dict[str, Any] = {
        "status": DroneStatus.BUSY,
        "delivery_id": delivery_id,
        "delivery_version": str(FIRST),
        "stops": 2,
        "stops_done": done,
    }
    return drone_at(name, at, **(base | changes))


def order(name: str, origin: Point, destination: Point, **changes: Any) -> DeliverySnapshot:
    """Pending, 1 kg, made just now."""
    base: dict[str, Any] = {
        "id": name,
        "status": DeliveryStatus.PENDING,
        "version": FIRST,
        "origin": origin,
        "destination": destination,
        "weight_kg": 1.0,
        "created_s": NOW_S,
    }
    return DeliverySnapshot(**(base | changes))


def world(*parts: DroneSnapshot | DeliverySnapshot, **changes: Any) -> World:
    """These drones and orders under an open sky; nobody is woken or put to sleep."""
    drones = tuple(part for part in parts if isinstance(part, DroneSnapshot))
    orders = tuple(part for part in parts if isinstance(part, DeliverySnapshot))
    given: dict[str, Any] = {"city": OPEN_SKY, "tuning": CALM} | changes
    return World(drones, orders, **given)


def plan(*parts: DroneSnapshot | DeliverySnapshot, **changes: Any) -> Plan:
    """What a round does in that world."""
    return plan_round(world(*parts, **changes), NOW_S)
