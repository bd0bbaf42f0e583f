"""What a customer may ask for: the body of POST /deliveries and of the operator's changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from dronedispatch.fleet.city import City
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, Eta, Transition
from dronedispatch.fleet.documents import unstamp
from dronedispatch.fleet.positions import LatLon
from dronedispatch.gateway.core.body import Also, decode_body
from dronedispatch.gateway.core.fields import Latitude, Longitude, Moment, Priority, Weight, moment
from dronedispatch.gateway.core.refusal import BadField, FieldError


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """WGS84 degrees. An origin or destination must lie inside the city and outside its no-fly areas (422 otherwise)."""

    lat: Latitude
    lon: Longitude


class OrderBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a customer asks for."""

    origin: Position
    destination: Position
    weight: Weight
    priority: Priority | UnsetType = UNSET
    deadline: Moment | UnsetType | None = UNSET


class PriorityBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new priority."""

    priority: Priority


class DeadlineBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new deadline; null takes it away."""

    deadline: Moment | None


class NoMembers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An action without arguments: an empty object, or no body at all."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A well-formed order; whether the city can serve it is `trip_errors`. A key's fingerprint is of its encoding."""

    origin: LatLon
    destination: LatLon
    weight_kg: float
    priority: int = 0
    deadline: str | None = None


def parse_order(raw: bytes, also: Also | None = None) -> Order:
    """Raises NoJson (400), or BadField (422) with every wrong field; `also` says what the right ones are refused for."""
    found = decode_body(OrderBody, raw, also)
    origin, destination = found.origin, found.destination
    return Order(
        origin=LatLon(origin.lat, origin.lon),
        destination=LatLon(destination.lat, destination.lon),
        weight_kg=found.weight,
        priority=0 if found.priority is UNSET else found.priority,
        deadline=moment(found.deadline) if found.deadline else None,
    )


def parse_priority(raw: bytes) -> int:
    """The body of POST /deliveries/{id}/priority. Raises NoJson or BadField."""
    return decode_body(PriorityBody, raw).priority


def parse_deadline(raw: bytes) -> str | None:
    """The body of POST /deliveries/{id}/deadline; null takes the deadline away. Raises NoJson or BadField."""
    found = decode_body(DeadlineBody, raw).deadline
    return None if found is None else moment(found)


def trip_errors(members: Mapping[str, Any], city: City, now_s: float) -> list[FieldError]:
    """What `city` refuses at `now_s` of an order's members, as many of them as there are."""
    found: list[FieldError] = []
    origin, destination = members.get("origin"), members.get("destination")
    for field, pos in (("origin", origin), ("destination", destination)):
        if pos is not None and (reason := city.why_not_here(LatLon(pos.lat, pos.lon))) is not None:
            found.append(FieldError(field, reason))
    if origin is not None and origin == destination:
        found.append(FieldError("destination", "is the origin itself"))
    deadline = members.get("deadline")
    if deadline is not None and unstamp(moment(deadline)) <= now_s:
        found.append(FieldError("deadline", "is in the past"))
    return found


def refuse_trip(order: Order, city: City, now_s: float) -> None:
    """Raises BadField with everything that `city` refuses of the order."""
    members = {"origin": order.origin, "destination": order.destination, "deadline": order.deadline}
    if errors := trip_errors(members, city, now_s):
        raise BadField.of(errors)


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
