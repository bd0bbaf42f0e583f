"""The coordinator: the store's contract carried out by the protocol's operations on the replicas."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import structlog

from dronedispatch.kv.client import Cas, Delete, Get, Item, Lease, Op, OpResult, Page, Pair, PairResult, Put
from dronedispatch.kv.errors import KVError, LockHeld, OutcomeUnknown, Unavailable
from dronedispatch.kv.record import WRITE_ID_BYTES, Record
from dronedispatch.kv.single_key_ops import SingleKeyOps, not_begun
from dronedispatch.kv.slots import slot_of
from dronedispatch.kv.validation import check_key, check_op
from dronedispatch.kv.version import Version
from dronedispatch.kv.wire import LOCK_PREFIX
from dronedispatch.kvfront.core.pairing import PairResolution, write_pair
from dronedispatch.kvfront.core.reading import read
from dronedispatch.kvfront.core.resolution import Conflict, Done, NotApplied, Resolution
from dronedispatch.kvfront.core.scanning import Query, scan
from dronedispatch.kvfront.core.view_change import NOT_BOOTSTRAPPED
from dronedispatch.kvfront.core.writing import LockWrite, Write, write
from dronedispatch.kvfront.settings import Settings
from dronedispatch.replication.calls import SCAN_BYTES
from dronedispatch.replication.driver import Driver
from dronedispatch.replication.effects import Steps
from dronedispatch.replication.op_translation import (
    change_of,
    conflict_of,
    done_of,
    held_of,
    item_of,
    lock_key,
)
from dronedispatch.runtime.clock import Clock

log = structlog.get_logger()

BUSY = "too many operations are under way"


class Coordinator(SingleKeyOps):
    """A KVClient, linearizable per key however many coordinators there are. An operation that has begun runs to its end."""

    def __init__(
        self, driver: Driver, clock: Clock, settings: Settings, why_not: Callable[[], str | None]
    ) -> None:
        self._why_not = why_not
        self._driver = driver
        self._write_ids = itertools.count(int.from_bytes(os.urandom(WRITE_ID_BYTES)) >> 1)
        self._clock = clock
        self._settings = settings

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        """See KVClient. The operations have been checked against the limits (kv/validation.py). Raises Unavailable."""
        if (reason := self._why_not()) is not None:
            raise Unavailable(reason)
        if not ops:
            return []
        done: asyncio.Future[list[OpResult]] = asyncio.get_running_loop().create_future()

        def settle(results: list[OpResult]) -> None:
            if not done.done():
                done.set_result(results)

        self.begin(ops, settle)
        return await done

    async def pair(self, first: Put | Cas, second: Put | Cas) -> PairResult:
        """See KVClient. Raises Refused, Unavailable."""
        check_op(first)
        check_op(second)
        if (reason := self._why_not()) is not None:
            raise Unavailable(reason)
        done: asyncio.Future[PairResult] = asyncio.get_running_loop().create_future()

        def settle(results: list[PairResult]) -> None:
            if not done.done():
                done.set_result(results[0])

        self.begin_pairs((Pair(first, second),), settle)
        return await done

    def begin(self, ops: Sequence[Op], then: Callable[[list[OpResult]], None]) -> None:
        """Start at least one operation; `then` gets the results, in order, whatever has become of who asked."""
        if self._driver.running + len(ops) > self._settings.operations_max:
            refused: list[OpResult] = [Unavailable(BUSY) for _ in ops]
            asyncio.get_running_loop().call_soon(then, refused)
            return
        self._begin(ops, self._clock.monotonic_s() + self._settings.deadline_s, then)

    def begin_pairs(self, pairs: Sequence[Pair], then: Callable[[list[PairResult]], None]) -> None:
        """The same for at least one pair. Both writes have one deadline; a pair that is begun is not cut in the middle."""
        if self._driver.running + len(pairs) > self._settings.operations_max:
            refused = [not_begun(Unavailable(BUSY)) for _ in pairs]
            asyncio.get_running_loop().call_soon(then, refused)
            return
        deadline_s = self._clock.monotonic_s() + self._settings.deadline_s
        results: dict[int, PairResult] = {}

        def ended(place: int, result: PairResult) -> None:
            results[place] = result
            if len(results) == len(pairs):
                then([results[one] for one in range(len(pairs))])

        for place, pair in enumerate(pairs):
            self._begin_pair(pair, deadline_s, partial(ended, place))

    def _begin_pair(self, pair: Pair, deadline_s: float, then: Callable[[PairResult], None]) -> None:
        def settle(resolutions: PairResolution | None, error: BaseException | None) -> None:
            if resolutions is None:
                unknown = _unexpected(error)
                then((unknown, unknown))
                return
            first, second = resolutions
            written = _written(_result(pair.first, first))
            if second is None:
                assert isinstance(written, KVError), "behind a write that is stored the second is begun"
                then(not_begun(written))
            else:
                then((written, _written(_result(pair.second, second))))

        wall_s = self._clock.wall_s()
        writes = self._write(pair.first, wall_s), self._write(pair.second, wall_s)
        steps = write_pair(*writes, deadline_s, min_in_sync=self._settings.min_in_sync)
        self._driver.begin(steps, settle)

    def _begin(self, ops: Sequence[Op], deadline_s: float, then: Callable[[list[OpResult]], None]) -> None:
        wall_s = self._clock.wall_s()
        gathering = _Gathering(ops, then)
        for place, op in enumerate(ops):
            self._driver.begin(self._steps(op, deadline_s, wall_s), _Place(gathering, place).settle)

    def _fresh_write_id(self) -> bytes:
        """16 bytes that nobody else makes: counted on from a random number, which is cheaper than a random number each."""
        return (next(self._write_ids) % (1 << 128)).to_bytes(WRITE_ID_BYTES)

    def _steps(self, op: Op, deadline_s: float, wall_s: float) -> Steps[Resolution]:
        if isinstance(op, Get):
            return read(op.key, slot_of(op.key), deadline_s)
        return write(self._write(op, wall_s), deadline_s, min_in_sync=self._settings.min_in_sync)

    def _write(self, op: Put | Cas | Delete, wall_s: float) -> Write:
        change = change_of(op)
        return Write(
            op.key,
            slot_of(op.key),
            change.write_id or self._fresh_write_id(),
            wall_s,
            change.expected,
            change.value,
            change.tombstone,
            change.tags,
            change.fence,
            keyed=change.write_id is not None,
        )

    async def scan(
        self,
        *,
        prefix: str | None = None,
        tag: str | None = None,
        after: str | None = None,
        limit: int = 500,
        reverse: bool = False,
    ) -> Page:
        """See KVClient. Locks are listed only under their own prefix. A page ends at SCAN_BYTES, too."""
        deadline_s = self._clock.monotonic_s() + self._settings.deadline_s
        items: list[Item] = []
        size = 0
        while True:
            query = Query(prefix, tag, after, limit - len(items), reverse)
            listing = await self._driver.run(scan(query, deadline_s))
            if isinstance(listing, NotApplied):
                raise _unavailable(listing)
            for key, record in listing.items:
                if _listed(key, prefix):
                    items.append(Item(key, record.version, record.value, record.tags))
                    size += len(record.value)
                if size >= SCAN_BYTES:
                    return Page(tuple(items), key)
            after = listing.next_after
            if after is None or len(items) >= limit or self._clock.monotonic_s() >= deadline_s:
                return Page(tuple(items), after)

    async def acquire(self, name: str, owner: str, ttl_ms: int) -> Lease:
        """See KVClient."""
        sent_s = self._clock.monotonic_s()
        record = await self._lock("acquire", name, owner, ttl_ms, None)
        return Lease(name, owner, record.version, ttl_ms, sent_s)

    async def renew(self, lease: Lease) -> Lease:
        """See KVClient."""
        sent_s = self._clock.monotonic_s()
        await self._lock("renew", lease.name, lease.owner, lease.ttl_ms, lease.token)
        return Lease(lease.name, lease.owner, lease.token, lease.ttl_ms, sent_s)

    async def release(self, lease: Lease) -> None:
        """See KVClient."""
        try:
            await self._lock("release", lease.name, lease.owner, lease.ttl_ms, lease.token)
        except LockHeld:
            return  # it has passed to another already

    async def _lock(
        self,
        verb: Literal["acquire", "renew", "release"],
        name: str,
        owner: str,
        ttl_ms: int,
        token: Version | None,
    ) -> Record:
        key = lock_key(name)
        check_key(key)
        deadline_s = self._clock.monotonic_s() + self._settings.deadline_s
        asked = LockWrite(
            key, slot_of(key), os.urandom(WRITE_ID_BYTES), self._clock.wall_s(), verb, owner, ttl_ms, token
        )
        resolution = await self._driver.run(write(asked, deadline_s, min_in_sync=self._settings.min_in_sync))
        if isinstance(resolution, Done) and resolution.record is not None:
            return resolution.record
        if isinstance(resolution, Conflict):
            raise held_of(name, resolution.record)
        raise _error(resolution)


class _Gathering:
    """The results of the operations of one batch, until the last of them is known."""

    __slots__ = ("missing", "ops", "results", "then")

    def __init__(self, ops: Sequence[Op], then: Callable[[list[OpResult]], None]) -> None:
        self.ops = ops
        self.then = then
        self.results: list[OpResult] = [None] * len(ops)
        self.missing = len(ops)


class _Place:
    """Where one operation's result belongs."""

    __slots__ = ("gathering", "place")

    def __init__(self, gathering: _Gathering, place: int) -> None:
        self.gathering = gathering
        self.place = place

    def settle(self, resolution: Resolution | None, error: BaseException | None) -> None:
        gathering = self.gathering
        if error is not None or resolution is None:
            gathering.results[self.place] = _unexpected(error)
        else:
            gathering.results[self.place] = _result(gathering.ops[self.place], resolution)
        gathering.missing -= 1
        if not gathering.missing:
            gathering.then(gathering.results)


