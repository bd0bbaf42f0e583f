"""The view: who holds which slot, and since when. One JSON document in Consul, and pure functions from a view to
the next one.

A driver reads the document with `decode`, keeps it together with Consul's ModifyIndex, and gives both to the core.
Every change is a function here (`vote_out`, `joined`, `reassigned`, `with_replica`, `without_replica`, `bumped`); it
returns a view with a higher epoch and the writer's nonce in `by`, to be PUT with ?cas=<ModifyIndex>, or the very
same object when there is nothing to change.

members(slot) = its in-sync replicas in the order of `assigned`, then those about to leave (in sync, no longer
assigned); the first is the primary. A move is therefore a change of `assigned` alone: the newcomer joins, and the
join that completes `assigned` drops the leavers. Each membership carries the disk that it was given to: a replica
with a new disk can join other slots while a slot that only its lost disk held stays refused instead of empty.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from dronedispatch.kv.slots import SLOTS
from dronedispatch.replication.rules import ALL, Rules

VIEW_KEY = "dronedispatch/kv/view"


class Replica(msgspec.Struct, frozen=True):
    """A replica: where it answers, and its disk (a uuid made together with the data file)."""

    url: str
    disk: str


class Member(msgspec.Struct, frozen=True, array_like=True):
    """In sync since the view of epoch `since`, with the disk that was there then."""

    since: int
    disk: str


class Slot(msgspec.Struct, frozen=True):
    """`assigned` is in primary order; `in_sync` is never empty."""

    assigned: tuple[str, ...]
    in_sync: dict[str, Member]

    def members(self) -> tuple[str, ...]:
        """The in-sync replicas, primary first."""
        stay = [name for name in self.assigned if name in self.in_sync]
        leave = sorted(name for name in self.in_sync if name not in self.assigned)
        return (*stay, *leave)

    def absent(self) -> tuple[str, ...]:
        """Assigned, but not in sync: owed a hint and a join."""
        return tuple(name for name in self.assigned if name not in self.in_sync)


class View(msgspec.Struct, frozen=True, dict=True, rename={"replicas": "nodes"}):
    """One epoch's truth. `rf` is the number of copies that an assignment aims at."""

    cluster: str
    epoch: int
    by: str
    rf: int
    replicas: dict[str, Replica]
    slots: tuple[Slot, ...]

    def members(self, slot: int) -> tuple[tuple[str, str], ...]:
        """(name, disk) of each in-sync replica of `slot`, the primary first. Computed once a view: it is asked for
        each operation.
        """
        table: tuple[tuple[tuple[str, str], ...], ...] | None = self.__dict__.get("_members")
        if table is None:
            table = tuple(tuple((n, each.in_sync[n].disk) for n in each.members()) for each in self.slots)
            self.__dict__["_members"] = table
        return table[slot]

    def absent(self, slot: int) -> tuple[str, ...]:
        """The replicas that `slot` lacks. Computed once a view, like `members`: every write asks for it."""
        table: tuple[tuple[str, ...], ...] | None = self.__dict__.get("_absent")
        if table is None:
            table = tuple(each.absent() for each in self.slots)
            self.__dict__["_absent"] = table
        return table[slot]

    def since(self, slot: int, name: str, disk: str) -> int | None:
        """The epoch since when `name` with `disk` is in sync for `slot`; None: it is not."""
        member = self.slots[slot].in_sync.get(name)
        return member.since if member is not None and member.disk == disk else None

    def in_sync_slots(self, name: str, disk: str) -> frozenset[int]:
        """The slots for which `name` with `disk` answers."""
        return frozenset(s for s in range(len(self.slots)) if self.since(s, name, disk) is not None)

    def lacking_slots(self, name: str, disk: str) -> frozenset[int]:
        """The slots that `name` is assigned but cannot answer for, and could join: some other member, or disk,
        holds them.
        """
        return frozenset(
            number
            for number, slot in enumerate(self.slots)
            if name in slot.assigned and self.since(number, name, disk) is None and set(slot.in_sync) - {name}
        )


_DECODER = msgspec.json.Decoder(View)


def encode(view: View) -> bytes:
    """The document for Consul."""
    return msgspec.json.encode(view)


def decode(document: bytes) -> View:
    """The view in `document`. Raises ValueError for anything that is none."""
    try:
        view = _DECODER.decode(document)
    except msgspec.DecodeError as exc:
        raise ValueError(f"not a view: {exc}") from exc
    if view.epoch < 1 or len(view.slots) != SLOTS or not all(slot.in_sync for slot in view.slots):
        raise ValueError(
            f"not a view: epoch {view.epoch}, {len(view.slots)} slots, or a slot without a replica"
        )
    return view


def bootstrap(
    cluster: str, replicas: Mapping[str, Replica], rf: int, assigned: Sequence[tuple[str, ...]], by: str
) -> View:
    """The first view, epoch 1: every assigned replica is in sync, for all are empty."""
    slots = tuple(Slot(names, {name: Member(1, replicas[name].disk) for name in names}) for names in assigned)
    return View(cluster, 1, by, rf, dict(replicas), slots)


def bumped(view: View, by: str, epoch: int | None = None) -> View:
    """The same sets in a later epoch (default: the next)."""
    later = view.epoch + 1 if epoch is None else epoch
    assert later > view.epoch, f"epoch {later} is not after {view.epoch}"
    return msgspec.structs.replace(view, epoch=later, by=by)


