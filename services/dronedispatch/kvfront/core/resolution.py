"""What became of an operation: the three kinds of answer that are never mixed, and the arithmetic of replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from dronedispatch.kv.record import Record
from dronedispatch.replication.calls import AnyReply, Found, Stored


class Done(msgspec.Struct, frozen=True, gc=False):
    """Definite success. A read: `record` is the newest (None or a tombstone: absent). A write: the record that was
    applied.
    """

    record: Record | None


class Conflict(msgspec.Struct, frozen=True, gc=False):
    """Definite failure of a condition, as good as a read: `record` is what the key holds (None or a tombstone:
    absent).
    """

    record: Record | None
    reason: Literal["version", "fenced", "held"]


class NotApplied(msgspec.Struct, frozen=True):
    """Definite failure: nothing was and nothing will be done. `status`: 503, or 507 when the last replica's disk
    is full.
    """

    reason: str
    status: int = 503


class Unknown(msgspec.Struct, frozen=True):
    """A write that may have happened, or may not."""

    reason: str


ReadResolution = Done | NotApplied
Resolution = Done | Conflict | NotApplied | Unknown


def all_stored(replies: Sequence[AnyReply]) -> bool:
    """Every member has stored it: an acknowledgement may go out."""
    for reply in replies:  # noqa: SIM110  (a generator expression costs three times as much, and this is the hot path)
        if type(reply) is not Stored:
            return False
    return True


def agreed(replies: Sequence[AnyReply]) -> Found | None:
    """The reply that all members gave, if they gave the same version: the normal case of a read. None: it needs
    more work.
    """
    first = replies[0]
    if type(first) is not Found:
        return None
    version = first.record.version if first.record is not None else None
    for reply in replies[1:]:
        if type(reply) is not Found:
            return None
        if (reply.record.version if reply.record is not None else None) != version:
            return None
    return first


def newest(replies: Sequence[AnyReply]) -> tuple[Record | None, list[int]] | None:
    """The newest record of a full set of answers and the places of those that lag; None if some member has not
    answered.
    """
    best: Record | None = None
    for reply in replies:
        if not isinstance(reply, Found):
            return None
        if reply.record is not None and (best is None or reply.record.version > best.version):
            best = reply.record
    if best is None:
        return None, []
    lag = [
        place
        for place, reply in enumerate(replies)
        if isinstance(reply, Found) and (reply.record is None or reply.record.version != best.version)
    ]
    return best, lag