def _listed(key: str, prefix: str | None) -> bool:
    return not key.startswith(LOCK_PREFIX) or (prefix is not None and prefix.startswith(LOCK_PREFIX))


def _result(op: Op, resolution: Resolution) -> OpResult:
    if isinstance(resolution, Done):
        if isinstance(op, Get):
            return item_of(op.key, resolution.record)
        assert resolution.record is not None
        return done_of(op, resolution.record)
    if isinstance(resolution, Conflict):
        return conflict_of(op, resolution.record, resolution.reason)
    return _error(resolution)


def _unexpected(error: BaseException | None) -> OutcomeUnknown:
    log.error("an operation ended in a programming error", error=repr(error), exc_info=error)
    return OutcomeUnknown("an unexpected error, which is in the coordinator's log")


def _written(result: OpResult) -> Version | KVError:
    assert isinstance(result, Version | KVError), "a write has a version, or an error"
    return result


def _error(resolution: Resolution) -> KVError:
    if isinstance(resolution, NotApplied):
        return _unavailable(resolution)
    return OutcomeUnknown(getattr(resolution, "reason", "no answer"))


def _unavailable(resolution: NotApplied) -> Unavailable:
    detail = resolution.reason
    if detail == NOT_BOOTSTRAPPED:
        detail += ": run `dronedispatch kvctl bootstrap`"
    return Unavailable(detail, status=resolution.status)
