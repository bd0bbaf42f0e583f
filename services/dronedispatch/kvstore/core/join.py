"""JOIN: how a replica comes (back) into the sets that it is assigned to. It only pulls, and publishes the view itself.

A driver runs `join_once` when the view, or its own start, shows that slots are lacking, and again after
`hold_down_s(failures)` while it returns a reason. Nothing here can lose a record: an attempt may end anywhere, and
the next begins by marking the slots again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from dronedispatch.kv import view as views
from dronedispatch.kv.calls import (
    AnyCall,
    Changed,
    Compare,
    Compared,
    DropHints,
    Fetch,
    Fetched,
    Follow,
    Locate,
    Located,
    Prepare,
    Promised,
    PullHints,
)
from dronedispatch.kv.record import Record
from dronedispatch.kv.requests import NONCE, READ_VIEW, Ask, Fire, Note, Swap, SwapView, ViewAt
from dronedispatch.kv.rules import ALL, Rules
from dronedispatch.kv.view import View
from dronedispatch.kvstore.core.filling import (
    absorb_hints,
    compare_page,
    complete,
    copy_records,
    copy_tail,
    mark_joining,
    newest_of,
    settle,
)
from dronedispatch.kvstore.core.requests import Commit, LocalSteps, Probe

PAGE_KEYS = 1_000
TAIL_KEYS_MAX = 500
"""The write pause begins only when at most so many changes are left, or after CATCH_UP_ROUNDS_MAX rounds."""
CATCH_UP_ROUNDS_MAX = 20
HOLD_DOWN_MAX_S = 60.0

Tail = list[tuple[str, Record | None]]


class Joined(msgspec.Struct, frozen=True):
    """In sync for `slots` since `epoch`. No slots: there was nothing to join."""

    slots: frozenset[int]
    epoch: int


class Member(msgspec.Struct, frozen=True):
    """An in-sync replica of some of the slots that are joined, and where its change log stood before the first
    page was read.
    """

    name: str
    disk: str
    slots: tuple[int, ...]
    log: str
    lsn: int
    digests: tuple[bytes, ...]


class Trouble(Exception):
    """This attempt is over; the message is the reason."""


def hold_down_s(failures: int) -> float:
    """How long to wait after the n-th failure in a row: 1, 2, 4 .. 60 s."""
    return float(min(HOLD_DOWN_MAX_S, 2 ** max(0, failures - 1)))


def join_once(name: str, rules: Rules = ALL) -> LocalSteps[Joined | str]:
    """One attempt to get into sync for every lacking slot. Returns Joined, or the reason why it did not come to
    that.
    """
    try:
        return (yield from _join(name, rules))
    except Trouble as trouble:
        return str(trouble)


def _join(name: str, rules: Rules) -> LocalSteps[Joined]:
    at = yield from _view()
    view = at.view
    assert view is not None
    disk: str = yield Commit(lambda txn: txn.disk)
    yield Commit(partial(settle, view=view, name=name))
    lacking = view.lacking_slots(name, disk) if name in view.nodes else frozenset()
    if not lacking:
        return Joined(frozenset(), view.epoch)
    yield Commit(partial(mark_joining, slots=lacking, floor=view.epoch))
    yield Note("join_started", count=len(lacking))
    members, slots = yield from _locate(view, name, lacking)
    yield from _pull_hints(view, name)
    slots = yield from _bulk(view, name, members, slots, rules)
    members = yield from _catch_up(view, members, rules)
    if not (yield Probe()):
        raise Trouble("Consul cannot be written")
    at = yield from _view()
    slots = _still_joinable(at, view, name, disk, slots)
    return (yield from _grow(at, members, name, disk, slots, rules))


def _view() -> LocalSteps[ViewAt]:
    at: ViewAt | None = yield READ_VIEW
    if at is None:
        raise Trouble("Consul does not answer")
    if at.view is None:
        raise Trouble("there is no view")
    return at


def _others(view: View, name: str, slot: int) -> list[tuple[str, str]]:
    return [(other, disk) for other, disk in view.members(slot) if other != name]


def _locate(
    view: View, name: str, lacking: frozenset[int]
) -> LocalSteps[tuple[list[Member], frozenset[int]]]:
    """Where each in-sync replica of the slots stands now, before anything is read from it; and the slots of which
    all answered.
    """
    wanted: dict[tuple[str, str], list[int]] = {}
    for slot in sorted(lacking):
        for member in _others(view, name, slot):
            wanted.setdefault(member, []).append(slot)
    calls: list[tuple[str, AnyCall]] = [
        (other, Locate(view.cluster, view.epoch, disk, held[0], tuple(held)))
        for (other, disk), held in wanted.items()
    ]
    replies = yield Ask(calls)
    members, slots, why = [], set(lacking), ""
    for ((other, disk), held), reply in zip(wanted.items(), replies, strict=True):
        if isinstance(reply, Located):
            members.append(Member(other, disk, tuple(held), reply.log, reply.lsn, reply.digests))
        else:
            slots.difference_update(held)
            why = f"{other} does not say where it stands: {_word(reply)}"
    if not slots:
        raise Trouble(why)
    return members, frozenset(slots)


def _source(members: Sequence[Member], view: View, name: str, slot: int) -> Member:
    """The primary of `slot` among the others: it has every write that any replica has."""
    first, disk = _others(view, name, slot)[0]
    return next(member for member in members if (member.name, member.disk) == (first, disk))


def _pull_hints(view: View, name: str) -> LocalSteps[None]:
    """Only a head start: a replica that does not answer is passed over."""
    for other, node in view.nodes.items():
        after: str | None = None
        while other != name:
            call = PullHints(view.cluster, view.epoch, node.disk, 0, name, after, PAGE_KEYS)
            (reply,) = yield Ask([(other, call)])
            if not isinstance(reply, Fetched) or not reply.entries:
                break
            yield Note("hints_pulled", other, len(reply.entries))
            yield Commit(partial(absorb_hints, entries=reply.entries))
            after = reply.entries[-1][0]
            if not reply.more:
                break


def _bulk(
    view: View, name: str, members: Sequence[Member], slots: frozenset[int], rules: Rules
) -> LocalSteps[frozenset[int]]:
    """Make each slot what it is at its primary; returns those for which that went well."""
    copied, why = set(), ""
    for slot in sorted(slots):
        try:
            yield from _copy_slot(view, slot, _source(members, view, name, slot), rules)
            copied.add(slot)
        except Trouble as trouble:
            why = str(trouble)
    if not copied:
        raise Trouble(why)
    return frozenset(copied)


def _copy_slot(view: View, slot: int, source: Member, rules: Rules) -> LocalSteps[None]:
    """Make `slot` here what it is there: by its digest if that is equal, else page by page."""
    mine: bytes = yield Commit(lambda txn: txn.digest(slot))
    if mine == source.digests[source.slots.index(slot)]:
        return
    after: str | None = None
    while True:
        compare = Compare(view.cluster, view.epoch, source.disk, slot, after, PAGE_KEYS)
        (page,) = yield Ask([(source.name, compare)])
        if not isinstance(page, Compared):
            raise Trouble(f"{source.name} cannot be compared with: {_word(page)}")
        wanted = yield Commit(partial(compare_page, slot=slot, after=after, page=page, rules=rules))
        if wanted is None:
            raise Trouble(f"slot {slot} has joined meanwhile")
        if wanted:
            fetch = Fetch(view.cluster, view.epoch, source.disk, slot, wanted)
            (fetched,) = yield Ask([(source.name, fetch)])
            if not isinstance(fetched, Fetched):
                raise Trouble(f"{source.name} cannot be copied from: {_word(fetched)}")
            yield Note("copied", source.name, len(wanted))
            if not (yield Commit(partial(copy_records, entries=fetched.entries, rules=rules))):
                raise Trouble(f"slot {slot} has joined meanwhile")
        if not page.more:
            return
        after = page.entries[-1][0]


def _catch_up(view: View, members: list[Member], rules: Rules) -> LocalSteps[list[Member]]:
    """Follow the members' logs, without any pause for writers, until little is left. Returns them at their new
    positions.
    """
    for _ in range(CATCH_UP_ROUNDS_MAX):
        calls: list[tuple[str, AnyCall]] = [
            (
                member.name,
                Follow(
                    view.cluster,
                    view.epoch,
                    member.disk,
                    member.slots[0],
                    member.slots,
                    member.log,
                    member.lsn,
                    PAGE_KEYS,
                ),
            )
            for member in members
        ]
        replies = yield Ask(calls)
        tails = [_tail(member, reply) for member, reply in zip(members, replies, strict=True)]
        tail = newest_of([each.entries for each in tails])
        if not (yield Commit(partial(copy_tail, entries=tail.items(), rules=rules))):
            raise Trouble("a slot has joined meanwhile")
        members = [
            msgspec.structs.replace(member, lsn=tail.lsn) for member, tail in zip(members, tails, strict=True)
        ]
        if all(not tail.more and len(tail.entries) <= TAIL_KEYS_MAX for tail in tails):
            break
    return members


def _tail(member: Member, reply: object) -> Changed:
    if not isinstance(reply, Changed):
        raise Trouble(f"{member.name} cannot be followed: {_word(reply)}")
    if reply.trimmed:
        raise Trouble(f"{member.name} has trimmed its change log, or has restarted")
    return reply


def _still_joinable(
    at: ViewAt, before: View, name: str, disk: str, lacking: frozenset[int]
) -> frozenset[int]:
    """The slots whose in-sync replicas are, in the newest view, still some of those that were located, the source
    among them.
    """
    now = at.view
    assert now is not None
    slots = frozenset(
        slot
        for slot in lacking & now.lacking_slots(name, disk)
        if now.slots[slot].in_sync.items() <= before.slots[slot].in_sync.items()
        and _others(before, name, slot)[0] in _others(now, name, slot)
    )
    if not slots:
        raise Trouble("the view has changed in every slot that was copied")
    return slots


def _grow(
    at: ViewAt, members: Sequence[Member], name: str, disk: str, slots: frozenset[int], rules: Rules
) -> LocalSteps[Joined]:
    """JOIN 2 to 4: every in-sync member promises, the rest is copied, and the view that names the joiner is
    published.
    """
    view = at.view
    assert view is not None
    promise = view.epoch + 1
    tails: list[Tail] = []
    asked = [m for m in members if slots & set(m.slots) and _is_member(view, m, slots)]
    replies = yield Ask([(m.name, _promise_call(view, m, promise, slots, rules)) for m in asked])
    for member, reply in zip(asked, replies, strict=True):
        changed = reply.changed if isinstance(reply, Promised) else reply
        if not isinstance(changed, Changed) or changed.trimmed:
            yield from _abandon(at)
            raise Trouble(f"{member.name} did not promise: {_word(reply)}")
        tails.append(list(changed.entries))
        while changed.more:
            follow = Follow(
                view.cluster,
                view.epoch,
                member.disk,
                member.slots[0],
                tuple(sorted(slots & set(member.slots))),
                member.log,
                changed.lsn,
                PAGE_KEYS,
            )
            (reply,) = yield Ask([(member.name, follow)])
            if not isinstance(reply, Changed) or reply.trimmed:
                yield from _abandon(at)
                raise Trouble(f"{member.name} cannot be followed: {_word(reply)}")
            changed = reply
            tails.append(list(changed.entries))
    if not (yield Commit(partial(complete, tail=newest_of(tails), promise=promise, rules=rules))):
        yield from _abandon(at)
        raise Trouble("a slot has joined meanwhile")
    return (yield from _publish(at, name, disk, slots))


def _is_member(view: View, member: Member, slots: frozenset[int]) -> bool:
    return any((member.name, member.disk) in view.members(slot) for slot in slots)


def _promise_call(view: View, member: Member, promise: int, slots: frozenset[int], rules: Rules) -> AnyCall:
    held = tuple(sorted(slots & set(member.slots)))
    if not rules.promise_before_grow:
        return Follow(view.cluster, view.epoch, member.disk, held[0], held, member.log, member.lsn, PAGE_KEYS)
    return Prepare(
        view.cluster,
        view.epoch,
        member.disk,
        held[0],
        promise,
        held,
        member.log,
        member.lsn,
        PAGE_KEYS,
    )


def _publish(at: ViewAt, name: str, disk: str, slots: frozenset[int]) -> LocalSteps[Joined]:
    assert at.view is not None
    by: str = yield NONCE
    after = views.joined(at.view, name, disk, slots, by)
    swap = yield SwapView(after, at.index)
    if swap is Swap.UNKNOWN:
        now = yield from _view()
        swap = Swap.DONE if now.view is not None and now.view.by == by else swap
    if swap is not Swap.DONE:
        raise Trouble(f"the view could not be published: {swap.value}")
    yield Commit(partial(settle, view=after, name=name))
    yield Note("joined", count=len(slots))
    drops: list[tuple[str, AnyCall]] = [
        (other, DropHints(after.cluster, after.epoch, node.disk, 0, name))
        for other, node in after.nodes.items()
        if other != name
    ]
    yield Fire(drops)
    return Joined(slots, after.epoch)


def _abandon(at: ViewAt) -> LocalSteps[None]:
    """Some members hold a promise that will not be kept: take the epoch for the same sets, so that nobody has to
    wait for it.
    """
    assert at.view is not None
    by: str = yield NONCE
    yield SwapView(views.bumped(at.view, by), at.index)


def _word(reply: object) -> str:
    return type(reply).__name__
