"""The replica's rules R1 to R8, as functions of one transaction.

A driver opens a `Txn` for all calls that arrived in one turn of its loop and runs `execute(txn, call, now_s)` for
each; after the commit is synced it sends the replies (R9). If the commit fails for want of space, every reply of a
call for which `changes_disk` is true becomes NO_SPACE. An fsync error of unknown state ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dronedispatch.kv.record import Record
from dronedispatch.kv.version import Version
from dronedispatch.kvstore.core.locks import apply_lock
from dronedispatch.kvstore.core.txn import DamagedRecord, Txn
from dronedispatch.replication.calls import (
    DAMAGED,
    JOINING,
    MUST_BE_ABSENT,
    MUST_EXIST,
    PAGE_BYTES,
    SCAN_BYTES,
    STORED,
    STORED_NEWER,
    AnyCall,
    AnyReply,
    Applied,
    Apply,
    Changed,
    Compare,
    Compared,
    DropHints,
    Fetch,
    Fetched,
    Follow,
    Found,
    Hint,
    Joining,
    Locate,
    Located,
    Lock,
    Mismatch,
    Prepare,
    Promised,
    PullHints,
    Purge,
    Purged,
    Read,
    Relay,
    Relayed,
    Replicate,
    Scan,
    Scanned,
    StaleEpoch,
    Stored,
    WrongDisk,
)
from dronedispatch.replication.rules import ALL, Rules

Refusal = WrongDisk | StaleEpoch | Joining

_WITHOUT_EPOCH = frozenset({Locate, Compare, Fetch, Follow, Hint, PullHints, DropHints})
"""A joiner reads what is there, at whatever epoch: its promise (Prepare) is the fence. Hints are no part of safety."""
_FOR_ANYBODY = frozenset({Hint, PullHints, DropHints})
"""Answered for slots that are being filled, too."""
_OF_MANY_SLOTS = frozenset({Prepare, Scan, Locate, Follow})
_READ_ONLY = frozenset({Read, Scan, Locate, Compare, Fetch, Follow, PullHints})


def changes_disk(call: AnyCall) -> bool:
    """False: what `call` does beyond R3 is reading."""
    return type(call) not in _READ_ONLY


def execute(txn: Txn, call: AnyCall, now_s: float, rules: Rules = ALL) -> AnyReply:
    """R1 to R8 for one call, in the transaction that also writes. `now_s`: monotonic, for leases only."""
    refusal = admit(txn, call, rules)
    if refusal is not None:
        return refusal
    return carry_out(txn, call, now_s)


def admit(txn: Txn, call: AnyCall, rules: Rules = ALL) -> Refusal | None:
    """R1, R2 and R3, and the mark of a slot that is being filled. None: carry it out, now, in the same transaction."""
    if type(call) is Relay and (refusal := admit(txn, call.then, rules)) is not None:
        return refusal
    if call.cluster != txn.cluster or (call.disk != txn.disk and rules.disk_identity_checked):
        return WrongDisk(txn.cluster, txn.disk)
    kind = type(call)
    if kind in _WITHOUT_EPOCH:
        return JOINING if kind not in _FOR_ANYBODY and _any_joining(txn, call) else None
    epoch, floor, published = call.epoch, txn.floor, txn.published
    if epoch < floor and rules.refuse_older_epoch:
        return StaleEpoch(floor, published)
    if _any_joining(txn, call):
        return JOINING
    if epoch > floor or epoch > published:
        txn.raise_floor(max(epoch, floor), max(epoch, published))
    return None


def _any_joining(txn: Txn, call: AnyCall) -> bool:
    if type(call) in _OF_MANY_SLOTS:
        return any(txn.is_joining(slot) for slot in call.slots)  # type: ignore[union-attr]
    return txn.is_joining(call.slot)


def carry_out(txn: Txn, call: AnyCall, now_s: float) -> AnyReply:
    """R4 to R8 for a call that was admitted. A record whose checksum is wrong makes the reply DAMAGED, with
    nothing done.
    """
    try:
        return _CARRY_OUT[type(call)](txn, call, now_s)
    except DamagedRecord:
        return DAMAGED


def _apply(txn: Txn, call: Apply, now_s: float) -> Applied | Mismatch:
    """R4, in this order: the same write again; the condition (version, then fence); the write."""
    old = txn.get(call.key)
    expected, fence, n = call.expected, call.fence, 1
    if old is not None:
        if old.write_id == call.write_id:
            return Applied(old)
        if expected is not None and not _holds(expected, old):
            return Mismatch(old, "version")
        if old.fence is not None:
            if fence is None:
                fence = old.fence
            elif fence < old.fence:
                return Mismatch(old, "fenced")
        n = old.version.n + 1
    elif expected is not None and expected != MUST_BE_ABSENT:
        return Mismatch(None, "version")
    record = Record(
        Version(call.epoch, n), call.write_id, call.wall_s, call.tombstone, fence, call.tags, call.value
    )
    txn.put(call.key, call.slot, record)
    return Applied(record)


def _holds(expected: Version, record: Record) -> bool:
    if expected == MUST_BE_ABSENT:
        return record.tombstone
    if record.tombstone:
        return False
    return expected in (MUST_EXIST, record.version)


def _lock(txn: Txn, call: Lock, now_s: float) -> Applied | Mismatch:
    return apply_lock(txn, call, now_s)


def _replicate(txn: Txn, call: Replicate, now_s: float) -> Stored:
    """R5. On a damaged record Damaged, as for all: JOIN replaces it, no copy that may be an older one."""
    old = txn.get(call.key)
    version = call.record.version
    if old is None or version > old.version:
        txn.put(call.key, call.slot, call.record)
        txn.held_since(call.key, version, now_s)
        return STORED
    return STORED if version == old.version else STORED_NEWER


def _relay(txn: Txn, call: Relay, now_s: float) -> Relayed:
    """R5, then R4. What R5 cannot store raises, and nothing is applied behind it."""
    _replicate(txn, Replicate(call.cluster, call.epoch, call.disk, call.slot, call.key, call.record), now_s)
    return Relayed(_apply(txn, call.then, now_s))


def _read(txn: Txn, call: Read, now_s: float) -> Found:
    """R6."""
    return Found(txn.get(call.key))


def _prepare(txn: Txn, call: Prepare, now_s: float) -> Promised:
    """R7. A tombstone that keeps a fence is not offered for purging: with it the fence would be forgotten."""
    if call.promise > txn.floor:
        txn.raise_floor(call.promise, txn.published)
    changed = (
        _changed(txn, call.slots, call.log, call.since, call.limit)
        if call.log
        else Changed((), call.since, more=False, trimmed=False)
    )
    found = [txn.get(key) for key in call.keys]
    versions = [
        record.version if record is not None and record.tombstone and record.fence is None else None
        for record in found
    ]
    return Promised(changed, tuple(versions))


def _purge(txn: Txn, call: Purge, now_s: float) -> Purged:
    """R8."""
    record = txn.get(call.key)
    if record is None or not record.tombstone or record.version != call.version:
        return Purged(done=False)
    txn.remove(call.key, call.slot)
    return Purged(done=True)


def _scan(txn: Txn, call: Scan, now_s: float) -> Scanned:
    entries: list[tuple[str, Version, Record | None]] = []
    size = 0
    if call.dead:
        found = txn.tombstones(call.slots, call.after)
    else:
        found = txn.scan(call.slots, prefix=call.prefix, tag=call.tag, after=call.after, reverse=call.reverse)
    for key, record in found:
        if record is not None and (
            record.tombstone is not call.dead or (call.dead and record.fence is not None)
        ):
            continue
        if len(entries) == call.limit or size >= SCAN_BYTES:
            return Scanned(tuple(entries), more=True)
        if (
            record is None
        ):  # damaged: listed as older than anything, so that a READ finds the difference and repairs it
            entries.append((key, MUST_BE_ABSENT, None))
        else:
            entries.append((key, record.version, record if call.full else None))
            size += len(record.value) if call.full else 0
    return Scanned(tuple(entries), more=False)


def _locate(txn: Txn, call: Locate, now_s: float) -> Located:
    log, lsn = txn.log_position()
    return Located(log, lsn, tuple(txn.digest(slot) for slot in call.slots))


def _compare(txn: Txn, call: Compare, now_s: float) -> Compared:
    entries = txn.versions(call.slot, call.after, call.limit)
    return Compared(tuple(entries), more=len(entries) == call.limit)


def _fetch(txn: Txn, call: Fetch, now_s: float) -> Fetched:
    found = ((key, txn.get(key)) for key in call.keys)
    entries = _page(found, call.bytes_max) if call.bytes_max else tuple(found)
    return Fetched(entries, more=len(entries) < len(call.keys))


def _follow(txn: Txn, call: Follow, now_s: float) -> Changed:
    return _changed(txn, call.slots, call.log, call.since, call.limit)


def _changed(txn: Txn, slots: tuple[int, ...], log: str, since: int, limit: int) -> Changed:
    changes = txn.changes(slots, log, since, limit)
    if changes is None:
        return Changed((), since, more=False, trimmed=True)
    entries = _page(((key, txn.get(key)) for key in changes.keys), PAGE_BYTES)
    if len(entries) < len(changes.keys):  # asked again for so many, it says how far they reach
        return _changed(txn, slots, log, since, len(entries))
    return Changed(entries, changes.lsn, changes.more, trimmed=False)


def _page(
    found: Iterable[tuple[str, Record | None]], bytes_max: int
) -> tuple[tuple[str, Record | None], ...]:
    """The first of `found`, as many as `bytes_max` of values hold; one at least, or there would be no end."""
    entries: list[tuple[str, Record | None]] = []
    size = 0
    for key, record in found:
        size += 0 if record is None else len(record.value)
        if entries and size > bytes_max:
            break
        entries.append((key, record))
    return tuple(entries)


def _hint(txn: Txn, call: Hint, now_s: float) -> Stored:
    txn.keep_hint(call.target, call.key, call.record)
    return STORED


def _pull_hints(txn: Txn, call: PullHints, now_s: float) -> Fetched:
    found = txn.hints(call.target, call.after, call.limit)
    entries = _page(found, PAGE_BYTES)
    return Fetched(entries, more=len(found) == call.limit or len(entries) < len(found))


def _drop_hints(txn: Txn, call: DropHints, now_s: float) -> Stored:
    txn.drop_hints(call.target)
    return STORED


_CARRY_OUT: dict[type, Callable[[Txn, Any, float], AnyReply]] = {
    Apply: _apply,
    Lock: _lock,
    Replicate: _replicate,
    Read: _read,
    Prepare: _prepare,
    Purge: _purge,
    Scan: _scan,
    Locate: _locate,
    Compare: _compare,
    Fetch: _fetch,
    Follow: _follow,
    Hint: _hint,
    PullHints: _pull_hints,
    DropHints: _drop_hints,
    Relay: _relay,
}
