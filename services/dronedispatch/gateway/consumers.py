"""Messages that feed the live events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from dronedispatch.fleet.documents import Unreadable, decode
from dronedispatch.fleet.messages import DELIVERY_STATUS, DRONE_UPDATES, DeliveryStatusChanged, DroneUpdates
from dronedispatch.gateway.feed import Feed
from dronedispatch.runtime.amqp import Message, Undecodable

Handler = Callable[[Message], Awaitable[None]]


class Broker(Protocol):
    """What a gateway wants of runtime.amqp.Bus, or of its memory twin."""

    def subscribe(
        self, exchange: str, queue: str, handler: Handler, attached: Callable[[], None] | None = None
    ) -> asyncio.Task[None]: ...


def subscribe(broker: Broker, feed: Feed, instance: str) -> None:
    """Tell `feed` what everybody is told. Positions are told again in every tick: a gap in them is no news."""
    broker.subscribe(DELIVERY_STATUS, f"{DELIVERY_STATUS}.{instance}", on_delivery_status(feed), feed.gap)
    broker.subscribe(DRONE_UPDATES, f"{DRONE_UPDATES}.{instance}", on_drone_updates(feed))


def on_delivery_status(feed: Feed) -> Handler:
    """delivery_status, from the dispatcher."""

    async def handle(message: Message) -> None:
        try:
            event = decode(DeliveryStatusChanged, message.body)
        except Unreadable as exc:
            raise Undecodable(str(exc)) from exc
        feed.status_changed(event, message.body)

    return handle


def on_drone_updates(feed: Feed) -> Handler:
    """drone_updates, from drone_sim; unread while nobody watches."""

    async def handle(message: Message) -> None:
        if not feed.watched:
            return
        try:
            updates = decode(DroneUpdates, message.body)
        except Unreadable as exc:
            raise Undecodable(str(exc)) from exc
        feed.telemetry(updates.drones)

    return handle
