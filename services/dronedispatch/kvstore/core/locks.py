"""Locks: a record under lock/<name>, judged by the slot's primary on its own monotonic clock.

The token of an acquisition is the version of its record, so tokens of a lock rise for ever: a release leaves a
tombstone, whose version goes on counting, and a purged tombstone is followed by a later epoch. A lease ends
`ttl_ms` after this process stored its record: after a restart, or on another primary, the full time starts again,
so a lock may last longer, never shorter.
"""

from __future__ import annotations

import msgspec

from dronedispatch.kv.record import Record
from dronedispatch.kv.version import Version
from dronedispatch.kvstore.core.txn import Txn
from dronedispatch.replication.calls import Applied, Lock, Mismatch


class LockState(msgspec.Struct, frozen=True):
    """The value of a lock record. `token` None: the record's own version (it is the acquisition itself)."""

    owner: str
    ttl_ms: int
    token: Version | None = None


_DECODER = msgspec.json.Decoder(LockState)
_ENCODER = msgspec.json.Encoder()


def lock_state(record: Record | None) -> LockState | None:
    """Who holds the lock by `record`, with the token filled in; None: nobody. Raises ValueError if it is no lock
    record.
    """
    if record is None or record.tombstone:
        return None
    state = _DECODER.decode(record.value)
    return state if state.token is not None else LockState(state.owner, state.ttl_ms, record.version)


def apply_lock(txn: Txn, call: Lock, now_s: float) -> Applied | Mismatch:
    """R4 with a lock's condition. Acquire: free, expired, or the same owner's. Renew and release: the token shown
    is the valid one.
    """
    record = txn.get(call.key)
    if record is not None and record.write_id == call.write_id:
        return Applied(record)
    held = lock_state(record)
    if call.verb == "acquire":
        if held is not None and record is not None and held.owner != call.owner:
            since_s = txn.held_since(call.key, record.version, now_s)
            if now_s - since_s < held.ttl_ms / 1000.0:
                return Mismatch(record, "held")
        state = LockState(call.owner, call.ttl_ms)
    else:
        if held is None or held.owner != call.owner or held.token != call.token:
            return Mismatch(record, "held")
        state = LockState(call.owner, call.ttl_ms, held.token)
    release = call.verb == "release"
    fresh = Record(
        version=Version(call.epoch, record.version.n + 1 if record is not None else 1),
        write_id=call.write_id,
        wall_s=call.wall_s,
        tombstone=release,
        fence=record.fence if record is not None else None,
        tags=(),
        value=b"" if release else _ENCODER.encode(state),
    )
    txn.put(call.key, call.slot, fresh)
    txn.held_since(call.key, fresh.version, now_s)
    return Applied(fresh)
