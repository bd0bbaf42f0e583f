"""The local steps of JOIN, each inside one transaction of the replica that is being filled.

A slot's mark says that its records are not to be trusted: R4 to R6 answer `Joining`. Every step here looks at the
mark in its own transaction and does nothing without it: a view that was published behind the joiner's back (its
own PUT, thought lost) ends the filling at that very moment, and no late page may touch a record written since.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from dronedispatch.kv.record import Record
from dronedispatch.kv.slots import slot_of
from dronedispatch.kv.version import Version
from dronedispatch.kvstore.core.txn import DamagedRecord, Txn
from dronedispatch.replication.calls import Compared
from dronedispatch.replication.rules import ALL, Rules
from dronedispatch.replication.view import View

_NOTHING = Version(0, 0)


def mark_joining(txn: Txn, slots: Collection[int], floor: int) -> None:
    """JOIN 0: `slots` are being filled, and no epoch before `floor` will be answered."""
    txn.set_joining(txn.joining() | frozenset(slots))
    if floor > txn.floor:
        txn.raise_floor(floor, txn.published)


def settle(txn: Txn, view: View, name: str) -> frozenset[int]:
    """Clear the marks of the slots for which `view` says that `name`, with this disk, is in sync; return the marks
    that remain.

    A driver calls it for every view that it sees. A view older than the floor says nothing and changes nothing.
    """
    marked = txn.joining()
    if not marked or view.epoch < txn.floor:
        return marked
    left = marked - view.in_sync_slots(name, txn.disk)
    if left != marked:
        txn.set_joining(left)
    return left


def absorb_hints(txn: Txn, entries: Iterable[tuple[str, Record | None]]) -> int:
    """JOIN 1: keep the hints that are newer than what is here; the comparison that follows has the last word.
    Returns how many.
    """
    kept = 0
    for key, record in entries:
        slot = slot_of(key)
        if record is not None and txn.is_joining(slot) and record.version > _version(txn, key):
            txn.put(key, slot, record)
            kept += 1
    return kept


def compare_page(
    txn: Txn, slot: int, after: str | None, page: Compared, rules: Rules = ALL
) -> tuple[str, ...] | None:
    """JOIN 1: delete what the member lacks between `after` and the end of its page; return the keys to be fetched.
    None: no mark.
    """
    if not txn.is_joining(slot):
        return None
    until = page.entries[-1][0] if page.more and page.entries else None
    mine = _range(txn, slot, after, until)
    theirs = dict(page.entries)
    if rules.join_authoritative:
        for key in mine:
            if key not in theirs:
                txn.remove(key, slot)
        return tuple(key for key, version in page.entries if mine.get(key) != version)
    return tuple(key for key, version in page.entries if mine.get(key, _NOTHING) < version)


def _range(txn: Txn, slot: int, after: str | None, until: str | None) -> dict[str, Version]:
    found: dict[str, Version] = {}
    cursor = after
    while True:
        chunk = txn.versions(slot, cursor, 512)
        for key, version in chunk:
            if until is not None and key > until:
                return found
            found[key] = version
        if len(chunk) < 512:
            return found
        cursor = chunk[-1][0]


def copy_records(txn: Txn, entries: Iterable[tuple[str, Record | None]], rules: Rules = ALL) -> bool:
    """JOIN 1: make the keys what the member says they are. False: some slot has lost its mark; nothing more was
    done.
    """
    for key, record in entries:
        slot = slot_of(key)
        if not txn.is_joining(slot):
            return False
        if record is not None:
            if rules.join_authoritative or record.version > _version(txn, key):
                txn.put(key, slot, record)
        elif rules.join_authoritative:
            txn.remove(key, slot)
    return True


def copy_tail(txn: Txn, entries: Iterable[tuple[str, Record | None]], rules: Rules = ALL) -> bool:
    """JOIN 3: what has changed at the members since the pages were read.

    What is here came from a member by now, so the newer wins. False: some slot has lost its mark; nothing more was
    done.
    """
    for key, record in entries:
        slot = slot_of(key)
        if not txn.is_joining(slot):
            return False
        if record is None:
            if rules.join_authoritative:
                txn.remove(key, slot)
        elif record.version > _version(txn, key):
            txn.put(key, slot, record)
    return True


def raise_own_floor(txn: Txn, promise: int) -> bool:
    """JOIN 3: the joiner's own promise, after the last of the tail. False: no slot is marked any more."""
    if promise > txn.floor:
        txn.raise_floor(promise, txn.published)
    return bool(txn.joining())


def forget(txn: Txn, view: View, name: str, slot: int, limit: int) -> int:
    """Remove up to `limit` records of a slot that `view` neither assigns to `name` nor has it in sync for; return
    how many.

    No epoch before that view's will be answered any more: a coordinator that has not seen it yet would take the
    emptied slot for the truth. A marked slot, or a view older than the floor (one in which a later join is
    missing), is left alone.
    """
    if view.epoch < txn.floor or txn.is_joining(slot):
        return 0
    if name in view.slots[slot].assigned or name in view.slots[slot].in_sync:
        return 0
    keys = txn.versions(slot, None, limit)
    if keys and view.epoch > min(txn.floor, txn.published):
        txn.raise_floor(max(view.epoch, txn.floor), max(view.epoch, txn.published))
    for key, _ in keys:
        txn.remove(key, slot)
    return len(keys)


def _version(txn: Txn, key: str) -> Version:
    try:
        record = txn.get(key)
    except DamagedRecord:
        return _NOTHING
    return record.version if record is not None else _NOTHING
