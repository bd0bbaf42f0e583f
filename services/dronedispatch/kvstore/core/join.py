"""JOIN: how a replica comes (back) into the sets that it is assigned to. It only pulls, and publishes the view itself.

A driver runs `join_once` when the view, or its own start, shows that slots are lacking, and again when hold_down.py
allows it while it returns a reason. Nothing here can lose a record: an attempt may end anywhere, and the next begins
by marking the slots again.

Who cannot be reached does not join: a coordinator must have an answer of the joiner before the view says in sync, or
the next write would vote it out and it would join again, each time at the price of a pause for every writer.

Each slot is copied from its primary alone, and it must still be the primary when the promise is asked of every
member. That is enough: what a completed operation has seen is on every member, and what only the primary has
applied must come along, because FINISH takes a primary that never left to be followed by those who know all that
it knows. A follower may hold more (a write cut short), and a replica that has been voted out may hold, or have
removed, anything: neither may be believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from dronedispatch.kvstore.core.catch_up import (
    absorb_hints,
    compare_page,
    copy_records,
    copy_tail,
    mark_joining,
    raise_own_floor,
    settle,
)
from dronedispatch.kvstore.core.local_effects import Commit, LocalSteps, NotCommitted, Probe, Reached
from dronedispatch.replication import view as views
from dronedispatch.replication.calls import (
    PAGE_BYTES,
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
from dronedispatch.replication.effects import NONCE, READ_VIEW, Ask, Fire, Note, Swap, SwapView, ViewAt
from dronedispatch.replication.rules import ALL, Rules
from dronedispatch.replication.view import View

PAGE_KEYS = 1_000
TAIL_KEYS_MAX = 500
"""The write pause begins only when at most so many changes are left, or after CATCH_UP_KEYS_MAX of them."""
CATCH_UP_KEYS_MAX = 20_000


class Joined(msgspec.Struct, frozen=True):
    """In sync for `slots` since `epoch`. No slots: there was nothing to join."""

    slots: frozenset[int]
    epoch: int


class Source(msgspec.Struct, frozen=True):
    """The primary of some of the slots that are joined, and where its change log stood before the first page was
    read.
    """

    name: str
    disk: str
    slots: tuple[int, ...]
    log: str
    lsn: int
    digests: tuple[bytes, ...]


class Trouble(Exception):
    """This attempt is over; the message is the reason."""


class NotYet(str):
    """The reason of an attempt that lacked somebody it needs: it cost nobody a pause, and the next may come soon.

    After a power cut of everything each replica comes up on another port while the view still has the old ones: with the
    long hold-down, one waited for 25 s after all the others were there.
    """

    __slots__ = ()


class TooSoon(Exception):
    """What an attempt needs is not there yet: the view, a primary, or a coordinator that reaches this replica."""


def join_once(name: str, rules: Rules = ALL) -> LocalSteps[Joined | str]:
    """One attempt to get into sync for every lacking slot. Returns Joined, or the reason why it came to nothing."""
    try:
        return (yield from _join(name, rules))
    except TooSoon as too_soon:
        return NotYet(str(too_soon))
    except (Trouble, NotCommitted) as trouble:
        return str(trouble)


def _join(name: str, rules: Rules) -> LocalSteps[Joined]:
    at = yield from _view()
    view = at.view
    assert view is not None
    disk: str = yield Commit(lambda txn: txn.disk)
    yield Commit(partial(settle, view=view, name=name))
    lacking = view.lacking_slots(name, disk) if name in view.replicas else frozenset()
    if not lacking:
        return Joined(frozenset(), view.epoch)
    yield from _be_reached(name)
    yield Commit(partial(mark_joining, slots=lacking, floor=view.epoch))
    yield Note("join_started", count=len(lacking))
    sources = yield from _locate(view, name, lacking)
    yield from _pull_hints(view, name)
    sources = yield from _bulk(view, sources, rules)
    sources = yield from _catch_up(view, sources, rules)
    if not (yield Probe()):
        raise Trouble("Consul cannot be written")
    yield from _be_reached(name)
    at = yield from _view()
    return (yield from _grow(at, _still_leading(at, view, sources, name, disk), name, disk, rules))


def _be_reached(name: str) -> LocalSteps[None]:
    reached: bool | None = yield Reached()
    if reached is False:
        yield Note("join_unreached", name)
        raise TooSoon(
            f"no coordinator reaches {name}: what it answers, or what it is asked, is lost on the way"
        )


def _view() -> LocalSteps[ViewAt]:
    at: ViewAt | None = yield READ_VIEW
    if at is None:
        raise TooSoon("Consul does not answer")
    if at.view is None:
        raise TooSoon("there is no view")
    return at


def _others(view: View, name: str, slot: int) -> list[tuple[str, str]]:
    return [(other, disk) for other, disk in view.members(slot) if other != name]


def _locate(view: View, name: str, lacking: frozenset[int]) -> LocalSteps[list[Source]]:
    """Where the primary of each slot stands now, before anything is read from it. Primaries that do not answer are
    left out.
    """
    wanted: dict[tuple[str, str], list[int]] = {}
    for slot in sorted(lacking):
        wanted.setdefault(_others(view, name, slot)[0], []).append(slot)
    calls: list[tuple[str, AnyCall]] = [
        (other, Locate(view.cluster, view.epoch, disk, held[0], tuple(held)))
        for (other, disk), held in wanted.items()
    ]
    replies = yield Ask(calls)
    sources, why = [], ""
    for ((other, disk), held), reply in zip(wanted.items(), replies, strict=True):
        if isinstance(reply, Located):
            sources.append(Source(other, disk, tuple(held), reply.log, reply.lsn, reply.digests))
        else:
            why = f"{other} does not say where it stands: {_word(reply)}"
    if not sources:
        raise TooSoon(why)
    return sources


def _pull_hints(view: View, name: str) -> LocalSteps[None]:
    """Only a head start: a replica that does not answer is passed over."""
    for other, replica in view.replicas.items():
        after: str | None = None
        while other != name:
            call = PullHints(view.cluster, view.epoch, replica.disk, 0, name, after, PAGE_KEYS)
            (reply,) = yield Ask([(other, call)])
            if not isinstance(reply, Fetched) or not reply.entries:
                break
            yield Note("hints_pulled", other, len(reply.entries))
            yield Commit(partial(absorb_hints, entries=reply.entries))
            after = reply.entries[-1][0]
            if not reply.more:
                break


def _bulk(view: View, sources: Sequence[Source], rules: Rules) -> LocalSteps[list[Source]]:
    """Make each slot what it is at its primary; returns the sources, with those slots only for which that went well."""
    copied, why = [], ""
    for source in sources:
        done = []
        for slot, digest in zip(source.slots, source.digests, strict=True):
            try:
                yield from _copy_slot(view, slot, source, digest, rules)
                done.append((slot, digest))
            except Trouble as trouble:
                why = str(trouble)
        if done:
            slots, digests = zip(*done, strict=True)
            copied.append(msgspec.structs.replace(source, slots=slots, digests=digests))
    if not copied:
        raise Trouble(why)
    return copied


def _copy_slot(view: View, slot: int, source: Source, digest: bytes, rules: Rules) -> LocalSteps[None]:
    """Make `slot` here what it is there: by its digest if that is equal, else page by page."""
    mine: bytes = yield Commit(lambda txn: txn.digest(slot))
    if mine == digest:
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
        while wanted:
            fetch = Fetch(view.cluster, view.epoch, source.disk, slot, wanted, PAGE_BYTES)
            (fetched,) = yield Ask([(source.name, fetch)])
            if not isinstance(fetched, Fetched) or not fetched.entries:
                raise Trouble(f"{source.name} cannot be copied from: {_word(fetched)}")
            wanted = wanted[len(fetched.entries) :]
            yield Note("copied", source.name, len(fetched.entries))
            if not (yield Commit(partial(copy_records, entries=fetched.entries, rules=rules))):
                raise Trouble(f"slot {slot} has joined meanwhile")
        if not page.more:
            return
        after = page.entries[-1][0]


def _catch_up(view: View, sources: Sequence[Source], rules: Rules) -> LocalSteps[list[Source]]:
    """Follow the primaries' logs, without any pause for writers, until little is left. Returns them at their new
    positions.
    """
    reached = []
    for source in sources:
        followed = 0
        while followed < CATCH_UP_KEYS_MAX:
            tail = yield from _follow(view, source, rules)
            source = msgspec.structs.replace(source, lsn=tail.lsn)
            if not tail.more and len(tail.entries) <= TAIL_KEYS_MAX:
                break
            followed += max(1, len(tail.entries))
        reached.append(source)
    return reached


def _follow(view: View, source: Source, rules: Rules) -> LocalSteps[Changed]:
    """Fetch and apply one page of what has changed at `source`."""
    (reply,) = yield Ask([(source.name, _follow_call(view, source))])
    tail = _tail(source, reply)
    if not (yield Commit(partial(copy_tail, entries=tail.entries, rules=rules))):
        raise Trouble("a slot has joined meanwhile")
    return tail


def _follow_call(view: View, source: Source) -> Follow:
    slots = source.slots
    return Follow(view.cluster, view.epoch, source.disk, slots[0], slots, source.log, source.lsn, PAGE_KEYS)


def _tail(source: Source, reply: object) -> Changed:
    changed = reply.changed if isinstance(reply, Promised) else reply
    if not isinstance(changed, Changed):
        raise Trouble(f"{source.name} cannot be followed: {_word(reply)}")
    if changed.trimmed:
        raise Trouble(f"{source.name} has trimmed its change log, or has restarted")
    return changed


def _still_leading(at: ViewAt, before: View, sources: Sequence[Source], name: str, disk: str) -> list[Source]:
    """The sources with those of their slots that they still lead, without a break, and that are still lacking here."""
    now = at.view
    assert now is not None
    lacking = now.lacking_slots(name, disk)
    leading = []
    for source in sources:
        slots = tuple(
            slot
            for slot in source.slots
            if slot in lacking
            and _others(now, name, slot)[0] == (source.name, source.disk)
            and now.since(slot, source.name, source.disk) == before.since(slot, source.name, source.disk)
        )
        if slots:
            leading.append(msgspec.structs.replace(source, slots=slots))
    if not leading:
        raise Trouble("every slot that was copied has another primary now")
    return leading


def _grow(at: ViewAt, sources: Sequence[Source], name: str, disk: str, rules: Rules) -> LocalSteps[Joined]:
    """JOIN 2 to 4: every in-sync member promises, the rest is copied, and the view that names the joiner is
    published.
    """
    view = at.view
    assert view is not None
    try:
        yield from _promises(view, sources, name, rules)
        if not (yield Commit(partial(raise_own_floor, promise=view.epoch + 1))):
            raise Trouble("a slot has joined meanwhile")
    except (Trouble, NotCommitted):
        yield from _abandon(at)
        raise
    slots = frozenset(slot for source in sources for slot in source.slots)
    return (yield from _publish(at, name, disk, slots))


def _promises(view: View, sources: Sequence[Source], name: str, rules: Rules) -> LocalSteps[None]:
    """Ask every in-sync member for its promise, and copy what the primaries had changed until they gave it."""
    members: dict[tuple[str, str], list[int]] = {}
    for source in sources:
        for slot in source.slots:
            for member in _others(view, name, slot):
                members.setdefault(member, []).append(slot)
    by_member = {(source.name, source.disk): source for source in sources}
    if rules.promise_before_grow:
        calls: list[tuple[str, AnyCall]] = [
            (member[0], _promise_call(view, member, tuple(slots), by_member.get(member)))
            for member, slots in members.items()
        ]
        replies = yield Ask(calls)
    else:
        members = {member: list(source.slots) for member, source in by_member.items()}
        replies = yield Ask([(each.name, _follow_call(view, each)) for each in by_member.values()])
    tails = {}
    for member, reply in zip(members, replies, strict=True):
        if not isinstance(reply, Promised | Changed):
            raise Trouble(f"{member[0]} did not promise: {_word(reply)}")
        if member in by_member:
            tails[member] = _tail(by_member[member], reply)
    for member, tail in tails.items():
        yield from _copy_last(view, by_member[member], tail, rules)


def _promise_call(
    view: View, member: tuple[str, str], slots: tuple[int, ...], source: Source | None
) -> Prepare:
    """For a primary also the question what has changed in the slots that are copied from it; others are asked for
    no log.
    """
    disk, promise = member[1], view.epoch + 1
    if source is None:
        return Prepare(view.cluster, view.epoch, disk, slots[0], promise, slots, "", 0, 0)
    slots = source.slots
    return Prepare(
        view.cluster, view.epoch, disk, slots[0], promise, slots, source.log, source.lsn, PAGE_KEYS
    )


def _copy_last(view: View, source: Source, tail: Changed, rules: Rules) -> LocalSteps[None]:
    if not (yield Commit(partial(copy_tail, entries=tail.entries, rules=rules))):
        raise Trouble("a slot has joined meanwhile")
    source = msgspec.structs.replace(source, lsn=tail.lsn)
    while tail.more:
        tail = yield from _follow(view, source, rules)
        source = msgspec.structs.replace(source, lsn=tail.lsn)


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
        (other, DropHints(after.cluster, after.epoch, replica.disk, 0, name))
        for other, replica in after.replicas.items()
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
