"""What a customer may ask for: the body of POST /deliveries and of the operator's changes."""

from __future__ import annotations

import msgspec

from dronedispatch.fleet.city import City
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, Eta, Transition
from dronedispatch.fleet.documents import unstamp
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG
from dronedispatch.fleet.positions import LatLon
from dronedispatch.gateway.core.body import BadField, members, moment, number, parse_json, position, whole

PRIORITY_MAX = 9
WEIGHT_MAX_KG = max(PAYLOAD_MAX_KG.values())


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A well-formed order; whether the city can serve it is `refuse_outside`."""

    origin: LatLon
    destination: LatLon
    weight_kg: float
    priority: int = 0
    deadline: str | None = None


def parse_order(raw: bytes) -> Order:
    """Raises NoJson (400) or BadField (422)."""
    found = members(parse_json(raw), "", ("origin", "destination", "weight"), ("priority", "deadline"))
    origin = position(found["origin"], "origin")
    destination = position(found["destination"], "destination")
    weight_kg = number(found["weight"], "weight")
    if weight_kg <= 0.0:
        raise BadField("weight", "must be greater than 0 kg")
    if weight_kg > WEIGHT_MAX_KG:
        raise BadField("weight", f"is {weight_kg:g} kg, and no drone carries more than {WEIGHT_MAX_KG:g} kg")
    if origin == destination:
        raise BadField("destination", "is the origin itself")
    deadline = found.get("deadline")
    return Order(
        origin=origin,
        destination=destination,
        weight_kg=weight_kg,
        priority=whole(found.get("priority", 0), "priority", 0, PRIORITY_MAX),
        deadline=None if deadline is None else moment(deadline, "deadline"),
    )


def parse_priority(raw: bytes) -> int:
    """The body of POST /deliveries/{id}/priority. Raises NoJson or BadField."""
    found = members(parse_json(raw), "", ("priority",))
    return whole(found["priority"], "priority", 0, PRIORITY_MAX)


def parse_deadline(raw: bytes) -> str | None:
    """The body of POST /deliveries/{id}/deadline; null takes the deadline away. Raises NoJson or BadField."""
    found = members(parse_json(raw), "", ("deadline",))
    return None if found["deadline"] is None else moment(found["deadline"], "deadline")


def refuse_outside(order: Order, city: City) -> None:
    """Raises BadField for the end of the trip that the city does not serve."""
    for field, pos in (("origin", order.origin), ("destination", order.destination)):
        if (reason := city.why_not_here(pos)) is not None:
            raise BadField(field, reason)


def refuse_past(deadline: str | None, now_s: float) -> None:
    """Raises BadField for a deadline that is over."""
    if deadline is not None and unstamp(deadline) <= now_s:
        raise BadField("deadline", "is in the past")


def new_delivery(order: Order, *, delivery_id: str, created_at: str, eta: Eta, request_id: str) -> Delivery:
    """The pending delivery, the same for the same arguments: a retry writes what the first attempt wrote."""
    return Delivery(
        id=delivery_id,
        status=DeliveryStatus.PENDING,
        origin=order.origin,
        destination=order.destination,
        weight_kg=order.weight_kg,
        priority=order.priority,
        deadline=order.deadline,
        created_at=created_at,
        eta=eta,
        history=(Transition(at=created_at, from_=None, to=DeliveryStatus.PENDING, cause="ordered"),),
        request_id=request_id,
    )
