"""WRITE and FINISH: one apply at the primary, the same record on every other member, and never a guess about what
became of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from dronedispatch.kv.record import Record
from dronedispatch.kv.version import Version
from dronedispatch.kvfront.core.reading import read
from dronedispatch.kvfront.core.resolution import Conflict, Done, NotApplied, Resolution, Unknown, all_stored
from dronedispatch.kvfront.core.view_change import (
    DISK_FULL,
    NOT_BOOTSTRAPPED,
    RETRY_PAUSE_S,
    amend,
    outdate,
    vote_out,
)
from dronedispatch.replication.calls import (
    AnyReply,
    Applied,
    Apply,
    Found,
    Hint,
    Joining,
    Lock,
    Mismatch,
    NotSent,
    Read,
    Replicate,
    Silent,
    Stored,
)
from dronedispatch.replication.effects import CACHED, NOW, Ask, Fire, Note, Sleep, Steps
from dronedispatch.replication.rules import ALL, Rules
from dronedispatch.replication.view import View

Members = Sequence[tuple[str, str]]


class Write(msgspec.Struct, frozen=True, gc=False):
    """A PUT, CAS or DELETE.

    `expected`: None is unconditional, see calls.MUST_BE_ABSENT and MUST_EXIST; `write_id` is 16 bytes. `keyed`:
    the client gave the write id, and may have sent it before.
    """

    key: str
    slot: int
    write_id: bytes
    wall_s: float
    expected: Version | None = None
    value: bytes = b""
    tombstone: bool = False
    tags: tuple[str, ...] = ()
    fence: Version | None = None
    keyed: bool = False

    def call(self, view: View, disk: str) -> Apply:
        """R4's call, for the primary that has `disk` in `view`."""
        return Apply(
            view.cluster,
            view.epoch,
            disk,
            self.slot,
            self.key,
            self.expected,
            self.value,
            self.write_id,
            self.wall_s,
            self.tombstone,
            self.tags,
            self.fence,
        )


class LockWrite(msgspec.Struct, frozen=True, gc=False):
    """Acquire, renew or release; the Done record's version is the token of an acquire.

    `keyed`: as for a write under a client's key, an operation that got no answer is kept from taking effect after
    its caller was told "unknown": a late release would end a lease that has been renewed meanwhile.
    """

    key: str
    slot: int
    write_id: bytes
    wall_s: float
    verb: Literal["acquire", "renew", "release"]
    owner: str
    ttl_ms: int
    token: Version | None = None
    keyed: bool = True

    def call(self, view: View, disk: str) -> Lock:
        """R4's call, for the primary that has `disk` in `view`."""
        return Lock(
            view.cluster,
            view.epoch,
            disk,
            self.slot,
            self.key,
            self.verb,
            self.owner,
            self.token,
            self.ttl_ms,
            self.write_id,
            self.wall_s,
        )


class Attempt(msgspec.Struct, frozen=True):
    """Where the one apply of a write went: FINISH judges by it. `record`: what it applied there; None: it did not
    say.
    """

    view: View
    primary: str
    disk: str
    record: Record | None


def write(
    op: Write | LockWrite, deadline_s: float, *, min_in_sync: int = 1, rules: Rules = ALL
) -> Steps[Resolution]:
    """Carry out `op`: two round trips when all is well. Tries again until `deadline_s` (monotonic) while nothing
    was applied.
    """
    applied = yield from apply(op, deadline_s, min_in_sync=min_in_sync, rules=rules)
    if not isinstance(applied, Attempt):
        return applied
    return (yield from replicate(op, applied, deadline_s, rules))


def apply(
    op: Write | LockWrite, deadline_s: float, *, min_in_sync: int = 1, rules: Rules = ALL
) -> Steps[Attempt | Resolution]:
    """The first half of a write: an Attempt once the primary has applied it, otherwise what became of it."""
    while True:
        view: View | None = yield CACHED
        if view is None:
            return NotApplied(NOT_BOOTSTRAPPED)
        members = view.members(op.slot)
        if len(members) < min_in_sync:
            return NotApplied(f"{len(members)} of at least {min_in_sync} replicas are in sync")
        primary, disk = members[0]
        (reply,) = yield Ask([(primary, op.call(view, disk))])
        if type(reply) is Applied:
            return Attempt(view, primary, disk, reply.record)
        result = yield from not_applied(view, op, members, reply, deadline_s, rules)
        if result is not None:
            return result
        if (yield NOW) >= deadline_s:
            return NotApplied("no replica could apply it in time")


def not_applied(
    view: View,
    op: Write | LockWrite,
    members: Members,
    reply: AnyReply,
    deadline_s: float,
    rules: Rules = ALL,
) -> Steps[Resolution | None]:
    """What follows when the primary's reply is not Applied. None: certainly nothing was applied, begin again in a
    newer view.
    """
    primary, disk = members[0]
    if isinstance(reply, Mismatch):
        return (yield from confirm(view, op, members, reply, deadline_s, rules))
    if isinstance(reply, Silent):
        yield Note("apply_silent", primary)
        yield from vote_out(view, op.slot, {primary: (disk, reply)}, rules)
        if rules.no_second_apply:
            return (yield from finish(op, Attempt(view, primary, disk, None), deadline_s, rules))
        return None
    why = yield from amend(view, op.slot, members[:1], (reply,), rules)
    return None if why is None else NotApplied(why, 507 if why == DISK_FULL else 503)


