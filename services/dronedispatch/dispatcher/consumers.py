"""Events into the state cache. Duplicated, late and reordered ones change nothing; lost ones are found by the scans."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from prometheus_client import Counter

from dronedispatch.dispatcher.core.state_cache import Heard
from dronedispatch.dispatcher.rounds import Rounds
from dronedispatch.fleet.deliveries import Delivery
from dronedispatch.fleet.documents import Unreadable, decode, delivery_key, drone_key, telemetry_key
from dronedispatch.fleet.drones import has_done_something
from dronedispatch.fleet.messages import (
    DELIVERY_REQUESTS,
    DRONE_UPDATES,
    DeliveryRequested,
    DroneUpdates,
    RecordTold,
)
from dronedispatch.kv.version import Version, parse_version
from dronedispatch.runtime.amqp import Bus, Message, Undecodable
from dronedispatch.runtime.clock import Clock

T = TypeVar("T")
TOLD = Counter("dd_dispatch_telemetry_total", "Telemetry heard, by whether it was news", ["news"])


def decoded(kind: type[T], message: Message) -> T:
    """Raises Undecodable: to the dead letters, with the reason."""
    try:
        return decode(kind, message.body)
    except Unreadable as exc:
        raise Undecodable(str(exc)) from exc


def _record(told: RecordTold, delivery_id: str) -> tuple[Delivery, Version]:
    """Raises Undecodable."""
    try:
        delivery, version = decode(Delivery, bytes(told.record)), parse_version(told.version)
    except (Unreadable, ValueError) as exc:
        raise Undecodable(f"told: {exc}") from exc
    if version is None or delivery.id != delivery_id:
        raise Undecodable(f"told: {delivery.id} at version {told.version}")
    return delivery, version


class Consumers:
    """Handlers of the two work queues; they run while this process leads, so that a standby takes no message away."""

    def __init__(self, rounds: Rounds, clock: Clock) -> None:
        self._rounds = rounds
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        self.heard_s: float | None = None  # monotonic: the newest drone_updates

    def start(self, bus: Bus) -> None:
        """Begin to consume."""
        if not self._tasks:
            self._tasks = [
                bus.consume(DELIVERY_REQUESTS, self.delivery_requested),
                bus.consume(DRONE_UPDATES, self.drones_updated),
            ]

    def stop(self) -> None:
        """Stop: messages that are not acknowledged go to the next leader."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def delivery_requested(self, message: Message) -> None:
        """Deliveries are new, cancelled or changed: read them, and have a round."""
        event = decoded(DeliveryRequested, message)
        events = (event, *event.more)
        records = [_record(one.told, one.delivery_id) for one in events if one.told is not None]
        for delivery, version in records:
            self._rounds.statuses.hear(delivery, version)
        self._rounds.point_at(*(delivery_key(one.delivery_id) for one in events))

    async def drones_updated(self, message: Message) -> None:
        """A tick of a drone_sim; a round at once when a drone has done something."""
        event = decoded(DroneUpdates, message)
        cache = self._rounds.cache
        now_s = self._clock.monotonic_s()
        self.heard_s = now_s
        news, doubtful, heard = False, list[str](), 0
        for told in event.drones:
            known = cache.telemetry.get(told.id)
            match cache.hear_telemetry(told, now_s):
                case Heard.NEWS:
                    heard += 1
                    news = news or known is None or has_done_something(known, told)
                case Heard.DOUBTFUL:
                    doubtful.append(telemetry_key(told.id))
        TOLD.labels("yes").inc(heard)
        TOLD.labels("no").inc(len(event.drones) - heard)
        names = [*(told.id for told in event.drones), *event.alive]
        cache.failure_detector.hear(
            event.source,
            event.tick,
            part=event.part,
            parts=event.parts,
            drones=names,
            quiet=event.quiet,
            now_s=now_s,
        )
        unknown = [drone_key(name) for name in names if name not in cache.drones]
        if (unknown or doubtful) and self._rounds.complete:
            self._rounds.point_at(*unknown, *doubtful)
        if news:
            self._rounds.wake.set()
