"""The store's memory twin: the same contract, no network, no replica. Passes tests/contract/ like the real ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from dronedispatch.kv.client import Cas, Delete, Get, Item, Lease, Op, OpResult, Page, Put
from dronedispatch.kv.errors import Fenced, KVError, LockHeld, VersionConflict
from dronedispatch.kv.record import Record
from dronedispatch.kv.single_key_ops import SingleKeyOps
from dronedispatch.kv.validation import check_key, check_op
from dronedispatch.kv.version import Version
from dronedispatch.kv.wire import LOCK_PREFIX
from dronedispatch.runtime.clock import Clock, SystemClock


class _Lock:
    """Who holds a lock, with which token, and until when on the store's clock."""

    def __init__(self, owner: str, token: Version, until_s: float) -> None:
        self.owner = owner
        self.token = token
        self.until_s = until_s


class MemoryKV(SingleKeyOps):
    """A KVClient whose operations happen at once and one after the other.

    `before` is called with each single-key operation before it happens: a test raises OutcomeUnknown or Unavailable there
    (and `after` when it has happened) to play a store that fails.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        before: Callable[[Op], None] = lambda _op: None,
        after: Callable[[Op], None] = lambda _op: None,
    ) -> None:
        self.records: dict[str, Record] = {}
        self.epoch = 1
        self.before = before
        self.after = after
        self._clock = clock or SystemClock()
        self._locks: dict[str, _Lock] = {}
        self._counts: dict[str, int] = {}

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        """See KVClient."""
        results: list[OpResult] = []
        for op in ops:
            try:
                results.append(self._apply(op))
            except KVError as error:
                results.append(error)
        return results

    async def scan(
        self,
        *,
        prefix: str | None = None,
        tag: str | None = None,
        after: str | None = None,
        limit: int = 500,
        reverse: bool = False,
    ) -> Page:
        """See KVClient."""
        keys = sorted(self.records, key=str.encode, reverse=reverse)
        found = [
            item
            for key in keys
            if key.startswith(prefix or "")
            and not key.startswith(LOCK_PREFIX)
            and (
                after is None or (key.encode() < after.encode() if reverse else key.encode() > after.encode())
            )
            and (item := self._item(key)) is not None
            and (tag is None or tag in item.tags)
        ]
        more = len(found) > limit
        items = tuple(found[:limit])
        return Page(items, items[-1].key if more and items else None)

    async def acquire(self, name: str, owner: str, ttl_ms: int) -> Lease:
        """See KVClient."""
        check_key(LOCK_PREFIX + name)
        now_s = self._clock.monotonic_s()
        held = self._locks.get(name)
        if held is not None and held.owner != owner and held.until_s > now_s:
            raise LockHeld(name, held.owner)
        token = self._next(LOCK_PREFIX + name)
        self._locks[name] = _Lock(owner, token, now_s + ttl_ms / 1000)
        return Lease(name, owner, token, ttl_ms, now_s)

    async def renew(self, lease: Lease) -> Lease:
        """See KVClient."""
        now_s = self._clock.monotonic_s()
        held = self._locks.get(lease.name)
        if held is None or held.token != lease.token:
            raise LockHeld(lease.name, held.owner if held else None)
        held.until_s = now_s + lease.ttl_ms / 1000
        return Lease(lease.name, lease.owner, lease.token, lease.ttl_ms, now_s)

    async def release(self, lease: Lease) -> None:
        """See KVClient."""
        held = self._locks.get(lease.name)
        if held is not None and held.token == lease.token:
            del self._locks[lease.name]

    def _apply(self, op: Op) -> OpResult:
        check_op(op)
        self.before(op)
        result = self._read(op.key) if isinstance(op, Get) else self._write(op)
        self.after(op)
        return result

    def _read(self, key: str) -> Item | None:
        return self._item(key)

    def _write(self, op: Put | Cas | Delete) -> Version | None:
        stored = self.records.get(op.key)
        if (
            not isinstance(op, Delete)
            and op.write_id is not None
            and stored is not None
            and stored.write_id == op.write_id
        ):
            return stored.version
        highest = stored.fence if stored is not None else None
        if op.fence is not None and highest is not None and op.fence < highest:
            raise Fenced(op.key, highest)
        current = self._item(op.key)
        version = current.version if current is not None else None
        if isinstance(op, Delete):
            if op.expected is not None and op.expected != version:
                raise VersionConflict(op.key, current)
            if current is None:
                return None
        elif isinstance(op, Cas) and op.expected != version:
            raise VersionConflict(op.key, current)
        fence = op.fence or highest
        written = self._next(op.key)
        gone = isinstance(op, Delete)
        self.records[op.key] = Record(
            version=written,
            write_id=(None if isinstance(op, Delete) else op.write_id) or os.urandom(16),
            wall_s=self._clock.wall_s(),
            tombstone=gone,
            fence=fence,
            tags=() if isinstance(op, Delete) else op.tags,
            value=b"" if isinstance(op, Delete) else op.value,
        )
        return None if gone else written

    def _item(self, key: str) -> Item | None:
        record = self.records.get(key)
        if record is None or record.tombstone:
            return None
        return Item(key, record.version, record.value, record.tags)

    def _next(self, key: str) -> Version:
        self._counts[key] = self._counts.get(key, 0) + 1
        return Version(self.epoch, self._counts[key])