def replicate(
    op: Write | LockWrite, attempt: Attempt, deadline_s: float, rules: Rules = ALL
) -> Steps[Resolution]:
    """The second half of a write that the primary has applied: every other member, hints for the absent."""
    view, record = attempt.view, attempt.record
    assert record is not None, "the primary has said what it applied"
    hints = hints_for(view, op.slot, op.key, record)
    if hints:
        yield Fire(hints)
    asked: Members = view.members(op.slot)[1:]
    while asked:
        replies = yield Ask(
            [
                (name, Replicate(view.cluster, view.epoch, disk, op.slot, op.key, record))
                for name, disk in asked
            ]
        )
        if all_stored(replies):
            break
        left = [(at, reply) for at, reply in zip(asked, replies, strict=True) if type(reply) is not Stored]
        asked = [at for at, _ in left]
        if any(type(reply) is not Joining for _, reply in left) or (yield NOW) >= deadline_s:
            return (yield from not_replicated(op, attempt, left, deadline_s, rules))
        yield Sleep(RETRY_PAUSE_S)
    return Done(record)


def not_replicated(
    op: Write | LockWrite,
    attempt: Attempt,
    left: Sequence[tuple[tuple[str, str], AnyReply]],
    deadline_s: float,
    rules: Rules = ALL,
) -> Steps[Resolution]:
    """What follows when the members of `left` (name, disk) did not store what the primary had applied."""
    if not rules.voted_out_before_ack and all(isinstance(reply, Silent | NotSent) for _, reply in left):
        return Done(attempt.record)
    yield Note("replicate_failed", count=len(left))
    yield from amend(attempt.view, op.slot, [at for at, _ in left], [reply for _, reply in left], rules)
    return (yield from finish(op, attempt, deadline_s, rules))


def hints_for(view: View, slot: int, key: str, record: Record) -> list[tuple[str, Hint]]:
    """A hint for each assigned but absent replica, at a stand-in: some replica outside the slot, or else the
    slot's primary.
    """
    absent = view.absent(slot)
    if not absent:
        return []
    members = view.members(slot)
    outside = [name for name in view.replicas if name not in absent and name not in dict(members)]
    stand_in, disk = (outside[0], view.replicas[outside[0]].disk) if outside else members[0]
    return [(stand_in, Hint(view.cluster, view.epoch, disk, slot, target, key, record)) for target in absent]


def confirm(
    view: View,
    op: Write | LockWrite,
    members: Members,
    mismatch: Mismatch,
    deadline_s: float,
    rules: Rules = ALL,
) -> Steps[Conflict | NotApplied | None]:
    """A failed condition is a READ: what it failed on must be on every member before anybody hears of it. None:
    begin again.
    """
    record, others = mismatch.record, members[1:]
    if not others or not rules.failed_cas_written_back:
        return Conflict(record, mismatch.reason)
    cluster, epoch, slot = view.cluster, view.epoch, op.slot
    if record is None:
        replies = yield Ask([(name, Read(cluster, epoch, disk, slot, op.key)) for name, disk in others])
        if all(isinstance(reply, Found) for reply in replies):
            if all(reply.record is None or reply.record.tombstone for reply in replies):
                return Conflict(None, mismatch.reason)
            repaired = yield from read(op.key, slot, deadline_s, rules)
            return repaired if isinstance(repaired, NotApplied) else None
    else:
        replies = yield Ask(
            [(name, Replicate(cluster, epoch, disk, slot, op.key, record)) for name, disk in others]
        )
        if all_stored(replies):
            return Conflict(record, mismatch.reason)
    why = yield from amend(view, slot, others, replies, rules)
    return None if why is None else NotApplied(why, 507 if why == DISK_FULL else 503)


def finish(
    op: Write | LockWrite, attempt: Attempt, deadline_s: float, rules: Rules = ALL
) -> Steps[Resolution]:
    """FINISH: find out by reading what became of a write that was sent and not acknowledged by all.

    A keyed write may find the record of an earlier attempt while its own apply is still on its way, to be carried
    out after later writes: its epoch is outdated first.
    """
    if not rules.finish_by_reading and attempt.record is not None:
        return (yield from _resend(op, attempt.record, deadline_s, rules))
    yield Note("finish")
    if op.keyed and attempt.record is None and not (yield from outdate(attempt.view.epoch, deadline_s)):
        return Unknown("the write was sent under a client's key, and its epoch could not be ended")
    found = yield from read(op.key, op.slot, deadline_s, rules)
    if isinstance(found, NotApplied):
        return Unknown(found.reason)
    record = found.record
    if record is not None and record.write_id == op.write_id:
        return Done(record)
    if attempt.record is not None:
        view: View = yield CACHED
        since = view.since(op.slot, attempt.primary, attempt.disk)
        if since is not None and (since <= attempt.view.epoch or not rules.since_checked):
            return Done(attempt.record)  # it never left: what was read is ours or a successor
    yield Note("unknown")
    return Unknown("the write was sent, and its record is not what the key holds now")


def _resend(op: Write | LockWrite, record: Record, deadline_s: float, rules: Rules) -> Steps[Resolution]:
    """What rule 14 forbids; run by the simulation alone."""
    while (yield NOW) < deadline_s:
        view: View = yield CACHED
        members = view.members(op.slot)
        replies = yield Ask(
            [
                (name, Replicate(view.cluster, view.epoch, disk, op.slot, op.key, record))
                for name, disk in members
            ]
        )
        if all_stored(replies):
            return Done(record)
        if (yield from amend(view, op.slot, members, replies, rules)) is not None:
            break
    return Unknown("not resent in time")