def vote_out(
    view: View,
    bad: Mapping[str, str],
    by: str,
    *,
    seen: int,
    only: int | None = None,
    answering: Collection[str] | None = None,
    rules: Rules = ALL,
) -> View:
    """`view` without the replicas `bad` (name -> disk) wherever (or in slot `only`, if) another member remains.

    Memberships younger than epoch `seen` (the view in which they failed to answer) stay: the replica has joined
    again since. `answering`: one of these must be among them (None: any).
    """
    slots = []
    for number, slot in enumerate(view.slots):
        gone = {
            name
            for name, member in slot.in_sync.items()
            if bad.get(name) == member.disk and member.since <= seen and only in (None, number)
        }
        stay = slot.in_sync.keys() - gone
        if answering is not None and stay and stay.isdisjoint(answering):
            gone = set()
        slots.append(_without(view, slot, gone, set(bad), rules))
    return _changed(view, tuple(slots), by)


def _without(view: View, slot: Slot, gone: set[str], bad: set[str], rules: Rules) -> Slot:
    if not gone:
        return slot
    stay = {name: member for name, member in slot.in_sync.items() if name not in gone}
    if stay:
        return Slot(slot.assigned, stay)
    if not rules.never_promote_stale:
        for name in slot.assigned:
            if name not in bad:
                return Slot(slot.assigned, {name: Member(view.epoch + 1, view.replicas[name].disk)})
    return slot


def left(view: View, name: str, by: str) -> View:
    """`view` without `name`, whatever its disk, wherever another member remains: a graceful stop."""
    slots = tuple(
        Slot(slot.assigned, {n: m for n, m in slot.in_sync.items() if n != name})
        if name in slot.in_sync and len(slot.in_sync) > 1
        else slot
        for slot in view.slots
    )
    return _changed(view, slots, by)


def joined(view: View, name: str, disk: str, slots: Collection[int], by: str) -> View:
    """`view` with `name` in sync for `slots` since the next epoch; completes moves: leavers go when all assigned
    are in sync.
    """
    epoch = view.epoch + 1
    after = list(view.slots)
    for number in slots:
        slot = after[number]
        in_sync = {**slot.in_sync, name: Member(epoch, disk)}
        if set(slot.assigned) <= set(in_sync):
            in_sync = {member: since for member, since in in_sync.items() if member in slot.assigned}
        after[number] = Slot(slot.assigned, in_sync)
    replicas = {**view.replicas, name: Replica(view.replicas[name].url, disk)}
    return msgspec.structs.replace(view, epoch=epoch, by=by, slots=tuple(after), replicas=replicas)


def reassigned(view: View, wanted: Mapping[int, Sequence[str]], by: str) -> View:
    """`view` in which slot s is to be held by `wanted[s]`, primary first; leavers go at once where all wanted ones
    are in sync already.

    Raises ValueError for a replica that the view does not know, or for no replica.
    """
    after = list(view.slots)
    for number, names in wanted.items():
        strangers = [name for name in names if name not in view.replicas]
        if strangers or not names or len(set(names)) != len(names):
            raise ValueError(f"slot {number} cannot be assigned to {list(names)} (unknown: {strangers})")
        in_sync = after[number].in_sync
        if set(names) <= set(in_sync):
            in_sync = {name: in_sync[name] for name in names}
        after[number] = _led_since(view, after[number], Slot(tuple(names), in_sync))
    return _changed(view, tuple(after), by)


def _led_since(view: View, before: Slot, after: Slot) -> Slot:
    """`after`, in which a primary that has to follow from now on begins its membership anew.

    FINISH takes "the primary of my apply has been in sync ever since" for "what is there now is mine or a
    successor". That holds while its successors in the lead have copied from it (a join does), and not when a mere
    follower is put before it.
    """
    old = before.members()[0]
    if after.members()[0] == old or old not in after.in_sync:
        return after
    renewed = Member(view.epoch + 1, after.in_sync[old].disk)
    return Slot(after.assigned, {**after.in_sync, old: renewed})


def with_replica(view: View, name: str, replica: Replica, by: str) -> View:
    """`view` that knows the replica `name` (new, on another address, or with another disk): it holds no slot by
    that.
    """
    if view.replicas.get(name) == replica:
        return view
    return msgspec.structs.replace(
        view, epoch=view.epoch + 1, by=by, replicas={**view.replicas, name: replica}
    )


def without_replica(view: View, name: str, by: str) -> View:
    """`view` that has forgotten `name`. Raises ValueError while it holds or is assigned a slot."""
    used = [number for number, slot in enumerate(view.slots) if name in slot.assigned or name in slot.in_sync]
    if used:
        raise ValueError(f"{name} still has {len(used)} slots (first: {used[0]}): move them first")
    replicas = {other: replica for other, replica in view.replicas.items() if other != name}
    return msgspec.structs.replace(view, epoch=view.epoch + 1, by=by, replicas=replicas)


def accepted_loss(view: View, number: int, name: str, disk: str, by: str) -> View:
    """The operator's word: slot `number` starts again with what `name` has on `disk`, since its last in-sync disk
    is gone.
    """
    slot = view.slots[number]
    assigned = slot.assigned if name in slot.assigned else (name, *slot.assigned)
    after = list(view.slots)
    after[number] = Slot(assigned, {name: Member(view.epoch + 1, disk)})
    return _changed(view, tuple(after), by)


def _changed(view: View, slots: tuple[Slot, ...], by: str) -> View:
    if slots == view.slots:
        return view
    return msgspec.structs.replace(view, epoch=view.epoch + 1, by=by, slots=slots)
