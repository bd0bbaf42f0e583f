"""Between what a client asks (client.Op) and what a replica is told (calls.Apply), and back. Pure."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from dronedispatch.kv.client import Cas, Delete, Item, Op, OpResult, Put
from dronedispatch.kv.errors import Fenced, LockHeld, VersionConflict
from dronedispatch.kv.record import Record
from dronedispatch.kv.version import Version
from dronedispatch.kv.wire import LOCK_PREFIX
from dronedispatch.replication.calls import MUST_BE_ABSENT, MUST_EXIST

Reason = Literal["version", "fenced", "held"]


class Change(NamedTuple):
    """What a writing Op asks of a record, in the words of calls.Apply."""

    expected: Version | None
    value: bytes
    tombstone: bool
    tags: tuple[str, ...]
    fence: Version | None
    write_id: bytes | None


def change_of(op: Put | Cas | Delete) -> Change:
    """The change that `op` asks for. A DELETE of what is not there writes nothing."""
    if isinstance(op, Put):
        return Change(None, op.value, False, op.tags, op.fence, op.write_id)
    if isinstance(op, Cas):
        expected = MUST_BE_ABSENT if op.expected is None else op.expected
        return Change(expected, op.value, False, op.tags, op.fence, op.write_id)
    return Change(op.expected or MUST_EXIST, b"", True, (), op.fence, None)


def item_of(key: str, record: Record | None) -> Item | None:
    """The item that a reader of `key` gets."""
    if record is None or record.tombstone:
        return None
    return Item(key, record.version, record.value, record.tags)


def done_of(op: Put | Cas | Delete, record: Record) -> OpResult:
    """The result of a write that was applied as `record`."""
    return None if isinstance(op, Delete) else record.version


def conflict_of(op: Op, record: Record | None, reason: Reason) -> OpResult:
    """The result of a write whose condition failed on `record`."""
    if reason == "fenced":
        return Fenced(op.key, None if record is None else record.fence)
    current = item_of(op.key, record)
    if isinstance(op, Delete) and op.expected is None and current is None:
        return None  # gone already
    return VersionConflict(op.key, current)


class _Held(msgspec.Struct):
    owner: str


def held_of(name: str, record: Record | None) -> LockHeld:
    """The error of an acquire, renew or release that found the lock `name` in other hands, or in none."""
    owner = None
    if record is not None and not record.tombstone:
        try:
            owner = msgspec.json.decode(record.value, type=_Held).owner
        except msgspec.MsgspecError:
            owner = "what is stored there is no lock"
    return LockHeld(name, owner)


def lock_key(name: str) -> str:
    """Where the lock `name` is kept."""
    return LOCK_PREFIX + name
