"""One replica's own answers to /kv/{key}, /kv/cas, /kv/batch, /kv and /lock/*, under R1 to R9 like everybody's calls.

For operators and tests. A replica cannot promise alone what a coordinator promises: where a slot has other in-sync
members its reads say what this replica holds, and its writes are refused (503) with the way to go.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Literal

from dronedispatch.kv.client import Cas, Delete, Get, Lease, Op, OpResult, Page, Put
from dronedispatch.kv.errors import KVError, LockHeld, Unavailable
from dronedispatch.kv.record import WRITE_ID_BYTES, Record
from dronedispatch.kv.single_key_ops import SingleKeyOps
from dronedispatch.kv.slots import slot_of
from dronedispatch.kv.validation import check_key, check_op
from dronedispatch.kv.version import Version
from dronedispatch.kv.wire import LOCK_PREFIX
from dronedispatch.kvstore.committer import Committer
from dronedispatch.kvstore.core.locks import lock_state
from dronedispatch.replication.calls import (
    AnyCall,
    AnyReply,
    Applied,
    Apply,
    Damaged,
    Found,
    Joining,
    Lock,
    Mismatch,
    NoSpace,
    Read,
    Scan,
    Scanned,
    StaleEpoch,
)
from dronedispatch.replication.op_translation import (
    change_of,
    conflict_of,
    done_of,
    held_of,
    item_of,
    lock_key,
)
from dronedispatch.replication.view import View
from dronedispatch.replication.view_store import ViewStore
from dronedispatch.runtime.clock import Clock

ATTEMPTS = 20
PAUSE_S = 0.02


class LocalKV(SingleKeyOps):
    """A KVClient on this replica alone; see the module's promise."""

    def __init__(self, name: str, disk: str, committer: Committer, views: ViewStore, clock: Clock) -> None:
        self._name = name
        self._disk = disk
        self._committer = committer
        self._views = views
        self._clock = clock

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        """See KVClient."""
        return list(await asyncio.gather(*(self._outcome(op) for op in ops)))

    async def scan(
        self,
        *,
        prefix: str | None = None,
        tag: str | None = None,
        after: str | None = None,
        limit: int = 500,
        reverse: bool = False,
    ) -> Page:
        """What this replica holds of the slots that it is in sync for. See KVClient."""

        def call(view: View) -> AnyCall:
            slots = tuple(sorted(view.in_sync_slots(self._name, self._disk)))
            if not slots:
                raise Unavailable("this replica is in sync for no slot")
            head = (view.cluster, view.epoch, self._disk, slots[0])
            return Scan(*head, slots, prefix, tag, after, limit, reverse, full=True)

        reply = await self._call(call)
        assert isinstance(reply, Scanned)
        items = [
            item
            for key, _, record in reply.entries
            if (item := item_of(key, record)) is not None
            and (not key.startswith(LOCK_PREFIX) or (prefix or "").startswith(LOCK_PREFIX))
        ]
        return Page(tuple(items), reply.entries[-1][0] if reply.more else None)

    async def acquire(self, name: str, owner: str, ttl_ms: int) -> Lease:
        """See KVClient."""
        sent_s = self._clock.monotonic_s()
        record = await self._lock("acquire", name, owner, None, ttl_ms)
        return Lease(name, owner, record.version, ttl_ms, sent_s)

    async def renew(self, lease: Lease) -> Lease:
        """See KVClient."""
        sent_s = self._clock.monotonic_s()
        record = await self._lock("renew", lease.name, lease.owner, lease.token, lease.ttl_ms)
        state = lock_state(record)
        token = lease.token if state is None or state.token is None else state.token
        return Lease(lease.name, lease.owner, token, lease.ttl_ms, sent_s)

    async def release(self, lease: Lease) -> None:
        """See KVClient."""
        try:
            await self._lock("release", lease.name, lease.owner, lease.token, lease.ttl_ms)
        except LockHeld:
            return

    async def _outcome(self, op: Op) -> OpResult:
        try:
            check_op(op)
            return await self._carry_out(op)
        except KVError as error:
            return error

    async def _carry_out(self, op: Op) -> OpResult:
        if isinstance(op, Get):
            slot = slot_of(op.key)
            found = await self._call(lambda view: Read(view.cluster, view.epoch, self._disk, slot, op.key))
            assert isinstance(found, Found)
            return item_of(op.key, found.record)
        return await self._write(op)

    async def _write(self, op: Put | Cas | Delete) -> OpResult:
        change = change_of(op)
        slot = slot_of(op.key)
        write_id = change.write_id or os.urandom(WRITE_ID_BYTES)
        wall_s = self._clock.wall_s()

        def call(view: View) -> AnyCall:
            self._alone(view, slot)
            head = (view.cluster, view.epoch, self._disk, slot)
            return Apply(
                *head,
                op.key,
                change.expected,
                change.value,
                write_id,
                wall_s,
                change.tombstone,
                change.tags,
                change.fence,
            )

        reply = await self._call(call)
        if isinstance(reply, Mismatch):
            return conflict_of(op, reply.record, reply.reason)
        assert isinstance(reply, Applied)
        return done_of(op, reply.record)

    async def _lock(
        self,
        verb: Literal["acquire", "renew", "release"],
        name: str,
        owner: str,
        token: Version | None,
        ttl_ms: int,
    ) -> Record:
        key = lock_key(name)
        check_key(key)
        slot = slot_of(key)
        write_id = os.urandom(WRITE_ID_BYTES)
        wall_s = self._clock.wall_s()

        def call(view: View) -> AnyCall:
            self._alone(view, slot)
            head = (view.cluster, view.epoch, self._disk, slot)
            return Lock(*head, key, verb, owner, token, ttl_ms, write_id, wall_s)

        reply = await self._call(call)
        if isinstance(reply, Mismatch):
            raise held_of(name, reply.record)
        assert isinstance(reply, Applied)
        return reply.record

    def _alone(self, view: View, slot: int) -> None:
        others = [name for name, _ in view.members(slot) if name != self._name]
        if others:
            raise Unavailable(f"slot {slot} is also held by {', '.join(others)}: write through a kvfront")

    async def _call(self, call_for: Callable[[View], AnyCall]) -> AnyReply:
        """The reply that is an answer; calls made again in a newer view where the replica asks for one."""
        reply: AnyReply | None = None
        for _ in range(ATTEMPTS):
            view = self._views.cached
            if view is None:
                raise Unavailable("not_bootstrapped")
            (reply,) = await self._committer.submit((call_for(view),))
            if isinstance(reply, StaleEpoch):
                await self._views.read()
            elif not isinstance(reply, Joining):
                break
            await asyncio.sleep(PAUSE_S)
        if isinstance(reply, NoSpace):
            raise Unavailable("the disk is full", status=507)
        if isinstance(reply, Damaged):
            raise Unavailable("the record's checksum is wrong here: read it through a kvfront")
        if isinstance(reply, Found | Applied | Mismatch | Scanned):
            return reply
        raise Unavailable(f"this replica answers {type(reply).__name__} for that slot")
