"""Tells every gateway what has changed: after the fact, in batches, numbered without a hole within a term.

A delivery's changes are told in the order of its own history, each once: what two looks at it have between them is told
too. A batch goes out at the end of a round, GATHER_S after news that no round is about to tell, and at least every BEAT_S,
so that whoever hears nothing knows that he hears nothing. Whoever listens to delivery_status (a gateway of the release
before) is told one by one as well, as long as somebody does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from ulid import ULID

from dronedispatch.fleet.deliveries import HISTORY_MAX, TERMINAL, Delivery, Transition
from dronedispatch.fleet.documents import encode, stamp, unstamp
from dronedispatch.fleet.drones import Drone
from dronedispatch.fleet.messages import (
    BEAT_S,
    DELIVERY_CHANGES,
    DELIVERY_STATUS,
    DeliveryChanges,
    DeliveryStatusChanged,
    RecordTold,
)
from dronedispatch.kv.version import Version
from dronedispatch.runtime.clock import Clock

ENDED_REMEMBERED_MAX = 20_000
OLD_NEWS_S = 30.0  # of what is met for the first time in a term: what is older has been told by somebody else
BATCH_MAX = 250  # records of a kind in one message: some 250 KB
GATHER_S = 0.05  # what is seen within it travels together
PROBE_S = 1.0  # how often it is tried, with one event, whether somebody listens to delivery_status by now


class StatusPublisher(Protocol):
    """What this room wants of runtime.amqp.Bus."""

    def to_fanout(self, exchange: str, body: bytes, *, message_id: str | None = None) -> None: ...

    def heard(self, exchange: str) -> bool:
        """False: nobody was bound to `exchange` when it was published to last."""


@dataclass(frozen=True, slots=True)
class _LastTold:
    """How far a delivery has been told: its version, and how many lines of its history (the last of them)."""

    version: Version
    lines: int
    last: Transition | None


class Statuses:
    """`look` at every delivery that was read or written and at drones that were written; `flush` at the end of a round."""

    def __init__(self, bus: StatusPublisher, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._term = 0
        self._seq = 0
        self._told: dict[str, _LastTold] = {}
        self._ended: dict[str, _LastTold] = {}  # insertion order: the oldest goes first
        self._events: list[DeliveryStatusChanged] = []
        self._deliveries: dict[str, tuple[Delivery, Version]] = {}
        self._drones: dict[str, tuple[Drone, Version]] = {}
        self._sent_s = -BEAT_S
        self._probed_s = -PROBE_S
        self.seen = asyncio.Event()  # there is something to tell
        self._sent = asyncio.Event()  # there was a batch

    def begin(self, term: int) -> None:
        """A new term as leader: what former leaders have told is not known."""
        self._term, self._seq = term, 0
        self._told, self._ended = {}, {}
        self._events, self._deliveries, self._drones = [], {}, {}

    def look(self, delivery: Delivery, version: Version) -> None:
        """The delivery as it was read or written at `version`."""
        before = self._told.get(delivery.id) or self._ended.get(delivery.id)
        if before is not None and before.version >= version:
            return
        for line in self._news(delivery, before):
            self._add(delivery, line)
        self._show(delivery, version)
        self.know(delivery, version)

    def hear(self, delivery: Delivery, version: Version) -> None:
        """As its writer says that it is stored: shown at once; its events are told when it has been read."""
        known = self._told.get(delivery.id) or self._ended.get(delivery.id)
        if known is None or known.version < version:
            self._show(delivery, version)

    def _show(self, delivery: Delivery, version: Version) -> None:
        shown = self._deliveries.get(delivery.id)
        if shown is None or shown[1] < version:
            self._deliveries[delivery.id] = delivery, version
        self.seen.set()

    def know(self, delivery: Delivery, version: Version) -> None:
        """It has been so for long: no news, whoever tells."""
        last = delivery.history[-1] if delivery.history else None
        self._remember(delivery, _LastTold(version, len(delivery.history), last))

    def look_at_drone(self, drone: Drone, version: Version) -> None:
        """The drone as it was written at `version`."""
        self._drones[drone.id] = drone, version
        self.seen.set()

    def flush(self) -> None:
        """Send what has been seen since the last batch."""
        if self.waiting:
            self._send()

    @property
    def waiting(self) -> bool:
        """Whether something has been seen that is not sent yet."""
        return bool(self._events or self._deliveries or self._drones)

    async def told(self, within_s: float) -> None:
        """Until the next batch, at most for so long."""
        self._sent.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._sent.wait()

    def beat(self) -> None:
        """Send what there is, or an empty batch when nothing was sent for about BEAT_S."""
        if self._term and (self.waiting or self._clock.monotonic_s() - self._sent_s >= BEAT_S / 2):
            self._send()

    def _news(self, delivery: Delivery, before: _LastTold | None) -> Sequence[Transition]:
        history = delivery.history
        if before is None:
            since_s = self._clock.wall_s() - OLD_NEWS_S
            return [line for line in history if unstamp(line.at) >= since_s] or history[-1:]
        if len(history) > before.lines:
            return history[before.lines :]
        if len(history) == HISTORY_MAX and history[-1] != before.last:
            return history[-1:]
        return ()

    def _remember(self, delivery: Delivery, told: _LastTold) -> None:
        if delivery.status not in TERMINAL:
            self._told[delivery.id] = told
            return
        self._told.pop(delivery.id, None)
        self._ended[delivery.id] = told
        if len(self._ended) > ENDED_REMEMBERED_MAX:
            del self._ended[next(iter(self._ended))]

    def _add(self, delivery: Delivery, line: Transition) -> None:
        self._seq += 1
        self._events.append(
            DeliveryStatusChanged(
                id=str(ULID()),
                at=line.at,
                request_id=delivery.request_id or delivery.id,
                delivery_id=delivery.id,
                status=line.to,
                drone_id=line.drone_id,
                cause=line.cause,
                term=self._term,
                seq=self._seq,
            )
        )

    def _send(self) -> None:
        events, self._events = self._events, []
        deliveries = [_told(*one) for one in self._deliveries.values()]
        drones = [_told(*one) for one in self._drones.values()]
        self._deliveries, self._drones = {}, {}
        bodies = [encode(event) for event in events]
        first = self._seq - len(events) + 1
        for start in range(0, max(1, len(bodies), len(deliveries), len(drones)), BATCH_MAX):
            some = bodies[start : start + BATCH_MAX]
            batch = DeliveryChanges(
                id=str(ULID()),
                at=stamp(self._clock.wall_s()),
                request_id=f"term-{self._term}",
                term=self._term,
                first=first,
                last=first + len(some) - 1,
                events=tuple(map(msgspec.Raw, some)),
                deliveries=tuple(deliveries[start : start + BATCH_MAX]),
                drones=tuple(drones[start : start + BATCH_MAX]),
            )
            first += len(some)
            self._bus.to_fanout(DELIVERY_CHANGES, encode(batch), message_id=batch.id)
        self._sent_s = self._clock.monotonic_s()
        self._sent.set()
        self._tell_one_by_one(events, bodies)

    def _tell_one_by_one(self, events: Sequence[DeliveryStatusChanged], bodies: Sequence[bytes]) -> None:
        if not events:
            return
        if not self._bus.heard(DELIVERY_STATUS):
            if self._clock.monotonic_s() - self._probed_s < PROBE_S:
                return
            self._probed_s = self._clock.monotonic_s()
            events, bodies = events[:1], bodies[:1]
        for event, body in zip(events, bodies, strict=True):
            self._bus.to_fanout(DELIVERY_STATUS, body, message_id=event.id)


def _told(record: Delivery | Drone, version: Version) -> RecordTold:
    return RecordTold(str(version), msgspec.Raw(encode(record)))
