"""Messages that feed the live events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dronedispatch.fleet.documents import Unreadable, decode
from dronedispatch.fleet.messages import DeliveryStatusChanged, DroneUpdates
from dronedispatch.gateway.feed import Feed
from dronedispatch.runtime.amqp import Message, Undecodable

Handler = Callable[[Message], Awaitable[None]]


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
