"""The broker's memory twin for publishers: what was handed over, in order."""

from __future__ import annotations

from dataclasses import dataclass, field

from ulid import ULID


@dataclass(frozen=True, slots=True)
class Handed:
    """One message as it was handed over; `target` is the queue's or the exchange's name."""

    target: str
    body: bytes
    message_id: str


@dataclass(slots=True)
class MemoryPublisher:
    """A runtime.amqp.Publisher that keeps everything."""

    handed: list[Handed] = field(default_factory=list)

    def to_queue(self, queue: str, body: bytes, *, message_id: str | None = None) -> None:
        self.handed.append(Handed(queue, body, message_id or str(ULID())))

    def to_fanout(self, exchange: str, body: bytes, *, message_id: str | None = None) -> None:
        self.handed.append(Handed(exchange, body, message_id or str(ULID())))

    def bodies(self, target: str) -> list[bytes]:
        """The bodies handed over for `target`."""
        return [one.body for one in self.handed if one.target == target]
