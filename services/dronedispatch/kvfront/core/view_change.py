"""REFRESH, VOTE_OUT and what to do about replies that are no answer: how a coordinator and the view come to agree."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum

from dronedispatch.replication import view as views
from dronedispatch.replication.calls import (
    AnyReply,
    Damaged,
    Joining,
    NoSpace,
    NotSent,
    Silent,
    StaleEpoch,
    WrongDisk,
)
from dronedispatch.replication.effects import (
    NONCE,
    NOW,
    READ_VIEW,
    AwaitView,
    Note,
    Ping,
    Pulse,
    RollCall,
    SecondOpinion,
    Sleep,
    Steps,
    Swap,
    SwapView,
    ViewAt,
)
from dronedispatch.replication.rules import ALL, Rules
from dronedispatch.replication.view import View

JOINER_PATIENCE_S = 0.3
"""How long REFRESH waits for a joiner that holds a promise to publish its view, before it takes the epoch itself."""
RETRY_PAUSE_S = 0.02
"""Before asking again where the last answer was "not yet": a joining replica, the last member of a slot, Consul
away.
"""
SWAP_ATTEMPTS_MAX = 16
PINGS_MAX = 5
"""Until one is sure; a coordinator that is starved so much longer judges nobody for now."""

NOT_BOOTSTRAPPED = "not_bootstrapped"
RESTORED = "the view in Consul is older than one that was in use: Consul was restored from a backup; run kvctl recover"
DISK_FULL = "the disk of the last in-sync replica is full"
LAST_DAMAGED = "the record is damaged, and no other in-sync replica has it"

Suspects = Mapping[str, tuple[str, AnyReply]]
"""Replica -> (disk that was asked for, what came instead of an answer)."""


class ProbeVerdict(Enum):
    """What probing a suspect showed."""

    ALIVE = "alive"
    DEAD = "dead"  # by its own word, or its machine's: nobody listens there
    STILL = "still"  # it answers nobody: dead, frozen, or cut off
    DISPUTED = "disputed"


def amend(
    view: View,
    slot: int,
    asked: Sequence[tuple[str, str]],
    replies: Sequence[AnyReply],
    rules: Rules = ALL,
) -> Steps[str | None]:
    """Do what the troubled among `replies` call for, after which the operation may be tried again in a newer view.

    `asked`: the (replica, disk) of each reply, members in `view`. Returns the reason why another try is useless;
    None: try again.
    """
    floor = published = 0
    suspects: dict[str, tuple[str, AnyReply]] = {}
    wait = False
    for (name, disk), reply in zip(asked, replies, strict=True):
        if isinstance(reply, StaleEpoch):
            floor, published = max(floor, reply.floor), max(published, reply.published)
        elif isinstance(reply, Silent | NotSent | WrongDisk | NoSpace | Damaged):
            suspects[name] = (disk, reply)
        elif isinstance(reply, Joining):
            wait = True
    if floor:
        return (yield from refresh(floor, published, rules))
    if suspects:
        return (yield from vote_out(view, slot, suspects, rules))
    if wait:
        yield Sleep(RETRY_PAUSE_S)
    return None


def refresh(floor: int, published: int, rules: Rules = ALL) -> Steps[str | None]:
    """REFRESH: get a view of at least epoch `floor`; when nobody publishes one (a joiner that died), take the
    epoch for the same sets.

    Returns the reason why it is useless to try again; None: try again, the cached view may be newer.
    """
    yield Note("refresh")
    at = yield READ_VIEW
    why = _why_useless(at, published)
    if why is not None or at is None:
        yield Sleep(RETRY_PAUSE_S)
        return why
    if at.view.epoch >= floor:
        return None
    yield AwaitView(floor, JOINER_PATIENCE_S)
    at = yield READ_VIEW
    why = _why_useless(at, published)
    if why is not None or at is None or at.view.epoch >= floor:
        return why
    by = yield NONCE
    swap = yield SwapView(views.bumped(at.view, by, floor), at.index)
    if swap is Swap.DONE:
        yield Note("bumped")
    else:
        yield Sleep(RETRY_PAUSE_S)
    return None


def outdate(epoch: int, deadline_s: float) -> Steps[bool]:
    """Get a view later than `epoch`, by publishing the same sets again if nobody else has: whatever is still on
    its way at `epoch` will be refused once every member has answered in the later one. False: that was not reached
    by `deadline_s`.
    """
    while True:
        at: ViewAt | None = yield READ_VIEW
        if at is not None and at.view is not None:
            if at.view.epoch > epoch:
                return True
            by = yield NONCE
            if (yield SwapView(views.bumped(at.view, by), at.index)) is Swap.DONE:
                yield Note("outdated")
                return True
        if (yield NOW) >= deadline_s:
            return False
        yield Sleep(RETRY_PAUSE_S)


def _why_useless(at: ViewAt | None, published: int) -> str | None:
    if at is None:
        return None
    if at.view is None:
        return NOT_BOOTSTRAPPED
    return RESTORED if at.view.epoch < published else None


def vote_out(view: View, slot: int, suspects: Suspects, rules: Rules = ALL) -> Steps[str | None]:
    """VOTE_OUT: take the suspects that are found dead out of every slot in which another member remains; those that are
    merely silent only where one remains that answers.

    A replica that itself says that it has another disk, no space, or a damaged record needs no probing; for a
    damaged record it leaves `slot` alone, and comes back by JOIN with a sound copy. It must leave: whoever has
    lost a record does not count as one that has been in sync ever since (FINISH), and a copy that merely looks
    newer than nothing must not take the record's place. Returns the reason why it is useless to try again; None:
    try again, with the new view if a vote was cast.
    """
    bad: dict[str, str] = {}
    pulses: Mapping[str, Pulse] = {}
    if not all(isinstance(reply, WrongDisk | NoSpace | Damaged) for _, reply in suspects.values()):
        pulses = yield RollCall({*suspects, *(name for each in view.slots for name in each.in_sync)})
    still = False
    for name, (disk, reply) in suspects.items():
        verdict = yield from _probe(name, reply, pulses.get(name, Pulse.SILENT))
        if verdict is ProbeVerdict.DISPUTED:
            yield Note("peer_disagrees", name)
            return f"another coordinator reaches {name}, this one does not"
        if verdict is not ProbeVerdict.ALIVE:
            bad[name] = disk
            still = still or verdict is ProbeVerdict.STILL
    if not bad:
        yield Sleep(RETRY_PAUSE_S)
        return None
    damaged = all(isinstance(suspects[name][1], Damaged) for name in bad)
    answering = {name for name, pulse in pulses.items() if pulse is Pulse.ALIVE} if still else None
    return (yield from _cast(view, slot if damaged else None, bad, suspects, answering, rules))


def _probe(name: str, reply: AnyReply, pulse: Pulse) -> Steps[ProbeVerdict]:
    """`pulse`, of the roll call, and one more failed ping, whose silence counts: then a second opinion. A connection that
    is refused twice (the call's own counts) needs none.
    """
    if isinstance(reply, WrongDisk | NoSpace | Damaged):
        return ProbeVerdict.DEAD
    refused = 1 if isinstance(reply, NotSent) else 0
    for pings in range(PINGS_MAX):
        if pings:
            pulse = yield Ping(name)
        if pulse is Pulse.ALIVE:
            return ProbeVerdict.ALIVE
        refused += pulse is Pulse.REFUSED
        if refused >= 2:
            return ProbeVerdict.DEAD
        if pings and pulse is not Pulse.UNSURE:
            opinion = yield SecondOpinion(name)
            return ProbeVerdict.DISPUTED if opinion is True else ProbeVerdict.STILL
    yield Note("unsure", name)
    return ProbeVerdict.ALIVE


def _cast(
    view: View,
    only: int | None,
    bad: dict[str, str],
    suspects: Suspects,
    answering: Collection[str] | None,
    rules: Rules,
) -> Steps[str | None]:
    by = ""
    for _ in range(SWAP_ATTEMPTS_MAX):
        at = yield READ_VIEW
        why = _why_useless(at, view.epoch)
        if why is not None or at is None:
            yield Sleep(RETRY_PAUSE_S)
            return why
        if at.view.by == by:  # the PUT that timed out was carried out
            return None
        by = yield NONCE
        after = views.vote_out(at.view, bad, by, seen=view.epoch, only=only, answering=answering, rules=rules)
        if after is at.view:
            return (yield from _nothing_to_vote(view, at.view, bad, suspects))
        swap = yield SwapView(after, at.index)
        if swap is Swap.DONE:
            for name in bad:
                yield Note("voted_out", name)
            return None
        if swap is Swap.UNAVAILABLE:
            yield Sleep(RETRY_PAUSE_S)
            return None
    return None


def _nothing_to_vote(view: View, now: View, bad: dict[str, str], suspects: Suspects) -> Steps[str | None]:
    """Others did it already, or each suspect is the last member of its slots, or the last that might answer."""
    if now.epoch > view.epoch:
        return None
    if all(isinstance(suspects[name][1], NoSpace) for name in bad):
        return DISK_FULL
    if all(isinstance(suspects[name][1], Damaged) for name in bad):
        return LAST_DAMAGED
    yield Note("last_member")
    yield Sleep(RETRY_PAUSE_S)
    return None
