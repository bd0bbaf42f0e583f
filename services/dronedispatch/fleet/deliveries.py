"""Deliveries: what is stored under `delivery:<ulid>`, and the moves of its life.

pending -> assigned -> in-progress -> delivered
assigned -> pending (undone, or the drone fell silent before pick-up); cancelled and failed are terminal.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dronedispatch.fleet.lifecycle import check_move
from dronedispatch.fleet.positions import LatLon

HISTORY_MAX = (
    200  # an order that is undone and assigned again and again keeps its first and its newest entries
)


class DeliveryStatus(StrEnum):
    """Where a delivery is in its life."""

    PENDING = "pending"
    ASSIGNED = "assigned"
    IN_PROGRESS = "in-progress"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    FAILED = "failed"


DELIVERY_MOVES: dict[DeliveryStatus, frozenset[DeliveryStatus]] = {
    DeliveryStatus.PENDING: frozenset(
        {DeliveryStatus.ASSIGNED, DeliveryStatus.CANCELLED, DeliveryStatus.FAILED}
    ),
    DeliveryStatus.ASSIGNED: frozenset(
        {
            DeliveryStatus.PENDING,
            DeliveryStatus.IN_PROGRESS,
            DeliveryStatus.CANCELLED,
            DeliveryStatus.FAILED,
        }
    ),
    DeliveryStatus.IN_PROGRESS: frozenset({DeliveryStatus.DELIVERED, DeliveryStatus.FAILED}),
    DeliveryStatus.DELIVERED: frozenset(),
    DeliveryStatus.CANCELLED: frozenset(),
    DeliveryStatus.FAILED: frozenset(),
}
TERMINAL = frozenset(status for status, moves in DELIVERY_MOVES.items() if not moves)


class Transition(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """One entry of a delivery's history; `at` is RFC 3339 UTC."""

    at: str
    from_: DeliveryStatus | None
    to: DeliveryStatus
    cause: str
    drone_id: str | None = None


class Eta(msgspec.Struct, frozen=True):
    """When it will be delivered, by the state of fleet and backlog at the time of the answer.

    `at`: RFC 3339 UTC; `confidence`: the share of orders that are delivered by `at`, 0..1; `basis`: how it was found.
    """

    at: str
    confidence: float
    basis: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True, rename={"weight_kg": "weight"}):
    """A delivery as stored and as shown. Timestamps are RFC 3339 UTC with milliseconds."""

    id: str
    status: DeliveryStatus
    origin: LatLon
    destination: LatLon
    weight_kg: float
    priority: int = 0  # 0 (normal) .. 9 (most urgent)
    deadline: str | None = None
    drone_id: str | None = None
    orders_seq: int | None = None  # the drone's orders that fly this delivery
    created_at: str
    assigned_at: str | None = None
    picked_up_at: str | None = None
    delivered_at: str | None = None
    ended_at: str | None = None
    eta: Eta | None = None
    promised: Eta | None = None  # what the 201 said, while `eta` is that of the assignment
    last_pos: LatLon | None = None  # where a failed parcel was seen last
    history: tuple[Transition, ...] = ()
    request_id: str | None = None


_STAMP_OF = {
    DeliveryStatus.ASSIGNED: "assigned_at",
    DeliveryStatus.IN_PROGRESS: "picked_up_at",
    DeliveryStatus.DELIVERED: "delivered_at",
}


def move_delivery(
    delivery: Delivery,
    to: DeliveryStatus,
    *,
    at: str,
    cause: str,
    drone_id: str | None = None,
    orders_seq: int | None = None,
    eta: Eta | None = None,
    last_pos: LatLon | None = None,
) -> Delivery:
    """The delivery after the move, stamped and with one more line of history. Raises IllegalMove.

    `drone_id` and `orders_seq` are wanted for ASSIGNED, `eta` is better known then; a move back to PENDING forgets all of
    them and the stamp.
    """
    check_move(DELIVERY_MOVES, f"delivery {delivery.id}", delivery.status, to)
    changes: dict[str, object] = {"status": to}
    if to in _STAMP_OF:
        changes[_STAMP_OF[to]] = at
    if to in TERMINAL:
        changes["ended_at"] = at
    if to is DeliveryStatus.ASSIGNED:
        assert drone_id is not None
        changes |= {"drone_id": drone_id, "orders_seq": orders_seq}
        if eta is not None:
            changes |= {"eta": eta, "promised": delivery.promised or delivery.eta}
    if to is DeliveryStatus.PENDING:
        changes |= {"drone_id": None, "orders_seq": None, "assigned_at": None}
        changes |= {"eta": delivery.promised or delivery.eta, "promised": None}
    if last_pos is not None:
        changes["last_pos"] = last_pos
    line = Transition(
        at=at, from_=delivery.status, to=to, cause=cause, drone_id=drone_id or delivery.drone_id
    )
    history = (*delivery.history, line)
    if len(history) > HISTORY_MAX:
        history = (history[0], *history[-(HISTORY_MAX - 1) :])
    return msgspec.structs.replace(delivery, **changes, history=history)


def transition_fields(before: Delivery, after: Delivery) -> dict[str, str | None]:
    """What the log line of a transition says: written once, by the process that has stored `after`."""
    return {
        "delivery_id": after.id,
        "from": before.status.value,
        "to": after.status.value,
        "drone_id": after.drone_id or before.drone_id,
        "request_id": after.request_id,
        "cause": after.history[-1].cause if after.history else None,
    }


def delivery_tags(delivery: Delivery) -> tuple[str, ...]:
    """The tags under which a round and the lists find it: what has ended costs a round nothing."""
    tags = [f"status={delivery.status}"]
    if delivery.drone_id is not None:
        tags.append(f"drone={delivery.drone_id}")
    if delivery.status not in TERMINAL:
        tags.append("open=1")
    return tuple(tags)
