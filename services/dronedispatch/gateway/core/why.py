"""Why a delivery is where it is: what its own record says, and what the dispatcher adds while it is open."""

from __future__ import annotations

from collections.abc import Mapping

from dronedispatch.fleet.deliveries import TERMINAL, Delivery, DeliveryStatus


def needs_dispatcher(delivery: Delivery) -> bool:
    """An order that waits is explained by nobody else; of one that has a drone, the record says enough without it."""
    return delivery.status is DeliveryStatus.PENDING


def explain(delivery: Delivery, answer: Mapping[str, object] | None) -> dict[str, object]:
    """The document of GET /deliveries/{id}/why; `answer`: the dispatcher's, for an open one that it knows."""
    own: dict[str, object] = {
        "delivery_id": delivery.id,
        "status": delivery.status.value,
        "summary": _summary(delivery),
    }
    told = dict(answer or {})
    doubt = told.pop("doubt", None)
    if not needs_dispatcher(delivery):
        return own | {"summary": f"{own['summary']}; it fails unless that changes: {doubt}"} if doubt else own
    own[
        "drones"
    ] = []  # of a round that has not looked at it yet; the dispatcher's answer lays its own over this
    return own | told | {"delivery_id": delivery.id, "status": delivery.status.value}


def _summary(delivery: Delivery) -> str:
    last = delivery.history[-1] if delivery.history else None
    cause = "" if last is None else f": {last.cause}"
    if delivery.status in TERMINAL:
        return f"{delivery.status} at {delivery.ended_at}{cause}"
    if delivery.status is DeliveryStatus.PENDING:
        return f"waits since {delivery.created_at}{cause}; no round of the dispatcher has looked at it yet"
    by = "" if delivery.eta is None else f"; expected by {delivery.eta.at}"
    if delivery.status is DeliveryStatus.ASSIGNED:
        return (
            f"given to {delivery.drone_id} at {delivery.assigned_at}, when a round weighed all waiting orders "
            f"against all drones that could fly them{by}"
        )
    return f"on board of {delivery.drone_id} since {delivery.picked_up_at}{by}"
