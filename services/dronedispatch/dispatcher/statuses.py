"""Tells every gateway of each change of a delivery's status: after the fact, in the order of (term, seq)."""

from __future__ import annotations

from ulid import ULID

from dronedispatch.fleet.deliveries import TERMINAL, Delivery, DeliveryStatus
from dronedispatch.fleet.documents import encode, stamp
from dronedispatch.fleet.messages import DELIVERY_STATUS, DeliveryStatusChanged
from dronedispatch.runtime.amqp import Publisher
from dronedispatch.runtime.clock import Clock

ENDED_REMEMBERED_MAX = 20_000


class Statuses:
    """Publishes a delivery whose status differs from what was told last; a repeated look tells nothing."""

    def __init__(self, bus: Publisher, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._term = 0
        self._seq = 0
        self._told: dict[str, DeliveryStatus] = {}
        self._ended: dict[str, DeliveryStatus] = {}  # insertion order: the oldest goes first

    def begin(self, term: int) -> None:
        """A new term as leader: what former leaders have told is not known."""
        self._term, self._seq = term, 0
        self._told, self._ended = {}, {}

    def know(self, delivery: Delivery) -> None:
        """It has had this status for long: no news, whoever tells."""
        self._told.setdefault(delivery.id, delivery.status)

    def look(self, delivery: Delivery) -> None:
        """The delivery as it was read or written."""
        if self._told.get(delivery.id, self._ended.get(delivery.id)) is delivery.status:
            return
        self._told[delivery.id] = delivery.status
        if delivery.status in TERMINAL:
            self._ended[delivery.id] = self._told.pop(delivery.id)
            if len(self._ended) > ENDED_REMEMBERED_MAX:
                del self._ended[next(iter(self._ended))]
        self._publish(delivery)

    def _publish(self, delivery: Delivery) -> None:
        self._seq += 1
        last = delivery.history[-1] if delivery.history else None
        event = DeliveryStatusChanged(
            id=str(ULID()),
            at=last.at if last else stamp(self._clock.wall_s()),
            request_id=delivery.request_id or delivery.id,
            delivery_id=delivery.id,
            status=delivery.status,
            drone_id=delivery.drone_id or (last.drone_id if last else None),
            cause=last.cause if last else str(delivery.status),
            term=self._term,
            seq=self._seq,
        )
        self._bus.to_fanout(DELIVERY_STATUS, encode(event), message_id=event.id)
