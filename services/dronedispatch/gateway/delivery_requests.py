"""Tells of a delivery that was written: the dispatcher by a message, this gateway's own readers at once.

The message carries the record, so that the dispatcher shows it to the other gateways without reading it first.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from ulid import ULID

from dronedispatch.fleet.deliveries import Delivery
from dronedispatch.fleet.documents import encode, stamp
from dronedispatch.fleet.messages import DELIVERY_REQUESTS, DeliveryRequested, RecordTold
from dronedispatch.kv.version import Version
from dronedispatch.runtime.amqp import Publisher
from dronedispatch.runtime.clock import Clock

Announce = Callable[[Delivery, Version], None]


class DeliveryRequests:
    """`announce` takes what was stored, and its version."""

    def __init__(self, publisher: Publisher, clock: Clock, announce: Announce) -> None:
        self._publisher = publisher
        self._clock = clock
        self._announce = announce

    def tell(self, delivery: Delivery, version: Version, request_id: str, cause: str = "created") -> None:
        """Waits for nobody: a message that is lost is found by the dispatcher's scan."""
        now_s = self._clock.wall_s()
        event = DeliveryRequested(
            id=str(ULID.from_timestamp(now_s)),
            at=stamp(now_s),
            request_id=request_id,
            delivery_id=delivery.id,
            cause=cause,
            told=RecordTold(str(version), msgspec.Raw(encode(delivery))),
        )
        self._publisher.to_queue(DELIVERY_REQUESTS, encode(event), message_id=event.id)
        self._announce(delivery, version)
