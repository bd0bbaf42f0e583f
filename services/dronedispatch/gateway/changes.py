"""What customers and operators change: each a decision on the version that was read, written by CAS."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import structlog

from dronedispatch.fleet.deliveries import (
    TERMINAL,
    Delivery,
    DeliveryStatus,
    delivery_tags,
    move_delivery,
    transition_fields,
)
from dronedispatch.fleet.dispatch_state import DESIRED_STATE_TAG, DesiredState, Wanted
from dronedispatch.fleet.documents import decode, delivery_key, desired_state_key, drone_key, encode, stamp
from dronedispatch.fleet.lifecycle import IllegalMove
from dronedispatch.gateway.core.order import refuse_past
from dronedispatch.gateway.delivery_requests import DeliveryRequests
from dronedispatch.kv.client import KVClient
from dronedispatch.kv.errors import Unavailable, VersionConflict
from dronedispatch.kv.version import Version
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.etags import Tags
from dronedispatch.runtime.problems import Problem

ATTEMPTS_MAX = (
    20  # a delivery changes a handful of times in its life: more lost races mean something is wrong
)

log = structlog.get_logger()


class DeliveryAsStored(NamedTuple):
    """A delivery as it is stored now."""

    delivery: Delivery
    version: Version


class Changes:
    """Changes of existing deliveries, and what is wanted of drones."""

    def __init__(self, kv: KVClient, clock: Clock, requests: DeliveryRequests) -> None:
        self._kv = kv
        self._clock = clock
        self._requests = requests

    async def cancel(
        self, delivery_id: str, request_id: str, expected: Tags | None = None
    ) -> DeliveryAsStored:
        """End it, unless the parcel is on board already. Cancelling a cancelled one changes nothing.

        Raises Problem 404 or 409, Unavailable, OutcomeUnknown. This and the other changes of a delivery raise Problem 412
        when none of the `expected` tags is that of the stored record.
        """

        def decide(delivery: Delivery) -> Delivery:
            if delivery.status is DeliveryStatus.CANCELLED:
                return delivery
            return move_delivery(
                delivery,
                DeliveryStatus.CANCELLED,
                at=stamp(self._clock.wall_s()),
                cause="cancelled by request",
            )

        return await self._change(delivery_id, decide, "cancelled", request_id, expected)

    async def set_priority(
        self, delivery_id: str, priority: int, request_id: str, expected: Tags | None = None
    ) -> DeliveryAsStored:
        """Raises Problem 404, or 409 when it has ended."""

        def decide(delivery: Delivery) -> Delivery:
            _still_open(delivery)
            return msgspec.structs.replace(delivery, priority=priority)

        return await self._change(delivery_id, decide, "priority", request_id, expected)

    async def set_deadline(
        self, delivery_id: str, deadline: str | None, request_id: str, expected: Tags | None = None
    ) -> DeliveryAsStored:
        """None takes it away. Raises BadField for one that is over, Problem 404, or 409 when the delivery has ended."""
        refuse_past(deadline, self._clock.wall_s())

        def decide(delivery: Delivery) -> Delivery:
            _still_open(delivery)
            return msgspec.structs.replace(delivery, deadline=deadline)

        return await self._change(delivery_id, decide, "deadline", request_id, expected)

    async def set_desired_state(self, drone_id: str, wanted: Wanted, request_id: str) -> DesiredState:
        """Leave the desired state for the dispatcher, the only writer of the drone's record. Raises Problem 404."""
        if await self._kv.get(drone_key(drone_id)) is None:
            raise Problem(404, f"no drone {drone_id}", field="drone_id")
        desired = DesiredState(wanted=wanted, at=stamp(self._clock.wall_s()), request_id=request_id)
        await self._kv.put(desired_state_key(drone_id), encode(desired), tags=(DESIRED_STATE_TAG,))
        return desired

    async def _change(
        self,
        delivery_id: str,
        decide: Callable[[Delivery], Delivery],
        cause: str,
        request_id: str,
        expected: Tags | None,
    ) -> DeliveryAsStored:
        key = delivery_key(delivery_id)
        for _ in range(ATTEMPTS_MAX):
            item = await self._kv.get(key)
            if item is None:
                raise Problem(404, f"no delivery {delivery_id}", field="delivery_id")
            before = decode(Delivery, item.value)
            _as_expected(before, item.version, expected)
            try:
                after = decide(before)
            except IllegalMove as exc:
                raise Problem(409, str(exc), status_now=before.status) from exc
            if after == before:
                return DeliveryAsStored(before, item.version)
            try:
                version = await self._kv.cas(key, item.version, encode(after), tags=delivery_tags(after))
            except VersionConflict:
                continue  # somebody else changed it first: decide again on what is there now
            if after.status is not before.status:
                log.info("transition", **transition_fields(before, after) | {"request_id": request_id})
            self._requests.tell(after, version, request_id, cause)
            return DeliveryAsStored(after, version)
        raise Unavailable(f"delivery {delivery_id} changes too fast")


def _still_open(delivery: Delivery) -> None:
    if delivery.status in TERMINAL:
        raise Problem(409, f"delivery {delivery.id} is {delivery.status}", status_now=delivery.status)


def _as_expected(delivery: Delivery, version: Version, expected: Tags | None) -> None:
    if expected is not None and str(version) not in expected.strong():
        raise Problem(
            412,
            f"delivery {delivery.id} has changed since you read it",
            field="If-Match",
            status_now=delivery.status,
        )
