"""Placing an order: a 201 only when the delivery is in the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from ulid import ULID

from dronedispatch.fleet.deliveries import Delivery, delivery_tags
from dronedispatch.fleet.documents import decode, delivery_key, encode, idem_key, stamp
from dronedispatch.gateway.core.idempotency import IdemRecord, fingerprint, id_beside, why_not_the_same
from dronedispatch.gateway.core.order import Order, new_delivery, refuse_trip, trip_errors
from dronedispatch.gateway.core.problem_types import BY_NAME
from dronedispatch.gateway.core.reach import refuse_unserved, sure_flight_m
from dronedispatch.gateway.core.refusal import BadField, FieldError
from dronedispatch.gateway.delivery_requests import DeliveryRequests
from dronedispatch.gateway.forecast import Forecast
from dronedispatch.gateway.zones import Zones
from dronedispatch.kv.client import Cas, Item, KVClient
from dronedispatch.kv.errors import KVError, Unavailable, VersionConflict
from dronedispatch.kv.version import Version
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.problems import Problem

log = structlog.get_logger()


class OrderPlacement:
    """The only room that creates `delivery:<ulid>` and `idem/<sha256>`."""

    def __init__(
        self,
        kv: KVClient,
        zones: Zones,
        forecast: Forecast,
        clock: Clock,
        requests: DeliveryRequests,
    ) -> None:
        self._kv = kv
        self._zones = zones
        self._forecast = forecast
        self._clock = clock
        self._requests = requests

    async def place(self, order: Order, idempotency_key: str | None, request_id: str) -> Delivery:
        """Store the order as a pending delivery, tell the dispatcher, and return what the 201 says.

        The same key with the same order returns the same delivery however often it is asked, and finishes a first
        attempt that was cut short between its two writes. Raises BadField, Problem 422 (the key was used for another
        order), Unavailable (definite), OutcomeUnknown (with a key: ask again, and it is one order).
        """
        if idempotency_key is None:
            delivery = _delivery(order, self._fresh(order, self._refuse(order)), request_id)
            version = await self._create(delivery)
        else:
            delivery, version = await self._claim(order, idempotency_key, request_id)
        if version is not None:
            log.info("transition", delivery_id=delivery.id, to="pending", request_id=request_id)
            self._requests.tell(delivery, version, request_id)
        return delivery

    def errors_of(self, members: Mapping[str, Any]) -> list[FieldError]:
        """What is refused now of those members of a body that are well-formed."""
        return trip_errors(members, self._zones.city, self._clock.wall_s())

    def _refuse(self, order: Order) -> float | None:
        """How long the flight is at most; None: not known. Raises BadField, Unavailable."""
        if (reason := self._zones.why_not_ready()) is not None:
            raise Unavailable(f"this gateway {reason}")
        paths, flight = self._zones.paths, self._forecast.flight
        at_most_m = sure_flight_m(order, paths, flight)
        if at_most_m is None or order.deadline is not None or order.origin == order.destination:
            refuse_trip(order, self._zones.city, self._clock.wall_s())
        if at_most_m is None:
            refuse_unserved(order, paths, flight)
        return at_most_m

    def _fresh(
        self, order: Order, flight_at_most_m: float | None = None, key: str | None = None
    ) -> IdemRecord:
        now_s = self._clock.wall_s()
        delivery_id = str(ULID.from_timestamp(now_s))
        return IdemRecord(
            fingerprint=fingerprint(order),
            delivery_id=delivery_id if key is None else id_beside(delivery_id, key),
            created_at=stamp(now_s),
            eta=self._forecast.eta(order, now_s, flight_at_most_m),
        )

    async def _claim(
        self, order: Order, idempotency_key: str, request_id: str
    ) -> tuple[Delivery, Version | None]:
        """The key and then its delivery, in one request to the store; a key that is there already is honoured."""
        key = idem_key(idempotency_key)
        try:
            flight_at_most_m = self._refuse(order)
        except BadField:  # it may have been right when the first attempt came: then the answer is that one's
            item = await self._kv.get(key)
            if item is None:
                raise
            return await self._again(item, order, request_id)
        record = self._fresh(order, flight_at_most_m, key)
        delivery = _delivery(order, record, request_id)
        claimed, created = await self._kv.pair(Cas(key, None, encode(record)), _creation(delivery))
        if isinstance(claimed, VersionConflict):
            if claimed.current is None:  # swept between the write and its answer
                raise Problem(409, "the key is being forgotten", field="Idempotency-Key") from claimed
            return await self._again(claimed.current, order, request_id)
        for result in (claimed, created):
            if isinstance(result, KVError):
                raise result
        assert isinstance(created, Version)
        return delivery, created

    async def _again(self, item: Item, order: Order, request_id: str) -> tuple[Delivery, Version | None]:
        """What the first attempt with this key has promised, and finished, if that one was cut short."""
        delivery = _delivery(order, self._stored(item, order), request_id)
        return delivery, await self._create(delivery)

    @staticmethod
    def _stored(item: Item, order: Order) -> IdemRecord:
        stored = decode(IdemRecord, item.value)
        if (reason := why_not_the_same(stored, fingerprint(order))) is not None:
            raise Problem(
                422,
                f"the Idempotency-Key {reason}",
                field="Idempotency-Key",
                type_uri=BY_NAME["idempotency-key-reused"].uri,
            )
        return stored

    async def _create(self, delivery: Delivery) -> Version | None:
        """The version, if this very call wrote it; it is stored in either case."""
        created = _creation(delivery)
        try:
            return await self._kv.cas(created.key, None, created.value, tags=created.tags)
        except VersionConflict:
            return None  # an earlier attempt with this key got here first


def _delivery(order: Order, record: IdemRecord, request_id: str) -> Delivery:
    return new_delivery(
        order,
        delivery_id=record.delivery_id,
        created_at=record.created_at,
        eta=record.eta,
        request_id=request_id,
    )


def _creation(delivery: Delivery) -> Cas:
    return Cas(delivery_key(delivery.id), None, encode(delivery), tags=delivery_tags(delivery))
