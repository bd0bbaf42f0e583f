"""Tells of a delivery that was written: the dispatcher by a message, this gateway's own readers at once.

The message carries the record, so that the dispatcher shows it to the other gateways without reading it first. The first one
goes at once; what comes within GATHER_S of a message goes together, as the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from ulid import ULID

from dronedispatch.fleet.deliveries import Delivery
from dronedispatch.fleet.documents import encode, stamp
from dronedispatch.fleet.messages import DELIVERY_REQUESTS, DeliveryRequested, RecordTold
from dronedispatch.kv.version import Version
from dronedispatch.runtime.amqp import Publisher
from dronedispatch.runtime.clock import Clock

GATHER_S = 0.05  # a quarter of the least time between two rounds of the dispatcher
TOGETHER_MAX = 100

Announce = Callable[[Delivery, Version], None]


class DeliveryRequests:
    """`announce` takes what was stored, and its version."""

    def __init__(self, publisher: Publisher, clock: Clock, announce: Announce) -> None:
        self._publisher = publisher
        self._clock = clock
        self._announce = announce
        self._gathered: list[DeliveryRequested] = []
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, delivery: Delivery, version: Version, request_id: str, cause: str = "created") -> None:
        """Waits for nobody: a message that is lost is found by the dispatcher's scan."""
        now_s = self._clock.wall_s()
        self._gathered.append(
            DeliveryRequested(
                id=str(ULID.from_timestamp(now_s)),
                at=stamp(now_s),
                request_id=request_id,
                delivery_id=delivery.id,
                cause=cause,
                told=RecordTold(str(version), msgspec.Raw(encode(delivery))),
            )
        )
        if self._timer is None or len(self._gathered) >= TOGETHER_MAX:
            self.flush()
        self._announce(delivery, version)

    def flush(self) -> None:
        """Hand over what has gathered, and let others gather for a while; when there is nothing, the next goes at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._gathered:
            first, *others = self._gathered
            self._gathered = []
            event = msgspec.structs.replace(first, more=tuple(others)) if others else first
            self._publisher.to_queue(DELIVERY_REQUESTS, encode(event), message_id=event.id)
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self.flush)
