"""Builders of fleet documents for tests: everything has a sensible default, and a test names what it is about."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
from ulid import ULID

from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, Transition
from dronedispatch.fleet.documents import encode, stamp
from dronedispatch.fleet.drones import Drone, DroneStatus, DroneType, Telemetry
from dronedispatch.fleet.messages import DeliveryChanges, DeliveryStatusChanged
from dronedispatch.fleet.positions import LatLon, Point
from dronedispatch.testing.clock import START_WALL_S

PLANE = default_city().plane
AT = stamp(START_WALL_S)


def at_km(east_km: float, north_km: float) -> LatLon:
    """A position by its distance from the middle of the default city."""
    return PLANE.to_latlon(Point(east_km * 1000, north_km * 1000))


def a_place(rng: Random, reach_km: float = 4.0) -> LatLon:
    """Somewhere in the default city that a gateway accepts, at most so far east or north of its middle."""
    while True:
        place = at_km(rng.uniform(-reach_km, reach_km), rng.uniform(-reach_km, reach_km))
        if default_city().why_not_here(place) is None:
            return place


def a_delivery(**changes: Any) -> Delivery:
    """Pending, 1 kg, 2 km east of the middle to 2 km west of it."""
    plain = Delivery(
        id=str(ULID()),
        status=DeliveryStatus.PENDING,
        origin=at_km(2.0, -2.0),
        destination=at_km(-2.0, -2.0),
        weight_kg=1.0,
        created_at=AT,
        history=(Transition(at=AT, from_=None, to=DeliveryStatus.PENDING, cause="ordered"),),
    )
    return msgspec.structs.replace(plain, **changes)


def a_drone(name: str = "drone-00001", **changes: Any) -> Drone:
    """Idle and light."""
    plain = Drone(id=name, type=DroneType.LIGHT, status=DroneStatus.IDLE, status_at=AT)
    return msgspec.structs.replace(plain, **changes)


def telemetry_for(name: str = "drone-00001", **changes: Any) -> Telemetry:
    """Full, in the middle of the city, standing."""
    plain = Telemetry(id=name, pos=at_km(0.0, -2.0), battery_pct=100.0, tick=1, at=AT)
    return msgspec.structs.replace(plain, **changes)


def a_change(seq: int, *, term: int = 1, **changes: Any) -> DeliveryStatusChanged:
    """A delivery of its own is assigned."""
    plain = DeliveryStatusChanged(
        id=f"{term}-{seq}",
        at=AT,
        request_id="r",
        delivery_id=str(ULID()),
        status=DeliveryStatus.ASSIGNED,
        drone_id="d1",
        cause="assigned",
        term=term,
        seq=seq,
    )
    return msgspec.structs.replace(plain, **changes)


def a_batch(first: int, last: int | None = None, *, term: int = 1, **changes: Any) -> DeliveryChanges:
    """The changes `first`..`last` of a term, or `first` alone; a beat when there are none."""
    until = first if last is None else last
    events = tuple(msgspec.Raw(encode(a_change(seq, term=term))) for seq in range(first, until + 1))
    plain = DeliveryChanges(
        id=f"batch-{term}-{first}", at=AT, request_id="r", term=term, first=first, last=until, events=events
    )
    return msgspec.structs.replace(plain, **changes)
