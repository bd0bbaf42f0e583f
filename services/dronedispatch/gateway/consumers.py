"""Keeps a gateway within hearing of the dispatcher, and says to its readers when it was not.

The active dispatcher sends a batch at least once a second. Who hears none for SILENCE_S does not know what has changed: its
readers are told to read again, the subscription is renewed, and meanwhile the events of the release before (one message a
change, no beat) are listened to: an older dispatcher leads, or none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import structlog

from dronedispatch.fleet.documents import Unreadable, decode
from dronedispatch.fleet.messages import (
    DELIVERY_CHANGES,
    DELIVERY_STATUS,
    DRONE_UPDATES,
    SILENCE_S,
    DeliveryChanges,
    DeliveryStatusChanged,
    DroneUpdates,
)
from dronedispatch.gateway.feed import Feed
from dronedispatch.runtime.amqp import Message, Undecodable
from dronedispatch.runtime.clock import Clock

RENEW_MAX_S = 60.0  # between two renewals while nothing is heard at all

T = TypeVar("T")
Handler = Callable[[Message], Awaitable[None]]

log = structlog.get_logger()


class Broker(Protocol):
    """What a gateway wants of runtime.amqp.Bus, or of its memory twin."""

    def subscribe(
        self, exchange: str, queue: str, handler: Handler, attached: Callable[[], None] | None = None
    ) -> asyncio.Task[None]: ...


class Hearing:
    """Subscribes for `feed`; `once` is to be called about once a second."""

    def __init__(self, broker: Broker, feed: Feed, clock: Clock, instance: str) -> None:
        self._broker = broker
        self._feed = feed
        self._clock = clock
        self._instance = instance
        self._changes: asyncio.Task[None] | None = None
        self._singles: asyncio.Task[None] | None = None
        self._heard_s = self._word_s = clock.monotonic_s()
        self._renew_after_s = SILENCE_S

    def start(self) -> None:
        """Begin to listen. Positions are told again in every tick: a gap in them is no news."""
        self._heard_s = self._word_s = self._clock.monotonic_s()
        self._listen()
        self._broker.subscribe(DRONE_UPDATES, f"{DRONE_UPDATES}.{self._instance}", self.drones_updated)

    @property
    def silent_s(self) -> float:
        """Seconds since the last batch (or since the last renewal)."""
        return self._clock.monotonic_s() - self._heard_s

    @property
    def unheard_s(self) -> float:
        """Seconds since the dispatcher was heard last, or since we began to listen."""
        return self._clock.monotonic_s() - self._word_s

    def _listen(self) -> None:
        queue = f"{DELIVERY_CHANGES}.{self._instance}"
        self._changes = self._broker.subscribe(DELIVERY_CHANGES, queue, self.changed, self._feed.gap)

    async def once(self) -> str:
        """Whether the dispatcher is heard; after a silence the subscription is renewed."""
        if self.silent_s < self._renew_after_s:
            return "heard" if self._feed.hearing else "not heard yet"
        log.warning("no word from the dispatcher, listening anew", seconds=round(self.silent_s, 1))
        self._feed.lost()
        if self._changes is not None:
            self._changes.cancel()
            await asyncio.gather(self._changes, return_exceptions=True)
        self._listen()
        if self._singles is None:
            queue = f"{DELIVERY_STATUS}.{self._instance}"
            self._singles = self._broker.subscribe(
                DELIVERY_STATUS, queue, self.status_changed, self._feed.gap
            )
        self._heard_s = self._clock.monotonic_s()
        self._renew_after_s = min(RENEW_MAX_S, 2 * self._renew_after_s)
        return "silent"

    async def changed(self, message: Message) -> None:
        """delivery_changes, from the dispatcher. Raises Undecodable."""
        batch = _decoded(DeliveryChanges, message)
        self._heard_s = self._word_s = self._clock.monotonic_s()
        self._renew_after_s = SILENCE_S
        if self._singles is not None:
            self._singles.cancel()
            self._singles = None
        self._feed.changed(batch)

    async def status_changed(self, message: Message) -> None:
        """delivery_status, from a dispatcher of the release before. Raises Undecodable."""
        self._feed.status_changed(_decoded(DeliveryStatusChanged, message), message.body)

    async def drones_updated(self, message: Message) -> None:
        """drone_updates, from drone_sim; unread while nobody wants to see drones. Raises Undecodable."""
        if self._feed.wants_drones:
            told = _decoded(DroneUpdates, message)
            self._feed.telemetry(told.drones, told.quiet, told.alive)


def _decoded(kind: type[T], message: Message) -> T:
    try:
        return decode(kind, message.body)
    except Unreadable as exc:
        raise Undecodable(str(exc)) from exc
