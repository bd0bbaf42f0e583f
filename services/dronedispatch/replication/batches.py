"""What goes to a replica as one request: its calls, and who waits for their replies."""

from __future__ import annotations

import asyncio
from typing import Protocol

from dronedispatch.replication.calls import TOO_OLD, AnyCall, AnyReply, Relay
from dronedispatch.replication.replica_connection import ReplicaConnection


class ReplyReceiver(Protocol):
    """Who waits for the reply to one of its calls."""

    def replied(self, place: int, reply: AnyReply) -> None:
        """The reply to the call that was put with `place`."""


class Queued:
    """A call, and where its reply belongs; `receiver` None: nobody waits for it."""

    __slots__ = ("call", "place", "receiver", "since_s")

    def __init__(self, call: AnyCall, receiver: ReplyReceiver | None, place: int, since_s: float) -> None:
        self.call = call
        self.receiver = receiver
        self.place = place
        self.since_s = since_s

    def settle(self, reply: AnyReply) -> None:
        """The reply has come, or what stands for it."""
        if self.receiver is not None:
            self.receiver.replied(self.place, reply)


class Underway:
    """A batch under way: who waits, since when, and how long."""

    __slots__ = ("batch", "connection", "limit_s", "over", "since_s", "timer")

    def __init__(self, batch: list[Queued]) -> None:
        self.batch = batch
        self.since_s = self.limit_s = 0.0
        self.connection: ReplicaConnection | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.over = False

    def keep_back(self, kind: type[AnyCall]) -> bool:
        """Answer the calls of that `kind` with TOO_OLD instead of sending them: an older release would take no call
        of a batch that holds one. False: nothing is left to send.
        """
        kept_back = [queued for queued in self.batch if type(queued.call) is kind]
        if kept_back:
            self.batch = [queued for queued in self.batch if type(queued.call) is not kind]
            for queued in kept_back:
                asyncio.get_running_loop().call_soon(queued.settle, TOO_OLD)
        return bool(self.batch)


def value_bytes(call: AnyCall) -> int:
    """About how long a call is on the wire."""
    value = getattr(call, "value", None)
    if value is not None:
        return len(value) + 200
    record = getattr(call, "record", None)
    if record is None:
        return 200
    return len(record.value) + 200 + (value_bytes(call.then) if type(call) is Relay else 0)
