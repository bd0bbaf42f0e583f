"""Keeps a gateway within hearing of the dispatcher, and says to its readers when it was not.

The active dispatcher sends a batch at least once a second. Who hears none for SILENCE_S does not know what has changed: its
readers are told to read again, the subscription is renewed, and meanwhile the events of the release before (one message a
change, no beat) are listened to: an older dispatcher leads, or none.

Positions are subscribed to while somebody looks at drones only: they are most of what the broker carries, and each
subscription has its own copy of it written and synced.
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
from dronedispatch.runtime.loops import end

RENEW_MAX_S = 60.0  # between two renewals while nothing is heard at all
POSITIONS_KEPT_S = 30.0  # after the last reader of drones: a page that is loaded again finds them going on

T = TypeVar("T")
Handler = Callable[[Message], Awaitable[None]]

log = structlog.get_logger()


class Broker(Protocol):
    """What a gateway wants of runtime.amqp.Bus, or of its memory twin."""

    def subscribe(
        self, exchange: str, queue: str, handler: Handler, attached: Callable[[], None] | None = None
    ) -> asyncio.Task[None]: ...


class Hearing:
    """Subscribes for `feed`; `once` is to be called about once a second, and when a reader has come (`feed.entered`)."""

    def __init__(self, broker: Broker, feed: Feed, clock: Clock, instance: str) -> None:
        self._broker = broker
        self._feed = feed
        self._clock = clock
        self._instance = instance
        self._changes: asyncio.Task[None] | None = None
        self._singles: asyncio.Task[None] | None = None
        self._positions: asyncio.Task[None] | None = None
        self._looked_s = clock.monotonic_s()
        self._heard_s = self._word_s = clock.monotonic_s()
        self._renew_after_s = SILENCE_S

    def start(self) -> None:
        """Begin to listen."""
        self._heard_s = self._word_s = self._clock.monotonic_s()
        self._listen()
        self._follow_drones()

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

    def _follow_drones(self) -> None:
        """Positions are told again in every tick: a gap in them is no news, and no store is asked for what was missed."""
        now_s, positions = self._clock.monotonic_s(), self._positions
        if self._feed.wants_drones:
            self._looked_s = now_s
            # one that is being taken back still has the queue's name
            if positions is None or positions.done():
                queue = f"{DRONE_UPDATES}.{self._instance}"
                self._positions = self._broker.subscribe(DRONE_UPDATES, queue, self.drones_updated)
        elif (
            positions is not None
            and now_s - self._looked_s >= POSITIONS_KEPT_S
            and not positions.cancelling()
        ):
            positions.cancel()  # just once: another time would cut short how it ends

    async def once(self) -> str:
        """Whether the dispatcher is heard; after a silence the subscription is renewed."""
        self._follow_drones()
        if self.silent_s < self._renew_after_s:
            return "heard" if self._feed.hearing else "not heard yet"
        log.warning("no word from the dispatcher, listening anew", seconds=round(self.silent_s, 1))
        self._feed.lost()
        if self._changes is not None:
            await end([self._changes])
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
        try:
            self._feed.changed(batch)
        except Unreadable as exc:
            raise Undecodable(str(exc)) from exc

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
